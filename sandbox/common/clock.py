"""The clock that a sandbox lives by, which a test may set or push forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """UTC time of one sandbox process: real time plus a shift, or a moment that stands still."""

    def __init__(self) -> None:
        self._shift = timedelta()
        self._frozen_at: datetime | None = None

    def now(self) -> datetime:
        """The present instant, UTC aware."""
        return self._frozen_at or datetime.now(UTC) + self._shift

    def timestamp(self) -> float:
        """The present instant in seconds since 1970."""
        return self.now().timestamp()

    def set(self, moment: datetime, *, frozen: bool = False) -> None:
        """Make it `moment` now; the clock goes on from there, or stands still when `frozen`."""
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
        self._frozen_at = moment if frozen else None
        self._shift = moment - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        if self._frozen_at is not None:
            self._frozen_at += timedelta(seconds=seconds)
        self._shift += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Go back to real time."""
        self._shift = timedelta()
        self._frozen_at = None


def iso_ms(moment: datetime) -> str:
    """`moment` as `2026-07-30T09:57:18.123Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
