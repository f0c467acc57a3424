"""What starts the jobs of the log: rows that wait for a sink that is switched on. With no sink set it does nothing, so it is always on."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.event_sensor import UNDER_WAY
from pipelines.jobs import LOG_JOBS
from resources.connections import LedgerResource, LogSinksResource
from resources.ledger import Ledger
from tieout.errors import ConfigurationError
from tieout.log_sinks.settings import SINKS, SWITCHES, SinkName

EVERY_S = 60


@dg.sensor(
    name="log_rows_wait",
    jobs=list(LOG_JOBS.values()),
    minimum_interval_seconds=EVERY_S,
    # Whoever sets a sink's variables wants the log there; without them nothing is asked.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the job of a log sink when rows wait for it, one run at a time, and not before the time that its target asked for.",
)
def log_rows_wait(
    context: dg.SensorEvaluationContext, ledger: LedgerResource, log_sinks: LogSinksResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    on, problems = [], []
    for name in SINKS:
        try:
            settings = log_sinks.settings(name)
        except ConfigurationError as problem:
            # The other sink has its own variables, and goes on.
            problems.append(str(problem))
            context.log.warning(str(problem))
            continue
        if settings is not None:
            on.append((name, settings.target))
    wanted = [name for name, target in on if _is_due(ledger.kept(), context.instance, name, target)] if on else []
    yield from (dg.RunRequest(job_name=LOG_JOBS[name].name) for name in wanted)
    if not wanted:
        off = f"No sink is switched on ({', '.join(SWITCHES.values())})."
        yield dg.SkipReason(" ".join(problems) or (off if not on else "No row waits, or a run is under way."))


def _is_due(ledger: Ledger, instance: dg.DagsterInstance, name: SinkName, target: str) -> bool:
    now, state = datetime.now(UTC), ledger.log_sinks.state(name, target)
    if state.not_before is not None and state.not_before > now:
        return False
    under_way = dg.RunsFilter(job_name=LOG_JOBS[name].name, statuses=UNDER_WAY)
    return not instance.get_run_ids(under_way, limit=1) and ledger.log_sinks.waits(state, now)
