"""The log for analytics: one row for each record and attempt, in the lake and as a view in Postgres; and the events that a run made needless."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import ContractsResource, LakeResource, LedgerResource, RunOptions
from resources.ledger import Ledger
from tieout.contract import Contracts

LOG_KEY = ["integration_log"]
CLOCKS_DIFFER = timedelta(seconds=5)
"""How far the clocks of both systems and ours may lie apart: what changed just before a run began may be in flight for it."""
REPEATS_KNOWN_FOR = timedelta(days=30)
"""How long a handled event is remembered; the systems repeat theirs for a day."""


@dg.asset(
    key=LOG_KEY,
    group_name=catalogue.LOG,
    owners=[catalogue.OWNER],
    kinds={"postgres", "deltalake"},
    pool="lake",
    deps=[
        ["delivery", "customer"],
        ["delivery", "sales_order"],
        ["writeback", "account"],
        ["writeback", "opportunity"],
    ],
    description=(
        "One row for each record and attempt, in either direction: business key, operation, outcome, reason, duration, API calls (a fraction where "
        "records shared a call). The same rows are the Postgres view `tieout.integration_log`."
    ),
)
def integration_log(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    ledger: LedgerResource,
    contracts: ContractsResource,
    options: RunOptions,
) -> dg.MaterializeResult[None]:
    record = context.instance.get_run_record_by_id(context.run_id)
    with ledger.opened() as book:
        attempts = book.attempts.attempts_of_run(context.run_id)
        began_at = (
            None if record is None or record.start_time is None else datetime.fromtimestamp(record.start_time, UTC)
        )
        needless = (
            0
            if options.dry_run or began_at is None
            else mark_seen(book, contracts.contracts(), context.run_id, began_at)
        )
    store = lake.lake()
    if attempts.num_rows or not store.exists(LOG_KEY):
        # An attempt never changes, so its number says all that a hash could.
        number = attempts.column("attempt_id")
        store.merge(LOG_KEY, attempts.append_column("_key", number.cast("string")).append_column("_row_hash", number))
    directions = attempts.column("direction").to_pylist()
    return outcome(
        f"{directions.count('to_d365'):,} attempts to D365, {directions.count('to_salesforce'):,} to Salesforce",
        rows=store.row_count(LOG_KEY),
        columns=attempts.schema,
        attempts=attempts.num_rows,
        events_seen=needless,
    )


def mark_seen(ledger: Ledger, contracts: Contracts, run_id: str, began_at: datetime) -> int:
    """Mark the hints that came before the run began as handled, if it has read all tables itself. Returns how many.

    An event is sent after its change was committed, so whoever begins to read everything afterwards has seen the change.
    """
    tables = {(table.system, table.name) for system in ("salesforce", "d365") for table in contracts.tables(system)}
    if not tables <= ledger.watermarks.tables_read_by(run_id):
        return 0
    ledger.events.forget_before(began_at - REPEATS_KNOWN_FOR)
    return ledger.events.handled_before(began_at - CLOCKS_DIFFER)
