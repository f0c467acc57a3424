"""When alerts are looked at: every minute, so that a run that never came is noticed, and when a run has ended. All tell a thing once."""

import dagster as dg

from pipelines.alerts import look_now
from pipelines.jobs import FLOW
from resources.alerting import Look
from resources.connections import ContractsResource, LedgerResource

_EVERY_MINUTE_S = 60
_AFTER_A_RUN_S = 30


@dg.sensor(
    name="alerts_every_minute",
    minimum_interval_seconds=_EVERY_MINUTE_S,
    # It reads the ledger and sends nothing unless somebody described a sink, so it may run from the first moment on.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges the rules of alerts.yaml and tells the sinks what is new, still on after its time, or over.",
)
def alerts_every_minute(
    context: dg.SensorEvaluationContext, ledger: LedgerResource, contracts: ContractsResource
) -> dg.SkipReason:
    return dg.SkipReason(_looked(context, ledger, contracts).in_words)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    name="alerts_after_a_run",
    minimum_interval_seconds=_AFTER_A_RUN_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges the rules of alerts.yaml when a run has ended well.",
)
def alerts_after_a_run(
    context: dg.RunStatusSensorContext, ledger: LedgerResource, contracts: ContractsResource
) -> dg.SkipReason | None:
    return _after(context, ledger, contracts)


@dg.run_failure_sensor(
    name="alerts_after_a_failed_run",
    minimum_interval_seconds=_AFTER_A_RUN_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges the rules of alerts.yaml when a run has failed.",
)
def alerts_after_a_failed_run(
    context: dg.RunFailureSensorContext, ledger: LedgerResource, contracts: ContractsResource
) -> dg.SkipReason | None:
    return _after(context, ledger, contracts)


def _after(
    context: dg.RunStatusSensorContext, ledger: LedgerResource, contracts: ContractsResource
) -> dg.SkipReason | None:
    if FLOW not in context.dagster_run.tags:
        return dg.SkipReason(f"{context.dagster_run.job_name} is no job that alerts are about")
    _looked(context, ledger, contracts)
    return None


def _looked(
    context: dg.SensorEvaluationContext | dg.RunStatusSensorContext,
    ledger: LedgerResource,
    contracts: ContractsResource,
) -> Look:
    """One look, its news in the sensor's log."""
    with ledger.opened() as book:
        found = look_now(book, context.instance, contracts.contracts())
    for each in found.evaluation.raised:
        context.log.warning(f"raised ({each.severity}): {each.key}: {each.words}")
    for told in found.told:
        if told.problem:
            context.log.warning(f"sink {told.sink}: {told.problem}")
    if found.nothing_known:
        context.log.info(f"nothing known for: {', '.join(found.nothing_known)}")
    return found
