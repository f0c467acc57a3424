"""Every place where a process can die: before and after each HTTP call, before and after each commit to the ledger.

Armed in the child, from the outside: nothing of it is in the product. The numbers are the same in every run of the same world.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
from sqlalchemy.engine.default import DefaultDialect


@dataclass
class Points:
    """How many points were passed, their names, and the one to die at (None: live)."""

    crash_at: int | None
    count: int = 0
    names: list[str] = field(default_factory=list)

    def passed(self, name: str) -> None:
        """One point: die here, or go on."""
        self.count += 1
        self.names.append(name)
        if self.count == self.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(crash_at: int | None) -> Points:
    """Count the points of this process from now on, and die at the `crash_at`-th."""
    points = Points(crash_at)
    _around(requests.Session, "send", lambda given: _call(given[0]), points)
    _around(DefaultDialect, "do_commit", lambda _given: "commit", points)
    return points


def _call(request: Any) -> str:
    return f"{request.method} {request.path_url.partition('?')[0]}"


def _around(owner: type, name: str, label: Callable[[tuple[Any, ...]], str], points: Points) -> None:
    real = getattr(owner, name)

    def watched(self: Any, *given: Any, **options: Any) -> Any:
        # Dagster's own storage is another dialect, and no part of the promise.
        if isinstance(self, DefaultDialect) and self.name != "postgresql":
            return real(self, *given, **options)
        points.passed(f"before {label(given)}")
        answer = real(self, *given, **options)
        points.passed(f"after {label(given)}")
        return answer

    setattr(owner, name, watched)
