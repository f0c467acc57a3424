"""A D365 sandbox process for the tests of the client and of the delivery, with a gateway before it and journals behind it."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from resources.d365 import D365Client
from resources.entra import EntraSignIn
from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from sandbox.d365.store import Store
from tests.conftest import PROJECT
from tests.d365_client.gateway import Gateway
from tieout.budget import Budget
from tieout.secret import Secret
from tieout.settings import D365Settings


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: its addresses, its authority, and what its journal says."""

    url: str
    tls_url: str
    ca: Path

    def post(self, route: str, body: dict[str, Any] | None = None) -> Any:
        """Call one of the sandbox's own routes."""
        answer = requests.post(f"{self.url}/_sandbox/{route}", json=body or {}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self, after: int = 0, **wanted: str) -> list[dict[str, Any]]:
        """The entries behind `after`."""
        entries: list[dict[str, Any]] = []
        while True:
            query = {"after": str(after), "limit": "1000", **wanted}
            page = requests.get(f"{self.url}/_sandbox/journal", params=query, timeout=30).json()
            entries += page["entries"]
            if len(page["entries"]) < 1000:
                return entries
            after = page["next"]

    def fault(self, kind: str, **details: Any) -> None:
        """What goes wrong with the next call that matches."""
        self.post("faults", {"kind": kind} | details)

    def forget_faults(self) -> None:
        """Nothing goes wrong any more."""
        requests.delete(f"{self.url}/_sandbox/faults", timeout=30).raise_for_status()

    def wait_for(self, is_so: Callable[[], object]) -> None:
        """Wait until something has happened in the sandbox, but not for ever."""
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.02)

    def position(self) -> int:
        """The place in the journal that later entries come after."""
        nothing = {"phase": "no such phase"}  # the answer names the last entry that there is
        return int(requests.get(f"{self.url}/_sandbox/journal", params=nothing, timeout=30).json()["next"])


def _seed(folder: Path) -> None:
    store = Store(folder / "d365.sqlite")
    companies = [("usmf", "USD"), ("demf", "EUR")]
    store.insert_many("Companies", [{"DataArea": name, "Name": name.upper()} for name, _ in companies])
    store.insert_many("LegalEntities", [{"LegalEntityId": name, "Name": name.upper()} for name, _ in companies])
    store.insert_many("PaymentTerms", [{"dataAreaId": name, "Name": "Net30"} for name, _ in companies])
    store.insert_many(
        "CustomerGroups",
        [{"dataAreaId": name, "CustomerGroupId": "30", "Description": "Retail"} for name, _ in companies],
    )
    store.insert_many(
        "CustomersV3",
        [
            {
                "dataAreaId": company,
                "CustomerAccount": account,
                "OrganizationName": f"{account} {company}",
                "CustomerGroupId": "30",
                "SalesCurrencyCode": currency,
                "OnHoldStatus": hold,
            }
            for company, currency in companies
            for account, hold in (("C-1", "No"), ("C-2", "No"), ("C-HOLD", "All"))
        ],
    )
    store.insert_many(
        "ReleasedProductsV2",
        [
            {
                "dataAreaId": company,
                "ItemNumber": str(item),
                "ProductSearchName": f"Item {item}",
                "SalesUnitSymbol": "ea",
                "SalesPrice": "10",
            }
            for company, _ in companies
            for item in range(1000, 1025)
        ],
    )
    store.close()


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One D365 for the session, with two companies, customers and products."""
    folder = tmp_path_factory.mktemp("d365")
    _seed(folder)
    command = [sys.executable, "-m", "sandbox", "d365", "--state", str(folder), "--port", "0", "--tls-port", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    yield Sandbox(ready["url"], ready["tls_url"], Path(ready["ca"]))
    process.terminate()
    process.wait(20)


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The session's sandbox; faults are forgotten, switches and clock put back after the test."""
    defaults = requests.get(f"{sandbox_process.url}/_sandbox/settings", timeout=30).json()
    yield sandbox_process
    requests.delete(f"{sandbox_process.url}/_sandbox/faults", timeout=30)
    sandbox_process.post("settings", dict.fromkeys(defaults))
    sandbox_process.post("clock", {"now": None})
    sandbox_process.forget_faults()


@pytest.fixture
def settings(sandbox: Sandbox) -> D365Settings:
    """How the sandbox is reached, as the environment would say."""
    return D365Settings(
        url=sandbox.url,
        tenant_id=DEFAULT_TENANT_ID,
        client_id=DEFAULT_CLIENT_ID,
        secret=Secret.given("D365_CLIENT_SECRET", DEFAULT_CLIENT_SECRET),
        authority_url=f"{sandbox.tls_url}/{DEFAULT_TENANT_ID}",
    )


@pytest.fixture
def naps() -> list[float]:
    """How long the client wanted to wait, in seconds; it does not wait."""
    return []


@pytest.fixture
def open_client(sandbox: Sandbox, settings: D365Settings, naps: list[float]) -> Iterator[Callable[..., D365Client]]:
    """Opens clients, with other settings where a test names them."""
    clients: list[D365Client] = []

    def make(sign_in: EntraSignIn | None = None, budget: Budget | None = None, **changes: Any) -> D365Client:
        changed = replace(settings, **changes)
        clients.append(D365Client(changed, ca_bundle=sandbox.ca, sleep=naps.append, sign_in=sign_in, budget=budget))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(open_client: Callable[..., D365Client]) -> D365Client:
    """A client of the sandbox."""
    return open_client()


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[Gateway]:
    """A gateway before the sandbox."""
    gateway = Gateway(sandbox.url)
    yield gateway
    gateway.close()


@pytest.fixture
def client_behind_gateway(
    open_client: Callable[..., D365Client], gateway: Gateway, settings: D365Settings, sandbox: Sandbox
) -> D365Client:
    """A client that reaches D365 through the gateway, and Entra directly."""
    return open_client(url=gateway.url, sign_in=EntraSignIn(settings, sandbox.ca))


@pytest.fixture
def unreachable_client(open_client: Callable[..., D365Client], settings: D365Settings, sandbox: Sandbox) -> D365Client:
    """A client that signs in and then finds nobody at D365's address."""
    return open_client(url="http://127.0.0.1:9", sign_in=EntraSignIn(settings, sandbox.ca))


_numbers = itertools.count(1)


@pytest.fixture
def new_id() -> Callable[[], str]:
    """Makes 18-character opportunity ids that no other test uses."""
    return lambda: f"0065g{next(_numbers):010d}AAA"
