"""How far the ledger was when a request last left, remembered outside of it: a ledger that ends before that was restored from an older copy.

What follows from it is in `adoption.py`.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FILE_NAME = "ledger-mark.json"


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest attempt that was written down before its request left, and when (UTC)."""

    attempt_id: int
    at: datetime


class LedgerMark:
    """One small file, replaced as a whole and flushed to the disk; safe for several processes at once."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Mark | None:
        """The mark; `None` where none was ever set, which proves nothing about the ledger."""
        try:
            kept = json.loads(self._file.read_text())
            return Mark(int(kept["attempt_id"]), datetime.fromisoformat(kept["at"]))
        except FileNotFoundError:
            return None

    def advance(self, attempt_id: int, at: datetime) -> None:
        """Remember an attempt whose request is about to leave. The mark never goes back."""
        with self._alone():
            known = self.read()
            if known is None or known.attempt_id < attempt_id:
                self._write(Mark(attempt_id, at))

    def problem(self, newest_attempt_id: int) -> str:
        """Why the ledger cannot be the one that sent last, in words; empty where it can. `newest_attempt_id` is the ledger's."""
        mark = self.read()
        if mark is None or newest_attempt_id >= mark.attempt_id:
            return ""
        return (
            f"The ledger ends at attempt {newest_attempt_id:,}, but attempt {mark.attempt_id:,} was sent on {mark.at:%Y-%m-%d at %H:%M} UTC: "
            "it was restored from an older copy, or it is another database."
        )

    def _write(self, mark: Mark) -> None:
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        with beside.open("w") as file:
            json.dump({"attempt_id": mark.attempt_id, "at": mark.at.isoformat()}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._file)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._file.with_name(f"{self._file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
