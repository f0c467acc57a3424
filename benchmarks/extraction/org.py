"""The Salesforce that all clients read: the sandbox as a process, with so many opportunities, and what only the benchmark may ask of it.

The integration user sees the columns that Tieout's contract reads and no others, so that every client carries the same.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from sandbox.salesforce.catalogue import CATALOGUE
from sandbox.salesforce.ids import make_id
from sandbox.salesforce.store import FILE_NAME, Store
from tieout.contract import Table, load_contracts
from tieout.settings import contracts_folder

PROJECT = Path(__file__).parents[2]
SPREAD = timedelta(days=350)
"""Over how long the last changes of the opportunities are spread: within the year that the connectors are told to read."""
ACCOUNTS = 1_000
AT_ONCE = 3_000
"""Opportunities that one load changed in one second: more than a page of REST, so that their stamp stands on both sides of an edge."""
RECORDS_IN_CALL = 200
COLLECTIONS = "composite/sobjects"
_DATA = "/services/data/v"
_VERSION = "v62.0"


def opportunity_table() -> Table:
    """The opportunities as Tieout's contract reads them."""
    return load_contracts(contracts_folder()).table("salesforce", "opportunity")


@dataclass(frozen=True, slots=True)
class Opportunity:
    """What the check compares of one opportunity: `amount` in cents."""

    name: str
    amount: int | None
    deleted: bool


@dataclass
class Org:
    """A running sandbox, spoken to beside the road that the clients take. `ahead_s`: how far its clock is ahead of this machine's."""

    url: str
    tls_port: int
    ca: Path
    file: Path
    http: requests.Session = field(default_factory=requests.Session)
    token: str = ""
    ahead_s: float = 0.0

    def sign_in(self) -> None:
        """Take a session for the writes of a history."""
        self.http.trust_env = False
        answer = self.http.post(
            f"{self.url}/services/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET),
            timeout=30,
        )
        answer.raise_for_status()
        self.token = answer.json()["access_token"]

    def hide_other_columns(self) -> None:
        """Let the integration user see what the contract reads, and no more."""
        read = {column.name for column in opportunity_table().columns}
        hidden = [f"Opportunity.{each.name}" for each in CATALOGUE["Opportunity"].fields if each.name not in read]
        self.control("settings", {"hidden_fields": hidden})

    def control(self, route: str, body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
        """Call one of the sandbox's own routes."""
        answer = self.http.post(f"{self.url}/_sandbox/{route}", json=body, timeout=60)
        if answer.status_code != 200:
            raise RuntimeError(f"The sandbox refused {route}: {answer.text}")
        return answer.json()

    def pass_time(self, seconds: float) -> None:
        """Let time go by at once."""
        self.control("clock", {"advance_s": seconds})
        self.ahead_s += seconds

    def calm(self) -> None:
        """Take all faults back."""
        self.http.delete(f"{self.url}/_sandbox/faults", timeout=60).raise_for_status()

    def write(self, method: str, **options: Any) -> list[dict[str, Any]]:
        """One call to the collections; raises RuntimeError unless every record was taken."""
        answer = self.http.request(
            method,
            f"{self.url}/services/data/{_VERSION}/{COLLECTIONS}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
            **options,
        )
        results: list[dict[str, Any]] = answer.json()
        if answer.status_code != 200 or not all(each.get("success") for each in results):
            raise RuntimeError(f"The sandbox did not take all records: {answer.text[:500]}")
        return results

    def place(self) -> int:
        """The end of the journal."""
        answer = self.http.get(f"{self.url}/_sandbox/journal", params={"phase": "no such phase"}, timeout=60)
        return int(answer.json()["next"])

    def calls_since(self, place: int) -> int:
        """API calls behind a place of the journal; sign-ins are none (facts/salesforce.md, API cost and limits)."""
        query = {"after": str(place), "limit": "10000000", "phase": "asked"}
        entries = self.http.get(f"{self.url}/_sandbox/journal", params=query, timeout=300).json()["entries"]
        return sum(entry["path"].startswith(_DATA) for entry in entries)

    def opportunities(self) -> dict[str, Opportunity]:
        """Id → what is in Salesforce, deleted ones included, late ones as those see them who wrote them."""
        with closing(sqlite3.connect(self.file)) as connection:
            rows = connection.execute("SELECT Id, Name, Amount, IsDeleted FROM Opportunity")
            return {id_: Opportunity(name, cents(amount), bool(deleted)) for id_, name, amount, deleted in rows}


def cents(amount: object) -> int | None:
    """An amount as the clients write it (`19.9`, `"1.5E7"`, empty) in whole cents."""
    return None if amount is None or amount == "" else round(float(str(amount)) * 100)


def seed(state: Path, count: int) -> None:
    """Lay `count` opportunities into an empty org."""
    with closing(Store(state / FILE_NAME)) as store:
        store.insert_many("Account", ({"Id": make_id("001", 1 + n), "Name": f"Account {n}"} for n in range(ACCOUNTS)))
        store.insert_many("Opportunity", _opportunities(count, datetime.now(UTC).replace(microsecond=0)))


def _opportunities(count: int, now: datetime) -> Iterator[dict[str, object]]:
    oldest = now - timedelta(hours=1) - SPREAD
    at_once = min(AT_ONCE, count // 2)
    for number in range(count):
        # The first ones share a second; all others follow it, evenly.
        touched = oldest + SPREAD * (max(0, number - at_once) / max(1, count - at_once))
        won = number % 3 == 0
        yield {
            "Name": f'Größe "{number}", Los {number % 7}',
            "StageName": "Closed Won" if won else "Prospecting",
            "AccountId": make_id("001", 1 + number % ACCOUNTS),
            "CurrencyIsoCode": ("EUR", "USD", "GBP")[number % 3],
            "Amount": (number * 7919 % 10_000_000) / 100,
            "CloseDate": touched.date(),
            "HasOpportunityLineItem": won,  # where it is true, Salesforce ignores writes to Amount
            "PO_Number__c": f"PO-{number:08}",
            "Requested_Ship_Date__c": touched.date() + timedelta(days=14),
            "ERP_Company__c": ("USMF", "DEMF", "GBSI")[number % 3],
            "ERP_Order_Number__c": f"SO-{number:09}" if won else None,
            "ERP_Order_Status__c": "Open" if won else None,
            "ERP_Amount__c": (number * 7919 % 10_000_000) / 100 if won else None,
            "ERP_Synced_At__c": touched if won else None,
            "CreatedDate": oldest,
            "LastModifiedDate": touched,
            "SystemModstamp": touched,
        }


@contextmanager
def running(state: Path) -> Iterator[Org]:
    """The sandbox over `state`, until the end of the block."""
    command = [sys.executable, "-m", "sandbox", "salesforce", "--state", str(state), "--port", "0", "--tls-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        org = Org(ready["url"], int(ready["tls_url"].rsplit(":", 1)[1]), Path(ready["ca"]), state / FILE_NAME)
        org.sign_in()
        org.hide_other_columns()
        yield org
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def copy_running(seeded: Path, folder: Path) -> Iterator[Org]:
    """A sandbox of its own over a copy of a seeded state, which is gone afterwards."""
    shutil.copytree(seeded, folder)
    try:
        with running(folder) as org:
            yield org
    finally:
        shutil.rmtree(folder, ignore_errors=True)
