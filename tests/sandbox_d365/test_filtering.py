"""`$filter`: what D365 takes, what it refuses, and what it understands by it."""

from __future__ import annotations

import pytest

from tests.sandbox_d365.environment import Caller, Process, an_order, inner_message

ENUMS = "Microsoft.Dynamics.DataEntities"


@pytest.fixture(scope="module", autouse=True)
def orders(process: Process) -> None:
    caller = Caller(process)
    answer = caller.batch(
        an_order("F-1", lines=1, SalesOrderName="O'Brien & Söhne 50%", RequestedShippingDate="2026-08-14T00:00:00Z"),
        an_order("F-2", lines=2, SalesOrderName="Retail shop", RequestedShippingDate="2026-08-15T12:00:00Z"),
        an_order("F-3", lines=3, OrderingCustomerAccountNumber="C-2", SalesOrderName="a_b"),
    )
    assert answer.text.count("201 Created") == 9


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SalesOrderNumber eq 'f-1'", {"F-1"}),
        ("SalesOrderName eq 'O''Brien & Söhne 50%'", {"F-1"}),
        ("SalesOrderName eq '*retail*'", {"F-2"}),
        ("SalesOrderName eq 'a_*'", {"F-3"}),
        ("SalesOrderName ne '*o*'", {"F-3"}),
        ("SalesOrderName eq '50%*'", set()),
        ("not (SalesOrderNumber eq 'F-1' or SalesOrderNumber eq 'F-2')", {"F-3"}),
        ("SalesOrderNumber gt 'F-1' and SalesOrderNumber lt 'F-3'", {"F-2"}),
        (f"SalesOrderStatus eq {ENUMS}.SalesStatus'Backorder'", {"F-1", "F-2", "F-3"}),
        (f"SalesOrderStatus ne {ENUMS}.SalesStatus'Backorder'", set()),
        (f"SkipCreateAutoCharges eq {ENUMS}.NoYes'Yes' and SalesOrderNumber eq 'F-1'", {"F-1"}),
        ("RequestedShippingDate eq 2026-08-14T12:00:00Z", {"F-1"}),
        ("RequestedShippingDate ge 2026-08-14T00:00:00Z and RequestedShippingDate lt 2026-08-15T00:00:00Z", {"F-1"}),
        ("RequestedShippingDate ge 2026-08-15T00:00:00+00:00 and RequestedShippingDate lt 2026-08-16", {"F-2"}),
        ("CustomersOrderReference eq 'F-2' and dataAreaId eq 'USMF'", {"F-2"}),
        ("Email eq '' and SalesOrderNumber eq 'F-1'", {"F-1"}),
        ("not (Email eq 'x') and SalesOrderNumber eq 'F-1'", {"F-1"}),
        ("Email eq null", set()),
        ("DeliveryAddressTimeZone eq null and SalesOrderNumber eq 'F-1'", {"F-1"}),
        ("OrderTotalAmount add 1 eq 1 and SalesOrderNumber eq 'F-1'", {"F-1"}),
        ("SalesOrderNumber eq 'F-1' and 5 mod 2 eq 1 and 7 div 2 gt 3.4 and -1 lt OrderTotalAmount", {"F-1"}),
        ("SalesOrderNumber eq 'F-1' or SalesOrderNumber eq 'F-2' and SalesOrderName eq 'x'", {"F-1"}),
    ],
)
def test_a_filter_finds(d365: Caller, text: str, found: set[str]):
    rows = d365.rows("SalesOrderHeadersV2", filter=text, select="SalesOrderNumber")

    assert {row["SalesOrderNumber"] for row in rows} == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SalesOrderNumber in ('F-1','F-2')", "Syntax error at position 17"),
        (f"SalesOrderStatus has {ENUMS}.SalesStatus'Backorder'", "Syntax error"),
        ("SalesOrderStatus eq 'Backorder'", f"'{ENUMS}.SalesStatus' and 'Edm.String' for operator kind 'Equal'"),
        (f"SalesOrderStatus gt {ENUMS}.SalesStatus'Backorder'", "for operator kind 'GreaterThan'"),
        (f"SalesOrderStatus eq {ENUMS}.SalesStatus'Open'", "is not a valid enumeration type constant"),
        ("contains(SalesOrderName,'o')", "'contains' is not supported"),
        ("tolower(SalesOrderName) eq 'o'", "An unknown function with name 'tolower'"),
        ("SalesOrderLines/any(l:l/LineAmount gt 1)", "Syntax error"),
        ("SalesOrderLines/LineAmount gt 1", "not a single value"),
        ("RequestedShippingDate eq '2026-08-14'", "'Edm.DateTimeOffset' and 'Edm.String'"),
        ("RequestedShippingDate eq 2026-02-30T12:00:00Z", "Unrecognized 'Edm.DateTimeOffset' literal"),
        ("OrderTotalAmount eq 'x'", "'Edm.Decimal' and 'Edm.String'"),
        ("SalesOrderNumber eq", "Syntax error at position 19 in"),
        ("SalesOrderName", "must evaluate to a single boolean"),
        ("Nope eq 1", "Could not find a property named 'Nope'"),
        ("(SalesOrderNumber eq 'F-1'", "Syntax error"),
    ],
)
def test_a_filter_is_refused(d365: Caller, text: str, message: str):
    answer = d365.get("SalesOrderHeadersV2", filter=text)

    assert answer.status_code == 400
    assert message in inner_message(answer)


def test_string_functions_work_where_the_entity_takes_them(d365: Caller):
    d365.control("settings", {"string_functions": True})

    for text in (
        "contains(SalesOrderName,'tail')",
        "startswith(SalesOrderName,'Retail')",
        "endswith(SalesOrderName,'shop')",
    ):
        assert [row["SalesOrderNumber"] for row in d365.rows("SalesOrderHeadersV2", filter=text)] == ["F-2"]


def test_lines_can_be_filtered_by_their_order(d365: Caller):
    rows = d365.rows("SalesOrderLines", filter="SalesOrderHeaderV2/OrderingCustomerAccountNumber eq 'C-2'")

    assert {row["SalesOrderNumber"] for row in rows} == {"F-3"}
    assert len(rows) == 3
