"""Switches: the behaviours of a sandbox that a test may turn, because the real system varies or is not known there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


class Switches:
    """Named values with defaults; a switch that does not exist or has another type is refused.

    Reads as a mapping (`switches["page_size"]`). Switches live as long as the process. `choices` names the values of
    those switches that take only some.
    """

    def __init__(self, defaults: Mapping[str, Any], choices: Mapping[str, Collection[Any]] | None = None) -> None:
        self._choices = dict(choices or {})
        self._defaults = dict(defaults)
        self._values = dict(defaults)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def as_dict(self) -> dict[str, Any]:
        """All switches with their present values."""
        return dict(self._values)

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Set switches; None puts one back to its default. Raises ValueError and changes nothing when one is wrong."""
        checked = {name: self._checked(name, value) for name, value in wanted.items()}
        self._values.update(checked)

    def reset(self) -> None:
        """Put all switches back to their defaults."""
        self._values = dict(self._defaults)

    def _checked(self, name: str, value: Any) -> Any:
        if name not in self._defaults:
            raise ValueError(f"There is no switch {name!r}. Known: {', '.join(sorted(self._defaults))}.")
        default = self._defaults[name]
        if value is None:
            return default
        if default is not None and type(value) is not type(default):
            raise ValueError(f"The switch {name!r} wants a {type(default).__name__}, not {value!r}.")
        if name in self._choices and value not in self._choices[name]:
            raise ValueError(f"The switch {name!r} knows {', '.join(map(repr, self._choices[name]))}, not {value!r}.")
        return value
