"""Orders that people entered in D365 for opportunities of Salesforce, in parts and together, through the whole job over HTTP."""

from dataclasses import dataclass

import pytest

from tests.bad_input.books import COMPANY, Books, Deal
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Findings, Installation


@dataclass(frozen=True)
class Company:
    """An installation after two runs, with what each of them found."""

    installation: Installation
    deals: dict[str, Deal]
    first: Findings
    second: Findings


def enter(books: Books, number: str, customer: str, reference: str, *parts: tuple[str, int]) -> None:
    """An order in D365 with a line for each (opportunity line, quantity) at 100 each."""
    header = {"dataAreaId": COMPANY, "SalesOrderNumber": number, "CurrencyCode": "USD"}
    books.tables["SalesOrderHeadersV2"].append(
        header
        | {
            "OrderingCustomerAccountNumber": customer,
            "CustomersOrderReference": reference,
            "SalesOrderStatus": "Backorder",
            "SalesOrderProcessingStatus": "Active",
            "OrderCreationDateTime": "2026-01-05T08:00:00Z",
        }
    )
    books.tables["SalesOrderLines"] += [
        header
        | {
            "InventoryLotId": f"{number}-{position}",
            "LineNumber": position,
            "ItemNumber": "BK-1",
            "SalesUnitSymbol": "ea",
            "OrderedSalesQuantity": quantity,
            "SalesPrice": 100,
            "LineAmount": quantity * 100,
            "OrderLineReference": line,
            "SalesOrderLineStatus": "Backorder",
        }
        for position, (line, quantity) in enumerate(parts, 1)
    ]


@pytest.fixture(scope="module")
def company(install: Install) -> Company:
    books = Books()
    ten = {"Quantity": 10, "TotalPrice": 1000}
    deals = {
        name: books.deal(name, customer=f"C-{name}", lines=(ten,), opportunity={"Amount": 1000})
        for name in ("whole", "short", "first", "plain")
    }
    same_account = {"Amount": 1000, "AccountId": deals["first"].account}
    deals["second"] = books.deal("second", lines=(ten,), opportunity=same_account)
    for name in ("whole", "short"):
        deal = deals[name]
        enter(books, f"SO-{name}-1", f"C-{name}", deal.opportunity, (deal.lines[0], 6))
        enter(books, f"SO-{name}-2", f"C-{name}", deal.opportunity, (deal.lines[0], 4 if name == "whole" else 3))
    enter(books, "SO-both", "C-first", "", (deals["first"].lines[0], 10), (deals["second"].lines[0], 10))
    installation = install(books)
    found = []
    for _ in range(2):
        done = installation.run()
        assert done.success, done.problem
        found.append(installation.findings())
    return Company(installation, deals, *found)


def test_only_the_opportunity_that_no_order_names_is_delivered(company: Company) -> None:
    assert company.installation.systems.d365.orders_made() == [company.deals["plain"].order]


def test_parts_that_come_to_the_whole_are_matched_and_named_as_what_they_are(company: Company) -> None:
    told = {
        name: {
            (row["verdict"], row["reason"])
            for row in company.first.verdicts
            if row["salesforce_key"] == deal.opportunity
        }
        for name, deal in company.deals.items()
    }
    together = {("matched", "2 opportunities on one order")}
    assert told == {
        "whole": {("matched", "delivered as 2 orders")},
        "short": {("differs", "delivered as 2 orders")},
        "first": together,
        "second": together,
        "plain": {("only_in_salesforce", None)},
    }


def test_the_one_that_is_short_has_one_break_for_its_money_and_keeps_it(company: Company) -> None:
    amounts = [
        [(row.salesforce_key, row.salesforce_value, row.d365_value) for row in found.breaks if row.field == "amount"]
        for found in (company.first, company.second)
    ]
    assert amounts == [[(company.deals["short"].opportunity, "1000", "900")]] * 2
    assert {row.salesforce_key for row in company.second.breaks} == {company.deals["short"].opportunity}


def test_the_totals_count_every_amount_once(company: Company) -> None:
    [total] = company.second.summary["tie_out"]
    assert (total["salesforce"], total["d365"], total["difference"]) == ("5000.00", "4900.00", "100.00")
    months = company.installation.lake_rows("reconciliation", "tie_out")
    assert [(row["month"], row["salesforce"], row["d365"]) for row in months] == [("2026-01", 5000, 4900)]
    assert "2026-01" in company.second.page


def test_a_settled_group_is_not_listed_as_a_link_that_is_open(company: Company) -> None:
    page = company.second.page
    assert page.count("SO-whole-1".lower()) == page.count("SO-both".lower()) == 0
