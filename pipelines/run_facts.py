"""What Dagster's storage says of the runs, for the rules about runs that are missing or failed."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from pipelines.jobs import (
    FLOW,
    backfill_sales_orders,
    bucket_sales_orders,
    full_reconciliation,
    main,
    reconcile_buckets,
)
from tieout.alerting.facts import LastRun, RunFacts, WholeRuns

WATCHED = tuple(
    job.name for job in (main, full_reconciliation, backfill_sales_orders, bucket_sales_orders, reconcile_buckets)
)
_WHOLE_WAY = {FLOW: "main"}
_ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_PAGE, _MOST = 10, 200
"""Runs read at once, and in all: beyond so many dry runs in a row nobody looks for a real one."""


def run_facts(instance: dg.DagsterInstance) -> RunFacts:
    """The newest ended run of each job, and the runs of the whole way. Dry runs do not count. Raises what the storage raises."""
    last = [run for job in WATCHED if (run := _last(instance, job)) is not None]
    return RunFacts(_whole(instance), last)


def _last(instance: dg.DagsterInstance, job: str) -> LastRun | None:
    for record in _newest_first(instance, dg.RunsFilter(job_name=job, statuses=list(_ENDED))):
        run = record.dagster_run
        return LastRun(job, run.run_id, run.status == dg.DagsterRunStatus.SUCCESS, _ended_at(record))
    return None


def _whole(instance: dg.DagsterInstance) -> WholeRuns | None:
    first = instance.get_run_records(dg.RunsFilter(tags=_WHOLE_WAY), limit=1, ascending=True)
    if not first:
        return None
    good = dg.RunsFilter(tags=_WHOLE_WAY, statuses=[dg.DagsterRunStatus.SUCCESS])
    newest = next((_ended_at(record) for record in _newest_first(instance, good)), None)
    return WholeRuns(newest, first[0].create_timestamp.astimezone(UTC))


def _newest_first(instance: dg.DagsterInstance, wanted: dg.RunsFilter) -> Iterator[dg.RunRecord]:
    """The runs that were no dry runs."""
    cursor: str | None = None
    for _ in range(_MOST // _PAGE):
        page = instance.get_run_records(wanted, limit=_PAGE, cursor=cursor)
        yield from (record for record in page if not _is_dry(record.dagster_run))
        if len(page) < _PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _is_dry(run: dg.DagsterRun) -> bool:
    config: object = run.run_config
    for key in ("resources", "options", "config", "dry_run"):
        config = config.get(key) if isinstance(config, dict) else None
    return config is True


def _ended_at(record: dg.RunRecord) -> datetime:
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    return record.update_timestamp.astimezone(UTC)
