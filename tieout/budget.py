"""How many calls one run may still make of one system: a stop before the limit, not at it.

Pure. The clients ask before each call; what a spent budget makes of a run is told by its error.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tieout.errors import BudgetSpent


@dataclass(slots=True)
class Budget:
    """The calls of one run to `system`, whichever client makes them. Safe to use from several threads.

    `most_calls` bounds the run (None: no bound). `reserve_percent` is the share of the organisation's daily calls that is left to others,
    where the system tells how many have been used.
    """

    system: str
    most_calls: int | None = None
    reserve_percent: int = 0
    variable: str = ""
    calls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def halved(self) -> Iterator[None]:
        """Within the block at most half of the calls that are left may be made: what can be left undone must not starve what comes after."""
        with self._lock:
            whole = self.most_calls
            if whole is not None:
                self.most_calls = self.calls + (whole - self.calls) // 2
        try:
            yield
        finally:
            with self._lock:
                self.most_calls = whole

    def spend(self, used: int | None = None, allowed: int | None = None) -> None:
        """Take one call, or raise BudgetSpent before it is made. `used` and `allowed` are the organisation's, as last told."""
        with self._lock:
            if self.most_calls is not None and self.calls >= self.most_calls:
                raise BudgetSpent(
                    f"Incomplete: this run has made the {self.most_calls:,} calls to {self.system} that {self.variable} allows it. Nothing is "
                    "lost: what was not sent stays planned, and the next run goes on. Raise the variable if this happens often."
                )
            if used is not None and allowed is not None and used >= allowed * (100 - self.reserve_percent) / 100:
                raise BudgetSpent(
                    f"Incomplete: {used:,} of the {allowed:,} calls that {self.system} allows the organisation in 24 hours are used, and "
                    f"{self.reserve_percent} % are left to others. Nothing is lost: run it again later, or lower TIEOUT_SALESFORCE_RESERVE_PERCENT."
                )
            self.calls += 1
