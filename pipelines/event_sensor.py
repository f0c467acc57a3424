"""What starts runs besides the schedules: events that wait. The sensors wait to be switched on in the UI, as the schedules do."""

import time
from typing import Any

import dagster as dg

from pipelines.jobs import changed_records, full_reconciliation, main
from resources.connections import LedgerResource

PATIENCE_S = 4.0
"""Seconds that a tick looks for events. Dagster's daemon begins a tick every 5 seconds at most, so looking only once would cost 2.5 on average."""
LOOK_EVERY_S = 0.2

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def sensor_of(patience_s: float) -> dg.SensorDefinition:
    """The sensor; each of its ticks looks for at most `patience_s` seconds."""

    @dg.sensor(
        name="events_wait",
        job=changed_records,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Starts `changed_records` as soon as events wait in the ledger, one run at a time.",
    )
    def events_wait(context: dg.SensorEvaluationContext, ledger: LedgerResource) -> dg.RunRequest | dg.SkipReason:
        book, until = ledger.kept(), time.monotonic() + patience_s
        while True:
            span = book.events.waiting_span()
            if span is not None and not _is_under_way(context.instance, changed_records.name):
                oldest, newest = span
                # A run that failed left both as they were: it is not started again before another event comes, and the schedule goes on.
                return dg.RunRequest(run_key=f"{oldest}-{newest}", run_config=_CONFIG)
            if time.monotonic() + LOOK_EVERY_S > until:
                return dg.SkipReason("No event waits." if span is None else "A run follows events already.")
            time.sleep(LOOK_EVERY_S)

    return events_wait


# Every resource that is configured at launch has to be named.
_CONFIG: dict[str, Any] = {"resources": {"options": {"config": {}}}}


def _is_under_way(instance: dg.DagsterInstance, *jobs: str) -> bool:
    return any(instance.get_run_ids(dg.RunsFilter(job_name=job, statuses=UNDER_WAY), limit=1) for job in jobs)


events_wait = sensor_of(PATIENCE_S)


@dg.sensor(
    name="sweep_wanted",
    job=main,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Starts the main job at once where events were lost, or do not tell which records changed.",
)
def sweep_wanted(context: dg.SensorEvaluationContext, ledger: LedgerResource) -> dg.RunRequest | dg.SkipReason:
    wanted = ledger.kept().events.sweeps_wanted()
    if not wanted:
        return dg.SkipReason("No event was lost.")
    if _is_under_way(context.instance, main.name, full_reconciliation.name):
        return dg.SkipReason("The main job runs already.")
    # As above: a run that failed is not started again for the same reasons.
    return dg.RunRequest(run_key=f"sweep-{wanted[0].id}-{wanted[-1].id}", run_config=_CONFIG)
