"""What counts as different, what is only stored differently, and how both are counted."""

from decimal import Decimal

import duckdb
import pytest

from tests.reconciliation.books import DURING, Books, account_id, compared, opportunity_id
from tieout.compared_field import ComparedField, Tolerance, differs


def customers(account: dict, customer: dict):
    """One more account and customer that differ as given."""

    def write(books: Books) -> None:
        books.account(2, **account)
        books.customer(2, **customer)

    return compared(write)


def counted(result, field, entity="customer"):
    columns = "matched, equal_after_normalising, blanks, differs, damaged_characters, not_compared"
    return result.rows(f"SELECT {columns} FROM {entity}_field_count WHERE field = '{field}'")[0]


def told(result, entity="customer"):
    columns = "field, salesforce_stored, d365_stored, kind, damaged_side"
    return result.rows(f"SELECT {columns} FROM {entity}_difference WHERE field <> 'phone' ORDER BY ALL")


def test_a_name_that_ends_in_a_blank_is_equal_and_counted_by_itself():
    result = customers({"Name": "Bike Shop 2 "}, {})
    assert result.customers == {"matched": 2}
    assert told(result) == [("name", "Bike Shop 2 ", "Bike Shop 2", "case_or_blanks", None)]
    assert counted(result, "name") == (2, 1, 1, 0, 0, 0)


def test_a_name_in_other_letters_is_equal_but_not_for_its_blanks():
    assert counted(customers({"Name": "BIKE SHOP 2"}, {}), "name") == (2, 1, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("account", "customer", "side"),
    [
        ({"BillingStreet": "1, place de la R‚publique"}, {"AddressStreet": "1, place de la République"}, "salesforce"),
        ({"BillingStreet": "Rotthäuser Weg 511"}, {"AddressStreet": "Rotth„user Weg 511"}, "d365"),
        ({"BillingStreet": "M\u0081nzstr 9"}, {"AddressStreet": "Münzstr 9"}, "salesforce"),
    ],
)
def test_damaged_characters_are_told_apart_from_other_differences(account, customer, side):
    result = customers(account, customer)
    assert [row[3:] for row in told(result)] == [("damaged_characters", side)]
    assert result.rows("SELECT verdict, fields FROM customer_verdict WHERE verdict <> 'matched'") == [
        ("differs", ["street"])
    ]
    assert counted(result, "street") == (1, 0, 0, 0, 1, 0)


def test_another_apostrophe_is_a_difference():
    result = customers({"BillingStreet": "1 l'Esplanade"}, {"AddressStreet": "1 l´Esplanade"})
    assert [row[3] for row in told(result)] == ["differs"]


def test_an_empty_value_differs_from_a_full_one_and_two_empty_ones_agree():
    result = customers({"Email__c": None, "BillingState": None}, {"AddressState": ""})
    assert told(result) == [("email", None, "shop2@example.com", "differs", None)]
    assert counted(result, "state") == (2, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("limit", "verdict"), [("1000.01", "matched"), ("1000.010001", "differs"), (None, "differs"), ("0", "differs")]
)
def test_a_tolerance_is_exact_and_does_not_forgive_an_empty_side(limit, verdict):
    result = customers({"Credit_Limit__c": limit}, {"CreditLimit": "1000"})
    assert result.rows(f"SELECT verdict FROM customer_verdict WHERE salesforce_key = '{account_id(2)}'") == [(verdict,)]


@pytest.mark.parametrize(
    ("absolute", "percent", "pairs"),
    [
        ("0.01", None, {("1.00", "1.01"): False, ("1.00", "1.0101"): True}),
        (None, "0.5", {("200", "199"): False, ("199", "200"): False, ("198.99", "200"): True, ("0", "0"): False}),
        ("1", "0.5", {("10", "11"): False, ("1000", "1005"): False, ("10", "11.01"): True}),
        ("1", None, {(None, "0"): True, (None, None): False, ("0", None): True}),
    ],
)
def test_a_pair_that_one_of_its_tolerances_forgives_is_equal(absolute, percent, pairs):
    tolerance = Tolerance(*(Decimal(limit) if limit else None for limit in (absolute, percent)))
    test = differs(ComparedField("x", "x", "salesforce", "report", tolerance))
    for (sf, d365), expected in pairs.items():
        sides = "(SELECT ?::DECIMAL(28,6) AS cmp_x) AS sf, (SELECT ?::DECIMAL(28,6) AS cmp_x) AS d365"
        assert duckdb.execute(f"SELECT {test} FROM {sides}", [sf, d365]).fetchall() == [(expected,)], (sf, d365)


def test_a_number_within_the_tolerance_is_counted_as_equal_after_normalising_but_not_listed():
    result = customers({"Credit_Limit__c": "1000.01"}, {"CreditLimit": "1000"})
    assert counted(result, "credit_limit") == (2, 1, 0, 0, 0, 0)
    assert told(result) == []


def test_a_difference_names_the_owner_what_follows_and_the_money():
    result = customers({"Credit_Limit__c": "900"}, {"CreditLimit": "1000"})
    columns = "field, owner, on_difference, salesforce_stored, d365_stored, amount"
    assert result.rows(f"SELECT {columns} FROM customer_difference WHERE field = 'credit_limit'") == [
        ("credit_limit", "d365", "write", "900", "1000", 100)
    ]


def test_differences_of_records_in_flight_are_not_listed():
    result = customers({"Name": "Other", "SystemModstamp": DURING}, {})
    assert result.customers == {"in_flight": 1, "matched": 1}
    assert told(result) == []
    assert counted(result, "name") == (1, 0, 0, 0, 0, 0)


def test_the_further_customers_of_a_party_are_duplicates_where_one_is_linked():
    def write(books: Books) -> None:
        books.customer(7, PartyNumber="P1")
        books.customer(8, PartyNumber="P1", dataAreaId="frrt")
        books.customer(9)

    result = compared(write)
    assert result.rows(
        "SELECT d365_lake_key, verdict FROM customer_verdict WHERE salesforce_key IS NULL ORDER BY ALL"
    ) == [
        ("frrt|aw00000008", "only_in_d365"),
        ("usmf|aw00000007", "duplicate"),
        ("usmf|aw00000009", "only_in_d365"),
    ]


def test_an_account_without_customer_takes_part_only_where_an_opportunity_was_won():
    def write(books: Books) -> None:
        for number in (2, 3):
            books.account(number)
        books.opportunity(1, AccountId=account_id(3))
        books.opportunity(2, AccountId=account_id(2), StageName="Prospecting")

    rows = compared(write).rows("SELECT salesforce_key, verdict FROM customer_verdict WHERE d365_key IS NULL")
    assert rows == [(account_id(3), "only_in_salesforce")]


def test_a_key_that_comes_twice_is_reported_once_and_doubles_nothing():
    def write(books: Books) -> None:
        books.agree()
        books.order(1)

    result = compared(write)
    assert result.verdict("sales_order_verdict") == ("duplicate", "the key occurs more than once on one side")
    assert result.rows("SELECT salesforce, d365, difference FROM tie_out") == [(20, 20, 0)]


def test_every_field_count_adds_up_to_the_pairs_that_were_judged():
    def write(books: Books) -> None:
        books.agree()
        books.agree(2)
        books.rows["d365", "sales_order"][1]["CustomerRequisitionNumber"] = "PO-X"
        books.rows["salesforce", "opportunity"][0]["Requested_Ship_Date__c"] = None

    result = compared(write)
    sums = "SELECT DISTINCT matched + differs + damaged_characters + not_compared FROM sales_order_field_count"
    assert result.rows(sums) == [(2,)]
    assert counted(result, "purchase_order", "sales_order") == (1, 0, 0, 1, 0, 0)
    assert result.rows(f"SELECT count(*) FROM sales_order_difference WHERE salesforce_key = '{opportunity_id(2)}'") == [
        (1,)
    ]
