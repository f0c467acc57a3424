"""Orders and opportunities that belong together, but not one to one."""

from decimal import Decimal

import pytest

from tests.reconciliation.books import DURING, Books, Compared, compared, line_id, opportunity_id, with_policy
from tieout.breaks import Break, breaks_of, causes_by_record
from tieout.reconciliation import (
    Reason,
    differences_to_look_at,
    explain,
    late_changes,
    orders_to_deliver,
    verdicts_to_look_at,
)

FIRST = f"T-{opportunity_id(1)}"
TWO_ORDERS = "delivered as 2 orders"
_OF_THE_HEADER = {
    "CustomersOrderReference",
    "CustomerRequisitionNumber",
    "CurrencyCode",
    "dataAreaId",
    "OrderCreationDateTime",
    "SalesOrderStatus",
}


def sold(books: Books, number: int = 1, quantity: int = 10, **changes: str | None) -> None:
    """An opportunity of one line: so many bikes for 10 each."""
    books.opportunity(number, f"{quantity * 10}.00", **changes)
    books.line(number, Quantity=str(quantity), TotalPrice=f"{quantity * 10}.00")


def ordered(books: Books, order: str, quantity: int, line: int = 1, number: int = 1, **changes: str | None) -> None:
    """An order with one line of so many bikes, of the opportunity `number` by its reference."""
    header = {name: changes.pop(name) for name in _OF_THE_HEADER & changes.keys()}
    books.order(number, SalesOrderNumber=order, **header)
    order_line(books, order, quantity, line, number, **changes)


def order_line(
    books: Books, order: str, quantity: int, line: int = 1, number: int = 1, of: int = 1, **changes: str | None
) -> None:
    values = {
        "SalesOrderNumber": order, "InventoryLotId": f"{order}-{line}", "OrderedSalesQuantity": str(quantity),
        "LineAmount": str(quantity * 10), "OrderLineReference": line_id(number, of),
    }  # fmt: skip
    books.order_line(number, line, **values | changes)


def verdicts(result: Compared) -> list[tuple[str | None, ...]]:
    return result.rows(
        "SELECT verdict, salesforce_key, d365_key, reason FROM sales_order_verdict ORDER BY d365_key, salesforce_key"
    )


def counted(result: Compared) -> list[tuple[str, int]]:
    return result.rows("SELECT verdict, count(*) FROM sales_order_verdict GROUP BY verdict ORDER BY verdict")


def lines(result: Compared) -> list[tuple[str | None, ...]]:
    return result.rows(
        "SELECT verdict, salesforce_key, d365_key FROM sales_order_line_verdict ORDER BY d365_key, salesforce_key"
    )


def breaks(result: Compared) -> list[Break]:
    assert result.orders
    found = list(verdicts_to_look_at(result.con, "sales_order_verdict"))
    differences = list(differences_to_look_at(result.con, "sales_order_difference"))
    of_lines = list(verdicts_to_look_at(result.con, "sales_order_line_verdict"))
    return [*breaks_of(found, differences, {}), *breaks_of(of_lines, (), {})]


def told(result: Compared) -> list[tuple[str, str | None, str | None]]:
    return [(one.subject, one.salesforce_value, one.d365_value) for one in breaks(result)]


def delivered_again(result: Compared) -> list[str]:
    assert result.customers
    assert result.orders
    return [one.salesforce_id for one in orders_to_deliver(result.con, result.contracts)]


def bridge(result: Compared) -> list[tuple[object, ...]]:
    explain(result.con, causes_by_record(breaks(result)))
    return result.rows("SELECT month, verdict, cause, records, salesforce, d365 FROM tie_out_bridge ORDER BY ALL")


# One opportunity, several orders.


@pytest.mark.parametrize("is_linked", [True, False], ids=["one of them linked", "none of them linked"])
@pytest.mark.parametrize("names_lines", [True, False], ids=["lines named", "lines not named"])
def test_an_opportunity_of_100_that_went_out_as_60_and_40_is_matched(is_linked, names_lines):
    def write(books: Books) -> None:
        sold(books)
        reference = {} if names_lines else {"OrderLineReference": ""}
        ordered(books, FIRST if is_linked else "SO-1", 6, **reference)
        ordered(books, "SO-2", 4, **reference)

    result = compared(write)
    assert counted(result) == [("matched", 2)]
    assert {row[3] for row in verdicts(result)} == {TWO_ORDERS}
    assert {(row[0], row[1]) for row in lines(result)} == {("matched", line_id(1, 1))}
    assert told(result) == []
    assert delivered_again(result) == []
    assert bridge(result) == [("2026-03", "matched", "within_tolerance", 2, 100, 100)]
    assert result.rows("SELECT DISTINCT group_key FROM sales_order_verdict") == [(opportunity_id(1),)]


def test_an_order_that_only_its_lines_join_to_the_opportunity_is_a_part_of_it():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4, CustomersOrderReference="by telephone")

    assert counted(compared(write)) == [("matched", 2)]


def test_an_opportunity_of_two_lines_that_went_out_line_by_line_is_matched():
    def write(books: Books) -> None:
        books.opportunity(1, "100.00")
        for line, quantity in ((1, 6), (2, 4)):
            books.line(1, line, Quantity=str(quantity), TotalPrice=f"{quantity}0.00")
        ordered(books, FIRST, 6, OrderLineReference="")
        # D365 counts the lines of each order for itself.
        ordered(books, "SO-2", 4, CustomersLineNumber="2", OrderLineReference="")

    result = compared(write)
    assert counted(result) == [("matched", 2)]
    assert lines(result) == [
        ("matched", line_id(1, 2), "SO-2-1"),
        ("matched", line_id(1, 1), f"{FIRST}-1"),
    ]


def test_orders_that_are_off_by_less_than_the_tolerance_are_matched_and_by_more_are_not():
    for amount, expected in (("40.01", "matched"), ("40.02", "differs")):
        result = compared(
            lambda books, amount=amount: (
                sold(books),
                ordered(books, FIRST, 6),
                ordered(books, "SO-2", 4, LineAmount=amount),
            )
        )
        assert counted(result) == [(expected, 2)], amount


def test_orders_that_do_not_come_to_the_whole_differ_as_one_break_with_both_sums():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 5)

    result = compared(write)
    assert {row[0] for row in verdicts(result)} == {"differs"}
    # The line says the same of its parts.
    assert sorted(told(result)) == [
        ("amount", "100", "110"),
        ("line.amount", "100", "110"),
        ("line.quantity", "10", "11"),
    ]
    assert {one.detail for one in breaks(result)} == {TWO_ORDERS, Reason.SPLIT_LINE}
    assert delivered_again(result) == []
    assert bridge(result) == [("2026-03", "differs", "value_differs", 2, 100, 110)]


def test_a_second_order_that_repeats_the_whole_is_a_duplicate():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        ordered(books, "SO-2", 10)

    result = compared(write)
    assert verdicts(result) == [
        ("duplicate", None, "SO-2", Reason.SECOND_ORDER),
        ("matched", opportunity_id(1), FIRST, None),
    ]


def test_a_second_order_that_only_its_lines_join_is_a_duplicate_too():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        ordered(books, "SO-2", 10, CustomersOrderReference="")

    assert verdicts(compared(write))[0] == ("duplicate", None, "SO-2", Reason.SECOND_ORDER)


def test_a_duplicate_beside_a_split_is_told_apart_from_the_parts():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4)
        ordered(books, "SO-3", 10)

    result = compared(write)
    assert verdicts(result) == [
        ("matched", opportunity_id(1), "SO-2", TWO_ORDERS),
        ("duplicate", None, "SO-3", Reason.SECOND_ORDER),
        ("matched", opportunity_id(1), FIRST, TWO_ORDERS),
    ]
    assert result.rows("SELECT salesforce, d365 FROM tie_out") == [(100, 200)]


def test_a_free_delivery_that_is_repeated_is_a_duplicate_though_the_amounts_agree():
    def write(books: Books) -> None:
        books.opportunity(1, "0.00")
        books.line(1, Quantity="10", UnitPrice="0", TotalPrice="0")
        for order in (FIRST, "SO-2"):
            ordered(books, order, 10, SalesPrice="0", LineAmount="0")

    assert counted(compared(write)) == [("duplicate", 1), ("matched", 1)]


def test_a_replacement_of_everything_that_costs_nothing_is_a_duplicate_though_the_amounts_agree():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        ordered(books, "SO-2", 10, SalesPrice="0", LineAmount="0")

    assert counted(compared(write)) == [("duplicate", 1), ("matched", 1)]


def test_orders_that_agree_in_amount_and_not_in_quantity_differ_in_the_line():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 5, SalesPrice="8", LineAmount="40")

    assert sorted(told(compared(write))) == [("line.quantity", "10", "11"), ("line.unit_price", "10", "8")]


def test_an_order_of_another_company_is_no_part():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4)
        ordered(books, "SO-3", 4, dataAreaId="frrt")
        books.rows["d365", "sales_order_line"][-1]["dataAreaId"] = "frrt"

    assert counted(compared(write)) == [("duplicate", 1), ("matched", 2)]


def test_two_orders_that_both_have_the_whole_and_neither_is_linked_stay_undecided():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, "SO-1", 10)
        ordered(books, "SO-2", 10)

    result = compared(write)
    assert counted(result) == [("only_in_d365", 2), ("only_in_salesforce", 1)]
    assert {row[3] for row in verdicts(result)} == {Reason.LINK_AMBIGUOUS}
    assert delivered_again(result) == []


def test_an_order_without_lines_delivers_nothing_and_is_no_part():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        books.order(1, SalesOrderNumber="SO-2")

    assert counted(compared(write)) == [("duplicate", 1), ("matched", 1)]


def test_a_canceled_order_is_no_part():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4)
        ordered(books, "SO-3", 5, SalesOrderStatus="Canceled")

    assert counted(compared(write)) == [("matched", 2)]


def test_orders_in_two_currencies_are_not_added_up():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4, CurrencyCode="EUR")

    result = compared(write)
    assert counted(result) == [("differs", 1), ("duplicate", 1)]
    assert result.rows("SELECT currency, salesforce, d365 FROM tie_out") == [("EUR", 0, 40), ("USD", 100, 60)]


def test_the_other_fields_are_compared_member_by_member_with_a_break_of_its_own_each():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6, CustomerRequisitionNumber="PO-1-A")
        ordered(books, "SO-2", 4, CustomerRequisitionNumber="PO-1-B")

    result = compared(write)
    found = breaks(result)
    assert [(one.subject, one.d365_key, one.d365_value) for one in found] == [
        ("purchase_order", "SO-2", "PO-1-B"),
        ("purchase_order", FIRST, "PO-1-A"),
    ]
    assert len({one.identity for one in found}) == 2
    # The money of the group agrees, whatever else differs.
    assert [row[3:] for row in bridge(result)] == [(2, 100, 100)]


def test_the_money_of_a_group_is_one_part_of_the_bridge_though_one_member_differs_in_a_text():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 4, CustomerRequisitionNumber="PO-1-B")

    result = compared(write)
    assert counted(result) == [("differs", 1), ("matched", 1)]
    assert bridge(result) == [("2026-03", "differs", "value_differs", 2, 100, 100)]


def test_a_group_of_which_one_member_was_changed_during_the_reads_is_in_flight_as_a_whole():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        ordered(books, "SO-2", 5, OrderCreationDateTime=DURING)

    result = compared(write)
    assert counted(result) == [("in_flight", 2)]
    assert told(result) == []
    assert bridge(result) == [("2026-03", "in_flight", "in_flight", 2, 100, 110)]


def test_a_group_is_never_amended():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6, SalesPrice="11")
        ordered(books, "SO-2", 5)

    result = compared(write)
    assert result.orders
    assert list(late_changes(result.con, with_policy(changed="amend", lost="stop"))) == []


# Several opportunities, one order.


def two_on_one(books: Books, first: int = 6, second: int = 4, **changes: str | None) -> None:
    """Two opportunities whose lines are on one order, which names the first."""
    sold(books, 1, 6)
    sold(books, 2, 4, **changes)
    ordered(books, FIRST, first)
    order_line(books, FIRST, second, line=2, number=2)
    for row in books.rows["d365", "sales_order"]:
        row["CustomerRequisitionNumber"] = "PO-1"


def test_two_opportunities_on_one_order_are_matched_and_neither_is_delivered_again():
    result = compared(lambda books: two_on_one(books, PO_Number__c="PO-1"))
    assert verdicts(result) == [
        ("matched", opportunity_id(1), FIRST, "2 opportunities on one order"),
        ("matched", opportunity_id(2), FIRST, "2 opportunities on one order"),
    ]
    assert {row[0] for row in lines(result)} == {"matched"}
    assert delivered_again(result) == []
    assert bridge(result) == [("2026-03", "matched", "within_tolerance", 2, 100, 100)]


def test_a_group_counts_in_the_month_of_its_earliest_opportunity():
    result = compared(lambda books: two_on_one(books, PO_Number__c="PO-1", CloseDate="2026-02-27"))
    assert bridge(result) == [("2026-02", "matched", "within_tolerance", 2, 100, 100)]


def test_two_opportunities_whose_order_is_short_differ_once():
    result = compared(lambda books: two_on_one(books, second=3, PO_Number__c="PO-1"))
    assert counted(result) == [("differs", 2)]
    found = [one for one in breaks(result) if one.subject == "amount"]
    assert [(one.salesforce_value, one.d365_value, one.amount) for one in found] == [("100", "90", Decimal(10))]


def test_two_opportunities_with_one_stored_link_are_matched_where_the_order_has_both():
    def write(books: Books) -> None:
        for number, quantity in ((1, 6), (2, 4)):
            sold(books, number, quantity, ERP_Order_Number__c="usmf/SO-1", PO_Number__c="PO-1")
        ordered(books, "SO-1", 6, CustomersOrderReference="")
        order_line(books, "SO-1", 4, line=2, number=2)

    result = compared(write)
    assert counted(result) == [("matched", 2)]
    assert delivered_again(result) == []


def test_a_cloned_opportunity_with_the_link_of_its_model_is_not_joined_to_it():
    def write(books: Books) -> None:
        sold(books, 1, ERP_Order_Number__c="usmf/SO-1")
        sold(books, 2, ERP_Order_Number__c="usmf/SO-1")
        ordered(books, "SO-1", 10)

    result = compared(write)
    assert {row[3] for row in verdicts(result)} == {Reason.LINK_AMBIGUOUS}
    assert delivered_again(result) == []


def test_a_stored_link_that_is_wrong_does_not_make_one_of_two_pairs_that_differ():
    """Together, the two pairs would come to the whole."""

    def write(books: Books) -> None:
        sold(books, 1, 10, ERP_Order_Number__c=f"usmf/T-{opportunity_id(2)}")
        sold(books, 2, 6)
        books.known("sales_order", opportunity_id(1), "usmf", FIRST)
        ordered(books, FIRST, 6, number=1)
        ordered(books, f"T-{opportunity_id(2)}", 10, number=2)

    result = compared(write)
    assert counted(result) == [("differs", 2)]
    assert result.rows("SELECT count(*) FROM sales_order_verdict WHERE group_key IS NOT NULL") == [(0,)]


def test_two_pairs_that_agree_stay_two_though_one_order_names_the_other_opportunity():
    def write(books: Books) -> None:
        sold(books, 1, 10)
        sold(books, 2, 6)
        for number, quantity in ((1, 10), (2, 6)):
            books.known("sales_order", opportunity_id(number), "usmf", f"SO-{number}")
            ordered(books, f"SO-{number}", quantity, number=number)
        books.rows["d365", "sales_order"][0]["CustomersOrderReference"] = opportunity_id(2)

    result = compared(write)
    assert verdicts(result) == [
        ("matched", opportunity_id(1), "SO-1", None),
        ("matched", opportunity_id(2), "SO-2", None),
    ]


def test_one_purchase_order_number_joins_nothing():
    def write(books: Books) -> None:
        for number, quantity in ((1, 6), (2, 4)):
            sold(books, number, quantity, PO_Number__c="PO-7")
        ordered(books, "SO-1", 10, CustomersOrderReference="", OrderLineReference="", CustomerRequisitionNumber="PO-7")

    result = compared(write)
    assert counted(result) == [("only_in_d365", 1), ("only_in_salesforce", 2)]
    assert len(delivered_again(result)) == 2


def test_opportunities_and_orders_are_joined_along_a_chain_of_any_length():
    members = 40

    def write(books: Books) -> None:
        # Each order has six of its own opportunity and four of the next one.
        for number in range(1, members + 1):
            sold(books, number, 10, PO_Number__c="PO-1")
            order = f"T-{opportunity_id(number)}"
            ordered(books, order, 6, number=number, CustomerRequisitionNumber="PO-1")
            following = number % members + 1
            order_line(books, order, 4, line=2, number=following, of=1)
            books.rows["d365", "sales_order_line"][-1]["InventoryLotId"] = f"{order}-2"

    result = compared(write)
    assert counted(result) == [("matched", 2 * members)]
    assert result.rows("SELECT DISTINCT group_key, reason FROM sales_order_verdict") == [
        (opportunity_id(1), f"{members} opportunities delivered as {members} orders")
    ]
    assert result.rows("SELECT salesforce, d365 FROM tie_out") == [(members * 100, members * 100)]


def test_an_opportunity_whose_line_is_on_an_order_that_cannot_be_compared_is_not_delivered():
    def write(books: Books) -> None:
        sold(books, 1, 6)
        sold(books, 2, 4)
        ordered(books, FIRST, 6)
        order_line(books, FIRST, 4, line=2, number=2)
        books.put_in_quarantine("d365", "sales_order_line", "usmf|lot-3", f"usmf|{FIRST.lower()}")

    result = compared(write)
    assert result.verdict("sales_order_verdict", f"salesforce_key = '{opportunity_id(2)}'") == (
        "only_in_salesforce",
        Reason.ON_AN_ORDER,
    )
    assert delivered_again(result) == []


# One line of an opportunity, several lines of one order.


@pytest.mark.parametrize("reference", [line_id(1, 1), ""], ids=["named", "not named"])
@pytest.mark.parametrize("number", ["1", "0", "2"])
def test_a_line_of_100_that_is_on_the_order_as_60_and_40_is_matched(reference, number):
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        order_line(books, FIRST, 4, line=2, OrderLineReference=reference, CustomersLineNumber=number)

    result = compared(write)
    assert verdicts(result) == [("matched", opportunity_id(1), FIRST, None)]
    assert lines(result) == [("matched", line_id(1, 1), f"{FIRST}-1"), ("matched", line_id(1, 1), f"{FIRST}-2")]
    assert result.rows("SELECT sum(salesforce_amount), sum(d365_amount) FROM sales_order_line_verdict") == [(100, 100)]
    assert told(result) == []


def test_a_split_line_that_is_off_differs_by_its_sums():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6)
        order_line(books, FIRST, 5, line=2)

    result = compared(write)
    assert sorted(told(result)) == [
        ("amount", "100", "110"),
        ("line.amount", "100", "110"),
        ("line.quantity", "10", "11"),
    ]
    # An amendment would write the whole quantity into each part.
    assert list(late_changes(result.con, with_policy(changed="amend"))) == []


def test_a_line_beside_the_whole_is_a_second_one():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        order_line(books, FIRST, 10, line=2)

    result = compared(write)
    assert lines(result) == [("matched", line_id(1, 1), f"{FIRST}-1"), ("duplicate", None, f"{FIRST}-2")]


def test_a_line_of_the_same_product_that_names_nothing_and_fits_nothing_is_only_in_d365():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 10)
        order_line(books, FIRST, 3, line=2, OrderLineReference="")

    assert lines(compared(write)) == [("matched", line_id(1, 1), f"{FIRST}-1"), ("only_in_d365", None, f"{FIRST}-2")]


def test_parts_with_other_prices_differ_in_the_price_with_a_break_each():
    def write(books: Books) -> None:
        sold(books)
        ordered(books, FIRST, 6, SalesPrice="11")
        order_line(books, FIRST, 4, line=2, SalesPrice="12")

    found = breaks(compared(write))
    assert [(one.subject, one.salesforce_value, one.d365_value) for one in found] == [
        ("line.unit_price", "10", "11"),
        ("line.unit_price", "10", "12"),
    ]
    assert len({one.identity for one in found}) == 2
