"""What a sales order is made of, and whether one that was found is ours."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.delivery.records import OPPORTUNITY_ID, PRODUCT_ID, a_line, an_opportunity
from tieout.contract import Contract, Contracts
from tieout.errors import RecordError
from tieout.intended import IntendedWrite
from tieout.odata import json_body
from tieout.order import line_numbers, order_amount, order_differences, order_write

UNITS = {PRODUCT_ID: {"unit": "Each"}}
NUMBER = f"T-{OPPORTUNITY_ID}"


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["sales_order"]


@pytest.fixture
def write(contract: Contract) -> Callable[..., IntendedWrite]:
    def make(*lines: dict[str, object], **opportunity: object) -> IntendedWrite:
        return order_write(contract, an_opportunity(**opportunity), list(lines) or [a_line()], "US-001", UNITS)

    return make


def test_a_won_opportunity_becomes_an_order_under_our_own_number(write: Callable[..., IntendedWrite]) -> None:
    order = write()

    assert (order.operation, order.business_key, order.company, order.d365_key) == (
        "create",
        OPPORTUNITY_ID,
        "usmf",
        NUMBER,
    )
    assert order.header == {
        "dataAreaId": "usmf",
        "SalesOrderNumber": NUMBER,
        "DefaultShippingSiteId": "1",
        "DefaultShippingWarehouseId": "11",
        "CustomersOrderReference": OPPORTUNITY_ID,
        "OrderingCustomerAccountNumber": "US-001",
        "InvoiceCustomerAccountNumber": "US-001",
        "CurrencyCode": "USD",
        "CustomerRequisitionNumber": "PO-17",
        "RequestedShippingDate": "2026-08-14T12:00:00Z",
    }


def test_a_line_carries_price_and_amount_to_the_last_digit(write: Callable[..., IntendedWrite]) -> None:
    [line] = write().lines

    assert line == {
        "dataAreaId": "usmf",
        "SalesOrderNumber": NUMBER,
        "CalculateLineAmount": "No",
        "OrderLineReference": "00k5g00000Line1AAA",
        "CustomersLineNumber": 1,
        "ItemNumber": "1000",
        "OrderedSalesQuantity": 2,
        "SalesUnitSymbol": "ea",
        "SalesPrice": Decimal("2024.994"),
        "LineDiscountPercentage": 0,
        "LineAmount": Decimal("4049.988"),
    }
    assert b'"SalesPrice":2024.994,' in json_body(line)
    assert b'"OrderedSalesQuantity":2,' in json_body(line)


def test_the_version_of_an_order_is_the_newest_of_its_opportunity_and_lines(
    write: Callable[..., IntendedWrite],
) -> None:
    def at(hour: int) -> datetime:
        return datetime(2026, 3, 1, hour, tzinfo=UTC)

    lines = [a_line(number, SystemModstamp=at(hour)) for number, hour in ((1, 9), (2, 11))]

    assert write(*lines, SystemModstamp=at(10)).source_version == at(11)
    assert write(*lines, SystemModstamp=at(12)).source_version == at(12)


def test_what_salesforce_leaves_empty_is_left_to_d365(write: Callable[..., IntendedWrite]) -> None:
    order = write(a_line(Product2Id="unknown"), PO_Number__c=None, Requested_Ship_Date__c=None)

    assert "CustomerRequisitionNumber" not in order.header
    assert "RequestedShippingDate" not in order.header
    assert "SalesUnitSymbol" not in order.lines[0]


def test_the_same_opportunity_makes_the_same_write_and_a_changed_one_does_not(
    write: Callable[..., IntendedWrite],
) -> None:
    assert write().fingerprint == write().fingerprint
    assert write().fingerprint != write(a_line(Quantity=Decimal(3))).fingerprint
    assert write(a_line(1), a_line(2)).fingerprint == write(a_line(2), a_line(1)).fingerprint


@pytest.mark.parametrize(
    ("orders", "numbers"),
    [([3, 1, 2], [3, 1, 2]), ([10, 20], [10, 20]), ([1, 1], [1, 2]), ([None, 5], [2, 1]), ([None, None], [1, 2])],
)
def test_a_line_number_is_the_sort_order_or_where_that_is_no_number_the_position(
    orders: list[int | None], numbers: list[int]
) -> None:
    lines = [{"Id": f"line {at}", "SortOrder": order} for at, order in enumerate(orders)]

    assert line_numbers(lines) == numbers


def test_what_cannot_become_an_order_is_refused_with_the_way_out(
    contract: Contract, write: Callable[..., IntendedWrite]
) -> None:
    with pytest.raises(RecordError, match=r"names no company\. Fill ERP_Company__c"):
        write(ERP_Company__c=None)
    with pytest.raises(RecordError, match="has no lines"):
        order_write(contract, an_opportunity(), [], "US-001", UNITS)
    with pytest.raises(RecordError, match="18-character"):
        write(Id="0065g00000AbCdE")


def found(order: IntendedWrite, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The order as D365 gives it back: lower-case company, padded decimals."""
    lines = [dict(line) | {"OrderedSalesQuantity": Decimal("2.000")} for line in order.lines]
    return dict(order.header) | changes, lines


def test_an_order_that_holds_what_we_sent_is_ours(contract: Contract, write: Callable[..., IntendedWrite]) -> None:
    order = write()

    assert (
        order_differences(contract, order.header, order.lines, *found(order, OrderingCustomerAccountNumber="us-001"))
        == []
    )


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"CustomersOrderReference": "WEB-1"}, f"CustomersOrderReference is 'WEB-1', not '{OPPORTUNITY_ID}'"),
        ({"OrderingCustomerAccountNumber": "US-002"}, "OrderingCustomerAccountNumber is 'US-002', not 'US-001'"),
        ({"CurrencyCode": "EUR"}, "CurrencyCode is 'EUR', not 'USD'"),
    ],
)
def test_an_order_of_somebody_else_is_told_by_its_header(
    contract: Contract, write: Callable[..., IntendedWrite], changes: dict[str, str], difference: str
) -> None:
    order = write()

    assert order_differences(contract, order.header, order.lines, *found(order, **changes)) == [difference]


def test_an_order_with_other_lines_is_not_ours(contract: Contract, write: Callable[..., IntendedWrite]) -> None:
    order = write()
    header, [line] = found(order)

    assert order_differences(contract, order.header, order.lines, header, []) == ["it has 0 lines, not 1"]
    more = order_differences(contract, order.header, order.lines, header, [line | {"OrderedSalesQuantity": Decimal(5)}])
    assert more == ["line 1: OrderedSalesQuantity is Decimal('5'), not Decimal('2')"]
    other = order_differences(contract, order.header, order.lines, header, [line | {"CustomersLineNumber": 7}])
    assert other == ["line 1 is missing"]


def test_the_amount_of_an_order_is_the_sum_of_its_lines(contract: Contract) -> None:
    assert order_amount(contract, [{"LineAmount": Decimal("0.10")}, {"LineAmount": Decimal("0.20")}]) == Decimal("0.30")
