"""What goes back to Salesforce: order number, status and amount to the opportunity, what D365 owns of the customer to the account."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import ContractsResource, LedgerResource, RunOptions, SalesforceResource
from resources.ledger import Ledger
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.ledger.delivery_queries import DeliveryFilter
from resources.salesforce import RowResult, SalesforceClient
from resources.workbench import Workbench, WorkbenchResource
from tieout.contract import Contract, Contracts
from tieout.copies import copies_after_creation
from tieout.delivery import State
from tieout.intended import salesforce_id_of
from tieout.reconciliation import mirror_changes
from tieout.writeback import FieldChange, RecordUpdate, updates_of

ENTITIES = {"account": "customer", "opportunity": "sales_order"}
COLLECTION = 200

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
        rules = contracts.contracts()
        contract = rules[entity]
        with ledger.opened() as book:
            due = wanted_updates(workbench.bench(), book, rules, entity, context.run_id)
            if not due or options.dry_run:
                text = f"dry run: {len(due):,} would be updated" if options.dry_run else "nothing to write"
                return outcome(
                    text,
                    updated=0,
                    refused=0,
                    would_update=len(due),
                    api_calls=0,
                    system="salesforce",
                    object=contract.salesforce.source,
                )
            with salesforce.client() as client:
                results = write_back(client, book, contract, due, context.run_id)
                refusals = [result for result in results if not result.ok]
                return outcome(
                    f"{len(results) - len(refusals):,} updated, {len(refusals):,} refused",
                    updated=len(results) - len(refusals),
                    refused=len(refusals),
                    api_calls=client.api_calls,
                    system="salesforce",
                    object=contract.salesforce.source,
                )

    return writeback


def wanted_updates(
    bench: Workbench, ledger: Ledger, contracts: Contracts, entity: str, run_id: str
) -> list[RecordUpdate]:
    """The smallest updates that make the copies right: of the records that were compared, and of those that this run created."""
    bench.customers() if entity == "customer" else bench.orders()
    contract = contracts[entity]
    changes = [
        FieldChange(change.salesforce_id, change.field, change.wanted_value, change.salesforce_value)
        for change in mirror_changes(bench.con, contracts, entity)
    ]
    changes += _after_creation(ledger, contract, run_id)
    # In the order of ids, so that two writers lock each other's records least.
    changes.sort(key=lambda change: change.salesforce_id)
    return updates_of(changes, synced_at_field=contract.link.synced_at, now=datetime.now(UTC))


def write_back(
    client: SalesforceClient, ledger: Ledger, contract: Contract, due: list[RecordUpdate], run_id: str
) -> list[RowResult]:
    """Send updates, each written down as an attempt before it leaves and with its result afterwards."""
    results: list[RowResult] = []
    for start in range(0, len(due), COLLECTION):
        chunk = due[start : start + COLLECTION]
        attempts = ledger.attempts.begin(
            [
                NewAttempt(
                    entity=contract.entity,
                    operation="update",
                    business_key=update.salesforce_id,
                    direction="to_salesforce",
                    request=", ".join(sorted(update.fields)),
                )
                for update in chunk
            ],
            run_id,
        )
        calls, started = client.api_calls, time.monotonic()
        answered = client.update_collection(
            contract.salesforce.source, [{"Id": update.salesforce_id, **update.fields} for update in chunk]
        )
        duration_ms = round((time.monotonic() - started) * 1000)
        share = Decimal(client.api_calls - calls) / len(chunk)
        ledger.attempts.end(
            [
                AttemptResult(
                    attempt_id=attempt,
                    outcome="confirmed" if result.ok else "rejected",
                    state="written" if result.ok else "refused",
                    duration_ms=duration_ms,
                    api_calls=share,
                    message="" if result.ok else f"{result.code}: {result.message}",
                )
                for attempt, result in zip(attempts, answered, strict=True)
            ]
        )
        results += answered
    return results


def _after_creation(ledger: Ledger, contract: Contract, run_id: str) -> Iterator[FieldChange]:
    """What the copies of every record have to hold that this run created in D365."""
    wanted = DeliveryFilter(entity=contract.entity, operation="create", state=State.CONFIRMED, run_id=run_id)
    for row in ledger.deliveries.find(wanted, limit=None):
        copies = copies_after_creation(contract, row.company, row.d365_key, row.d365_status, row.d365_amount)
        for field, value in copies.items():
            yield FieldChange(salesforce_id_of(row.business_key), field, value)
