"""What a reconciliation makes due for delivery and write-back."""

from datetime import UTC, datetime
from decimal import Decimal

from tests.reconciliation.books import DURING, Books, account_id, compared, line_id, opportunity_id
from tieout.crosswalk import link_orders
from tieout.reconciliation import (
    CustomerUpdate,
    MirrorChange,
    customer_updates,
    customers_to_create,
    mirror_changes,
    orders_to_deliver,
)


def orders_due(result):
    assert result.orders
    return list(orders_to_deliver(result.con, result.contracts))


def customers_due(result):
    assert result.orders
    return [(one.salesforce_id, one.company) for one in customers_to_create(result.con, result.contracts)]


def mirrored(result, entity):
    assert result.customers if entity == "customer" else result.orders
    changes = mirror_changes(result.con, result.contracts, entity)
    return {one.field: (one.salesforce_value, one.wanted_value) for one in changes}


def test_a_won_opportunity_without_order_is_due_with_its_numbered_lines_and_products():
    def write(books: Books) -> None:
        books.opportunity(1, "40", ERP_Company__c=None)
        books.line(1, 1, SortOrder="2")
        books.line(1, 2, SortOrder="1", UnitPrice="2024.9940")
        books.line(1, 3, IsDeleted="true")

    (due,) = orders_due(compared(write))
    assert (due.salesforce_id, due.company, due.customer_account) == (opportunity_id(1), "usmf", "AW00000001")
    assert due.opportunity["ERP_Company__c"] == "usmf"
    assert due.opportunity["Amount"] == Decimal(40)
    assert [(line["Id"], line["line_number"]) for line in due.lines] == [(line_id(1, 2), 1), (line_id(1, 1), 2)]
    assert due.lines[0]["UnitPrice"] == Decimal("2024.9940")
    assert due.products == {"01tA00000000001AAA": {"unit": "Each"}}


def test_nothing_is_due_that_is_linked_in_flight_quarantined_or_cannot_be_delivered():
    def write(books: Books) -> None:
        books.agree(1)
        for number in range(2, 7):
            books.opportunity(number)
            books.line(number)
        opportunities = books.rows["salesforce", "opportunity"]
        opportunities[1]["SystemModstamp"] = DURING
        books.put_in_quarantine("salesforce", "opportunity_line", line_id(3, 2), opportunity_id(3))
        opportunities[3]["StageName"] = "Closed Lost"
        opportunities[4]["AccountId"] = None
        books.account(9)
        books.put_in_quarantine("salesforce", "account", account_id(8))
        opportunities[5]["AccountId"] = account_id(8)
        books.opportunity(7)

    assert orders_due(compared(write)) == []


def test_a_canceled_order_is_never_delivered_again():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order"][0]["SalesOrderStatus"] = "Canceled"

    assert orders_due(compared(write)) == []


def test_the_customer_of_a_due_order_is_due_first_and_once():
    def write(books: Books) -> None:
        books.account(2, Name="New Shop")
        for number in (1, 2):
            books.opportunity(number, AccountId=account_id(2))
            books.line(number)

    result = compared(write)
    assert customers_due(result) == [(account_id(2), "usmf")]
    assert [one.customer_account for one in orders_due(result)] == [None, None]
    (due,) = customers_to_create(result.con, result.contracts)
    assert (due.account["Name"], due.account["Credit_Limit__c"]) == ("New Shop", Decimal(1000))


def test_an_ambiguous_account_is_not_created_a_second_time_and_its_orders_wait():
    def write(books: Books) -> None:
        books.account(2, AccountNumber="AW00000001")
        books.opportunity(1, AccountId=account_id(2))
        books.line(1)

    result = compared(write)
    assert customers_due(result) == []
    assert orders_due(result) == []


def test_an_account_is_created_in_a_second_company_where_its_order_needs_it():
    def write(books: Books) -> None:
        books.opportunity(1, ERP_Company__c="frrt")
        books.line(1)

    assert customers_due(compared(write)) == [(account_id(1), "frrt")]


def test_fields_that_salesforce_owns_are_written_to_the_linked_customer():
    def write(books: Books) -> None:
        books.account(2, Name="Renamed", Phone=None, BillingStreet="Elsewhere", Payment_Terms__c="Net60")
        books.customer(2)

    result = compared(write)
    changed_at = datetime(2026, 3, 1, 8, tzinfo=UTC)
    assert result.customers
    assert list(customer_updates(result.con, result.contracts)) == [
        CustomerUpdate(account_id(2), "usmf", "AW00000002", "name", "OrganizationName", "Renamed", changed_at),
        CustomerUpdate(account_id(2), "usmf", "AW00000002", "phone", "PrimaryContactPhone", None, changed_at),
    ]


def test_damage_is_not_carried_over_but_is_repaired_from_the_good_side():
    def write(books: Books) -> None:
        books.account(2, Name="Caf‚ V‚lo")
        books.customer(2, OrganizationName="Café Vélo")
        books.account(3, Name="Café Vélo")
        books.customer(3, OrganizationName="Caf‚ V‚lo")

    result = compared(write)
    assert result.customers
    assert [one.salesforce_id for one in customer_updates(result.con, result.contracts)] == [account_id(3)]


def test_values_that_d365_owns_go_back_to_the_account_with_the_link():
    def write(books: Books) -> None:
        books.rows["salesforce", "account"][0] |= {
            "Payment_Terms__c": "Net60",
            "Credit_Limit__c": None,
            "ERP_On_Hold__c": "no",
        }

    result = compared(write)
    assert mirrored(result, "customer") == {
        "ERP_Number__c": (None, "usmf/AW00000001"),
        "Payment_Terms__c": ("Net60", "Net30"),
        "Credit_Limit__c": (None, Decimal(1000)),
    }


def test_order_number_status_and_amount_go_back_to_the_opportunity():
    def write(books: Books) -> None:
        books.agree()
        books.rows["d365", "sales_order"][0]["SalesOrderProcessingStatus"] = "PartiallyDelivered"
        books.rows["d365", "sales_order_line"][0]["LineAmount"] = "20.0049"

    assert mirrored(compared(write), "sales_order") == {
        "ERP_Order_Number__c": (None, f"usmf/T-{opportunity_id(1)}"),
        "ERP_Order_Status__c": (None, "Partially delivered"),
        "ERP_Amount__c": (None, Decimal(20)),
    }


def test_nothing_goes_back_where_everything_is_there():
    def write(books: Books) -> None:
        books.agree()
        books.rows["salesforce", "account"][0]["ERP_Number__c"] = "usmf/AW00000001"
        books.rows["salesforce", "opportunity"][0] |= {
            "ERP_Order_Number__c": f"usmf/T-{opportunity_id(1)}", "ERP_Order_Status__c": "Open", "ERP_Amount__c": "20",
        }  # fmt: skip

    result = compared(write)
    assert mirrored(result, "sales_order") == {}
    assert mirrored(result, "customer") == {}


def test_an_order_that_was_read_back_after_its_delivery_goes_back_in_the_same_run():
    def write(books: Books) -> None:
        books.opportunity(1)
        books.line(1)

    result = compared(write)
    assert result.orders == {"only_in_salesforce": 1}
    delivered = Books()
    delivered.agree()
    fresh = Books()
    fresh.rows |= {key: rows for key, rows in delivered.rows.items() if key[0] == "d365" and rows}
    fresh.rows["salesforce", "opportunity"] = delivered.rows["salesforce", "opportunity"]
    fresh.load(result.con, result.contracts)
    link_orders(result.con, result.contracts)
    changes = list(mirror_changes(result.con, result.contracts, "sales_order"))
    assert MirrorChange(opportunity_id(1), "ERP_Amount__c", None, Decimal(20)) in changes


def test_records_in_quarantine_are_left_alone():
    def write(books: Books) -> None:
        books.agree()
        books.put_in_quarantine("d365", "sales_order_line", "usmf|x", f"usmf|t-{opportunity_id(1).lower()}")

    assert mirrored(compared(write), "sales_order") == {}
