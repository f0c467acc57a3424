"""YAML text as plain values that remember the line they stand on.

A path is a tuple of keys and positions from the root, such as `("fields", "name", "owner")`. Keys that stand twice are problems of their own,
because YAML would silently keep one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Source:
    """One YAML file: its values, the line of each path, and what already is wrong with it (line, text)."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Line of `path`, or of the nearest part above it that is written in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def path_of(self, location: Sequence[str | int], *, is_missing: bool) -> Path:
        """Where a finding of pydantic stands in the file. Names of models and union members between the keys are left out."""
        path: Path = ()
        for step in location:
            if (*path, step) in self.lines:
                path = (*path, step)
        return (*path, location[-1]) if is_missing else path


def read(text: str) -> Source:
    """Read YAML; syntax errors and repeated keys become problems, never exceptions."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        return Source(None, {}, [(mark.line + 1 if mark else 1, f"this is not YAML: {what}. Put the syntax right.")])
    if root is None:
        return Source(None, {}, [(1, "the file is empty. Write a contract, or delete the file.")])
    source = Source(None, {(): root.start_mark.line + 1}, [])
    data = _value(root, (), source)
    return Source(data, source.lines, source.problems)


def _value(node: Node, path: Path, source: Source) -> Any:
    if isinstance(node, MappingNode):
        return _mapping(node, path, source)
    if isinstance(node, SequenceNode):
        values = []
        for position, child in enumerate(node.value):
            source.lines[(*path, position)] = child.start_mark.line + 1
            values.append(_value(child, (*path, position), source))
        return values
    return _scalar(node)


def _mapping(node: MappingNode, path: Path, source: Source) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in values:
            first = source.lines[(*path, key)]
            source.problems.append((line, f"`{key}` stands here and on line {first}. Remove one of them."))
            continue
        source.lines[(*path, key)] = line
        values[key] = _value(value_node, (*path, key), source)
    return values


def _scalar(node: Node) -> Any:
    text = str(node.value)
    match str(node.tag).rpartition(":")[2]:
        case "bool":
            return text.lower() == "true"
        case "int":
            return _as_number(text, int)
        case "float":
            return _as_number(text, float)
        case "null":
            return None
    return text


def _as_number(text: str, kind: type[int] | type[float]) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text  # 0x1F, .inf and the like: no contract needs them, so the shape check refuses the text
