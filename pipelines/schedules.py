"""When the jobs run. Both schedules wait to be switched on in the UI: nothing is sent to a tenant before a person wants it."""

import dagster as dg

from pipelines.jobs import full_reconciliation, main

every_quarter_of_an_hour = dg.ScheduleDefinition(
    name="every_quarter_of_an_hour",
    job=main,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    description="The main job, every 15 minutes.",
)

every_night = dg.ScheduleDefinition(
    name="every_night",
    job=full_reconciliation,
    cron_schedule="30 1 * * *",
    execution_timezone="UTC",
    description="The full reconciliation, every night.",
)
