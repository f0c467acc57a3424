"""The books of a small company as a seed: every factory adds records that are right, and a test names only what is wrong with them.

Written as a folder of CSV files, which the sandboxes take in as it is: nothing is validated, so every kind of dirt can be had.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from sandbox.salesforce.ids import make_id
from sandbox.seeds.filling import fill

COMPANY = "usmf"
UNPREPARED = "demf"
"""A company without the customer group that new customers get."""
PRODUCTS = {"BK-1": "Road bike", "BK-2": "City bike"}
PRICE_BOOK = make_id("01s", 1)
TOUCHED = "2026-01-05T08:00:00Z"

Row = dict[str, object]


@dataclass(frozen=True)
class Deal:
    """The ids of one opportunity with its account and lines, and the number that its order gets."""

    account: str
    opportunity: str
    lines: tuple[str, ...]

    @property
    def order(self) -> str:
        return f"T-{self.opportunity}"


@dataclass
class Books:
    """Rows by object and entity set. A value of None leaves a field empty."""

    tables: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    _numbers: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.tables["Pricebook2"].append({"Id": PRICE_BOOK, "Name": "Standard", "IsActive": True, "IsStandard": True})
        for company in (COMPANY, UNPREPARED):
            self.tables["Companies"].append({"DataArea": company, "Name": company})
            self.tables["LegalEntities"].append({"LegalEntityId": company, "Name": company})
        self.tables["CustomerGroups"].append(
            {"dataAreaId": COMPANY, "CustomerGroupId": "30", "Description": "Retail", "PaymentTermId": "Net30"}
        )
        self.tables["PaymentTerms"].append({"dataAreaId": COMPANY, "Name": "Net30", "NumberOfDays": 30})
        for code, name in PRODUCTS.items():
            named = {"Name": name, "ProductCode": code, "IsActive": True}
            self._add("Product2", "01t", {**named, "QuantityUnitOfMeasure": "Each"})
            self._add(
                "PricebookEntry",
                "01u",
                {**named, "Pricebook2Id": PRICE_BOOK, "Product2Id": product_id(code), "UnitPrice": 100},
            )
            self.tables["ReleasedProductsV2"].append(
                {"dataAreaId": COMPANY, "ItemNumber": code, "ProductSearchName": name, "SalesUnitSymbol": "ea"}
            )

    def deal(
        self,
        name: str = "Bikes",
        *,
        company: str = COMPANY,
        customer: str | None = None,
        customer_name: str | None = None,
        on_hold: str = "No",
        account: Row | None = None,
        opportunity: Row | None = None,
        lines: Sequence[Row] = ({},),
    ) -> Deal:
        """A won opportunity of an account of its own; with `customer` (an account number) the account is a customer in D365 already.

        `customer_name` is the name in D365, where that is not the account's.
        """
        its_account: Row = {
            "Name": f"{name} Ltd",
            "AccountNumber": customer,
            "ERP_Company__c": company,
            "Credit_Limit__c": 0,
            "ERP_On_Hold__c": on_hold,
        }
        account_id = self._add("Account", "001", its_account | (account or {}))
        if customer is not None:
            self.tables["CustomersV3"].append(
                {
                    "dataAreaId": company,
                    "CustomerAccount": customer,
                    "OrganizationName": customer_name or f"{name} Ltd",
                    "CustomerGroupId": "30",
                    "SalesCurrencyCode": "USD",
                    "OnHoldStatus": on_hold,
                    "PartyNumber": f"9{len(self.tables['CustomersV3']):08}",
                }
            )
        won: Row = {
            "Name": name,
            "AccountId": account_id,
            "StageName": "Closed Won",
            "CloseDate": "2026-01-04",
            "Amount": 100 * len(lines),
            "Pricebook2Id": PRICE_BOOK,
            "ERP_Company__c": company,
        }
        opportunity_id = self._add("Opportunity", "006", won | (opportunity or {}))
        line: Row = {
            "OpportunityId": opportunity_id,
            "Product2Id": product_id("BK-1"),
            "ProductCode": "BK-1",
            "Quantity": 1,
            "UnitPrice": 100,
            "TotalPrice": 100,
        }
        line_ids = [
            self._add("OpportunityLineItem", "00k", line | {"SortOrder": position} | changes)
            for position, changes in enumerate(lines, 1)
        ]
        return Deal(account_id, opportunity_id, tuple(line_ids))

    def lay(self, state: Path) -> None:
        """Fill both sandboxes, whose files are in `state`."""
        folder = state / "csv"
        folder.mkdir(parents=True)
        for table, rows in self.tables.items():
            with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
                writer.writeheader()
                writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
        fill(f"csv:{folder}", state, Console(quiet=True))

    def _add(self, table: str, prefix: str, values: Row) -> str:
        self._numbers[table] += 1
        stamps = dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), TOUCHED)
        record_id = make_id(prefix, self._numbers[table])
        self.tables[table].append({"Id": record_id, "CurrencyIsoCode": "USD"} | stamps | values)
        return record_id


def product_id(code: str) -> str:
    """The id of a product of these books."""
    return make_id("01t", list(PRODUCTS).index(code) + 1)


def price_id(code: str) -> str:
    """The id of a product's price in dollars."""
    return make_id("01u", list(PRODUCTS).index(code) + 1)
