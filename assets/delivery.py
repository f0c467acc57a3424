"""What goes to D365: customers first, then the orders that need them; exactly once, through the ledger."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from assets import catalogue
from assets.catalogue import counted, outcome
from resources.adoption import before_sending
from resources.connections import ContractsResource, D365Resource, HomeResource, LedgerResource, RunOptions
from resources.d365 import D365Client
from resources.dispatch import DeliveryResult, DeliverySummary, Pace, deliver, preview
from resources.flow_figures import flow_figures
from resources.ledger import Ledger
from resources.ledger_mark import FILE_NAME, LedgerMark
from resources.workbench import Workbench, WorkbenchResource
from tieout.amendment import order_amendment
from tieout.contract import STOPPED, Contracts
from tieout.customer import customer_change, customer_write
from tieout.customer_moves import merged_accounts
from tieout.delivery import State
from tieout.intended import IntendedWrite, salesforce_id_of
from tieout.order import order_write
from tieout.reconciliation import customer_updates, customers_to_create, late_changes, orders_to_deliver

_PROMISES = {
    "customer": (
        "Accounts that an order needs and that have no customer become customers; fields that Salesforce owns are brought to D365 where they differ. "
        "Everything goes through the ledger: planned, claimed, sent, confirmed or refused in D365's own words."
    ),
    "sales_order": (
        "Won opportunities without an order become sales orders: header and lines in one changeset, under a number that Tieout gives, so that D365 "
        "itself refuses a second copy. A lost answer is looked up before anything is sent again. An order that is already there is linked. An order "
        "whose opportunity changed afterwards is amended or stopped where the contract says so; there is never a second one."
    ),
}
_DEPS = {
    "customer": [["reconciliation", "customer"], ["reconciliation", "sales_order"], ["reconciliation", "read_again"]],
    "sales_order": [["delivery", "customer"], ["reconciliation", "sales_order"], ["reconciliation", "read_again"]],
}
DOUBT_CHECK = "no_doubt_beyond_its_bound"


def delivery_of(entity: str) -> dg.AssetsDefinition:
    """The asset that brings one entity to D365."""
    key = dg.AssetKey(["delivery", entity])

    @dg.asset(
        key=key,
        group_name=catalogue.DELIVERY,
        owners=[catalogue.OWNER],
        kinds={"dynamics365", "postgres"},
        pool="d365",
        deps=_DEPS[entity],
        description=_PROMISES[entity],
        check_specs=[
            dg.AssetCheckSpec(
                DOUBT_CHECK,
                asset=key,
                description="No write whose answer was lost has been in doubt for longer than an hour.",
            )
        ],
    )
    def delivery(
        context: dg.AssetExecutionContext,
        workbench: WorkbenchResource,
        d365: D365Resource,
        ledger: LedgerResource,
        contracts: ContractsResource,
        home: HomeResource,
        options: RunOptions,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg] # with checks Dagster wants the bare class
        bench, rules, now = workbench.bench(), contracts.contracts(), datetime.now(UTC)
        bench.customers()
        bench.orders()
        with d365.client() as client, ledger.opened() as book:
            mark = LedgerMark(home.folder() / FILE_NAME)
            held_back = reason_to_hold(book, mark, bench, rules, entity, context.run_id, now, dry_run=options.dry_run)
            wanted = {
                "customer": lambda: intended_customers(bench, book, rules),
                "sales_order": lambda: intended_orders(bench, book, rules, dry_run=options.dry_run),
            }
            if entity == "customer" and not options.dry_run and not held_back:
                book.deliveries.give_up_merged(merged_accounts(bench.con), context.run_id, now)
            summary = deliver(
                book,
                client,
                rules[entity],
                () if held_back else wanted[entity](),
                run_id=context.run_id,
                dry_run=options.dry_run,
                whole_scope=not held_back,
                mark=mark,
            )
            figures = flow_figures(book, f"delivery/{entity}", datetime.now(UTC))
            return told(summary, client.api_calls, figures, held_back, checked=key)

    return delivery


def reason_to_hold(
    ledger: Ledger,
    mark: LedgerMark,
    bench: Workbench,
    contracts: Contracts,
    entity: str,
    run_id: str,
    now: datetime,
    *,
    dry_run: bool = False,
) -> str:
    """Why this run may send nothing new of an entity, in a sentence; empty where it may."""
    unproven = unproven_read(ledger, contracts[entity].d365.table)
    if unproven:
        # A record that the read may have missed must not be taken for absent.
        return f"the read of the {entity.replace('_', ' ')}s is not proven complete: {unproven}"
    if dry_run:
        return mark.problem(ledger.attempts.newest_id())
    create = contracts["sales_order"].create
    settle_s = float(create.settle_s) if create.number_given_by == "d365" else Pace().settle_s
    return before_sending(ledger, mark, bench, run_id, now, settle_s=settle_s).problem


def intended_customers(
    bench: Workbench, ledger: Ledger, contracts: Contracts, only: frozenset[str] | None = None
) -> Iterator[IntendedWrite]:
    """Creations, then one change for each customer with everything that changes in it.

    With `only` (opportunity ids): the creations that those opportunities need, and no change. An account waits as long as another one that was
    merged into it may have a customer of which this reading of D365 does not know: there must not be a second one.
    """
    contract = contracts["customer"]
    if only is not None:
        needed = {
            (due.account_id, due.company)
            for due in orders_to_deliver(bench.con, contracts)
            if due.salesforce_id in only
        }
    may_exist = _made_for_merged(bench, ledger)
    for due in customers_to_create(bench.con, contracts):
        if (due.salesforce_id, due.company) in may_exist:
            continue
        if only is None or (due.salesforce_id, due.company) in needed:
            yield customer_write(contract, due.account, due.company)
    if only is not None:
        return
    changed: dict[tuple[str, str, str], dict[str, object]] = defaultdict(dict)
    versions: dict[str, datetime | None] = {}
    for update in customer_updates(bench.con, contracts):
        changed[update.salesforce_id, update.company, update.customer_account][update.field] = update.value
        versions[update.salesforce_id] = update.version
    for (account_id, company, customer_account), fields in changed.items():
        yield customer_change(contract, account_id, company, customer_account, fields, versions[account_id])


def deliver_only(
    ledger: Ledger,
    client: D365Client,
    bench: Workbench,
    contracts: Contracts,
    only: frozenset[str],
    *,
    run_id: str,
    dry_run: bool,
    mark: LedgerMark,
) -> tuple[DeliverySummary, DeliverySummary]:
    """Bring what these opportunities (by id) need to D365: their customers first, then their orders, which are planned when those are there."""
    customers, orders = (
        deliver(
            ledger,
            client,
            contracts[entity],
            intended(bench, ledger, contracts, only),
            run_id=run_id,
            dry_run=dry_run,
            mark=mark,
        )
        for entity, intended in (("customer", intended_customers), ("sales_order", intended_orders))
    )
    return customers, orders


def _made_for_merged(bench: Workbench, ledger: Ledger) -> set[tuple[str, str]]:
    """(account, company) where an account that was merged into it has a link, or a creation that is under way or in doubt."""
    masters = merged_accounts(bench.con)
    if not masters:
        return set()
    keys = [key.partition("/") for key in ledger.deliveries.creations_under_way("customer")]
    made = {(account_id, company) for account_id, _, company in keys} | new_customers(ledger).keys()
    return {(masters[account_id], company) for account_id, company in made if account_id in masters}


def intended_orders(
    bench: Workbench,
    ledger: Ledger,
    contracts: Contracts,
    only: frozenset[str] | None = None,
    *,
    dry_run: bool = False,
) -> Iterator[IntendedWrite]:
    """One creation for each opportunity that is due (and is in `only`, where that is given) and whose customer is there, then late changes.

    An opportunity whose customer was refused waits: its break names the customer's refusal. With `dry_run`, customers that a run would make
    first count as there. With `only` there are creations and no changes of orders that are there.
    """
    contract = contracts["sales_order"]
    made = new_customers(ledger)
    if dry_run:
        made = made | _customers_to_be(bench, ledger, contracts)
    for due in orders_to_deliver(bench.con, contracts):
        customer_account = due.customer_account or made.get((due.account_id, due.company))
        if customer_account is not None and (only is None or due.salesforce_id in only):
            yield order_write(contract, due.opportunity, due.lines, customer_account, due.products)
    if only is None:
        yield from _amendments(bench, ledger, contracts)


def _amendments(bench: Workbench, ledger: Ledger, contracts: Contracts) -> Iterator[IntendedWrite]:
    """One update for each delivered order whose opportunity changed, by the policies of the contract.

    An order that a person stopped stays stopped: only what Tieout itself stopped last is released.
    """
    contract = contracts["sales_order"]
    changes = list(late_changes(bench.con, contracts))
    stopped = [change.salesforce_id for change in changes if change.processing == "release"]
    ours = ledger.deliveries.last_sent_with("sales_order", stopped, STOPPED, "Yes")
    for change in changes:
        processing = change.processing
        if processing == "release" and change.salesforce_id not in ours:
            processing = None
        if processing or change.fields or change.lines:
            yield order_amendment(
                contract,
                change.opportunity,
                change.company,
                change.order_number,
                fields=change.fields,
                lines=change.lines,
                processing=processing,
                version=change.version,
            )


def would_be_sent(bench: Workbench, ledger: Ledger, contracts: Contracts) -> list[DeliveryResult]:
    """What a run would send to D365 as things stand, customers first."""
    customers = preview(ledger, intended_customers(bench, ledger, contracts))
    held_back = unproven_read(ledger, "sales_order")
    orders = () if held_back else preview(ledger, intended_orders(bench, ledger, contracts, dry_run=True))
    return [result for result in (*customers, *orders) if result.step.sends]


def new_customers(ledger: Ledger) -> dict[tuple[str, str], str]:
    """(account id, company) → customer account, of all links that the ledger holds."""
    return {(link.salesforce_id, link.company): link.d365_key for link in ledger.crosswalk.links("customer")}


def _customers_to_be(bench: Workbench, ledger: Ledger, contracts: Contracts) -> dict[tuple[str, str], str]:
    creations = (write for write in intended_customers(bench, ledger, contracts) if write.operation == "create")
    return {
        (salesforce_id_of(result.business_key), result.company): result.d365_key
        for result in preview(ledger, creations)
        if result.step.sends
    }


def unproven_read(ledger: Ledger, table: str) -> str:
    """Why the newest read of a D365 table does not prove that it is complete; empty where it does."""
    sweep = ledger.watermarks.latest_sweep("d365", table)
    return "" if sweep is None or sweep.complete else sweep.problem


def told(
    summary: DeliverySummary,
    api_calls: int,
    figures: Mapping[str, int | str],
    held_back: str = "",
    *,
    checked: dg.AssetKey,
) -> dg.MaterializeResult[None]:
    """What a delivery reports in the UI. `figures` are those of its flow: what waits, what was refused, what holds it back."""
    states = {state.value: len(summary.in_state(state)) for state in State}
    if summary.dry_run:
        text = f"dry run: {summary.would_send:,} would be sent"
    else:
        text = f"{summary.created:,} created, {summary.updated:,} updated, {summary.adopted:,} found already there"
        waiting = {name: count for name, count in states.items() if name in {"rejected", "in_doubt", "planned"}}
        if any(waiting.values()):
            text += f"; {counted(waiting)}"
    if held_back:
        text += f". Everything new was held back: {held_back}"
    if figures["paused"] != "no":
        text += f". Paused: {figures['paused']}"
    if figures["breaker"] != "closed":
        text += f". {figures['breaker']}"
    made = outcome(
        text,
        created=summary.created,
        updated=summary.updated,
        adopted=summary.adopted,
        would_send=summary.would_send,
        api_calls=api_calls,
        system="d365",
        entity=summary.entity,
        **(states | dict(figures)),  # type: ignore[arg-type] # what is in doubt: of all runs, not of this one alone
    )
    doubt = dg.AssetCheckResult(
        passed=summary.overdue_doubts == 0,
        asset_key=checked,
        check_name=DOUBT_CHECK,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"overdue": summary.overdue_doubts, "oldest_doubt_s": figures["oldest_doubt_s"]},
    )
    return dg.MaterializeResult(metadata=made.metadata, check_results=[doubt])
