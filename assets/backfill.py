"""Historical orders by order month and company: read again, compared and delivered like those of today, through the same ledger."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from assets.d365 import read_whole
from assets.delivery import deliver_only, reason_to_hold, unproven_read
from assets.landing import Read, keep_proof, landing_zone, store
from assets.salesforce import read_changes
from resources.connections import (
    ContractsResource,
    D365Resource,
    HomeResource,
    LakeResource,
    LedgerResource,
    RunOptions,
    SalesforceResource,
)
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger_mark import FILE_NAME, LedgerMark
from resources.salesforce import SalesforceClient
from resources.workbench import Workbench, duckdb_connection
from tieout import soql
from tieout.contract import Contracts
from tieout.errors import SourceUnavailable
from tieout.reconciliation import ReadTimes

BACKFILL_KEY = ["backfill", "sales_order"]


def backfill_of(partitions: dg.MultiPartitionsDefinition) -> dg.AssetsDefinition:
    """The partitioned asset; a range of partitions is one run, so that D365 is read once."""

    @dg.asset(
        key=BACKFILL_KEY,
        group_name=catalogue.BACKFILL,
        owners=[catalogue.OWNER],
        kinds={"salesforce", "dynamics365", "postgres"},
        # The same pool as the deliveries of the main job: never two writers of orders at once.
        pool="d365",
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=(
            "Orders of past months, by close month and company: their opportunities are read again whole, and what has no order is delivered. It "
            "writes through the same version-guarded merge and the same ledger as the main job, so neither the order of the two nor a repetition matters."
        ),
    )
    def backfill(
        context: dg.AssetExecutionContext,
        salesforce: SalesforceResource,
        d365: D365Resource,
        lake: LakeResource,
        ledger: LedgerResource,
        contracts: ContractsResource,
        home: HomeResource,
        options: RunOptions,
    ) -> dg.MaterializeResult[None]:
        rules, tables, run_id = contracts.contracts(), lake.lake(), context.run_id
        slices = [_slice(key) for key in context.partition_keys]
        with salesforce.client() as sales, d365.client() as erp, ledger.opened() as book:
            wanted = read_history(sales, tables, book, rules, home, slices, run_id=run_id)
            for table in rules.tables("d365"):
                read_whole(erp, tables, book, rules, table, home, run_id=run_id)
            for name in ("customer", "sales_order"):
                problem = unproven_read(book, name)
                if problem:
                    raise SourceUnavailable(
                        f"The read of d365/{name} is not proven complete; start the backfill again. {problem}"
                    )
            with duckdb_connection() as con:
                began = book.watermarks.began_by(run_id)
                reads = ReadTimes(began["salesforce"], began["d365"])
                bench = Workbench.of_rows_just_read(con, tables, book, rules, reads)
                bench.customers()
                bench.orders()
                mark = LedgerMark(home.folder() / FILE_NAME)
                held_back = reason_to_hold(book, mark, bench, rules, "sales_order", run_id, datetime.now(UTC))
                if held_back:
                    raise SourceUnavailable(f"Nothing was sent: {held_back}")
                customers, orders = deliver_only(
                    book, erp, bench, rules, wanted, run_id=run_id, dry_run=options.dry_run, mark=mark
                )
            return outcome(
                f"{len(wanted):,} opportunities, {customers.created:,} customers and {orders.created:,} orders created",
                rows=len(wanted),
                created=orders.created,
                adopted=orders.adopted,
                would_send=orders.would_send,
                salesforce_calls=sales.api_calls,
                d365_calls=erp.api_calls,
            )

    return backfill


def read_history(
    client: SalesforceClient,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    home: HomeResource,
    slices: Iterable[tuple[date, str]],
    *,
    run_id: str,
) -> frozenset[str]:
    """Bring accounts and products up to date, and the opportunities of each (first of month, company) with their lines.

    Returns the ids of those opportunities.
    """
    orders = contracts["sales_order"]
    for name in ("product", "account"):
        read_changes(
            client, lake, ledger, contracts, contracts.table("salesforce", name), home, run_id=run_id, full=False
        )
    found: list[str] = []
    for wanted in soql.consecutive(slices):
        questions = (
            (orders.table("salesforce"), soql.closed_in(orders, wanted)),
            (orders.lines_table("salesforce"), soql.lines_closed_in(orders, wanted)),
        )
        for table, question in questions:
            ids = [str(row["Id"]) for row in client.query(question, include_deleted=True)]
            with landing_zone(home.folder("landing")) as folder:
                read = Read(client.extract_by_id(table, ids, folder), "partition")
                keep_proof(ledger, table, read, store(lake, table, read, run_id=run_id), run_id=run_id)
            if not table.is_lines:
                found += ids
    return frozenset(found)


def _slice(partition: str) -> tuple[date, str]:
    # Dagster sorts the dimensions of a key by name: company, then month.
    company, month = partition.split("|")
    return date.fromisoformat(month), company
