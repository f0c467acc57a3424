"""Orders one request at a time: numbers, defaults, amounts, and what the rules of D365 refuse."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_d365.environment import Caller, a_line, an_order, inner_message, parsed


def header_key(number: str) -> str:
    return f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')"


def a_header(**changes: Any) -> dict[str, Any]:
    return {"dataAreaId": "usmf", "OrderingCustomerAccountNumber": "C-1", "DefaultShippingSiteId": "1", **changes}


@pytest.fixture
def order(d365: Caller, new_number: Callable[[], str]) -> str:
    number = new_number()
    assert d365.post("SalesOrderHeadersV2", an_order(number, lines=0)[0][2]).status_code == 201
    return number


def test_the_answer_to_a_new_header_says_none_and_backorder_is_stored(d365: Caller, new_number: Callable[[], str]):
    number = new_number()

    answer = d365.post("SalesOrderHeadersV2", a_header(SalesOrderNumber=number))

    assert answer.status_code == 201
    made = answer.json()
    assert len([name for name in made if not name.startswith("@")]) == 168
    assert made["SalesOrderStatus"] == "None"
    assert made["SalesOrderProcessingStatus"] == "Active"
    assert d365.get(header_key(number)).json()["SalesOrderStatus"] == "Backorder"


def test_a_new_header_takes_what_the_customer_has(d365: Caller):
    made = d365.post("SalesOrderHeadersV2", a_header()).json()

    today = datetime.now(UTC).strftime("%Y-%m-%dT12:00:00Z")
    assert made["InvoiceCustomerAccountNumber"] == "C-1"
    assert made["CurrencyCode"] == "USD"
    assert made["SalesOrderName"] == made["DeliveryAddressName"] == "Customer C-1 of usmf"
    assert made["PaymentTermsName"] == "Net30"
    assert made["DeliveryAddressCity"] == made["InvoiceAddressCity"] == "Reno"
    assert made["FormattedDelveryAddress"] == "1 Main Street\nReno\nUSA"
    assert made["CustomerPostingProfileId"] == "GEN"
    assert made["RequestedShippingDate"] == made["RequestedReceiptDate"] == today
    assert made["ConfirmedShippingDate"] == "1900-01-01T12:00:00Z"
    assert made["OrderCreationDateTime"][:13] == datetime.now(UTC).isoformat()[:13]
    assert made["SkipCreateAutoCharges"] == "Yes"
    assert made["DeliveryAddressTimeZone"] is None
    assert made["OrderTotalAmount"] == 0
    assert made["TransportationDocumentLineId"] == "00000000-0000-0000-0000-000000000000"


def test_numbers_come_from_the_companys_sequence_and_a_refused_create_burns_one(d365: Caller):
    first = d365.post("SalesOrderHeadersV2", a_header()).json()["SalesOrderNumber"]
    header = a_header()
    # The header takes a number, then the line is refused and takes the header down with it.
    failed = d365.batch([("POST", "SalesOrderHeadersV2", header), ("POST", "SalesOrderLines", a_line("not there"))])
    assert "HTTP/1.1 400" in failed.text
    third = d365.post("SalesOrderHeadersV2", a_header()).json()["SalesOrderNumber"]

    assert first.startswith("USMF-")
    assert int(third[5:]) == int(first[5:]) + 2


def test_a_date_keeps_its_day_and_moves_to_noon(d365: Caller):
    made = d365.post("SalesOrderHeadersV2", a_header(RequestedShippingDate="2026-08-14T00:00:00Z")).json()

    assert made["RequestedShippingDate"] == "2026-08-14T12:00:00Z"


def test_a_line_takes_from_header_and_product(d365: Caller, order: str):
    made = parsed(d365.post("SalesOrderLines", {"dataAreaId": "usmf", "SalesOrderNumber": order, "ItemNumber": "BK-1"}))

    assert made["InventoryLotId"].startswith("USMF-")
    assert (made["LineNumber"], made["LineCreationSequenceNumber"]) == (1, 1)
    assert made["OrderedSalesQuantity"] == 1
    assert made["SalesPrice"] == Decimal("2024.994")
    assert made["LineAmount"] == Decimal("2024.99")
    assert (made["SalesUnitSymbol"], made["LineDescription"]) == ("ea", "Product BK-1")
    assert (made["CurrencyCode"], made["ShippingSiteId"], made["ShippingWarehouseId"]) == ("USD", "1", "11")
    second = d365.post("SalesOrderLines", a_line(order)).json()
    assert (second["LineNumber"], second["LineCreationSequenceNumber"]) == (2, 2)


@pytest.mark.parametrize(
    ("line", "amount"),
    [
        ({"CalculateLineAmount": "No", "LineAmount": Decimal("4049.50")}, "4049.5"),
        ({"CalculateLineAmount": "Yes", "LineAmount": Decimal("1.00")}, "4049.99"),
        ({"CalculateLineAmount": "Yes", "LineDiscountPercentage": Decimal("2.5")}, "3948.74"),
        (
            {"CalculateLineAmount": "Yes", "SalesPrice": 100, "LineDiscountAmount": 10, "LineDiscountPercentage": 50},
            "90",
        ),
    ],
)
def test_the_amount_is_computed_or_taken_as_given(d365: Caller, order: str, line: dict[str, Any], amount: str):
    made = parsed(d365.post("SalesOrderLines", a_line(order, **line)))

    assert made["LineAmount"] == Decimal(amount)


def test_a_changed_quantity_changes_a_computed_amount_only(d365: Caller, order: str):
    lots = [
        d365.post("SalesOrderLines", a_line(order, CalculateLineAmount=way, SalesPrice=10, LineAmount=20)).json()[
            "InventoryLotId"
        ]
        for way in ("Yes", "No")
    ]

    for lot in lots:
        key = f"SalesOrderLines(dataAreaId='usmf',InventoryLotId='{lot}')"
        assert d365.patch(key, {"OrderedSalesQuantity": 3}).status_code == 204

    rows = d365.rows("SalesOrderLines", filter=f"SalesOrderNumber eq '{order}'")
    assert [row["LineAmount"] for row in rows] == [30, 20]


@pytest.mark.parametrize(
    ("path", "row", "message"),
    [
        ("SalesOrderHeadersV2", {"OrderingCustomerAccountNumber": "X"}, "The value 'X' in field 'Customer account' is not found in the related table 'Customers'.; Warning: validateField failed on field 'SalesOrderHeaderV2Entity.OrderingCustomerAccountNumber'."),
        ("SalesOrderHeadersV2", {"CurrencyCode": "ZZZ"}, "The value 'ZZZ' in field 'Currency' is not found in the related table 'Currencies'."),
        ("SalesOrderHeadersV2", {"PaymentTermsName": "Never"}, "in field 'Terms of payment'"),
        ("SalesOrderHeadersV2", {"OrderingCustomerAccountNumber": ""}, "Field 'Customer account' must be filled in.; Warning: validateWrite failed on data source 'SalesTable (SalesTable)'."),
        ("SalesOrderHeadersV2", {"dataAreaId": "zzzz"}, "The value 'zzzz' in field 'Company'"),
        ("SalesOrderHeadersV2", {"CustomerRequisitionNumber": "x" * 21}, "has 21 characters and cannot be longer than 20"),
        ("SalesOrderHeadersV2", {"Nope": 1}, "The property 'Nope' does not exist on type 'Microsoft.Dynamics.DataEntities.SalesOrderHeaderV2'. Make sure to only use property names that are defined by the type."),
        ("SalesOrderHeadersV2", {"SalesOrderLines": []}, "The property 'SalesOrderLines' does not exist"),
        ("SalesOrderHeadersV2", {"RequestedShippingDate": "2026-08-14"}, "Cannot convert the literal '2026-08-14' to the expected type 'Edm.DateTimeOffset'"),
        ("SalesOrderHeadersV2", {"InvoiceType": "Bill"}, "Cannot convert the literal 'Bill'"),
        ("SalesOrderHeadersV2", {"TotalDiscountAmount": "12.5"}, "'IEEE754Compatible'"),
        ("SalesOrderHeadersV2", {"TotalDiscountAmount": None}, "does not allow null values"),
        ("SalesOrderLines", {"SalesOrderNumber": "X", "ItemNumber": "BK-1"}, "The value 'X' in field 'Sales order' is not found in the related table 'Sales orders'."),
        ("SalesOrderLines", {"SalesOrderNumber": "{order}", "ItemNumber": "X"}, "The value 'X' in field 'Item number' is not found in the related table 'Released products'."),
        ("SalesOrderLines", {"SalesOrderNumber": "{order}", "ItemNumber": ""}, "Field 'Item number' must be filled in."),
    ],
)  # fmt: skip
def test_a_create_is_refused_with_the_reason_inside(
    d365: Caller, order: str, path: str, row: dict[str, Any], message: str
):
    row = {name: order if value == "{order}" else value for name, value in row.items()}
    before = d365.get(f"{path}/$count").text

    answer = d365.post(path, {**(a_header() if path == "SalesOrderHeadersV2" else {"dataAreaId": "usmf"}), **row})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "An error has occurred."
    assert message in inner_message(answer)
    assert d365.get(f"{path}/$count").text == before


def test_a_number_that_is_taken_is_refused_in_either_case(d365: Caller, order: str):
    answer = d365.post("SalesOrderHeadersV2", a_header(SalesOrderNumber=order.lower()))

    assert answer.status_code == 400
    assert inner_message(answer).endswith("\nThe record already exists..")
    assert "Cannot create a record in Sales orders (SalesTable)." in inner_message(answer)


def test_older_versions_answer_500_to_the_same(d365: Caller, order: str):
    d365.control("settings", {"write_error_status": 500})

    assert d365.post("SalesOrderHeadersV2", a_header(SalesOrderNumber=order)).status_code == 500


def test_manual_numbers_can_be_forbidden(d365: Caller, new_number: Callable[[], str]):
    d365.control("settings", {"manual_sales_order_numbers": False})

    answer = d365.post("SalesOrderHeadersV2", a_header(SalesOrderNumber=new_number()))

    assert "does not allow manual numbers" in inner_message(answer)
    assert d365.post("SalesOrderHeadersV2", a_header()).status_code == 201


def test_a_line_needs_a_site_from_somewhere(d365: Caller):
    number = d365.post("SalesOrderHeadersV2", a_header(DefaultShippingSiteId="")).json()["SalesOrderNumber"]

    answer = d365.post("SalesOrderLines", a_line(number))
    assert "Inventory dimension Site is mandatory and must consequently be specified" in inner_message(answer)
    d365.control("settings", {"site_is_mandatory": False})
    assert d365.post("SalesOrderLines", a_line(number)).status_code == 201


def test_a_customer_on_hold_cannot_order(d365: Caller):
    key = "CustomersV3(dataAreaId='usmf',CustomerAccount='C-3')"
    assert d365.patch(key, {"OnHoldStatus": "All"}).status_code == 204

    answer = d365.post("SalesOrderHeadersV2", a_header(OrderingCustomerAccountNumber="C-3"))
    assert "Customer account C-3 is on hold." in inner_message(answer)
    d365.patch(key, {"OnHoldStatus": "Invoice"})
    assert d365.post("SalesOrderHeadersV2", a_header(OrderingCustomerAccountNumber="C-3")).status_code == 201
    d365.patch(key, {"OnHoldStatus": "No"})


def test_a_blocked_item_cannot_be_ordered(d365: Caller, order: str):
    d365.control("products/usmf/HL-2/block")

    answer = d365.post("SalesOrderLines", a_line(order, ItemNumber="HL-2"))

    assert "Item 'HL-2' is blocked for sales order." in inner_message(answer)
    d365.control("products/usmf/HL-2/unblock")
    assert d365.post("SalesOrderLines", a_line(order, ItemNumber="HL-2")).status_code == 201


def test_text_that_is_too_long_can_be_cut_instead(d365: Caller):
    d365.control("settings", {"long_text": "cut"})

    made = d365.post("SalesOrderHeadersV2", a_header(CustomerRequisitionNumber="x" * 25)).json()

    assert made["CustomerRequisitionNumber"] == "x" * 20


def test_a_patch_changes_what_it_names_and_nothing_read_only(d365: Caller, order: str):
    answer = d365.patch(
        header_key(order), {"dataAreaId": "usmf", "SalesOrderName": "Neuer Name 💡", "SalesOrderStatus": "Invoiced"}
    )

    assert (answer.status_code, answer.content) == (204, b"")
    row = d365.get(header_key(order)).json()
    assert row["SalesOrderName"] == "Neuer Name 💡"
    assert row["SalesOrderStatus"] == "Backorder"
    assert row["CustomersOrderReference"] == order


@pytest.mark.parametrize("verb", ["patch", "delete"])
def test_a_missing_row_and_one_of_another_company_look_alike(d365: Caller, verb: str):
    for key in (header_key("nowhere"), "CustomersV3(dataAreaId='demf',CustomerAccount='C-2')"):
        answer = d365.patch(key, {"LanguageId": "de"}) if verb == "patch" else d365.delete(key)

        assert answer.status_code == 400
        assert inner_message(answer) == "No resources were found when selecting for update."


def test_a_row_of_another_company_can_be_written_across_companies(d365: Caller):
    answer = d365.patch("CustomersV3(dataAreaId='demf',CustomerAccount='C-2')?cross-company=true", {"LanguageId": "de"})

    assert answer.status_code == 204


def test_a_stale_version_is_refused_where_versions_are_honoured(d365: Caller, order: str):
    stale = d365.get(header_key(order)).json()["@odata.etag"]
    d365.patch(header_key(order), {"SalesOrderName": "first"})
    assert d365.patch(header_key(order), {"SalesOrderName": "second"}, **{"If-Match": stale}).status_code == 204

    d365.control("settings", {"if_match_is_honoured": True})

    assert d365.patch(header_key(order), {"SalesOrderName": "third"}, **{"If-Match": stale}).status_code == 412
    assert d365.patch(header_key(order), {"SalesOrderName": "third"}, **{"If-Match": "*"}).status_code == 204


def test_another_user_may_have_been_quicker(d365: Caller, order: str):
    d365.control("faults", {"kind": "update_conflict"})

    refused = d365.patch(header_key(order), {"SalesOrderName": "x"})

    assert refused.status_code == 400
    assert "An update conflict occurred due to another user process" in inner_message(refused)
    assert d365.patch(header_key(order), {"SalesOrderName": "x"}).status_code == 204


def test_an_order_is_deleted_with_its_lines(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.batch(an_order(number, lines=2))

    assert d365.delete(header_key(number)).status_code == 204

    assert d365.get(header_key(number)).status_code == 404
    assert d365.rows("SalesOrderLines", filter=f"SalesOrderNumber eq '{number}'") == []


def test_an_order_of_another_company_than_the_default_goes_there(d365: Caller, new_number: Callable[[], str]):
    number = new_number()

    made = d365.post("SalesOrderHeadersV2", a_header(dataAreaId="DEMF", SalesOrderNumber=number)).json()

    assert (made["dataAreaId"], made["CurrencyCode"]) == ("demf", "EUR")
