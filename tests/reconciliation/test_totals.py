"""The tie-out adds up, to the last decimal, whatever is wrong with the records."""

from decimal import Decimal

from tests.reconciliation.books import Books, compared, opportunity_id
from tieout.breaks import DeliveryNote, breaks_of, causes_by_record
from tieout.reconciliation import differences_to_look_at, explain, verdicts_to_look_at


def tie_out(result):
    return result.rows("SELECT company, currency, salesforce, d365, difference, explained FROM tie_out")


def bridge(result):
    return result.rows("SELECT verdict, cause, records, difference FROM tie_out_bridge ORDER BY ALL")


def explained(result, deliveries=None):
    assert result.orders
    verdicts = verdicts_to_look_at(result.con, "sales_order_verdict")
    differences = differences_to_look_at(result.con, "sales_order_difference")
    explain(result.con, causes_by_record(breaks_of(verdicts, differences, deliveries or {})))
    return result


def test_amounts_are_added_up_exactly():
    def write(books: Books) -> None:
        for number in range(1, 31):
            books.opportunity(number, "0.10")
            books.line(number, TotalPrice="0.10")
            books.order(number)
            books.order_line(number, LineAmount="0.1003")

    result = compared(write)
    assert tie_out(result) == [("usmf", "USD", Decimal("3.00"), Decimal("3.009"), Decimal("-0.009"), Decimal("-0.009"))]
    assert bridge(result) == [("matched", "within_tolerance", 30, Decimal("-0.009"))]


def test_a_pair_in_two_currencies_adds_to_two_totals():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order"][0]["CurrencyCode"] = "EUR"

    assert tie_out(compared(write)) == [("usmf", "EUR", 0, 20, -20, 0), ("usmf", "USD", 20, 0, 20, 0)]


def test_an_undelivered_order_is_explained_by_its_delivery():
    def write(books: Books) -> None:
        books.agree(1)
        books.opportunity(2, "7.25")
        books.line(2, TotalPrice="7.25")

    result = compared(write)
    assert tie_out(result) == [("usmf", "USD", Decimal("27.25"), 20, Decimal("7.25"), 0)]
    note = DeliveryNote("confirmed", in_this_run=True)
    assert tie_out(explained(result, {("sales_order", "create", opportunity_id(2)): note}))[0][4:] == (
        Decimal("7.25"),
        Decimal("7.25"),
    )
    assert ("only_in_salesforce", "delivered_in_this_run", 1, Decimal("7.25")) in bridge(result)


def test_what_nobody_can_explain_stays_unexplained():
    def write(books: Books) -> None:
        books.agree(1)
        books.rows["d365", "sales_order_line"][0]["LineAmount"] = "25"
        books.order(2, CustomersOrderReference="", SalesOrderNumber="SO-2")
        books.order_line(2, SalesOrderNumber="SO-2", LineAmount="3")

    result = explained(compared(write))
    assert tie_out(result) == [("usmf", "USD", 20, 28, -8, 0)]
    assert bridge(result) == [("differs", "value_differs", 1, -5), ("only_in_d365", "entered_in_d365", 1, -3)]


def test_an_opportunity_whose_company_nobody_knows_is_totalled_by_itself():
    def write(books: Books) -> None:
        books.opportunity(1, ERP_Company__c=None, AccountId=None)
        books.line(1)

    assert tie_out(compared(write)) == [("", "USD", 20, 0, 20, 0)]


def test_quarantined_orders_stay_in_the_totals_as_far_as_they_can_be_read():
    def write(books: Books) -> None:
        books.agree()
        books.put_in_quarantine("salesforce", "opportunity_line", "x", opportunity_id(1))
        books.rows["d365", "sales_order_line"][0]["LineAmount"] = "19"

    result = compared(write)
    assert tie_out(result) == [("usmf", "USD", 20, 19, 1, 1)]
    assert bridge(result) == [("quarantined", "quarantined", 1, 1)]


def months(result):
    return result.rows("SELECT month, salesforce, d365, difference FROM tie_out")


def test_a_pair_counts_in_the_month_in_which_its_opportunity_was_closed():
    def write(books: Books) -> None:
        books.agree(1)
        books.rows["salesforce", "opportunity"][0]["CloseDate"] = "2026-01-31"
        books.rows["d365", "sales_order"][0]["OrderCreationDateTime"] = "2026-02-01T00:00:00Z"

    assert months(compared(write)) == [("2026-01", 20, 20, 0)]


def test_an_order_that_only_d365_has_counts_in_the_month_in_which_it_was_taken_by_utc():
    def write(books: Books) -> None:
        for number, taken in ((1, "2026-01-31T23:59:59Z"), (2, "2026-02-01T00:00:00Z")):
            books.order(
                number, CustomersOrderReference="", SalesOrderNumber=f"SO-{number}", OrderCreationDateTime=taken
            )
            books.order_line(number, SalesOrderNumber=f"SO-{number}")

    assert months(compared(write)) == [("2026-01", 0, 20, -20), ("2026-02", 0, 20, -20)]


def test_an_order_that_says_nothing_about_when_it_was_taken_counts_by_the_day_on_which_it_is_wanted():
    def write(books: Books) -> None:
        dates = {"OrderCreationDateTime": "1900-01-01T00:00:00Z", "RequestedReceiptDate": "2026-05-01T12:00:00Z"}
        books.order(1, CustomersOrderReference="", SalesOrderNumber="SO-1", **dates)
        books.order_line(1, SalesOrderNumber="SO-1")

    assert months(compared(write)) == [("2026-05", 0, 20, -20)]


def test_money_without_a_date_is_totalled_by_itself():
    def write(books: Books) -> None:
        books.agree(1)
        books.opportunity(2, CloseDate=None)
        books.line(2)

    result = compared(write)
    assert months(result) == [("", 20, 0, 20), ("2026-03", 20, 20, 0)]
    assert result.rows("SELECT month FROM sales_order_verdict ORDER BY ALL") == [("",), ("2026-03",)]
