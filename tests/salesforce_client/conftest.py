"""A Salesforce sandbox as a process, with more products than go by REST, and clients for it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from resources.salesforce import SalesforceClient
from sandbox.salesforce.store import FILE_NAME, Store
from tests.sandbox_salesforce.running_org import CLIENT, Sandbox, start_sandbox
from tieout.secret import Secret
from tieout.settings import SalesforceSettings

PRODUCTS = 10_200


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    state = tmp_path_factory.mktemp("salesforce")
    store = Store(state / FILE_NAME)
    store.insert_many("Product2", ({"Name": f'"Rad" {n}, groß', "ProductCode": f"P-{n:05}"} for n in range(PRODUCTS)))
    store.close()
    sandbox = start_sandbox(state)
    yield sandbox
    sandbox.stop()


@pytest.fixture
def org(running: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox, without faults, with all switches back at their defaults and real time afterwards."""
    yield running
    running.http.delete(f"{running.url}/_sandbox/faults", timeout=10)
    switches = running.http.get(f"{running.url}/_sandbox/settings", timeout=10).json()
    running.control("settings", **dict.fromkeys(switches))
    running.control("clock", now=None)
    running.log_in()


@pytest.fixture
def settings(org: Sandbox) -> SalesforceSettings:
    client_id, secret = CLIENT
    return SalesforceSettings(
        instance_url=org.url, client_id=client_id, secret=Secret.given("SALESFORCE_CLIENT_SECRET", secret)
    )


@pytest.fixture
def pauses() -> list[float]:
    """How long the client meant to wait, in seconds, each time."""
    return []


@pytest.fixture
def client_for(settings: SalesforceSettings, pauses: list[float]) -> Iterator[Callable[..., SalesforceClient]]:
    """Makes a client, with other settings where the test is about them, that notes its pauses instead of making them."""
    made: list[SalesforceClient] = []

    def make(
        ca_bundle: Path | None = None, sleep: Callable[[float], None] = pauses.append, **changes: object
    ) -> SalesforceClient:
        made.append(SalesforceClient(replace(settings, **changes), ca_bundle, sleep=sleep))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(client_for: Callable[..., SalesforceClient]) -> SalesforceClient:
    return client_for()


@pytest.fixture
def tag() -> str:
    """A word that no other test uses, to find one's own records by."""
    return uuid4().hex[:10]


@pytest.fixture
def accounts(org: Sandbox, tag: str) -> Callable[[int], list[str]]:
    """Makes so many accounts, named by `tag` and a number, and returns their ids."""

    def make(count: int) -> list[str]:
        ids: list[str] = []
        for start in range(0, count, 200):
            records = [
                {"attributes": {"type": "Account"}, "Name": f"{tag} {number}"}
                for number in range(start, min(start + 200, count))
            ]
            answer = org.call("POST", "composite/sobjects", json={"allOrNone": True, "records": records})
            ids += [row["id"] for row in answer.json()]
        return ids

    return make
