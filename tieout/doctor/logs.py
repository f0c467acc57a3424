"""What the sinks of the log and the ledger say of how they stand. Nothing is written: what may be written is proven by what was taken before."""

from collections.abc import Sequence
from datetime import datetime

from tieout.doctor.finding import Finding, Status, good
from tieout.log_sinks.settings import SWITCHES, TITLES, SinkName


def off(name: SinkName) -> Finding:
    """A sink that is not switched on, which is right."""
    return good(_what(name), f"off: {SWITCHES[name]} is not set")


def fits(name: SinkName, target: str, problems: Sequence[str]) -> Finding:
    """Whether the table or list is made for the log; `problems` as the sink tells them."""
    if not problems:
        return good(_what(name), f"{target}: every column is there, and the key is unique")
    return Finding(_what(name), Status.FAIL, f"{len(problems)} problems", f"{' '.join(problems)} See docs/logs.md.")


def writing(
    name: SinkName, *, sent: int, sent_at: datetime | None, waiting: int, refused: int, problem: str
) -> Finding:
    """What the sink has taken, and what waits. A run works in any case: the log holds up nothing."""
    what = f"{_what(name)}, rows"
    found = f"{sent:,} taken, {waiting:,} waiting, {refused:,} refused"
    if sent_at is not None:
        found += f"; last at {sent_at:%Y-%m-%d %H:%M} UTC"
    if problem:
        return Finding(what, Status.WARN, found, f"The last pass broke off: {problem}")
    if refused:
        return Finding(what, Status.WARN, found, "The ledger's table tieout.log_sink_row says why (column `refused`).")
    if sent_at is None:
        return Finding(
            what,
            Status.WARN,
            f"not proven yet; {waiting:,} waiting",
            "The doctor writes nothing; the first rows prove it. They go when the Dagster daemon runs.",
        )
    return good(what, found)


def _what(name: SinkName) -> str:
    return f"Log in {TITLES[name]}"
