"""What the doctor asks a sink of the log: it reads definitions, and writes nothing. What the answers mean is in `tieout/doctor/logs.py`."""

from collections.abc import Iterator
from datetime import UTC, datetime

from resources.ledger import Ledger
from resources.log_sinks import open_sink
from tieout.doctor import Finding, logs
from tieout.log_sinks.settings import SinkName, settings_of
from tieout.settings import Settings


def examine_log_sink(settings: Settings, name: SinkName) -> Iterator[Finding]:
    """Whether the sink is on, signs in, is made for the log, and what it has taken so far."""
    sink_settings = settings_of(name)
    if sink_settings is None:
        yield logs.off(name)
        return
    assert settings.database_url is not None
    with open_sink(sink_settings, ca_bundle=settings.ca_bundle) as sink:
        problems = sink.problems()
        sink.may_read()
    yield logs.fits(name, sink_settings.target, problems)
    now = datetime.now(UTC)
    with Ledger.opened(settings.database_url) as ledger:
        state = ledger.log_sinks.state(name, sink_settings.target)
        waiting = ledger.log_sinks.waiting(state, now)
    yield logs.writing(
        name,
        sent=state.sent,
        sent_at=state.sent_at,
        waiting=waiting.rows,
        refused=waiting.refused,
        problem=state.problem,
    )
