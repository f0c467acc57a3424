"""Records of which an event says that they changed: read by key, compared, delivered and written back at once, through the same ledger."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagster as dg

from assets import catalogue
from assets.by_key import Brought, ByKey
from assets.catalogue import outcome
from assets.delivery import deliver_only, reason_to_hold, unproven_read
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
from resources.ledger.events import Latency, WaitingHint
from resources.ledger_mark import FILE_NAME, LedgerMark
from resources.workbench import Workbench, duckdb_connection
from resources.writing_back import write_back
from tieout.flow import Flow
from tieout.reconciliation import ReadTimes

log = logging.getLogger(__name__)

CHANGED_RECORDS_KEY = ["events", "changed_records"]
HINTS_AT_ONCE = 200
"""Hints that one run follows: their keys fit into one query of Salesforce, and what a run can lose stays small."""
ROUNDS = 5
"""Lists of hints that one run follows one after the other; then another run has its turn in the pool."""
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
    rules = contracts.contracts()
    with ledger.opened() as book:
        waiting = book.events.waiting_hints(HINTS_AT_ONCE)
        if not waiting or book.watermarks.latest_sweep("d365", rules["sales_order"].d365.table) is None:
            # Without one whole read nobody knows which orders people made before.
            return outcome("nothing waits" if not waiting else "left to the main job, which has never run", hints=0)
        with salesforce.client() as sales, d365.client() as erp:
            reading = ByKey(sales, erp, lake.lake(), book, rules, home, context.run_id)
            following = _Following(reading, dry_run=options.dry_run)
            for _ in range(ROUNDS):
                following.follow(waiting)
                # What has come meanwhile does not wait for another process to start. A dry run leaves all hints as they are.
                waiting = [] if options.dry_run else book.events.waiting_hints(HINTS_AT_ONCE)
                if not waiting:
                    break
            calls = {"salesforce_calls": sales.api_calls, "d365_calls": erp.api_calls}
        return following.done.told(book.events.latencies("sales_order", context.run_id), calls)


@dataclass(slots=True)
class _Done:
    """What a run has done so far, in records. `held_back` says why nothing was sent to D365; empty where it was."""

    hints: int = 0
    rows: int = 0
    customers: int = 0
    orders: int = 0
    adopted: int = 0
    would_send: int = 0
    updated: int = 0
    held_back: str = ""

    def told(self, latencies: Sequence[Latency], calls: Mapping[str, int]) -> dg.MaterializeResult[None]:
        text = f"{self.hints:,} hints, {self.customers:,} customers and {self.orders:,} orders created, {self.updated:,} updated in Salesforce"
        return outcome(
            text + (f". Left to the main job: {self.held_back}" if self.held_back else ""),
            rows=self.rows,
            hints=self.hints,
            created=self.orders,
            adopted=self.adopted,
            would_send=self.would_send,
            updated=self.updated,
            **calls,
            **_seconds(latencies),
        )


@dataclass(slots=True)
class _Following:
    """Follows hints, a list at a time, on one pair of clients."""

    reading: ByKey
    dry_run: bool
    done: _Done = field(default_factory=_Done)

    def follow(self, waiting: Sequence[WaitingHint]) -> None:
        """Read what the hints name, deliver, write back, and mark them as handled: last, so that a run that dies before leaves them."""
        of = self.reading
        brought = of.bring(_keys(waiting, "opportunity"), _keys(waiting, "account"), _orders(waiting))
        with duckdb_connection() as con:
            bench = Workbench.of_rows_just_read(con, of.lake, of.ledger, of.contracts, _NEVER)
            bench.customers()
            bench.orders()
            self._deliver(bench, frozenset(brought.opportunities))
            if not self.dry_run:
                self.done.updated += sum(self._write_back(bench, table, brought) for table in ENTITIES)
        if not self.dry_run:
            of.ledger.events.all_handled([each.id for each in waiting])
        self.done.hints += len(waiting)
        self.done.rows += brought.rows

    def _deliver(self, bench: Workbench, wanted: frozenset[str]) -> None:
        of = self.reading
        mark, now = LedgerMark(of.home.folder() / FILE_NAME), datetime.now(UTC)
        held_back = reason_to_hold(
            of.ledger, mark, bench, of.contracts, "sales_order", of.run_id, now, dry_run=self.dry_run
        )
        held_back = held_back or unproven_read(of.ledger, of.contracts["customer"].d365.table)
        if held_back:
            log.warning("events.held_back", extra={"opportunities": len(wanted), "reason": held_back})
            self.done.held_back, wanted = held_back, frozenset()
        customers, orders = deliver_only(
            of.ledger, of.d365, bench, of.contracts, wanted, run_id=of.run_id, dry_run=self.dry_run, mark=mark
        )
        self.done.customers += customers.created
        self.done.orders += orders.created
        self.done.adopted += orders.adopted
        self.done.would_send += customers.would_send + orders.would_send

    def _write_back(self, bench: Workbench, table: str, brought: Brought) -> int:
        """Bring the copies of these records up to date; returns how many records were written."""
        of, entity, flow = self.reading, ENTITIES[table], Flow(f"writeback/{table}")
        here = brought.opportunities if table == "opportunity" else brought.accounts
        with of.ledger.alone(flow):
            due, companies = wanted_updates(bench, of.ledger, of.contracts, entity, of.run_id)
            here = here - newer_in_lake(bench, entity)
            due = [update for update in due if update.salesforce_id in here]
            contract, now = of.contracts[entity], datetime.now(UTC)
            return write_back(
                of.salesforce, of.ledger, contract, due, companies, flow=flow, run_id=of.run_id, now=now
            ).updated


def _keys(waiting: Sequence[WaitingHint], entity: str) -> set[str]:
    return {each.hint.key for each in waiting if each.hint.entity == entity}


def _orders(waiting: Sequence[WaitingHint]) -> set[tuple[str, str]]:
    return {(each.hint.company, each.hint.key) for each in waiting if each.hint.entity == "sales_order"}


def _seconds(latencies: Sequence[Latency]) -> dict[str, object]:
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
