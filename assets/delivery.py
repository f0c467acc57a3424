"""What goes to D365: customers first, then the orders that need them; exactly once, through the ledger."""

from collections import defaultdict
from collections.abc import Iterator

import dagster as dg

from assets import catalogue
from assets.catalogue import counted, outcome
from resources.connections import ContractsResource, D365Resource, LedgerResource, RunOptions
from resources.dispatch import DeliveryResult, DeliverySummary, deliver, preview
from resources.ledger import Ledger
from resources.workbench import Workbench, WorkbenchResource
from tieout.contract import Contracts
from tieout.customer import customer_change, customer_write
from tieout.delivery import State
from tieout.intended import IntendedWrite, salesforce_id_of
from tieout.order import order_write
from tieout.reconciliation import customer_updates, customers_to_create, orders_to_deliver


@dg.asset(
    key=["delivery", "customer"],
    group_name=catalogue.DELIVERY,
    owners=[catalogue.OWNER],
    kinds={"dynamics365", "postgres"},
    pool="d365",
    deps=[["reconciliation", "customer"], ["reconciliation", "sales_order"]],
    description=(
        "Accounts that an order needs and that have no customer become customers; fields that Salesforce owns are brought to D365 where they differ. "
        "Everything goes through the ledger: planned, claimed, sent, confirmed or refused in D365's own words."
    ),
)
def delivery_customer(
    context: dg.AssetExecutionContext,
    workbench: WorkbenchResource,
    d365: D365Resource,
    ledger: LedgerResource,
    contracts: ContractsResource,
    options: RunOptions,
) -> dg.MaterializeResult[None]:
    bench, rules = workbench.bench(), contracts.contracts()
    bench.customers()
    bench.orders()
    with d365.client() as client, ledger.opened() as book:
        unproven = unproven_read(book, "customer")
        summary = deliver(
            book,
            client,
            rules["customer"],
            # A customer that the read may have missed must not be taken for absent.
            () if unproven else intended_customers(bench, rules),
            run_id=context.run_id,
            dry_run=options.dry_run,
            whole_scope=not unproven,
        )
        return told(summary, client.api_calls, held_back=unproven)


@dg.asset(
    key=["delivery", "sales_order"],
    group_name=catalogue.DELIVERY,
    owners=[catalogue.OWNER],
    kinds={"dynamics365", "postgres"},
    pool="d365",
    deps=[["delivery", "customer"], ["reconciliation", "sales_order"]],
    description=(
        "Won opportunities without an order become sales orders: header and lines in one changeset, under a number that Tieout gives, so that D365 "
        "itself refuses a second copy. A lost answer is looked up before anything is sent again. An order that is already there is linked."
    ),
)
def delivery_sales_order(
    context: dg.AssetExecutionContext,
    workbench: WorkbenchResource,
    d365: D365Resource,
    ledger: LedgerResource,
    contracts: ContractsResource,
    options: RunOptions,
) -> dg.MaterializeResult[None]:
    bench, rules = workbench.bench(), contracts.contracts()
    bench.orders()
    with d365.client() as client, ledger.opened() as book:
        unproven = unproven_read(book, "sales_order")
        summary = deliver(
            book,
            client,
            rules["sales_order"],
            # An order that the read may have missed must not be taken for absent.
            () if unproven else intended_orders(bench, book, rules, dry_run=options.dry_run),
            run_id=context.run_id,
            dry_run=options.dry_run,
            whole_scope=not unproven,
        )
        return told(summary, client.api_calls, held_back=unproven)


def intended_customers(
    bench: Workbench, contracts: Contracts, only: frozenset[str] | None = None
) -> Iterator[IntendedWrite]:
    """Creations, then one change for each customer with everything that changes in it.

    With `only` (opportunity ids): the creations that those opportunities need, and no change.
    """
    contract = contracts["customer"]
    if only is not None:
        needed = {
            (due.account_id, due.company)
            for due in orders_to_deliver(bench.con, contracts)
            if due.salesforce_id in only
        }
    for due in customers_to_create(bench.con, contracts):
        if only is None or (due.salesforce_id, due.company) in needed:
            yield customer_write(contract, due.account, due.company)
    if only is not None:
        return
    changed: dict[tuple[str, str, str], dict[str, object]] = defaultdict(dict)
    for update in customer_updates(bench.con, contracts):
        changed[update.salesforce_id, update.company, update.customer_account][update.field] = update.value
    for (account_id, company, customer_account), fields in changed.items():
        yield customer_change(contract, account_id, company, customer_account, fields)


def intended_orders(
    bench: Workbench,
    ledger: Ledger,
    contracts: Contracts,
    only: frozenset[str] | None = None,
    *,
    dry_run: bool = False,
) -> Iterator[IntendedWrite]:
    """One creation for each opportunity that is due (and is in `only`, where that is given) and whose customer is there.

    An opportunity whose customer was refused waits: its break names the customer's refusal. With `dry_run`, customers that a run would make
    first count as there.
    """
    contract = contracts["sales_order"]
    made = new_customers(ledger)
    if dry_run:
        made = made | _customers_to_be(bench, ledger, contracts)
    for due in orders_to_deliver(bench.con, contracts):
        customer_account = due.customer_account or made.get((due.account_id, due.company))
        if customer_account is not None and (only is None or due.salesforce_id in only):
            yield order_write(contract, due.opportunity, due.lines, customer_account, due.products)


def would_be_sent(bench: Workbench, ledger: Ledger, contracts: Contracts) -> list[DeliveryResult]:
    """What a run would send to D365 as things stand, customers first."""
    customers = preview(ledger, intended_customers(bench, contracts))
    held_back = unproven_read(ledger, "sales_order")
    orders = () if held_back else preview(ledger, intended_orders(bench, ledger, contracts, dry_run=True))
    return [result for result in (*customers, *orders) if result.step.sends]


def new_customers(ledger: Ledger) -> dict[tuple[str, str], str]:
    """(account id, company) → customer account, of all links that the ledger holds."""
    return {(link.salesforce_id, link.company): link.d365_key for link in ledger.crosswalk.links("customer")}


def _customers_to_be(bench: Workbench, ledger: Ledger, contracts: Contracts) -> dict[tuple[str, str], str]:
    creations = (write for write in intended_customers(bench, contracts) if write.operation == "create")
    return {
        (salesforce_id_of(result.business_key), result.company): result.d365_key
        for result in preview(ledger, creations)
        if result.step.sends
    }


def unproven_read(ledger: Ledger, table: str) -> str:
    """Why the newest read of a D365 table does not prove that it is complete; empty where it does."""
    sweep = ledger.watermarks.latest_sweep("d365", table)
    return "" if sweep is None or sweep.complete else sweep.problem


def told(summary: DeliverySummary, api_calls: int, held_back: str = "") -> dg.MaterializeResult[None]:
    """What a delivery reports in the UI."""
    states = {state.value: len(summary.in_state(state)) for state in State}
    if summary.dry_run:
        text = f"dry run: {summary.would_send:,} would be sent"
    else:
        text = f"{summary.created:,} created, {summary.updated:,} updated, {summary.adopted:,} found already there"
        waiting = {name: count for name, count in states.items() if name in {"rejected", "in_doubt", "planned"}}
        if any(waiting.values()):
            text += f"; {counted(waiting)}"
    if held_back:
        what = summary.entity.replace("_", " ")
        text += f". Every new {what} was held back, because the read of the {what}s is not proven complete: {held_back}"
    return outcome(
        text,
        created=summary.created,
        updated=summary.updated,
        adopted=summary.adopted,
        would_send=summary.would_send,
        api_calls=api_calls,
        system="d365",
        entity=summary.entity,
        **states,
    )
