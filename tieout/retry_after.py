"""How long a server asks us to wait: the `Retry-After` header, in seconds or as a date."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def seconds_to_wait(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds from `now` (UTC), never negative; `None` where the server says nothing or nothing readable."""
    if header is None or not header.strip():
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
