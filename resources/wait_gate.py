"""The gate that every call of a client passes: closed for as long as the system asked to be left alone, and not a moment shorter."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tieout.errors import SourceUnavailable

log = logging.getLogger(__name__)

LONGEST_PATIENCE_S = 900.0
"""Whoever asks for more than this is believed, and not waited for: the run ends, and the next one is soon enough."""


class WaitGate:
    """Safe to use from several threads, which then all wait for the same moment.

    With `file` the processes of one installation wait together, and a run that is started again after a crash still knows. `clock` gives
    seconds since 1970, because the file outlives processes and their own clocks.
    """

    def __init__(
        self,
        system: str,
        *,
        file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        patience_s: float = LONGEST_PATIENCE_S,
    ) -> None:
        self._system = system
        self._file = file
        self._sleep = sleep
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._not_before = 0.0

    def close_for(self, seconds: float) -> None:
        """Let nothing pass for so long, from now on. A shorter wait never cuts a longer one."""
        if seconds <= 0:
            return
        with self._lock:
            self._not_before = max(self._due(), self._clock() + seconds)
            if self._file is not None:
                beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
                beside.write_text(repr(self._not_before))
                beside.replace(self._file)

    def wait(self) -> None:
        """Come back when the system may be asked. Raises SourceUnavailable where that is too long to wait for."""
        while True:
            due = self._due()
            left_s = due - self._clock()
            if left_s <= 0:
                return
            if left_s > self._patience_s:
                raise SourceUnavailable(
                    f"{self._system} asks to be left alone for {left_s / 60:.0f} minutes. Nothing is lost: run it again after that."
                )
            log.info("waiting", extra={"system": self._system, "seconds": round(left_s, 3)})
            self._sleep(left_s)
            if self._due() == due:
                return

    def _due(self) -> float:
        """The moment that this process or another one of the installation was told last."""
        told = 0.0
        if self._file is not None:
            # Not there: nobody was ever asked to wait. Not readable as a number: somebody else's file, which says nothing.
            with contextlib.suppress(OSError, ValueError):
                told = float(self._file.read_text())
        return max(self._not_before, told)
