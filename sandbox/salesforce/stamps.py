"""How Salesforce writes and reads dates and instants: whole seconds, UTC, `2026-10-01T12:34:56.000+0000`."""

import re
from datetime import UTC, date, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%S.000+0000"
_INSTANT = re.compile(
    r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)$",
)
_DATE = re.compile(r"^\d{4}-\d\d-\d\d$")


def utc_now() -> datetime:
    return datetime.now(UTC)


def written(instant: datetime) -> str:
    """An aware instant as REST answers show it; fractions of a second are cut, as Salesforce does."""
    return instant.astimezone(UTC).strftime(_FORMAT)


def instant_of(text: str) -> datetime:
    """Reads seconds or milliseconds, `Z`, `+hh:mm`, `-hh:mm` and `+hhmm`; ValueError for anything else."""
    match = _INSTANT.match(text)
    if match is None:
        raise ValueError(text)
    day, time, zone = match.groups()
    return datetime.fromisoformat(f"{day}T{time}{'+00:00' if zone == 'Z' else zone}").astimezone(UTC)


def date_of(text: str) -> date:
    """Reads `2026-10-01`; ValueError for anything else."""
    if not _DATE.match(text):
        raise ValueError(text)
    return date.fromisoformat(text)
