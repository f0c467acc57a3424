"""One verdict for each won opportunity and each order, and why.

The cases stand side by side in the same two books, which also shows that none of them disturbs another.
"""

from collections.abc import Callable

import pytest

from tests.reconciliation.books import DURING, Books, Compared, account_id, compared, opportunity_id
from tieout.reconciliation import Reason, orders_to_deliver, unjudged_keys

Case = tuple[Callable[[Books, int], object], list[tuple[str, str | None]]]


def order_number(number: int) -> str:
    return f"T-{opportunity_id(number)}"


def undelivered(books: Books, number: int, **changes: str | None) -> None:
    books.opportunity(number, **changes)
    books.line(number)


def agreed_but(table: str, **changes: str | None) -> Callable[[Books, int], None]:
    system = "salesforce" if table.startswith("opportunity") else "d365"

    def write(books: Books, number: int) -> None:
        books.agree(number)
        books.rows[system, table][-1] |= changes

    return write


def during_the_reads(table: str) -> Callable[[Books, int], None]:
    def write(books: Books, number: int) -> None:
        agreed_but(table, SystemModstamp=DURING)(books, number)
        books.rows["d365", "sales_order_line"][-1]["LineAmount"] = "21"

    return write


def with_a_line_in_quarantine(system: str, table: str, parent: Callable[[int], str]) -> Callable[[Books, int], None]:
    def write(books: Books, number: int) -> None:
        books.agree(number)
        books.put_in_quarantine(system, table, f"usmf|lot-{number}-2", parent(number))

    return write


def without_company(books: Books, number: int) -> None:
    books.account(number, ERP_Company__c=None, AccountNumber=None)
    undelivered(books, number, AccountId=account_id(number), ERP_Company__c=None)


def with_a_quarantined_account(books: Books, number: int) -> None:
    books.put_in_quarantine("salesforce", "account", account_id(number))
    undelivered(books, number, AccountId=account_id(number))


def with_an_ambiguous_account(books: Books, number: int) -> None:
    for account in (number, number + 500):
        books.account(account, AccountNumber=f"AMB{number}")
    books.customer(number, CustomerAccount=f"AMB{number}")
    undelivered(books, number, AccountId=account_id(number))


def with_a_deleted_line_in_quarantine(books: Books, number: int) -> None:
    books.agree(number)
    books.put_in_quarantine(
        "salesforce", "opportunity_line", f"00k{number}", opportunity_id(number), row='{"IsDeleted": "true"}'
    )


def with_a_second_order(books: Books, number: int) -> None:
    books.agree(number)
    books.order(number, SalesOrderNumber=f"SO-{number}")


def with_a_quarantined_header(books: Books, number: int) -> None:
    books.order(number)
    books.order_line(number)
    books.put_in_quarantine("salesforce", "opportunity", opportunity_id(number))


CASES: dict[str, Case] = {
    "agrees with its order": (Books.agree, [("matched", None)]),
    "is not won": (lambda books, number: books.opportunity(number, StageName="Prospecting"), []),
    "has no order": (undelivered, [("only_in_salesforce", None)]),
    "has no order and no account": (
        lambda books, number: undelivered(books, number, AccountId=None),
        [("only_in_salesforce", Reason.NO_ACCOUNT)],
    ),
    "has no order and an account that is gone": (
        lambda books, number: undelivered(books, number, AccountId=account_id(999)),
        [("only_in_salesforce", Reason.NO_ACCOUNT)],
    ),
    "has no order and no lines": (Books.opportunity, [("only_in_salesforce", Reason.NO_LINES)]),
    "has no order and no company": (without_company, [("only_in_salesforce", Reason.NO_COMPANY)]),
    "has no order and the company of its account": (
        lambda books, number: undelivered(books, number, ERP_Company__c=None),
        [("only_in_salesforce", None)],
    ),
    "names an order that is not there": (
        lambda books, number: undelivered(books, number, ERP_Order_Number__c="usmf/GONE"),
        [("only_in_salesforce", Reason.LINK_BROKEN)],
    ),
    "has no order and an account in quarantine": (
        with_a_quarantined_account,
        [("only_in_salesforce", Reason.ACCOUNT_QUARANTINED)],
    ),
    "has no order and an ambiguous account": (
        with_an_ambiguous_account,
        [("only_in_salesforce", f"{Reason.LINK_AMBIGUOUS}: its customer")],
    ),
    "is an order that names no opportunity": (
        lambda books, number: books.order(number, SalesOrderNumber=f"SO-{number}", CustomersOrderReference=""),
        [("only_in_d365", None)],
    ),
    "has a second order": (with_a_second_order, [("duplicate", Reason.SECOND_ORDER), ("matched", None)]),
    "was deleted after its order was made": (
        agreed_but("opportunity", IsDeleted="true"),
        [("only_in_d365", Reason.DELETED)],
    ),
    "has a canceled order": (
        agreed_but("sales_order", SalesOrderProcessingStatus="Canceled"),
        [("differs", Reason.ORDER_CANCELED)],
    ),
    "is a canceled order without opportunity": (
        lambda books, number: books.order(number, SalesOrderStatus="Canceled"),
        [],
    ),
    "was lost after its order was made": (
        agreed_but("opportunity", StageName="Closed Lost"),
        [("differs", Reason.NOT_WON)],
    ),
    "was lost and its order canceled": (
        lambda books, number: (
            books.opportunity(number, StageName="Closed Lost"),
            books.order(number, SalesOrderStatus="Canceled"),
        ),
        [],
    ),
    "has other copies of D365's values": (
        agreed_but("opportunity", ERP_Order_Status__c="Invoiced", ERP_Amount__c="1.00"),
        [("matched", None)],
    ),
    "gives no ship date": (agreed_but("opportunity", Requested_Ship_Date__c=None), [("matched", None)]),
    "has another company than its order": (agreed_but("opportunity", ERP_Company__c="frrt"), [("differs", None)]),
    "has another customer than its order": (
        agreed_but("sales_order", OrderingCustomerAccountNumber="AW00000777"),
        [("differs", None)],
    ),
    "has a line in quarantine": (
        with_a_line_in_quarantine("salesforce", "opportunity_line", opportunity_id),
        [("quarantined", Reason.LINE_QUARANTINED)],
    ),
    "has a line in quarantine that was deleted": (with_a_deleted_line_in_quarantine, [("matched", None)]),
    "has an order line in quarantine": (
        with_a_line_in_quarantine("d365", "sales_order_line", lambda number: f"usmf|{order_number(number).lower()}"),
        [("quarantined", Reason.LINE_QUARANTINED)],
    ),
    "has an order line in quarantine that names the bare number": (
        with_a_line_in_quarantine("d365", "sales_order_line", order_number),
        [("quarantined", Reason.LINE_QUARANTINED)],
    ),
    "is in quarantine and has an order": (with_a_quarantined_header, [("quarantined", Reason.RECORD_QUARANTINED)]),
    "is in quarantine and was never won": (
        lambda books, number: books.put_in_quarantine(
            "salesforce", "opportunity", opportunity_id(number), row='{"IsWon": "false"}'
        ),
        [],
    ),
    "differs and was changed during the reads": (
        during_the_reads("opportunity"),
        [("in_flight", Reason.CHANGED_DURING_READ)],
    ),
    "differs and a line was changed during the reads": (
        during_the_reads("opportunity_line"),
        [("in_flight", Reason.CHANGED_DURING_READ)],
    ),
    "agrees and was changed during the reads": (agreed_but("opportunity", SystemModstamp=DURING), [("matched", None)]),
    "is an order made during the reads": (
        lambda books, number: books.order(number, OrderCreationDateTime=DURING),
        [("in_flight", Reason.CHANGED_DURING_READ)],
    ),
}


@pytest.fixture(scope="module")
def result() -> Compared:
    def write(books: Books) -> None:
        for number, (write_case, _) in enumerate(CASES.values(), start=1):
            write_case(books, number)

    return compared(write)


def of_case(number: int) -> str:
    keys = f"('{order_number(number)}', 'SO-{number}')"
    return f"(salesforce_key = '{opportunity_id(number)}' OR (salesforce_key IS NULL AND d365_key IN {keys}))"


def numbered(claim: str) -> int:
    return list(CASES).index(claim) + 1


@pytest.mark.parametrize("claim", CASES)
def test_the_verdict_on_a_record_that(claim: str, result: Compared):
    rows = result.rows(f"SELECT verdict, reason FROM sales_order_verdict WHERE {of_case(numbered(claim))} ORDER BY ALL")
    assert rows == CASES[claim][1]


def test_every_record_has_exactly_one_verdict(result: Compared):
    twice = """SELECT salesforce_key, d365_key FROM sales_order_verdict
    GROUP BY ALL HAVING count(*) > 1"""
    assert result.rows(twice) == []
    assert sum(result.orders.values()) == sum(len(expected) for _, expected in CASES.values())


def test_a_canceled_order_counts_on_the_salesforce_side_only(result: Compared):
    where = of_case(numbered("has a canceled order"))
    assert result.rows(f"SELECT salesforce_amount, d365_amount FROM sales_order_verdict WHERE {where}") == [(20, None)]


def test_an_opportunity_that_is_no_longer_won_counts_on_the_d365_side_only(result: Compared):
    where = of_case(numbered("was lost after its order was made"))
    assert result.rows(f"SELECT salesforce_amount, d365_amount FROM sales_order_verdict WHERE {where}") == [(None, 20)]


def test_the_customer_of_an_order_is_compared_through_the_crosswalk(result: Compared):
    where = of_case(numbered("has another customer than its order"))
    told = "field, salesforce_stored, d365_stored, salesforce_compared, d365_compared"
    assert result.rows(f"SELECT {told} FROM sales_order_difference WHERE {where}") == [
        ("customer", account_id(1), "AW00000777", "usmf|aw00000001", "usmf|aw00000777")
    ]


def test_a_field_that_is_not_compared_is_counted_as_such(result: Compared):
    counted = "SELECT not_compared FROM sales_order_field_count WHERE field = 'requested_ship_date'"
    assert result.rows(counted) == [(1,)]


def test_lines_of_an_order_in_flight_are_in_flight_and_list_no_difference(result: Compared):
    key = opportunity_id(numbered("differs and was changed during the reads"))
    assert result.rows(f"SELECT verdict FROM sales_order_line_verdict WHERE order_salesforce_key = '{key}'") == [
        ("in_flight",)
    ]
    assert result.rows(f"SELECT count(*) FROM sales_order_difference WHERE salesforce_key = '{key}'") == [(0,)]


def test_records_in_flight_or_in_quarantine_are_named_as_not_judged(result: Compared):
    assert result.orders
    assert result.customers
    keys = unjudged_keys(result.con)
    for claim in ("differs and was changed during the reads", "has a line in quarantine"):
        assert {opportunity_id(numbered(claim)), order_number(numbered(claim))} <= keys
    assert opportunity_id(numbered("agrees with its order")) not in keys


def test_lines_of_a_quarantined_order_have_no_verdict(result: Compared):
    key = opportunity_id(numbered("has a line in quarantine"))
    assert result.rows(f"SELECT count(*) FROM sales_order_line_verdict WHERE order_salesforce_key = '{key}'") == [(0,)]


def test_only_what_nothing_stands_in_the_way_of_is_delivered(result: Compared):
    due = {one.salesforce_id for one in orders_to_deliver(result.con, result.contracts)}
    deliverable = [
        number
        for number, (_, expected) in enumerate(CASES.values(), start=1)
        if expected == [("only_in_salesforce", None)]
    ]
    assert due == {opportunity_id(number) for number in deliverable}
