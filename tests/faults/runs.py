"""What a child of the zygote does: the whole Dagster job, or the delivery flow alone.

**job** is the real thing: `main` (or the backfill) of the code location, every asset from extraction to report, 6 to 8 seconds.
**flow** is the delivery's part of it without Dagster, lake and comparison, a third of a second: what is won is read from Salesforce, and the
project's own functions make the writes, deliver them and write back. It has no extraction of D365 that would hide an order which the ledger
has lost, so only ledger, look-ups and D365 itself stand between it and a second order: the harder of the two for exactly-once.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.faults import crash_points, sabotage
from tieout.contract import Contracts, Table, load_contracts
from tieout.copies import copies_after_creation
from tieout.customer import customer_write
from tieout.delivery import State
from tieout.flow import Flow
from tieout.intended import IntendedWrite, salesforce_id_of
from tieout.order import order_write
from tieout.settings import Settings
from tieout.writeback import FieldChange, updates_of

SETTLE_S = 5.0
LEASE_S = 600.0


def carry_out(order: Mapping[str, Any]) -> dict[str, Any]:
    """Do what the order says; returns what a living run tells (for the harness' own book-keeping, never for a verdict)."""
    logging.basicConfig(level=logging.DEBUG, force=True)
    sabotage.apply(order.get("sabotage", ()))
    points = crash_points.arm(order.get("crash_at"))
    told = {"flow": flow, "job": job}[order["kind"]](order)
    return told | {"crash_points": points.count, "point_names": points.names}


def clock_of(order: Mapping[str, Any]) -> Callable[[], datetime]:
    """Real time and what the harness lets pass on top of it."""
    ahead = timedelta(seconds=order.get("ahead_s", 0))
    return lambda: datetime.now(UTC) + ahead


def flow(order: Mapping[str, Any]) -> dict[str, Any]:
    """Deliver what was won under the order's `tag`, and write back."""
    from resources.d365 import D365Client
    from resources.dispatch import Pace, deliver
    from resources.ledger import Ledger, connect
    from resources.salesforce import SalesforceClient

    settings = Settings.from_environment()
    assert settings.salesforce is not None
    assert settings.d365 is not None
    assert settings.database_url is not None
    contracts = load_contracts(Path(order["contracts"]) if "contracts" in order else settings.contracts)
    now, run_id = clock_of(order), f"{order['tag']}-{os.getpid()}"
    pace = Pace(settle_s=order.get("settle_s", SETTLE_S), lease_s=LEASE_S, pause_s=0.05, **order.get("pace", {}))
    options: dict[str, Any] = {"run_id": run_id, "pace": pace, "clock": now, "sleep": _short}
    ledger = Ledger(connect(settings.database_url))
    ledger.deliveries.let_go(order.get("dead_runs", ()), now())
    with (
        SalesforceClient(
            settings.salesforce, settings.ca_bundle, sleep=_short, wait_file=settings.home / "wait-salesforce"
        ) as salesforce,
        D365Client(
            settings.d365,
            ca_bundle=settings.ca_bundle,
            read_timeout_s=5,
            sleep=_short,
            wait_file=settings.home / "wait-d365",
        ) as d365,
    ):
        won = _Won(salesforce, contracts, order["tag"])
        customers = deliver(ledger, d365, contracts["customer"], won.customers(), **options)
        links = {(link.salesforce_id, link.company): link.d365_key for link in ledger.crosswalk.links("customer")}
        orders = deliver(ledger, d365, contracts["sales_order"], won.orders(links), **options)
        written = _write_back(ledger, salesforce, contracts, won, run_id, now())
    counts = ledger.deliveries.counts("sales_order")
    ledger.close()
    return {
        "run_id": run_id,
        "created": orders.created,
        "customers": customers.created,
        "adopted": orders.adopted,
        "written": asdict(written) if written else None,
        "counts": counts,
    }


def job(order: Mapping[str, Any]) -> dict[str, Any]:
    """The Dagster job `order["job"]` (main), in this process, on an instance of its own."""
    import dagster as dg

    import assets.delivery
    from pipelines.definitions import defs
    from resources import dispatch
    from resources.ledger import Ledger, connect

    settings = Settings.from_environment()
    assert settings.database_url is not None
    now = clock_of(order)
    if order.get("dead_runs"):
        ledger = Ledger(connect(settings.database_url))
        ledger.deliveries.let_go(order["dead_runs"], now())
        ledger.close()
    pace = dispatch.Pace(settle_s=order.get("settle_s", SETTLE_S), lease_s=LEASE_S, pause_s=0.05)
    dispatch.deliver.__kwdefaults__.update(pace=pace, clock=now, sleep=_short)  # type: ignore[attr-defined]
    assets.delivery.Pace = lambda: pace  # type: ignore[assignment,misc]
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(order.get("job", "main")).execute_in_process(
            instance=instance,
            run_id=order.get("run_id"),
            raise_on_error=False,
            partition_key=order.get("partition"),
            run_config={"loggers": {"console": {"config": {"log_level": "DEBUG"}}}},
        )
        failures = [
            str(event.step_failure_data.error.cause or event.step_failure_data.error)[:500]
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.STEP_FAILURE
        ]
        return {"run_id": result.run_id, "success": result.success, "failures": failures}


class _Won:
    """The won opportunities of one tag with what their orders need, typed as the lake would have them."""

    def __init__(self, client: Any, contracts: Contracts, tag: str) -> None:
        self._contracts = contracts
        orders = contracts["sales_order"]
        named = f"SELECT Id FROM Opportunity WHERE IsWon = true AND Name LIKE '{tag} %' ORDER BY Id"
        self.opportunities = _read(client, orders.table("salesforce"), named)
        of_them = f"Opportunity.IsWon = true AND Opportunity.Name LIKE '{tag} %'"
        lines = _read(
            client, orders.lines_table("salesforce"), f"SELECT Id FROM OpportunityLineItem WHERE {of_them} ORDER BY Id"
        )
        self._lines: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            self._lines.setdefault(line["OpportunityId"], []).append(line)
        accounts = sorted({row["AccountId"] for row in self.opportunities})
        rows = client.read_by_id(contracts.table("salesforce", "account"), accounts)
        self._accounts = {row["Id"]: _typed(contracts.table("salesforce", "account"), row) for row in rows}

    def customers(self) -> Iterable[IntendedWrite]:
        """A creation for each account without a number of its own, in each company that sells to it."""
        seen = set()
        for row in self.opportunities:
            account, company = self._accounts[row["AccountId"]], row["ERP_Company__c"].lower()
            if account["AccountNumber"] is None and (account["Id"], company) not in seen:
                seen.add((account["Id"], company))
                yield customer_write(self._contracts["customer"], account, company)

    def orders(self, links: Mapping[tuple[str, str], str]) -> Iterable[IntendedWrite]:
        """A creation for each opportunity whose customer is there."""
        for row in self.opportunities:
            account = self._accounts[row["AccountId"]]
            customer = account["AccountNumber"] or links.get((account["Id"], row["ERP_Company__c"].lower()))
            if customer is not None:
                products = {line["Product2Id"]: {"unit": "Each"} for line in self._lines[row["Id"]]}
                yield order_write(self._contracts["sales_order"], row, self._lines[row["Id"]], customer, products)


def _write_back(ledger: Any, client: Any, contracts: Contracts, won: _Won, run_id: str, now: datetime) -> Any:
    from resources.ledger.delivery_queries import DeliveryFilter
    from resources.writing_back import write_back

    contract = contracts["sales_order"]
    present = {row["Id"]: row for row in won.opportunities}
    confirmed = DeliveryFilter(entity="sales_order", operation="create", state=State.CONFIRMED)
    rows = [
        row for row in ledger.deliveries.find(confirmed, limit=None) if salesforce_id_of(row.business_key) in present
    ]
    changes = []
    for row in rows:
        copies = copies_after_creation(contract, row.company, row.d365_key, row.d365_status, row.d365_amount)
        for name, value in copies.items():
            changes.append(FieldChange(row.business_key, name, value, present[row.business_key].get(name)))
    changes.sort(key=lambda change: change.salesforce_id)
    due = updates_of(changes, synced_at_field=contract.link.synced_at, now=now)
    companies = {row.business_key: row.company for row in rows}
    with ledger.alone(Flow.WRITEBACK_OPPORTUNITY):
        return write_back(
            client, ledger, contract, due, companies, flow=Flow.WRITEBACK_OPPORTUNITY, run_id=run_id, now=now
        )


def _read(client: Any, table: Table, statement: str) -> list[dict[str, Any]]:
    ids = [row["Id"] for row in client.query(statement)]
    return [_typed(table, row) for row in client.read_by_id(table, ids)]


def _typed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    makers: dict[str, Callable[[str], object]] = {
        "decimal": Decimal,
        "date": date.fromisoformat,
        "instant": datetime.fromisoformat,
    }
    return {
        column.name: value
        if (value := row.get(column.name)) is None or column.type not in makers
        else makers[column.type](str(value))
        for column in table.columns
    }


def _short(seconds: float) -> None:
    """Waiting for real, but not for minutes: what a server asks for is waited out, our own back-off is cut."""
    import time

    time.sleep(min(seconds, 2.0))
