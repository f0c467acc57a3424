"""What a test asks of a listener and of what it has kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resources.ledger import Ledger
from resources.listening import Listener
from tests.sandbox_salesforce.running_org import CLIENT, Sandbox
from tieout.secret import Secret
from tieout.settings import SalesforceSettings

ACCOUNTS = "/data/AccountChangeEvent"
OPPORTUNITIES = "/data/OpportunityChangeEvent"
ORDER_STATUS = "/event/ERP_Order_Status__e"
WITHIN_S = 30.0


@dataclass
class Hearing:
    """A listener that runs, and its ledger."""

    org: Sandbox
    ledger: Ledger
    listener: Listener

    def wait(self, until: Callable[[], Any]) -> None:
        """Until it is so; patient, because the machine may be busy."""
        end = time.monotonic() + WITHIN_S
        while not until():
            assert time.monotonic() < end, (self.told(), self.keys(), self.ledger.events.sweeps_wanted())
            time.sleep(0.02)

    def hears(self, *keys: str) -> None:
        """Wait until the last of these has come; then they are all that came, each as often as it is named.

        Batches are kept one after the other; the order within one means nothing.
        """
        self.wait(lambda: keys[-1] in self.keys() and len(self.keys()) >= len(keys))
        assert sorted(self.keys()) == sorted(keys)

    def keys(self) -> list[str]:
        """The keys of the hints that wait, as they came."""
        return [each.hint.key for each in self.ledger.events.waiting_hints(10_000)]

    def kinds(self) -> list[str]:
        """The kinds of the hints that wait, as they came."""
        return [each.hint.kind for each in self.ledger.events.waiting_hints(10_000)]

    def sweeps(self) -> list[str]:
        """Why runs of the main job are asked for."""
        return [each.reason for each in self.ledger.events.sweeps_wanted()]

    def told(self) -> dict[str, Any]:
        """What the sandbox says of its bus."""
        return dict(self.org.http.get(f"{self.org.url}/_sandbox/events", timeout=10).json())

    def opened(self) -> int:
        """How many subscriptions were opened so far."""
        return int(self.told()["opened"])

    def stop(self) -> None:
        """End the listener; the bus goes on without it."""
        self.listener.stop()
        self.wait(lambda: self.told()["streams"] == 0)


def settings_of(org: Sandbox, *topics: str) -> SalesforceSettings:
    """How the sandbox is reached; without topics, the channel of accounts."""
    return SalesforceSettings(
        instance_url=org.url,
        client_id=CLIENT[0],
        secret=Secret.given("SALESFORCE_CLIENT_SECRET", CLIENT[1]),
        pubsub_address=org.pubsub,
        topics=topics or (ACCOUNTS,),
    )


def changed(org: Sandbox, sobject: str, record_id: str, client: str = "", **fields: Any) -> None:
    """Change a record; `client` is what the caller calls itself."""
    headers = {"Sforce-Call-Options": f"client={client}"} if client else {}
    answer = org.call("PATCH", f"sobjects/{sobject}/{record_id}", headers=headers, json=fields)
    assert answer.status_code == 204, answer.text


def an_account_of(org: Sandbox, name: str = "Acme") -> str:
    """A new account's id."""
    return org.create("Account", Name=name)


def accounts_at_once(org: Sandbox, number: int) -> list[str]:
    """The ids of as many new accounts, made 200 a call."""
    made: list[str] = []
    for start in range(0, number, 200):
        rows = [
            {"attributes": {"type": "Account"}, "Name": f"A {each}"} for each in range(start, min(start + 200, number))
        ]
        answer = org.call("POST", "composite/sobjects", json={"allOrNone": True, "records": rows})
        assert answer.status_code == 200, answer.text
        made += [each["id"] for each in answer.json()]
    return made
