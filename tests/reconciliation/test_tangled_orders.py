"""Whatever names whatever: each amount is counted once, and nothing that an order names is delivered a second time."""

import random
from decimal import Decimal

import pytest

from tests.reconciliation.books import DURING, Books, Compared, line_id, opportunity_id
from tieout.breaks import breaks_of, causes_by_record
from tieout.reconciliation import differences_to_look_at, explain, orders_to_deliver, verdicts_to_look_at

RECORDS = 60


def tangled(rng: random.Random) -> Books:
    """Opportunities and orders whose references, numbers, lines and stored links point anywhere near, now and then to nothing."""
    books = Books()
    books.account()
    books.customer()
    books.product()

    def near(number: int) -> int:
        return min(max(number + rng.choice((-1, 0, 0, 0, 1, 2)), 1), RECORDS)

    for number in range(1, RECORDS + 1):
        quantity = rng.choice((4, 6, 10))
        stored = f"usmf/SO-{near(number)}" if rng.random() < 0.3 else None
        won = rng.choice(("Closed Won",) * 9 + ("Closed Lost",))
        books.opportunity(
            number, f"{quantity * 10}.00", ERP_Order_Number__c=stored, StageName=won, PO_Number__c="PO-1",
            CloseDate=f"2026-0{rng.randint(1, 3)}-15", SystemModstamp=DURING if rng.random() < 0.05 else "2026-03-01T08:00:00.000Z",
        )  # fmt: skip
        for line in range(1, rng.randint(1, 2) + 1):
            books.line(number, line, Quantity=str(quantity), TotalPrice=f"{quantity * 10}.00")
        if rng.random() < 0.1:
            books.known("sales_order", opportunity_id(number), "usmf", f"SO-{near(number)}")
        if rng.random() < 0.05:
            books.put_in_quarantine("salesforce", "opportunity_line", f"bad-{number}", opportunity_id(number))
    for number in range(1, RECORDS + 1):
        order = rng.choice((f"SO-{number}", f"T-{opportunity_id(near(number))}", f"SO-{number}"))
        if any(row["SalesOrderNumber"] == order for row in books.rows["d365", "sales_order"]):
            continue
        named = rng.choice((opportunity_id(near(number)), opportunity_id(near(number)), "", "by telephone"))
        status = "Canceled" if rng.random() < 0.05 else "Backorder"
        currency = "EUR" if rng.random() < 0.05 else "USD"
        books.order(
            number, SalesOrderNumber=order, CustomersOrderReference=named, SalesOrderStatus=status, CurrencyCode=currency,
            CustomerRequisitionNumber=rng.choice(("PO-1", "PO-2")),
        )  # fmt: skip
        for line in range(1, rng.randint(0, 3) + 1):
            quantity = rng.choice((4, 6, 10))
            books.order_line(
                number, line, SalesOrderNumber=order, InventoryLotId=f"{number}-{line}", OrderedSalesQuantity=str(quantity),
                LineAmount=str(quantity * 10), OrderLineReference=rng.choice((line_id(near(number), 1), "")),
                SalesOrderLineStatus="Canceled" if rng.random() < 0.05 else "Backorder",
            )  # fmt: skip
    return books


@pytest.fixture(scope="module", params=range(8))
def result(request: pytest.FixtureRequest) -> Compared:
    books = tangled(random.Random(request.param))
    result = Compared(books)
    assert result.customers
    assert result.orders
    return result


def test_the_sides_are_what_the_records_say(result: Compared):
    said = """SELECT 'salesforce', 'USD', sum("Amount") FROM opportunity WHERE "StageName" = 'Closed Won' GROUP BY ALL
    UNION ALL
    SELECT 'd365', sales_order."CurrencyCode", sum("LineAmount")
    FROM sales_order JOIN (SELECT * FROM sales_order_line WHERE "SalesOrderLineStatus" <> 'Canceled') AS line
        ON line._parent_key = sales_order._key
    WHERE "SalesOrderStatus" <> 'Canceled'
    GROUP BY ALL ORDER BY ALL"""
    told = """SELECT 'salesforce', currency, sum(salesforce) FROM tie_out GROUP BY ALL HAVING sum(salesforce) <> 0
    UNION ALL
    SELECT 'd365', currency, sum(d365) FROM tie_out GROUP BY ALL HAVING sum(d365) <> 0 ORDER BY ALL"""
    assert result.rows(told) == result.rows(said)


def test_no_record_owns_its_amount_twice(result: Compared):
    twice = """SELECT salesforce_key FROM sales_order_verdict WHERE salesforce_amount IS NOT NULL GROUP BY ALL HAVING count(*) > 1
    UNION ALL SELECT d365_lake_key FROM sales_order_verdict WHERE d365_amount IS NOT NULL GROUP BY ALL HAVING count(*) > 1
    UNION ALL SELECT coalesce(salesforce_key, d365_lake_key) FROM sales_order_verdict GROUP BY salesforce_key, d365_lake_key HAVING count(*) > 1"""
    assert result.rows(twice) == []
    lines = """SELECT order_d365_key || d365_key FROM sales_order_line_verdict WHERE d365_key IS NOT NULL GROUP BY order_d365_key, d365_key HAVING count(*) > 1
    UNION ALL SELECT salesforce_key FROM sales_order_line_verdict WHERE salesforce_amount IS NOT NULL GROUP BY ALL HAVING count(*) > 1"""
    assert result.rows(lines) == []


def test_nothing_that_an_order_names_is_delivered(result: Compared):
    named = result.rows("""SELECT lower("CustomersOrderReference") FROM sales_order
    UNION SELECT lower(substr("SalesOrderNumber", 3)) FROM sales_order WHERE "SalesOrderNumber" LIKE 'T-%'
    UNION SELECT lower(sold._parent_key) FROM opportunity_line AS sold
        JOIN sales_order_line AS line ON lower(line."OrderLineReference") = lower(sold._key)
        JOIN sales_order ON sales_order._key = line._parent_key
    WHERE line."SalesOrderLineStatus" <> 'Canceled'""")
    due = {one.salesforce_id.lower() for one in orders_to_deliver(result.con, result.contracts)}
    assert due.isdisjoint({key for (key,) in named})


def test_a_group_that_is_matched_agrees_in_its_sums(result: Compared):
    groups = result.rows("""SELECT group_key, sum(salesforce_amount), sum(d365_amount), bool_and(verdict = 'matched')
    FROM sales_order_verdict WHERE group_key IS NOT NULL GROUP BY ALL""")
    assert groups != []
    for key, salesforce, d365, is_matched in groups:
        assert not is_matched or abs(salesforce - d365) <= Decimal("0.01"), key


def test_every_break_has_an_identity_of_its_own_and_every_group_one_for_its_amount(result: Compared):
    found = list(verdicts_to_look_at(result.con, "sales_order_verdict"))
    differences = list(differences_to_look_at(result.con, "sales_order_difference"))
    of_lines = list(verdicts_to_look_at(result.con, "sales_order_line_verdict"))
    breaks = [*breaks_of(found, differences, {}), *breaks_of(of_lines, (), {})]
    assert len({one.identity for one in breaks}) == len(breaks)
    group = dict(
        result.rows("SELECT DISTINCT salesforce_key, group_key FROM sales_order_verdict WHERE group_key IS NOT NULL")
    )
    amounts = [group[one.salesforce_key] for one in breaks if one.subject == "amount" and one.salesforce_key in group]
    assert len(set(amounts)) == len(amounts)


def test_the_bridge_is_the_same_sum_with_the_causes_as_without(result: Compared):
    total = "SELECT company, currency, month, sum(difference) FROM tie_out_bridge GROUP BY ALL ORDER BY ALL"
    before = result.rows(total)
    found = breaks_of(
        list(verdicts_to_look_at(result.con, "sales_order_verdict")),
        list(differences_to_look_at(result.con, "sales_order_difference")),
        {},
    )
    explain(result.con, causes_by_record(found))
    assert result.rows(total) == before
