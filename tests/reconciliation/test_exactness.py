"""The comparison is exact: against verdicts known by construction, and against a plain row-by-row judge."""

import random
from collections import Counter, defaultdict
from decimal import Decimal

import pytest

from tests.reconciliation.books import BEFORE, DURING, Books, Compared, account_id, line_id, opportunity_id

ORDERS = 20_000

# What is done to one order in this many, and what must be said about it.
KINDS = (
    "same",
    "blanks",
    "price",
    "price_within",
    "amount_missing",
    "no_order",
    "no_opportunity",
    "canceled",
    "reference",
    "quantity",
)
EXPECTED = {
    "same": ("matched", []), "blanks": ("matched", []), "price": ("differs", ["line.unit_price"]), "price_within": ("matched", []),
    "amount_missing": ("differs", ["amount", "line.amount"]), "no_order": ("only_in_salesforce", []),
    "no_opportunity": ("only_in_d365", []), "canceled": ("differs", []), "reference": ("matched", []),
    "quantity": ("differs", ["line.quantity"]),
}  # fmt: skip


def test_twenty_thousand_orders_get_the_verdicts_that_they_were_built_for():
    books = Books()
    books.account()
    books.customer()
    books.product()
    for number in range(1, ORDERS + 1):
        build(books, number, KINDS[number % len(KINDS)])
    result = Compared(books)
    told = {
        (sf or d365): (verdict, fields)
        for sf, d365, verdict, fields in result.rows(
            "SELECT salesforce_key, d365_key, verdict, fields FROM sales_order_verdict"
        )
    }
    assert len(told) == ORDERS
    wrong = {}
    for number in range(1, ORDERS + 1):
        kind = KINDS[number % len(KINDS)]
        key = f"SO-{number}" if kind == "no_opportunity" else opportunity_id(number)
        if told[key] != EXPECTED[kind]:
            wrong[number] = (kind, told[key])
    assert wrong == {}
    each = ORDERS // len(KINDS)
    assert result.rows("SELECT salesforce, d365, difference FROM tie_out") == [
        (20 * each * 9, 20 * each * 7, 20 * each * 2)
    ]


def build(books: Books, number: int, kind: str) -> None:
    if kind != "no_opportunity":
        books.opportunity(number, PO_Number__c=f" po-{number} " if kind == "blanks" else f"PO-{number}")
        books.line(number)
    if kind == "no_order":
        return
    own = {"SalesOrderNumber": f"SO-{number}"} if kind in ("no_opportunity", "reference") else {}
    canceled = {"SalesOrderStatus": "Canceled"} if kind == "canceled" else {}
    reference = {"CustomersOrderReference": ""} if kind == "no_opportunity" else {}
    books.order(number, **own, **canceled, **reference)
    price = {"price": "10.0051", "price_within": "10.005"}.get(kind, "10")
    quantity = "3" if kind == "quantity" else "2"
    amount = "0" if kind == "amount_missing" else "20"
    books.order_line(number, **own, SalesPrice=price, OrderedSalesQuantity=quantity, LineAmount=amount)


@pytest.mark.parametrize("seed", range(4))
def test_a_row_by_row_judge_comes_to_the_same_verdicts_fields_and_totals(seed):
    books = random_books(random.Random(seed), 120)
    result = Compared(books)
    judge = Judge(books)
    told = result.rows("SELECT salesforce_key, d365_lake_key, verdict, fields FROM sales_order_verdict")
    assert {(sf, d365): (verdict, fields) for sf, d365, verdict, fields in told} == judge.verdicts()
    totals = {
        (company, currency): (sf, d365)
        for company, currency, sf, d365 in result.rows("SELECT company, currency, salesforce, d365 FROM tie_out")
    }
    assert totals == judge.totals()
    bridged = result.rows("SELECT company, currency, sum(difference) FROM tie_out_bridge GROUP BY ALL")
    assert {(company, currency): difference for company, currency, difference in bridged} == {
        key: sf - d365 for key, (sf, d365) in judge.totals().items()
    }


def random_books(rng: random.Random, orders: int) -> Books:
    """Orders that agree, then a handful of random injuries to every third one."""
    books = Books()
    books.product()
    for number in range(1, 6):
        books.account(number)
        books.customer(number)
    for number in range(1, orders + 1):
        customer, currency = rng.randint(1, 5), rng.choice(["USD", "EUR"])
        lines = [(line, Decimal(rng.randint(1, 99999)) / 100) for line in range(1, rng.randint(1, 4) + 1)]
        opportunity = books.opportunity(
            number, str(sum(amount for _, amount in lines)), AccountId=account_id(customer), CurrencyIsoCode=currency
        )
        own = {} if rng.random() < 0.7 else {"SalesOrderNumber": f"SO-{number}"}
        order = books.order(number, OrderingCustomerAccountNumber=f"AW{customer:08d}", CurrencyCode=currency, **own)
        for line, amount in lines:
            reference = line_id(number, line) if rng.random() < 0.5 else ""
            books.line(number, line, TotalPrice=str(amount), UnitPrice=str(amount), Quantity="1")
            books.order_line(
                number,
                line,
                LineAmount=str(amount),
                SalesPrice=str(amount),
                OrderedSalesQuantity="1",
                OrderLineReference=reference,
                **own,
            )
        if number % 3 == 0:
            for _ in range(rng.randint(1, 2)):
                injure(rng, books, opportunity, order)
    return books


def injure(rng: random.Random, books: Books, opportunity: dict, order: dict) -> None:
    line, order_line = books.rows["salesforce", "opportunity_line"][-1], books.rows["d365", "sales_order_line"][-1]
    match rng.randint(0, 11):
        case 0:
            opportunity["StageName"] = "Closed Lost"
        case 1:
            order["SalesOrderStatus"] = "Canceled"
        case 2:
            opportunity["IsDeleted"] = "true"
        case 3:
            order["CurrencyCode"] = "EUR"
        case 4:
            order["CustomerRequisitionNumber"] = rng.choice(["", "Other", opportunity["PO_Number__c"].lower() + " "])
        case 5:
            opportunity["Requested_Ship_Date__c"] = rng.choice([None, "2026-05-01"])
        case 6:
            step = rng.choice(["0.005", "0.01", "0.02"])
            order_line["LineAmount"] = str(Decimal(order_line["LineAmount"]) + Decimal(step))
        case 7:
            order_line["OrderedSalesQuantity"] = "2"
        case 8:
            order["SalesOrderNumber"], order["CustomersOrderReference"] = f"XX-{order['SalesOrderNumber']}", ""
        case 9:
            opportunity["SystemModstamp"] = DURING
        case 10:
            line["IsDeleted"] = "true"
        case 11:
            order["OrderingCustomerAccountNumber"] = "AW00000001"


class Judge:
    """What the verdicts mean, one record at a time, in Python."""

    def __init__(self, books: Books) -> None:
        self.opportunities = {row["Id"]: row for row in books.rows["salesforce", "opportunity"]}
        self.orders = {order_key(row): row for row in books.rows["d365", "sales_order"]}
        self.lines = defaultdict(list)
        for row in books.rows["salesforce", "opportunity_line"]:
            if row["IsDeleted"] != "true":
                self.lines[row["OpportunityId"]].append(row)
        self.order_lines = defaultdict(list)
        for row in books.rows["d365", "sales_order_line"]:
            self.order_lines[order_key(row)].append(row)
        self.pairs = self.linked()

    def linked(self) -> dict[str, str]:
        pairs = {}
        for key, order in self.orders.items():
            for opportunity in (order["SalesOrderNumber"].removeprefix("T-"), order["CustomersOrderReference"]):
                row = self.opportunities.get(opportunity)
                if row is not None and row["IsDeleted"] != "true":
                    pairs[opportunity] = key
                    break
        return pairs

    def verdicts(self) -> dict:
        given = {}
        for key, row in self.opportunities.items():
            if row["IsDeleted"] == "true":
                continue
            won, order = row["StageName"] == "Closed Won", self.pairs.get(key)
            recent = row["SystemModstamp"] != BEFORE
            if order is None:
                if won:
                    given[key, None] = ("in_flight" if recent else "only_in_salesforce", [])
                continue
            canceled = is_canceled(self.orders[order])
            if not won and canceled:
                continue
            fields = self.fields(key, order) if won and not canceled else []
            differs = bool(fields) or not won or canceled
            given[key, order] = ("in_flight" if differs and recent else "differs" if differs else "matched", fields)
        for key, order in self.orders.items():
            if key not in self.pairs.values() and not is_canceled(order):
                given[None, key] = ("only_in_d365", [])
        return given

    def fields(self, key: str, order: str) -> list[str]:
        sf, d365 = self.opportunities[key], self.orders[order]
        found = set()
        if sf["CurrencyIsoCode"] != d365["CurrencyCode"]:
            found.add("currency")
        if int(sf["AccountId"][4:15]) != int(d365["OrderingCustomerAccountNumber"][2:]):
            found.add("customer")
        if (sf["PO_Number__c"] or "").strip().lower() != d365["CustomerRequisitionNumber"].strip().lower():
            found.add("purchase_order")
        if sf["Requested_Ship_Date__c"] not in (None, d365["RequestedShippingDate"][:10]):
            found.add("requested_ship_date")
        if abs(Decimal(sf["Amount"]) - sum(Decimal(line["LineAmount"]) for line in self.order_lines[order])) > Decimal(
            "0.01"
        ):
            found.add("amount")
        return sorted(found | self.line_fields(key, order))

    def line_fields(self, key: str, order: str) -> set[str]:
        found, left = set(), list(self.order_lines[order])
        for line in self.lines[key]:
            other = next((one for one in left if one["CustomersLineNumber"] == line["SortOrder"]), None)
            if other is None:
                found.add("lines")
                continue
            left.remove(other)
            if line["Quantity"] != other["OrderedSalesQuantity"]:
                found.add("line.quantity")
            if abs(Decimal(line["TotalPrice"]) - Decimal(other["LineAmount"])) > Decimal("0.01"):
                found.add("line.amount")
        return found | ({"lines"} if left else set())

    def totals(self) -> dict:
        sides: dict = defaultdict(lambda: [Decimal(0), Decimal(0)])
        for row in self.opportunities.values():
            if row["StageName"] == "Closed Won" and row["IsDeleted"] != "true":
                sides["usmf", row["CurrencyIsoCode"]][0] += Decimal(row["Amount"])
        for key, order in self.orders.items():
            if not is_canceled(order):
                sides["usmf", order["CurrencyCode"]][1] += sum(
                    Decimal(line["LineAmount"]) for line in self.order_lines[key]
                )
        return {key: tuple(both) for key, both in sides.items()}


def order_key(row: dict) -> str:
    return f"{row['dataAreaId'].lower()}|{row['SalesOrderNumber'].lower()}"


def is_canceled(order: dict) -> bool:
    return order["SalesOrderStatus"] == "Canceled"


def test_the_injuries_reach_every_verdict():
    books = random_books(random.Random(0), 120)
    assert set(Counter(verdict for verdict, _ in Judge(books).verdicts().values())) >= {
        "matched", "differs", "only_in_salesforce", "only_in_d365", "in_flight",
    }  # fmt: skip
