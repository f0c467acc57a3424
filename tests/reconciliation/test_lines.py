"""Lines of linked orders, one to one."""

from tests.reconciliation.books import Books, compared, line_id


def lines(result):
    return result.rows("SELECT verdict, salesforce_key, d365_key, reason FROM sales_order_line_verdict ORDER BY ALL")


def pairs(result):
    return result.rows("SELECT salesforce_key, d365_key FROM sales_order_line_verdict ORDER BY ALL")


def test_the_reference_pairs_lines_whatever_their_numbers_are():
    def write(books: Books) -> None:
        books.opportunity(1, "40")
        books.order(1)
        for line, number in ((1, "2"), (2, "1")):
            books.line(1, line)
            books.order_line(1, line, CustomersLineNumber=number)

    result = compared(write)
    assert pairs(result) == [(line_id(1, 1), "LOT-1-1"), (line_id(1, 2), "LOT-1-2")]
    assert result.orders == {"matched": 1}


def test_lines_without_reference_are_paired_by_the_sort_order():
    def write(books: Books) -> None:
        books.opportunity(1, "40")
        books.order(1)
        for line, sort_order in ((1, "7"), (2, "3")):
            books.line(1, line, SortOrder=sort_order)
        books.order_line(1, 3, CustomersLineNumber="3", OrderLineReference="")
        books.order_line(1, 7, CustomersLineNumber="7", OrderLineReference="")

    assert pairs(compared(write)) == [(line_id(1, 1), "LOT-1-7"), (line_id(1, 2), "LOT-1-3")]


def test_lines_without_a_sort_order_of_their_own_are_numbered_by_their_position():
    def write(books: Books) -> None:
        books.opportunity(1, "60")
        books.order(1)
        for line, sort_order in ((1, None), (2, "5"), (3, "5")):
            books.line(1, line, SortOrder=sort_order)
        for number in (1, 2, 3):
            books.order_line(1, number, OrderLineReference="")

    assert pairs(compared(write)) == [
        (line_id(1, 1), "LOT-1-3"),
        (line_id(1, 2), "LOT-1-1"),
        (line_id(1, 3), "LOT-1-2"),
    ]


def test_a_line_on_one_side_makes_the_order_differ():
    def write(books: Books) -> None:
        books.agree()
        books.line(1, 2, ProductCode="BK-2", TotalPrice="5")
        books.order_line(1, 3, OrderLineReference="", LineAmount="0")

    result = compared(write)
    assert lines(result) == [
        ("matched", line_id(1, 1), "LOT-1-1", None),
        ("only_in_d365", None, "LOT-1-3", None),
        ("only_in_salesforce", line_id(1, 2), None, None),
    ]
    assert result.rows("SELECT verdict, fields FROM sales_order_verdict") == [("differs", ["lines"])]


def test_a_line_that_differs_makes_the_order_differ():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order_line"][0] |= {"OrderedSalesQuantity": "3", "SalesPrice": "6.666667"}

    result = compared(write)
    assert result.differences("sales_order") == [("line.quantity", "differs"), ("line.unit_price", "differs")]
    assert result.rows("SELECT verdict, fields FROM sales_order_verdict") == [
        ("differs", ["line.quantity", "line.unit_price"])
    ]
    assert result.rows("SELECT DISTINCT line_key FROM sales_order_difference") == [(line_id(1, 1),)]


def test_a_second_line_for_the_same_opportunity_line_is_a_duplicate():
    def write(books: Books) -> None:
        books.agree()
        books.order_line(1, 2, OrderLineReference=line_id(1, 1), LineAmount="0")

    result = compared(write)
    assert lines(result)[0][:3] == ("duplicate", None, "LOT-1-2")


def test_a_line_that_is_canceled_in_d365_is_only_in_salesforce_and_says_why():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order_line"][0]["SalesOrderLineStatus"] = "Canceled"

    result = compared(write)
    assert lines(result) == [("only_in_salesforce", line_id(1, 1), None, "the line is canceled in D365")]
    assert result.rows("SELECT d365 FROM tie_out") == [(0,)]


def test_a_deleted_opportunity_line_does_not_count():
    def write(books: Books) -> None:
        books.agree()
        books.line(1, 2, IsDeleted="true")

    assert compared(write).orders == {"matched": 1}


def test_the_unit_of_a_line_is_its_products_and_is_compared_where_the_product_has_one():
    def write(books: Books) -> None:
        books.product(Id="01tA00000000002AAA", QuantityUnitOfMeasure=None)
        books.opportunity(1, "40")
        books.order(1)
        books.line(1, 1)
        books.line(1, 2, Product2Id="01tA00000000002AAA")
        for line in (1, 2):
            books.order_line(1, line, SalesUnitSymbol="box")

    result = compared(write)
    assert result.rows("SELECT line_key, field, salesforce_stored FROM sales_order_difference") == [
        (line_id(1, 1), "line.unit", "Each")
    ]


def test_an_empty_discount_is_no_discount():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order_line"][0]["LineDiscountPercentage"] = "0.00"

    assert compared(write).orders == {"matched": 1}
