"""What lists may be narrowed to: a word that is none of those there are is a mistake, not an empty list."""

from collections.abc import Iterable

from tieout.errors import ConfigurationError


def one_of(what: str, given: str | None, known: Iterable[str]) -> str:
    """`given`, where it is one of `known`; empty where nothing was given. Raises ConfigurationError with all that there are."""
    if given is None:
        return ""
    names = list(known)
    if given not in names:
        raise ConfigurationError(f"There is no {what} {given!r}. There are: {', '.join(names)}.")
    return given


def said(option: str, given: str | None) -> str:
    """What an option says; empty where it was not given. Raises ConfigurationError where it is blank, as an empty variable of a script is."""
    if given is not None and not given.strip():
        raise ConfigurationError(f"--{option} is empty. Leave it out, or say which.")
    return (given or "").strip()
