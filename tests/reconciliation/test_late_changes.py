"""What is due for orders whose opportunity changed after delivery, and what their breaks say."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.reconciliation.books import DURING, Books, Compared, compared, line_id, opportunity_id, with_policy
from tieout.breaks import Break, Cause, DeliveryNote, breaks_of
from tieout.reconciliation import (
    LateChange,
    differences_to_look_at,
    late_changes,
    late_notes,
    orders_to_deliver,
    verdicts_to_look_at,
)

ORDER = ("d365", "sales_order")
LINE = ("salesforce", "opportunity_line")
OPPORTUNITY = ("salesforce", "opportunity")
Write = Callable[[Books], object]


def judged(write: Write, **policy: str) -> Compared:
    result = compared(write)
    result.contracts = with_policy(**(policy or {"changed": "amend", "lost": "stop"}))
    assert result.orders is not None
    return result


def due(write: Write, **policy: str) -> list[LateChange]:
    result = judged(write, **policy)
    return list(late_changes(result.con, result.contracts))


def breaks(write: Write, notes: dict[Any, DeliveryNote] | None = None, **policy: str) -> dict[str, Break]:
    """The breaks by subject."""
    result = judged(write, **policy)
    found: list[Break] = []
    for entity in ("sales_order", "sales_order_line"):
        differences = differences_to_look_at(result.con, "sales_order_difference") if entity == "sales_order" else ()
        verdicts = verdicts_to_look_at(result.con, f"{entity}_verdict")
        found += breaks_of(list(verdicts), list(differences), notes or {}, late_notes(result.con, result.contracts))
    return {one.subject: one for one in found}


def changed_quantity(books: Books) -> None:
    """Three pieces instead of two, on the line and on the opportunity."""
    books.agree()
    books.rows[LINE][0] |= {"Quantity": "3", "TotalPrice": "30.00", "SystemModstamp": "2026-03-01T09:00:00.000Z"}
    books.rows[OPPORTUNITY][0]["Amount"] = "30.00"


def lost(books: Books) -> None:
    books.agree()
    books.rows[OPPORTUNITY][0]["StageName"] = "Closed Lost"


def set_order(write: Write, **values: str | None) -> Write:
    def both(books: Books) -> None:
        write(books)
        books.rows[ORDER][0] |= values

    return both


def test_a_changed_line_is_due_with_the_lot_the_fields_and_the_newest_version():
    (change,) = due(changed_quantity)

    assert (change.salesforce_id, change.company, change.order_number) == (
        opportunity_id(1), "usmf", f"T-{opportunity_id(1)}",
    )  # fmt: skip
    assert (change.fields, change.processing) == ((), None)
    assert [(line.lot, line.fields) for line in change.lines] == [("LOT-1-1", ("amount", "quantity"))]
    assert change.lines[0].line["Quantity"] == Decimal(3)
    assert change.version == datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_changed_header_fields_are_due_and_equal_ones_are_not():
    def write(books: Books) -> None:
        books.agree()
        books.rows[OPPORTUNITY][0] |= {"PO_Number__c": None, "Requested_Ship_Date__c": "2026-05-01"}

    (change,) = due(write)
    assert change.fields == ("purchase_order", "requested_ship_date")
    assert change.lines == ()
    assert change.opportunity["PO_Number__c"] is None


def test_nothing_is_due_where_the_contract_only_reports():
    assert due(changed_quantity, changed="report", lost="stop") == []
    assert due(lost, changed="amend", lost="report") == []
    assert due(changed_quantity, changed="report") == due(lost, lost="report") == []


def test_nothing_is_due_where_the_sides_agree():
    assert due(lambda books: books.agree()) == []


@pytest.mark.parametrize("processing", ["Active", "Confirmed"])
def test_an_order_is_amended_and_stopped_while_nothing_of_it_is_posted(processing):
    status = {"SalesOrderStatus": "Backorder", "SalesOrderProcessingStatus": processing}

    assert len(due(set_order(changed_quantity, **status))) == 1
    assert [change.processing for change in due(set_order(lost, **status))] == ["stop"]


@pytest.mark.parametrize(
    ("header", "processing", "told"),
    [
        ("Backorder", "Picked", "the order is picked"),
        ("Backorder", "PartiallyDelivered", "the order is partially delivered"),
        ("Delivered", "Delivered", "the order is delivered"),
        ("Invoiced", "Invoiced", "the order is invoiced"),
    ],
)
def test_an_order_of_which_something_is_posted_is_left_and_the_break_says_so(header, processing, told):
    status = {"SalesOrderStatus": header, "SalesOrderProcessingStatus": processing}

    assert due(set_order(changed_quantity, **status)) == []
    assert due(set_order(lost, **status)) == []
    amount = breaks(set_order(changed_quantity, **status))["amount"]
    assert (amount.cause, amount.detail) == (Cause.VALUE_DIFFERS, f"the order is not amended: {told}")
    not_won = breaks(set_order(lost, **status))["differs"]
    assert (not_won.cause, not_won.detail) == (
        Cause.NOT_WON,
        f"the opportunity is not won: it is not stopped, because {told}",
    )


def test_an_order_with_an_added_line_is_not_amended_at_all():
    def write(books: Books) -> None:
        changed_quantity(books)
        books.line(1, 2, TotalPrice="5.00", UnitPrice="5.00", Quantity="1")
        books.rows[OPPORTUNITY][0]["Amount"] = "35.00"

    assert due(write) == []
    found = breaks(write)
    assert found["amount"].detail == "the order is not amended: lines were added or removed"
    assert found["line.quantity"].detail == "the order is not amended: lines were added or removed"
    assert found["only_in_salesforce"].cause is Cause.LINE_DIFFERS
    assert "would be there twice" in found["only_in_salesforce"].detail


def test_an_order_with_a_removed_line_is_not_amended_at_all():
    def write(books: Books) -> None:
        changed_quantity(books)
        books.line(1, 2, IsDeleted="true")
        books.order_line(1, 2)

    assert due(write) == []


@pytest.mark.parametrize(
    ("table", "column", "value", "told"),
    [
        (OPPORTUNITY, "CurrencyIsoCode", "EUR", "currency"),
        (OPPORTUNITY, "AccountId", "001A00000000009AAA", "customer"),
        (LINE, "ProductCode", "BK-2", "line.product"),
    ],
)
def test_an_order_that_would_become_another_one_is_left_as_a_whole(table, column, value, told):
    def write(books: Books) -> None:
        changed_quantity(books)
        books.account(9)
        books.rows[table][0][column] = value

    assert due(write) == []
    assert breaks(write)["amount"].detail == f"the order is not amended: Tieout never changes {told} of an order"


def test_lines_that_do_not_add_up_to_the_opportunity_are_not_sent():
    def write(books: Books) -> None:
        changed_quantity(books)
        books.rows[OPPORTUNITY][0]["Amount"] = "31.00"

    assert due(write) == []
    assert "do not add up" in breaks(write)["amount"].detail


def test_differences_within_the_tolerance_of_each_line_are_told_and_not_sent():
    def write(books: Books) -> None:
        books.agree()
        for line in (2, 3):
            books.line(1, line)
            books.order_line(1, line)
        for row in books.rows[LINE]:
            row["TotalPrice"] = "20.01"
        books.rows[OPPORTUNITY][0]["Amount"] = "60.03"

    assert due(write) == []
    assert breaks(write)["amount"].detail == "the order is not amended: no line differs by more than its tolerance"


def test_an_order_that_tieout_did_not_make_is_left_alone():
    def entered_by_hand(write: Write) -> Write:
        def both(books: Books) -> None:
            write(books)
            books.rows[ORDER][0] |= {"SalesOrderNumber": "SO-1", "CustomersOrderReference": None}
            books.rows["d365", "sales_order_line"][0]["SalesOrderNumber"] = "SO-1"
            books.rows[OPPORTUNITY][0]["ERP_Order_Number__c"] = "usmf/SO-1"

        return both

    assert due(entered_by_hand(changed_quantity)) == []
    assert due(entered_by_hand(lost)) == []
    assert "Tieout did not make it" in breaks(entered_by_hand(lost))["differs"].detail


def test_damage_in_salesforce_is_not_carried_over_by_an_amendment():
    def write(books: Books) -> None:
        changed_quantity(books)
        books.rows[OPPORTUNITY][0]["PO_Number__c"] = "Caf‚ V‚lo"
        books.rows[ORDER][0]["CustomerRequisitionNumber"] = "Café Vélo"

    (change,) = due(write)
    assert change.fields == ()
    assert len(change.lines) == 1


def test_nothing_is_due_that_changed_while_it_was_read():
    def write(books: Books) -> None:
        changed_quantity(books)
        books.rows[LINE][0]["SystemModstamp"] = DURING

    assert due(write) == []


@pytest.mark.parametrize("stage", ["Closed Lost", "Prospecting"])
def test_a_lost_or_reopened_opportunity_stops_its_order(stage):
    def write(books: Books) -> None:
        lost(books)
        books.rows[OPPORTUNITY][0]["StageName"] = stage

    (change,) = due(write)
    assert (change.processing, change.fields, change.lines) == ("stop", (), ())
    assert breaks(write)["differs"].detail == "the opportunity is not won: its processing is being stopped in D365"


def test_a_deleted_opportunity_stops_the_order_that_names_it():
    def write(books: Books) -> None:
        books.agree()
        books.rows[OPPORTUNITY][0]["IsDeleted"] = "true"
        books.rows[LINE][0]["IsDeleted"] = "true"

    (change,) = due(write)
    assert (change.salesforce_id, change.processing) == (opportunity_id(1), "stop")
    found = breaks(write)["only_in_d365"]
    assert found.cause is Cause.DELETED_IN_SALESFORCE
    assert found.detail.endswith(": its processing is being stopped in D365")


def test_an_order_that_is_stopped_is_not_stopped_again_and_the_break_says_that_it_is():
    stopped = set_order(lost, IsSalesProcessingStopped="Yes")

    assert due(stopped) == []
    assert breaks(stopped)["differs"].detail == "the opportunity is not won: its processing is stopped in D365"


def test_a_canceled_order_of_a_lost_opportunity_is_nobodys_business():
    assert due(set_order(lost, SalesOrderStatus="Canceled")) == []


def test_a_stopped_order_is_released_when_its_opportunity_is_won_again_in_one_step_with_what_changed():
    agreed = set_order(lambda books: books.agree(), IsSalesProcessingStopped="Yes")
    changed = set_order(changed_quantity, IsSalesProcessingStopped="Yes")

    assert [(change.processing, change.lines) for change in due(agreed)] == [("release", ())]
    assert [(change.processing, len(change.lines)) for change in due(changed)] == [("release", 1)]


def test_a_won_opportunity_that_was_lost_meanwhile_makes_no_second_order_due():
    for write in (lost, set_order(lost, IsSalesProcessingStopped="Yes"), changed_quantity):
        result = judged(write)
        assert list(orders_to_deliver(result.con, result.contracts)) == []


def test_a_difference_that_is_amended_settles_by_itself_unless_d365_refuses():
    key = ("sales_order", "update", opportunity_id(1))

    pending = breaks(changed_quantity)
    assert {one.cause for one in pending.values()} == {Cause.WRITE_PENDING}
    refused = breaks(changed_quantity, {key: DeliveryNote("rejected", "The line is locked.")})
    assert {(one.cause, one.detail) for one in refused.values()} == {(Cause.DELIVERY_REJECTED, "The line is locked.")}


def test_a_difference_that_is_only_reported_says_that_the_order_is_there():
    found = breaks(changed_quantity, changed="report")

    assert {one.cause for one in found.values()} == {Cause.VALUE_DIFFERS}
    assert {one.detail for one in found.values()} == {
        "the order is there, and by the contract a later change of its opportunity is only reported"
    }


def test_each_opportunity_has_a_change_of_its_own():
    def write(books: Books) -> None:
        for number in (1, 2, 3):
            books.agree(number)
        books.rows[LINE][1] |= {"Quantity": "3", "TotalPrice": "30.00"}
        books.rows[OPPORTUNITY][1]["Amount"] = "30.00"
        books.rows[OPPORTUNITY][2]["StageName"] = "Closed Lost"

    changes = {change.salesforce_id: change for change in due(write)}
    assert set(changes) == {opportunity_id(2), opportunity_id(3)}
    assert [line.line["Id"] for line in changes[opportunity_id(2)].lines] == [line_id(2, 1)]
    assert changes[opportunity_id(3)].processing == "stop"
