"""The log for analytics: one row for each record and attempt, in the lake and as a view in Postgres."""

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import LakeResource, LedgerResource

LOG_KEY = ["integration_log"]


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
    context: dg.AssetExecutionContext, lake: LakeResource, ledger: LedgerResource
) -> dg.MaterializeResult[None]:
    with ledger.opened() as book:
        attempts = book.attempts.attempts_of_run(context.run_id)
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
    )
