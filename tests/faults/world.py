"""A small company on both sandboxes, and the deals that it wins: the only source of truth beside the journals."""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.salesforce.ids import make_id
from tests.bad_input.books import PRICE_BOOK, PRODUCTS, Books, price_id
from tests.bad_input.systems import API, PATIENCE_S, Systems, running_systems

COMPANIES = ("usmf", "demf")
CUSTOMERS = 3
"""Accounts of each company that are customers already."""
ON_HOLD = "C-HOLD"
MOST_LINES = 5


@dataclass(frozen=True)
class Won:
    """A won opportunity as Salesforce has it: which order there should be. `poison` is what D365 always refuses."""

    opportunity: str
    account: str
    company: str
    lines: int
    poison: bool = False

    @property
    def customer_key(self) -> str:
        """The business key of its customer."""
        return f"{self.account}/{self.company}"


@dataclass(frozen=True)
class World:
    """Both sandboxes with their files."""

    systems: Systems
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        """What points a run at them."""
        return self.systems.environment()

    def positions(self) -> dict[str, int]:
        """The places in both journals that later entries come after."""
        return {name: int(self.get(name, "journal?phase=none")["next"]) for name in ("salesforce", "d365")}

    def journal(self, system: str, after: int) -> list[dict[str, Any]]:
        """All entries behind a place, oldest first."""
        entries: list[dict[str, Any]] = self.get(system, f"journal?after={after}&limit=10000000")["entries"]
        return entries

    def win(self, tag: str, count: int, rng: random.Random, *, poison: int = 0, known_only: bool = False) -> list[Won]:
        """Win `count` opportunities whose names begin with `tag`; the first `poison` of them of a customer on hold."""
        new = (
            []
            if known_only
            else [{"Name": f"{tag} account {at}", "CurrencyIsoCode": "USD"} for at in range(max(1, count // 4))]
        )
        companies = [rng.choice(COMPANIES) for _ in new]
        made = self._many("POST", "Account", [a | {"ERP_Company__c": c} for a, c in zip(new, companies, strict=True)])
        customers = [(company, f"C-{company}-{at}") for company in COMPANIES for at in range(CUSTOMERS)]
        known = {number: account for account, number in self._accounts()}
        owners = [(known[number], company) for company, number in customers] + list(zip(made, companies, strict=True))
        deals: list[tuple[str, str, int, bool]] = []
        for at in range(count):
            held = at < poison
            account, company = (known[ON_HOLD], COMPANIES[0]) if held else rng.choice(owners)
            deals.append((account, company, rng.randint(1, MOST_LINES), held))
        opportunities = self._many(
            "POST",
            "Opportunity",
            [
                {
                    "Name": f"{tag} deal {at}",
                    "AccountId": account,
                    "StageName": "Prospecting",
                    "CloseDate": "2026-01-04",
                    "CurrencyIsoCode": "USD",
                    "Pricebook2Id": PRICE_BOOK,
                    "ERP_Company__c": company,
                }
                for at, (account, company, _, _) in enumerate(deals)
            ],
        )
        codes = list(PRODUCTS)
        lines = [
            {
                "OpportunityId": opportunity,
                "PricebookEntryId": price_id(rng.choice(codes)),
                "Quantity": rng.randint(1, 9),
                "UnitPrice": rng.choice([100, 19.9, 7.25]),
            }
            for opportunity, (_, _, size, _) in zip(opportunities, deals, strict=True)
            for _ in range(size)
        ]
        self._many("POST", "OpportunityLineItem", lines)
        self._many("PATCH", "Opportunity", [{"id": each, "StageName": "Closed Won"} for each in opportunities])
        return [
            Won(opportunity, account, company, size, held)
            for opportunity, (account, company, size, held) in zip(opportunities, deals, strict=True)
        ]

    def orders(self) -> dict[str, list[dict[str, Any]]]:
        """Opportunity id → the orders in D365 that carry it as their reference, each with number, stopped and its count of lines."""
        query = (
            "SELECT h.SalesOrderNumber AS number, h.CustomersOrderReference AS reference, h.IsSalesProcessingStopped AS stopped, "
            "h.dataAreaId AS company, (SELECT count(*) FROM SalesOrderLines l WHERE l.dataAreaId = h.dataAreaId "
            "AND l.SalesOrderNumber = h.SalesOrderNumber) AS lines FROM SalesOrderHeadersV2 h WHERE h.CustomersOrderReference IS NOT NULL"
        )
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.ask("d365", query):
            found.setdefault(row["reference"], []).append(dict(row))
        return found

    def ask(self, system: str, query: str, *parameters: object) -> list[sqlite3.Row]:
        """A question to the file of a sandbox."""
        with closing(sqlite3.connect(self.state / f"{system}.sqlite", timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, parameters).fetchall()

    def break_with(self, system: str, rules: Sequence[dict[str, Any]], seed: int = 0) -> None:
        """Order faults."""
        self.call(system, "POST", "faults", {"seed": seed, "rules": list(rules)})

    def mend(self) -> dict[str, dict[str, int]]:
        """Forget all faults; returns how often each kind has struck, by system."""
        struck = {name: dict(self.get(name, "faults")["struck"]) for name in ("salesforce", "d365")}
        for name in struck:
            self.call(name, "DELETE", "faults")
        return struck

    def _accounts(self) -> list[tuple[str, str]]:
        rows = self.ask("salesforce", "SELECT Id, AccountNumber FROM Account WHERE AccountNumber IS NOT NULL")
        return [(row["Id"], row["AccountNumber"]) for row in rows]

    def _many(self, method: str, sobject: str, records: Sequence[dict[str, Any]]) -> list[str]:
        ids: list[str] = []
        salesforce = self.systems.salesforce
        headers = {"Authorization": f"Bearer {salesforce.token()}"}
        for start in range(0, len(records), 200):
            chunk = [{"attributes": {"type": sobject}, **record} for record in records[start : start + 200]]
            answer = salesforce.http.request(
                method,
                f"{salesforce.url}{API}/composite/sobjects",
                json={"allOrNone": True, "records": chunk},
                headers=headers,
                timeout=PATIENCE_S,
            )
            results = answer.json()
            assert answer.status_code == 200, results
            assert all(result["success"] for result in results), results
            ids += [result["id"] for result in results]
        return ids

    def get(self, system: str, route: str) -> Any:
        """What one of the sandboxes' own routes answers."""
        return self.call(system, "GET", route)

    def call(self, system: str, method: str, route: str, body: object = None) -> Any:
        """Call one of the sandboxes' own routes."""
        one = getattr(self.systems, system)
        answer = one.http.request(method, f"{one.url}/_sandbox/{route}", json=body, timeout=300)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def running_world(state: Path, books: Books | None = None) -> Iterator[World]:
    """Both sandboxes over a new small company in `state`, or over the books of another one."""
    state.mkdir(parents=True, exist_ok=True)
    (books or company()).lay(state)
    with running_systems(state) as systems:
        systems.salesforce.http.trust_env = systems.d365.http.trust_env = False
        yield World(systems, state)


def company() -> Books:
    """Two companies with customers, products and one customer on hold; nothing is won yet."""
    books = Books()
    group = {"CustomerGroupId": "30", "Description": "Retail", "PaymentTermId": "Net30"}
    books.tables["CustomerGroups"].append({"dataAreaId": COMPANIES[1], **group})
    books.tables["PaymentTerms"].append({"dataAreaId": COMPANIES[1], "Name": "Net30", "NumberOfDays": 30})
    for code, name in PRODUCTS.items():
        item = {"ItemNumber": code, "ProductSearchName": name, "SalesUnitSymbol": "ea"}
        books.tables["ReleasedProductsV2"].append({"dataAreaId": COMPANIES[1], **item})
    known = [(company, f"C-{company}-{at}", "No") for company in COMPANIES for at in range(CUSTOMERS)]
    for number, (company, account, on_hold) in enumerate([*known, (COMPANIES[0], ON_HOLD, "All")], start=1):
        stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), "2026-01-05T08:00:00Z")
        books.tables["Account"].append(
            {
                "Id": make_id("001", number),
                "Name": f"Customer {account}",
                "AccountNumber": account,
                "ERP_Company__c": company,
                "ERP_On_Hold__c": on_hold,
                "Credit_Limit__c": 0,
                "CurrencyIsoCode": "USD",
                **stamps,
            }
        )
        books.tables["CustomersV3"].append(
            {
                "dataAreaId": company,
                "CustomerAccount": account,
                "OrganizationName": f"Customer {account}",
                "CustomerGroupId": "30",
                "SalesCurrencyCode": "USD",
                "OnHoldStatus": on_hold,
                "PartyNumber": f"9{number:08}",
            }
        )
    return books


def as_json(value: object) -> str:
    """One line."""
    return json.dumps(value, default=str)
