"""One pass: the rows that a target does not have yet are sent, and what it has taken is kept in the ledger.

A row is kept as done only after the target has said that it is there. Whatever dies in between sends the row again, which the target knows by
its key.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from resources.ledger import Ledger
from resources.ledger.log_sinks import SinkState, Waiting
from resources.log_sinks.calls import AskedToWait
from resources.log_sinks.sink import Sink
from tieout.errors import ConfigurationError, SourceUnavailable, TieoutError

log = logging.getLogger(__name__)

MOST_ROWS = 50_000
MOST_SECONDS = 600.0
"""After so much a pass ends, and the next one goes on: a first fill of millions does not hold a place among the runs for hours."""
ADVANCE_EVERY = 2_000
"""Rows after which the position is moved within a pass."""
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=30)
"""Between two passes that fail, twice as long each time."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did. `position`: every attempt up to it is done. `problem` says why it broke off; empty where it did not."""

    sent: int
    calls: int
    position: int
    waiting: Waiting
    problem: str = ""


def send_waiting(
    ledger: Ledger,
    sink: Sink,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    most_rows: int = MOST_ROWS,
    most_seconds: float = MOST_SECONDS,
) -> Pass:
    """One pass. Problems of the target are kept and told, never raised: the log is not worth a failed run, and the next pass goes on."""
    until = time.monotonic() + most_seconds
    sent, problem = 0, ""
    with ledger.alone(f"log {sink.name} {sink.target}"):
        state = ledger.log_sinks.state(sink.name, sink.target)
        if state.not_before is not None and state.not_before > now():
            problem = state.problem
        else:
            try:
                for new in _sent(ledger, sink, state, now, most_rows, until):
                    sent += new
                ledger.log_sinks.went_well(state)
            except TieoutError as error:
                problem = str(error)
                log.warning("log_sink.broke_off", extra={"sink": sink.name, "problem": type(error).__name__})
                ledger.log_sinks.failed(state, problem, _next_at(state, error, sent, now()), now())
        position = ledger.log_sinks.advance(state, now())
        return Pass(sent, sink.calls, position, ledger.log_sinks.waiting(state, now()), problem)


def _sent(
    ledger: Ledger, sink: Sink, state: SinkState, now: Callable[[], datetime], most_rows: int, until: float
) -> Iterator[int]:
    """How many rows the target has taken anew, as they are kept."""
    is_examined, begun, advance_at = False, 0, ADVANCE_EVERY
    while begun < most_rows and time.monotonic() < until:
        rows = ledger.log_sinks.next_rows(state, min(sink.rows_at_once, most_rows - begun), now())
        if not rows:
            return
        if not is_examined:
            problems = sink.problems()
            if problems:
                raise ConfigurationError(f"The log does not fit there. {' '.join(problems)} See docs/logs.md.")
            is_examined = True
        begun += len(rows)
        for each in sink.send(rows):
            yield ledger.log_sinks.done(state, each.taken, each.refused, now())
        if begun >= advance_at:
            # Otherwise every question would walk over all that this pass has sent.
            ledger.log_sinks.advance(state, now())
            advance_at = begun + ADVANCE_EVERY


def _next_at(state: SinkState, error: TieoutError, sent: int, at: datetime) -> datetime:
    """When to try again: as the target said, or twice as long after each failure. A pass that got somewhere was none."""
    if isinstance(error, AskedToWait):
        return at + timedelta(seconds=error.wait_s)
    tries = 0 if sent and isinstance(error, SourceUnavailable) else state.tries
    doubled: timedelta = SHORTEST_PAUSE * (1 << min(tries, 10))
    return at + min(doubled, LONGEST_PAUSE)
