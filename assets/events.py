"""Records of which an event says that they changed: read by key, compared, delivered and written back at once, through the same ledger."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from assets import catalogue
from assets.by_key import Brought, ByKey
from assets.catalogue import outcome
from assets.delivery import intended_customers, intended_orders, reason_to_hold
from assets.writeback import ENTITIES, newer_in_lake, wanted_updates
from resources.connections import (
    ContractsResource,
    D365Resource,
    HomeResource,
    LakeResource,
    LedgerResource,
    RunOptions,
    SalesforceResource,
)
from resources.dispatch import deliver
from resources.ledger import Ledger
from resources.ledger.events import Latency, WaitingHint
from resources.ledger_mark import FILE_NAME, LedgerMark
from resources.salesforce import SalesforceClient
from resources.workbench import Workbench, duckdb_connection
from resources.writing_back import write_back
from tieout.flow import Flow
from tieout.reconciliation import ReadTimes

log = logging.getLogger(__name__)

CHANGED_RECORDS_KEY = ["events", "changed_records"]
HINTS_AT_ONCE = 200
"""Hints that one run follows: their keys fit into one query of Salesforce, and what a run can lose stays small."""
LATENCIES_SHOWN = 50

# What the rows say that were just read is what counts: none of them is in flight by its stamp.
_NEVER = ReadTimes(datetime(9999, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))


@dg.asset(
    key=CHANGED_RECORDS_KEY,
    group_name=catalogue.EVENTS,
    owners=[catalogue.OWNER],
    kinds={"salesforce", "dynamics365", "postgres"},
    # The pool of the deliveries and of the reads of D365: never two writers of orders, and no older read comes in between.
    pool="d365",
    description=(
        "The records that events name, 200 at a time: read again by key from both systems, compared, and what is won and has no order is "
        "delivered; numbers and status go back to Salesforce. Events are hints and the schedule is the truth: it writes through the same merge "
        "and the same ledger as the main job, which finds everything that no event told of."
    ),
)
def changed_records(
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
    with ledger.opened() as book:
        waiting = book.events.waiting_hints(HINTS_AT_ONCE)
        if not waiting or book.watermarks.latest_sweep("d365", rules["sales_order"].d365.table) is None:
            # Without one whole read nobody knows which orders people made before.
            return outcome("nothing waits" if not waiting else "left to the main job, which has never run", hints=0)
        with salesforce.client() as sales, d365.client() as erp, duckdb_connection() as con:
            reading = ByKey(sales, erp, tables, book, rules, home, run_id)
            brought = reading.bring(_keys(waiting, "opportunity"), _keys(waiting, "account"), _orders(waiting))
            bench = Workbench.of_rows_just_read(con, tables, book, rules, _NEVER)
            bench.customers()
            bench.orders()
            mark = LedgerMark(home.folder() / FILE_NAME)
            held_back = reason_to_hold(
                book, mark, bench, rules, "sales_order", run_id, datetime.now(UTC), dry_run=options.dry_run
            )
            wanted = frozenset() if held_back else frozenset(brought.opportunities)
            customers, orders = (
                deliver(
                    book,
                    erp,
                    rules[entity],
                    intended(bench, book, rules, wanted),
                    run_id=run_id,
                    dry_run=options.dry_run,
                    mark=mark,
                )
                for entity, intended in (("customer", intended_customers), ("sales_order", intended_orders))
            )
            updated = (
                0
                if options.dry_run
                else sum(_write_back(sales, bench, book, table, brought, run_id) for table in ENTITIES)
            )
            if not options.dry_run:
                # Last: a run that dies before is followed by one that takes the same hints again.
                book.events.all_handled([each.id for each in waiting])
            if held_back:
                log.warning("events.held_back", extra={"hints": len(waiting), "reason": held_back})
            text = f"{len(waiting):,} hints, {customers.created:,} customers and {orders.created:,} orders created, {updated:,} updated in Salesforce"
            latencies = book.events.latencies("sales_order", run_id)
            return outcome(
                text + (f". Left to the main job: {held_back}" if held_back else ""),
                rows=brought.rows,
                hints=len(waiting),
                created=orders.created,
                adopted=orders.adopted,
                would_send=customers.would_send + orders.would_send,
                updated=updated,
                salesforce_calls=sales.api_calls,
                d365_calls=erp.api_calls,
                **_told(latencies),
            )


def _keys(waiting: Sequence[WaitingHint], entity: str) -> set[str]:
    return {each.hint.key for each in waiting if each.hint.entity == entity}


def _orders(waiting: Sequence[WaitingHint]) -> set[tuple[str, str]]:
    return {(each.hint.company, each.hint.key) for each in waiting if each.hint.entity == "sales_order"}


def _write_back(
    client: SalesforceClient, bench: Workbench, ledger: Ledger, table: str, brought: Brought, run_id: str
) -> int:
    """Bring the copies of these records up to date; returns how many records were written."""
    entity, flow = ENTITIES[table], Flow(f"writeback/{table}")
    here = brought.opportunities if table == "opportunity" else brought.accounts
    with ledger.alone(flow):
        due, companies = wanted_updates(bench, ledger, bench.contracts, entity, run_id)
        newer = newer_in_lake(bench, entity)
        due = [update for update in due if update.salesforce_id in here and update.salesforce_id not in newer]
        done = write_back(
            client, ledger, bench.contracts[entity], due, companies, flow=flow, run_id=run_id, now=datetime.now(UTC)
        )
        return done.updated


def _told(latencies: Sequence[Latency]) -> dict[str, object]:
    """Seconds from the change to the confirmation: the slowest and the median, and a table of the first records."""
    took = sorted(
        (each.confirmed_at - each.changed_at).total_seconds()
        for each in latencies
        if each.confirmed_at is not None and each.changed_at is not None
    )
    if not took:
        return {}
    columns = ("opportunity", "order", "changed", "seen", "seen by", "sent", "confirmed", "seconds")
    rows = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for each in latencies[:LATENCIES_SHOWN]:
        instants = (each.changed_at, each.seen_at, each.sent_at, each.confirmed_at)
        changed, seen, sent, confirmed = ("" if at is None else f"{at:%H:%M:%S.%f}"[:-3] for at in instants)
        seconds = (each.confirmed_at - each.changed_at).total_seconds() if each.confirmed_at and each.changed_at else ""
        rows.append(
            f"| {each.business_key} | {each.company}/{each.d365_key} | {changed} | {seen} | {each.seen_by} | {sent} | {confirmed} | {seconds} |"
        )
    return {
        "slowest_s": took[-1],
        "median_s": took[len(took) // 2],
        "latency": dg.MetadataValue.md("\n".join(rows)),
    }
