"""What changes in an order that was delivered."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.delivery.records import OPPORTUNITY_ID, a_line, an_opportunity
from tieout.amendment import ChangedLine, is_amendable, order_amendment
from tieout.contract import Contract, Contracts
from tieout.errors import RecordError

NUMBER = f"T-{OPPORTUNITY_ID}"


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["sales_order"]


def test_only_measures_and_texts_that_salesforce_owns_are_ever_changed(contract: Contract) -> None:
    assert contract.lines is not None
    assert [field.name for field in contract.fields if is_amendable(field)] == ["purchase_order", "requested_ship_date"]
    assert [field.name for field in contract.lines.fields if is_amendable(field)] == [
        "quantity",
        "unit_price",
        "discount",
        "amount",
    ]


def test_a_changed_header_is_an_update_of_the_same_order_with_absolute_values(contract: Contract) -> None:
    version = datetime(2026, 3, 1, 9, tzinfo=UTC)
    opportunity = an_opportunity(PO_Number__c=None, Requested_Ship_Date__c=date(2026, 9, 1))

    change = order_amendment(
        contract, opportunity, "USMF", NUMBER, fields=["purchase_order", "requested_ship_date"], version=version
    )

    assert (change.entity, change.operation, change.business_key) == ("sales_order", "update", OPPORTUNITY_ID)
    assert (change.company, change.d365_key, change.source_version) == ("usmf", NUMBER, version)
    assert change.header == {"CustomerRequisitionNumber": "", "RequestedShippingDate": "2026-09-01T12:00:00Z"}
    assert change.lines == []


def test_a_changed_line_carries_its_amount_so_that_d365_does_not_work_it_out_again(contract: Contract) -> None:
    line = a_line(Quantity=Decimal("3.000000"), TotalPrice=Decimal("6074.982000"))

    change = order_amendment(
        contract, an_opportunity(), "usmf", NUMBER, lines=[ChangedLine("LOT-7", ("quantity",), line)]
    )

    assert change.header == {}
    assert change.lines == [
        {
            "InventoryLotId": "LOT-7",
            "CalculateLineAmount": "No",
            "OrderedSalesQuantity": 3,
            "LineAmount": Decimal("6074.982"),
        }
    ]


def test_a_discount_that_was_taken_away_becomes_the_number_that_empty_stands_for(contract: Contract) -> None:
    changed = [ChangedLine("LOT-7", ("discount",), a_line(Discount=None))]

    [line] = order_amendment(contract, an_opportunity(), "usmf", NUMBER, lines=changed).lines

    assert line["LineDiscountPercentage"] == 0


@pytest.mark.parametrize(("processing", "value"), [("stop", "Yes"), ("release", "No")])
def test_processing_is_stopped_and_released_by_one_property(contract: Contract, processing: str, value: str) -> None:
    change = order_amendment(contract, an_opportunity(), "usmf", NUMBER, processing=processing)  # type: ignore[arg-type]

    assert (change.header, change.lines) == ({"IsSalesProcessingStopped": value}, [])


@pytest.mark.parametrize("name", ["currency", "customer", "order_status", "amount"])
def test_what_an_order_is_about_is_never_changed(contract: Contract, name: str) -> None:
    with pytest.raises(RecordError, match=f"{name} of an order is never changed after delivery"):
        order_amendment(contract, an_opportunity(), "usmf", NUMBER, fields=[name])


def test_a_number_that_d365_cannot_hold_as_empty_is_refused(contract: Contract) -> None:
    with pytest.raises(RecordError, match="quantity of an order is never changed"):
        order_amendment(
            contract,
            an_opportunity(),
            "usmf",
            NUMBER,
            lines=[ChangedLine("LOT-7", ("quantity",), a_line(Quantity=None))],
        )


def test_a_change_of_nothing_is_refused(contract: Contract) -> None:
    with pytest.raises(RecordError, match="Nothing to change"):
        order_amendment(contract, an_opportunity(), "usmf", NUMBER)
