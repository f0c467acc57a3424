"""What goes back to Salesforce: order number, status and amount to the opportunity, what D365 owns of the customer to the account."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import ContractsResource, LedgerResource, RunOptions, SalesforceResource
from resources.flow_figures import flow_figures
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter, DeliveryRow
from resources.workbench import Workbench, WorkbenchResource
from resources.writing_back import older_than_another_run, write_back
from tieout.contract import Contract, Contracts
from tieout.copies import copies_after_creation
from tieout.delivery import State
from tieout.flow import Flow
from tieout.intended import salesforce_id_of
from tieout.reconciliation import mirror_changes
from tieout.writeback import FieldChange, RecordUpdate, updates_of

ENTITIES = {"account": "customer", "opportunity": "sales_order"}

_PROMISES = {
    "account": "The customer number, and the fields that D365 owns, on the account. Only what changed; nothing where nothing changed.",
    "opportunity": "Order number, status, amount and the time of the last sync on the opportunity. Only what changed; nothing where nothing changed.",
}


def writeback_of(table: str) -> dg.AssetsDefinition:
    """The asset that brings Salesforce's copies of one entity up to date."""
    entity = ENTITIES[table]

    @dg.asset(
        key=["writeback", table],
        group_name=catalogue.WRITEBACK,
        owners=[catalogue.OWNER],
        kinds={"salesforce", "postgres"},
        pool="salesforce",
        deps=[["delivery", entity], ["reconciliation", entity]],
        description=_PROMISES[table]
        + " Sent in collections of 200; a record that is refused does not stop the others.",
    )
    def writeback(
        context: dg.AssetExecutionContext,
        workbench: WorkbenchResource,
        salesforce: SalesforceResource,
        ledger: LedgerResource,
        contracts: ContractsResource,
        options: RunOptions,
    ) -> dg.MaterializeResult[None]:
        rules, bench, flow = contracts.contracts(), workbench.bench(), Flow(f"writeback/{table}")
        contract = rules[entity]
        with ledger.opened() as book, book.alone(flow):
            newer = older_than_another_run(book, contract, bench.versions)
            due, companies = ([], {}) if newer else wanted_updates(bench, book, rules, entity, context.run_id)
            moved_on = newer_in_lake(bench, entity) if due else set()
            due = [update for update in due if update.salesforce_id not in moved_on]
            figures: dict[str, Any] = {"system": "salesforce", "object": contract.salesforce.source}
            if not due or options.dry_run:
                text = f"dry run: {len(due):,} would be updated" if options.dry_run else "nothing to write"
                if newer:
                    text = f"left alone: {newer}"
                return outcome(text, updated=0, refused=0, would_update=len(due), api_calls=0, **figures)
            now = datetime.now(UTC)
            with salesforce.client() as client:
                done = write_back(client, book, contract, due, companies, flow=flow, run_id=context.run_id, now=now)
                text = f"{done.updated:,} updated, {done.refused:,} refused"
                if done.held_back:
                    text += f"; {done.held_back:,} held back: {done.reason}"
                figures |= flow_figures(book, flow, now) | {"held_back": done.held_back}
                return outcome(text, updated=done.updated, refused=done.refused, api_calls=client.api_calls, **figures)

    return writeback


def wanted_updates(
    bench: Workbench, ledger: Ledger, contracts: Contracts, entity: str, run_id: str
) -> tuple[list[RecordUpdate], dict[str, str]]:
    """The smallest updates that make the copies right, of the records that were compared and of those that this run created.

    The second value maps each record's Salesforce id to its company.
    """
    bench.customers() if entity == "customer" else bench.orders()
    contract = contracts[entity]
    linked = bench.con.execute(f"SELECT salesforce_id, company FROM crosswalk_{entity} WHERE is_primary").fetchall()
    created = _created(ledger, contract, run_id)
    companies = dict(linked) | {salesforce_id_of(row.business_key): row.company for row in created}
    changes = [
        FieldChange(change.salesforce_id, change.field, change.wanted_value, change.salesforce_value)
        for change in mirror_changes(bench.con, contracts, entity)
    ]
    changes += _after_creation(contract, created)
    # In the order of ids, so that two writers lock each other's records least.
    changes.sort(key=lambda change: change.salesforce_id)
    return updates_of(changes, synced_at_field=contract.link.synced_at, now=datetime.now(UTC)), companies


def newer_in_lake(bench: Workbench, entity: str) -> set[str]:
    """Salesforce ids of the records whose D365 row was read anew since it was compared, by a run that follows events: that run writes them.

    An older status must never go over a newer one.
    """
    contract = bench.contracts[entity]
    keys = bench.changed_since(contract.table("d365"))
    if not keys:
        return set()
    prefix = contract.create.number_prefix or ""
    linked = bench.con.execute(f"SELECT salesforce_id, d365_lake_key FROM crosswalk_{entity}").fetchall()
    by_key = {lake_key: salesforce_id for salesforce_id, lake_key in linked}
    numbers = {key: key.partition("|")[2] for key in keys}
    # An order that came into being meanwhile has no link yet, but our number.
    ours = {
        number.removeprefix(prefix.lower())
        for number in numbers.values()
        if prefix and number.startswith(prefix.lower())
    }
    return {by_key[key] for key in keys if key in by_key} | _of_ids(bench, contract, ours)


def _of_ids(bench: Workbench, contract: Contract, lowered: set[str]) -> set[str]:
    """The ids that are these in lower case, in which keys of the lake are."""
    statement = f"SELECT _key FROM {contract.salesforce.table} WHERE lower(_key) IN (SELECT unnest(?::VARCHAR[]))"
    return {key for (key,) in bench.con.execute(statement, [sorted(lowered)]).fetchall()} if lowered else set()


def _created(ledger: Ledger, contract: Contract, run_id: str) -> list[DeliveryRow]:
    """The records that this run created in D365, or found there."""
    wanted = DeliveryFilter(entity=contract.entity, operation="create", state=State.CONFIRMED, run_id=run_id)
    return ledger.deliveries.find(wanted, limit=None)


def _after_creation(contract: Contract, created: Iterable[DeliveryRow]) -> Iterator[FieldChange]:
    """What the copies of every created record have to hold."""
    for row in created:
        copies = copies_after_creation(contract, row.company, row.d365_key, row.d365_status, row.d365_amount)
        for field, value in copies.items():
            yield FieldChange(salesforce_id_of(row.business_key), field, value)
