"""Who is linked to whom, by what, and who is left open."""

import pytest

from tests.reconciliation.books import Books, account_id, compared, line_id, opportunity_id
from tieout.crosswalk import link_orders

ORDER = f"T-{opportunity_id(1)}"


def links(result, entity="customer"):
    return result.rows(f"SELECT salesforce_id, d365_lake_key, found_by FROM crosswalk_{entity} ORDER BY ALL")


def left_open(result, entity="customer"):
    return result.rows(f"SELECT side, key, candidates, reason FROM crosswalk_{entity}_open ORDER BY ALL")


def test_an_account_is_linked_by_its_number_in_its_own_company():
    result = compared(lambda books: books.customer(1, dataAreaId="frrt"))
    assert links(result) == [(account_id(1), "usmf|aw00000001", "account_number")]


def test_an_account_without_company_is_linked_where_only_one_company_has_its_number():
    def write(books: Books) -> None:
        books.account(2, ERP_Company__c=None)
        books.customer(2, dataAreaId="frrt")

    assert (account_id(2), "frrt|aw00000002", "account_number") in links(compared(write))


def test_an_account_without_company_is_not_linked_where_two_companies_have_its_number():
    def write(books: Books) -> None:
        books.account(2, ERP_Company__c=None)
        books.customer(2, dataAreaId="frrt")
        books.customer(2, dataAreaId="usmf")

    assert links(compared(write)) == [(account_id(1), "usmf|aw00000001", "account_number")]


def test_an_account_is_linked_in_each_company_in_which_it_has_opportunities():
    def write(books: Books) -> None:
        books.customer(1, dataAreaId="frrt")
        books.opportunity(1, ERP_Company__c="FRRT")

    assert [key for _, key, _ in links(compared(write))] == ["frrt|aw00000001", "usmf|aw00000001"]


def test_a_customer_that_tieout_made_is_found_again_in_each_company():
    def write(books: Books) -> None:
        books.account(2, AccountNumber=None)
        for company in ("usmf", "frrt"):
            books.customer(2, dataAreaId=company, CustomerAccount=f"T-{account_id(2)}")

    assert links(compared(write))[1:] == [
        (account_id(2), f"{company}|t-{account_id(2).lower()}", "our_number") for company in ("frrt", "usmf")
    ]


def test_the_values_of_one_customer_only_go_back_to_an_account_with_two():
    def write(books: Books) -> None:
        books.customer(1, dataAreaId="frrt", PaymentTerms="Net60")
        books.opportunity(1, ERP_Company__c="frrt")

    result = compared(write)
    assert result.rows("SELECT company FROM crosswalk_customer WHERE is_primary") == [("usmf",)]
    assert result.rows("SELECT count(*) FROM customer_difference WHERE field = 'payment_terms'") == [(0,)]
    counted = "SELECT matched, not_compared FROM customer_field_count WHERE field = 'payment_terms'"
    assert result.rows(counted) == [(1, 1)]


def test_the_ledger_comes_before_the_stored_link_and_that_before_the_number():
    def write(books: Books) -> None:
        for number in (2, 3):
            books.customer(number)
        books.account(2, ERP_Number__c="usmf/AW00000003", AccountNumber="AW00000002")
        books.account(3, AccountNumber="AW00000002", ERP_Company__c="usmf")
        books.known("customer", account_id(3), "usmf", "AW00000002")

    assert links(compared(write)) == [
        (account_id(1), "usmf|aw00000001", "account_number"),
        (account_id(2), "usmf|aw00000003", "stored_link"),
        (account_id(3), "usmf|aw00000002", "ledger"),
    ]


def test_a_customer_that_two_accounts_claim_is_listed_with_both_and_linked_to_none():
    result = compared(lambda books: books.account(2, AccountNumber="AW00000001"))
    assert links(result) == []
    assert left_open(result) == [
        ("d365", "usmf|aw00000001", [account_id(1), account_id(2)], "ambiguous"),
        ("salesforce", account_id(1), ["usmf|aw00000001"], "ambiguous"),
        ("salesforce", account_id(2), ["usmf|aw00000001"], "ambiguous"),
    ]


def test_a_stored_link_decides_between_two_accounts_and_the_other_one_is_listed():
    result = compared(lambda books: books.account(2, AccountNumber="AW00000001", ERP_Number__c="usmf/AW00000001"))
    assert links(result) == [(account_id(2), "usmf|aw00000001", "stored_link")]
    assert left_open(result) == [("salesforce", account_id(1), ["usmf|aw00000001"], "taken")]


def test_a_contested_customer_does_not_fall_to_a_third_account_in_a_later_step():
    def write(books: Books) -> None:
        books.account(2, ERP_Number__c="usmf/AW00000001", AccountNumber=None)
        books.account(3, ERP_Number__c="usmf/AW00000001", AccountNumber=None)

    assert links(compared(write)) == []


def test_the_link_of_a_merged_account_is_the_winners():
    def write(books: Books) -> None:
        books.account(2, IsDeleted="true", MasterRecordId=account_id(3))
        books.account(3, AccountNumber="AW00000009")
        books.customer(2)
        books.known("customer", account_id(2), "usmf", "AW00000002")

    assert (account_id(3), "usmf|aw00000002", "merged") in links(compared(write))


def test_a_stored_link_to_a_customer_that_is_not_there_is_listed_as_broken():
    result = compared(lambda books: books.account(2, ERP_Number__c="usmf/GONE"))
    assert left_open(result) == [("salesforce", account_id(2), ["usmf|gone"], "broken")]


@pytest.mark.parametrize(
    ("opportunity", "order", "found_by"),
    [
        (
            {"ERP_Order_Number__c": "USMF/so-7"},
            {"SalesOrderNumber": "SO-7", "CustomersOrderReference": ""},
            "stored_link",
        ),
        ({}, {"CustomersOrderReference": ""}, "our_number"),
        ({}, {"SalesOrderNumber": "SO-7"}, "reference"),
        ({}, {"SalesOrderNumber": "SO-7", "SalesOrderStatus": "Canceled"}, "reference"),
    ],
)
def test_an_order_is_found_by(opportunity, order, found_by):
    def write(books: Books) -> None:
        books.opportunity(1, **opportunity)
        books.order(1, **order)

    assert [found for _, _, found in links(compared(write), "sales_order")] == [found_by]


def test_an_order_that_the_ledger_knows_is_linked_whatever_it_carries():
    def write(books: Books) -> None:
        books.opportunity(1)
        books.order(1, SalesOrderNumber="SO-7", CustomersOrderReference="")
        books.known("sales_order", opportunity_id(1), "USMF", "SO-7")

    assert links(compared(write), "sales_order") == [(opportunity_id(1), "usmf|so-7", "ledger")]


def test_two_orders_with_the_same_reference_are_not_linked_but_listed():
    def write(books: Books) -> None:
        books.opportunity(1)
        books.line(1)
        books.order(1, SalesOrderNumber="SO-7")
        books.order(1, SalesOrderNumber="SO-8")

    result = compared(write)
    assert links(result, "sales_order") == []
    assert ("salesforce", opportunity_id(1), ["usmf|so-7", "usmf|so-8"], "ambiguous") in left_open(
        result, "sales_order"
    )
    assert result.orders == {"only_in_d365": 2, "only_in_salesforce": 1}


def test_a_canceled_order_does_not_stand_in_the_way_of_the_live_one_with_the_same_reference():
    def write(books: Books) -> None:
        books.opportunity(1)
        books.order(1, SalesOrderNumber="SO-7", SalesOrderStatus="Canceled")
        books.order(1, SalesOrderNumber="SO-8")

    assert links(compared(write), "sales_order") == [(opportunity_id(1), "usmf|so-8", "reference")]


def test_quarantined_records_are_linked_by_what_is_known_of_them():
    def write(books: Books) -> None:
        books.customer(2)
        books.put_in_quarantine(
            "salesforce", "account", account_id(2), row='{"AccountNumber": "AW00000002", "ERP_Company__c": "usmf"}'
        )
        books.opportunity(1)
        books.line(1)
        books.put_in_quarantine(
            "d365", "sales_order", f"usmf|{ORDER.lower()}", row=f'{{"SalesOrderNumber": "{ORDER}"}}'
        )

    result = compared(write)
    assert (account_id(2), "usmf|aw00000002", "account_number") in links(result)
    assert result.rows("SELECT d365_key, found_by FROM crosswalk_sales_order") == [(ORDER, "our_number")]
    assert result.orders == {"quarantined": 1}
    assert result.customers == {"matched": 1, "quarantined": 1}


def test_the_quarantine_may_be_registered_without_the_rows():
    def write(books: Books) -> None:
        books.agree()
        books.put_in_quarantine("salesforce", "opportunity_line", line_id(1, 2), opportunity_id(1))

    result = compared(write)
    result.con.execute('ALTER TABLE salesforce_quarantined DROP COLUMN "row"')
    result.con.execute("DROP VIEW quarantined_in_salesforce")
    assert link_orders(result.con, result.contracts).linked == 1
    assert result.orders == {"quarantined": 1}
