"""A second look at what would become a break: its records are read again by key, and judged again.

A step of its own between comparison and delivery. Before the delivery, because afterwards the delivery's own writes would look like
changes, and because nothing should be sent on the strength of a record that has changed meanwhile. Not inside the comparison, because it
asks both systems: here it has their pools and budgets, and its failure leaves the comparison whole and the delivery free.
"""

from datetime import UTC, datetime

import dagster as dg

from assets import catalogue
from assets.catalogue import counted, outcome
from assets.landing import landing_zone
from assets.reconciliation import KEPT, keep_tables
from resources.connections import D365Resource, HomeResource, LakeResource, LedgerResource, SalesforceResource
from resources.ledger import Ledger
from resources.reread import Rereading, wait_for_settling
from resources.workbench import READ_AGAIN_KEY, WorkbenchResource
from tieout.contract import Contracts
from tieout.settings import Settings


@dg.asset(
    key=list(READ_AGAIN_KEY),
    group_name=catalogue.RECONCILIATION,
    owners=[catalogue.OWNER],
    kinds={"duckdb", "deltalake"},
    pool="d365",
    deps=[["reconciliation", "customer"], ["reconciliation", "sales_order"]],
    description=(
        "Every record that would become a break, read again by its key from both systems before anybody is told. What agrees now, or has changed "
        "on either side since the first read, is in flight and judged by the next run: no break is reported because two systems were not read at "
        "the same moment."
    ),
)
def read_again(
    context: dg.AssetExecutionContext,
    workbench: WorkbenchResource,
    salesforce: SalesforceResource,
    d365: D365Resource,
    lake: LakeResource,
    ledger: LedgerResource,
    home: HomeResource,
) -> dg.MaterializeResult[None]:
    settings, bench = Settings.from_environment(), workbench.bench()
    with (
        salesforce.client(may_fall_short=True) as sales,
        d365.client(may_fall_short=True) as erp,
        landing_zone(home.folder("landing")) as folder,
    ):
        rereading = Rereading(bench, sales, erp, folder, context.run_id)
        with ledger.opened() as book:
            read_until = _read_until(book, bench.contracts)
        done = rereading.run(
            settings.reread_most_records, settle=lambda: wait_for_settling(read_until, settings.reread_settle_s)
        )
        calls = {"salesforce": sales.api_calls, "d365": erp.api_calls}
    if done.in_flight:
        for entity in ("customer", "sales_order"):
            keep_tables(bench, lake.lake(), KEPT[entity])
    text = f"{done.read:,} read again, {done.in_flight:,} of them in flight"
    if done.not_read:
        text += f"; {done.not_read:,} not read: {done.problem}"
    return outcome(
        text,
        rows=done.suspects,
        columns=lake.lake().schema(READ_AGAIN_KEY),
        suspects=done.suspects,
        read_again=done.read,
        in_flight=done.in_flight,
        not_read=done.not_read,
        reasons=counted(done.reasons),
        api_calls=sum(calls.values()),
        **{f"api_calls_{system}": count for system, count in calls.items()},
    )


def _read_until(ledger: Ledger, contracts: Contracts) -> datetime:
    """When the newest reads of both systems ended."""
    sweeps = [
        ledger.watermarks.latest_sweep(table.system, table.name)
        for table in (*contracts.tables("salesforce"), *contracts.tables("d365"))
    ]
    return max((sweep.ended_at for sweep in sweeps if sweep is not None), default=datetime.now(UTC))
