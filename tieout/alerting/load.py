"""Reads `alerts.yaml` into a checked `AlertFile`, or says everything that is wrong with it at once, with file and line."""

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tieout.alerting.model import RULE_KINDS, SINK_KINDS, AlertFile
from tieout.breaks import Cause
from tieout.contract import source as yaml_source
from tieout.contract.source import Path as KeyPath
from tieout.contract.source import Source
from tieout.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_KINDS_BY_GROUP = {"rules": RULE_KINDS, "sinks": SINK_KINDS}
_CALLED = {"string": "text", "int": "a whole number", "bool": "true or false", "list": "a list"}


def load_alerts(path: Path, tables: Collection[str] | None = None) -> AlertFile:
    """The rules and sinks of a file. `tables`: those of the contracts, such as `salesforce/account`; `None` leaves their names unchecked.

    Raises ConfigurationError whose message lists all mistakes, one a line: `alerts.yaml:14: problem. Fix.`
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(
            f"The alerts file {path} cannot be read ({reason}). Point TIEOUT_ALERTS at the file, or unset it."
        ) from error
    source = yaml_source.read(text)
    problems = list(source.problems)
    found: AlertFile | None = None
    if source.data is not None:
        try:
            found = AlertFile.model_validate(source.data)
        except ValidationError as error:
            problems += [told for each in error.errors() if (told := _told(each, source)) is not None]
        problems += [*_names(source), *_what_is_filtered(source, tables)]
    if problems or found is None:
        raise ConfigurationError("\n".join(f"{path.name}:{line}: {text}" for line, text in sorted(set(problems))))
    return found


def _names(source: Source) -> Iterator[tuple[int, str]]:
    """Names that are written wrongly, and sinks that a rule names and nobody describes."""
    groups = {name: _group(source.data, name) for name in _KINDS_BY_GROUP}
    for group, entries in groups.items():
        for name in entries:
            if not _NAME.fullmatch(name):
                yield (
                    source.line_of((group, name)),
                    f"`{_short(name)}` is no name. Write small letters, digits and underscores.",
                )
    for name, rule in groups["rules"].items():
        named = rule.get("notify") if isinstance(rule, dict) else None
        for position, sink in enumerate(named if isinstance(named, list) else []):
            if sink not in groups["sinks"]:
                line = source.line_of(("rules", name, "notify", position))
                yield (
                    line,
                    f"there is no sink `{_short(sink)}`. {_nearest(sink, groups['sinks'], 'Describe it in `sinks`')}",
                )


def _what_is_filtered(source: Source, tables: Collection[str] | None) -> Iterator[tuple[int, str]]:
    """Causes and tables that do not exist: a filter of them would never find anything, and nobody would notice."""
    known: dict[str, Collection[str]] = {"causes": [str(cause) for cause in Cause]}
    if tables is not None:
        known["tables"] = tables
    for name, rule in _group(source.data, "rules").items():
        for key, allowed in known.items():
            named = rule.get(key) if isinstance(rule, dict) else None
            for position, each in enumerate(named if isinstance(named, list) else []):
                if isinstance(each, str) and each not in allowed:
                    line = source.line_of(("rules", name, key, position))
                    yield (
                        line,
                        f"`{key}` names `{_short(each)}`, which does not exist. {_nearest(each, allowed, 'Correct it')}",
                    )


def _told(error: ErrorDetails, source: Source) -> tuple[int, str] | None:
    """One finding of pydantic as (line, sentence); `None` where it only repeats another one."""
    path = source.path_of(error["loc"], is_missing=error["type"] == "missing")
    key = str(path[-1]) if path else "the file"
    if path and isinstance(path[-1], int):
        key = str(path[-2])
    line, given = source.line_of(path), _short(error["input"])
    match error["type"]:
        case "none_required":
            return None  # the other half of "this, or absent"
        case "extra_forbidden":
            allowed = _keys_at(path[:-1], source)
            return line, f"unknown key `{_short(key)}`. {_nearest(key, allowed, 'Remove it')}"
        case "missing":
            return line, f"`{key}` is missing{_inside(path)}. Add it."
        case "union_tag_not_found":
            kinds = ", ".join(_KINDS_BY_GROUP[str(path[0])])
            return line, f"`kind` is missing{_inside((*path, 'kind'))}. Add one of: {kinds}."
        case "union_tag_invalid":
            given_kind = _group(source.data, str(path[0]), str(path[1])).get("kind")
            near = _nearest(str(given_kind), _KINDS_BY_GROUP[str(path[0])], "Correct it")
            return source.line_of((*path, "kind")), f"`kind: {_short(given_kind)}` is not known. {near}"
        case "literal_error":
            allowed = [each.strip(" '") for each in error["ctx"]["expected"].replace(" or ", ",").split(",")]
            return line, f"`{key}: {given}` is not known. {_nearest(str(error['input']), allowed, 'Correct it')}"
        case "value_error":
            return line, f"`{key}` {str(error['ctx']['error']).rstrip('.')}."
        case "model_type" | "dict_type" | "model_attributes_type":
            return line, f"`{key}` must be a group of keys, not {given}. Indent its keys below it."
        case "too_short":
            return line, f"`{key}` is empty. Name at least one."
        case "too_long":
            return line, f"`{key}` names more than {error['ctx']['max_length']}. Name a distribution list instead."
        case "greater_than_equal":
            return line, f"`{key}: {given}` must be {error['ctx']['ge']} at least. Correct the number."
        case "less_than_equal":
            return line, f"`{key}: {given}` must be {error['ctx']['le']} at most. Correct the number."
    kind = error["type"].removesuffix("_type").removesuffix("_parsing")
    return line, f"`{key}: {given}` must be {_CALLED.get(kind, kind)}. Correct the value."


def _keys_at(path: KeyPath, source: Source) -> list[str]:
    """The keys that the model allows where `path` ends."""
    model: type[BaseModel] | None = AlertFile
    if len(path) == 2:
        kind = _group(source.data, str(path[0]), str(path[1])).get("kind")
        model = _KINDS_BY_GROUP[str(path[0])].get(str(kind))
    return list(model.model_fields) if model is not None else []


def _group(data: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def _nearest(given: object, allowed: Any, otherwise: str) -> str:
    near = get_close_matches(str(given), list(allowed), n=1, cutoff=0.5)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"{otherwise}, or use one of: {', '.join(allowed)}." if allowed else f"{otherwise}."


def _inside(path: KeyPath) -> str:
    return f" in `{'.'.join(str(each) for each in path[:-1])}`" if len(path) > 1 else ""


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a group of keys" if isinstance(value, dict) else "a list"
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"
