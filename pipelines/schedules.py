"""When the jobs run. Both schedules wait to be switched on in the UI: nothing is sent to a tenant before a person wants it."""

from typing import TYPE_CHECKING

import dagster as dg

from pipelines.jobs import full_reconciliation, main
from tieout.errors import ConfigurationError
from tieout.settings import USUAL_SCHEDULES, cron_schedule

if TYPE_CHECKING:
    # What `define_asset_job` gives; Dagster does not export its name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def schedule_of(
    name: str, job: "UnresolvedAssetJobDefinition", variable: str, description: str
) -> dg.ScheduleDefinition:
    """The schedule of a job: when `variable` says, in UTC, or as usual. Raises ConfigurationError where it says nothing that cron knows."""
    cron = cron_schedule(variable)
    try:
        return dg.ScheduleDefinition(
            name=name, job=job, cron_schedule=cron, execution_timezone="UTC", description=description
        )
    except dg.DagsterInvalidDefinitionError as problem:
        raise ConfigurationError(
            f"{variable} is {cron!r}. Write a cron expression, minute to weekday in UTC, such as {USUAL_SCHEDULES[variable]!r}."
        ) from problem


throughout_the_day = schedule_of(
    "throughout_the_day",
    main,
    "TIEOUT_MAIN_SCHEDULE",
    "The main job, every 15 minutes or as TIEOUT_MAIN_SCHEDULE says.",
)
every_night = schedule_of(
    "every_night",
    full_reconciliation,
    "TIEOUT_NIGHTLY_SCHEDULE",
    "The full reconciliation, every night or as TIEOUT_NIGHTLY_SCHEDULE says.",
)
