"""Posting: an order goes its way, whole or in parts, and invoices come into being."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.sandbox_d365.environment import Caller, an_order


@pytest.fixture
def order(d365: Caller, new_number: Callable[[], str]) -> str:
    number = new_number()
    d365.batch(an_order(number, lines=2))
    return number


def status(d365: Caller, number: str) -> tuple[str, str, set[str]]:
    header = d365.get(f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')").json()
    lines = d365.rows("SalesOrderLines", filter=f"SalesOrderNumber eq '{number}'")
    return (
        header["SalesOrderStatus"],
        header["SalesOrderProcessingStatus"],
        {row["SalesOrderLineStatus"] for row in lines},
    )


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["confirm"], ("Backorder", "Confirmed", {"Backorder"})),
        (["confirm", "pick"], ("Backorder", "Picked", {"Backorder"})),
        (["confirm", "pick", "deliver"], ("Delivered", "Delivered", {"Delivered"})),
        (["confirm", "pick", "deliver", "invoice"], ("Invoiced", "Invoiced", {"Invoiced"})),
        (["deliver?fraction=0.5"], ("Backorder", "PartiallyDelivered", {"Backorder"})),
        (["deliver?fraction=0.5", "deliver?fraction=0.5"], ("Delivered", "Delivered", {"Delivered"})),
        (["invoice?fraction=0.25"], ("Backorder", "PartiallyInvoiced", {"Backorder"})),
        (["deliver", "invoice?fraction=0.5"], ("Delivered", "DeliveredPartiallyInvoiced", {"Delivered"})),
        (["invoice"], ("Invoiced", "Invoiced", {"Invoiced"})),
        (["cancel"], ("Canceled", "Canceled", {"Canceled"})),
    ],
)
def test_an_order_goes_its_way(d365: Caller, order: str, steps: list[str], expected: tuple[str, str, set[str]]):
    for step in steps:
        d365.control(f"orders/usmf/{order}/{step}")

    assert status(d365, order) == expected


def test_invoices_add_up_to_the_lines(d365: Caller, order: str):
    for step in ("invoice?fraction=0.5", "invoice"):
        d365.control(f"orders/usmf/{order}/{step}")

    invoices = d365.rows("SalesInvoiceHeadersV2", filter=f"SalesOrderNumber eq '{order}'")
    assert len(invoices) == 2
    assert sum(Decimal(str(row["TotalInvoiceAmount"])) for row in invoices) == Decimal("8099.98")
    assert invoices[0]["CustomersOrderReference"] == order
    header = d365.get(f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{order}')").json()
    assert header["OrderTotalAmount"] == 0
    assert header["AreTotalsCalculated"] == "No"


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        (["cancel"], "confirm"),
        (["invoice"], "deliver"),
        (["invoice"], "cancel"),
        (["deliver"], "confirm"),
        (["deliver"], "deliver"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(d365: Caller, order: str, steps: list[str], refused: str):
    for step in steps:
        d365.control(f"orders/usmf/{order}/{step}")

    answer = d365.http.post(f"{d365.process.url}/_sandbox/orders/usmf/{order}/{refused}")

    assert answer.status_code == 409
    assert order in answer.json()["error"]


def test_an_invoiced_order_can_be_renamed_but_not_deleted_or_extended(d365: Caller, order: str):
    d365.control(f"orders/usmf/{order}/invoice")
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{order}')"

    assert d365.patch(key, {"SalesOrderName": "other"}).status_code == 204
    assert d365.delete(key).status_code == 400
    assert d365.post("SalesOrderLines", {"SalesOrderNumber": order, "ItemNumber": "BK-1"}).status_code == 400


def test_a_customer_on_hold_for_invoices_is_delivered_but_not_invoiced(d365: Caller, order: str):
    key = "CustomersV3(dataAreaId='usmf',CustomerAccount='C-1')"
    d365.patch(key, {"OnHoldStatus": "Invoice"})

    d365.control(f"orders/usmf/{order}/deliver")
    answer = d365.http.post(f"{d365.process.url}/_sandbox/orders/usmf/{order}/invoice")

    assert answer.status_code == 409
    d365.patch(key, {"OnHoldStatus": "No"})


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("orders/usmf/nowhere/confirm", 404),
        ("orders/usmf/{order}/dance", 400),
        ("orders/usmf/{order}/deliver?fraction=2", 400),
    ],
)
def test_a_wrong_call_is_told_so(d365: Caller, order: str, path: str, code: int):
    answer = d365.http.post(f"{d365.process.url}/_sandbox/{path.format(order=order)}")

    assert answer.status_code == code
    assert answer.json()["error"]
