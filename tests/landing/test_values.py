"""What arrives in a page is what stands in the lake: exact numbers, real empties, days that do not move."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from tests.landing.conftest import EXTRACTED_AT, Land, json_page
from tests.landing.rows import Raw, a_customer, a_line, an_account, an_opportunity, an_order, an_order_line


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2024.9940", Decimal("2024.994000")),
        ("1500.10", Decimal("1500.100000")),
        ("0", Decimal("0.000000")),
        ("-389.45", Decimal("-389.450000")),
        ("12345678901.123456", Decimal("12345678901.123456")),
        ("99999999999999.99", Decimal("99999999999999.990000")),
        ("1234567890123456.78", Decimal("1234567890123456.780000")),
        ("9007199254740993", Decimal("9007199254740993.000000")),
        ("1.5E7", Decimal("15000000.000000")),
        ("1.2345678901234567E10", Decimal("12345678901.234567")),
        ('"99999999999999.999"', Decimal("99999999999999.999000")),
    ],
)
def test_a_decimal_keeps_every_digit_that_was_sent(land_pages: Land, sent: str, stored: Decimal) -> None:
    """DuckDB's JSON reader goes through binary doubles, which hold 15 digits; landing does not."""
    landing = land_pages("d365", "sales_order_line", json_page([an_order_line(SalesPrice=Raw(sent))]))

    assert landing.value("SalesPrice") == stored
    assert landing.value("cmp_unit_price") == stored


def test_digits_are_taken_from_the_field_and_not_from_a_text_that_quotes_it(land_pages: Land) -> None:
    tricky = 'says "Amount": 1234567890.99 and \\'
    page = json_page([an_opportunity(Name=tricky, Amount=Raw("98765432109876.54"))])

    landing = land_pages("salesforce", "opportunity", page)

    assert landing.good("Name", "Amount") == [(tricky, Decimal("98765432109876.540000"))]


def test_rest_and_bulk_pages_of_one_record_land_as_the_same_row(land_pages: Land) -> None:
    rest = land_pages(
        "salesforce", "opportunity_line", json_page([a_line(Discount=None, UnitPrice=Raw("1.5E7"), Quantity=2)])
    )
    from_rest = rest.con.execute("SELECT * FROM good").fetchall()
    bulk = (
        '"TotalPrice","Id","IsDeleted","OpportunityId","SortOrder","Product2Id","ProductCode","Quantity","UnitPrice","Discount","SystemModstamp"\n'
        '"100.5","00k8d00000AAAAAAA1","false","0068d00000AAAAAAA1","1","01t8d00000AAAAAAA1","BK-M68B-42","2.0","15000000.00","","2026-11-20T08:00:00.000Z"\n'
    )

    landing = land_pages("salesforce", "opportunity_line", bulk, format="csv")

    assert landing.con.execute("SELECT * FROM good").fetchall() == from_rest


def test_csv_pages_may_order_their_columns_differently_and_hold_quotes_and_line_ends(land_pages: Land) -> None:
    first = '"Id","Name","CurrencyIsoCode"\n"001A","Say ""hi"", Ltd","USD"\n'
    second = '"CurrencyIsoCode","Id","Name"\n"EUR","001B","Two\nlines"\n'

    landing = land_pages("salesforce", "account", first, second, format="csv")

    assert landing.good("Id", "Name", "CurrencyIsoCode") == [
        ("001A", 'Say "hi", Ltd', "USD"),
        ("001B", "Two\nlines", "EUR"),
    ]


def test_empties_of_d365_become_nulls(land_pages: Land) -> None:
    landing = land_pages(
        "d365",
        "sales_order",
        json_page([an_order(CustomersOrderReference="", OrderCreationDateTime="1900-01-01T00:00:00Z")]),
    )

    assert landing.good("CustomersOrderReference", "ConfirmedShippingDate", "OrderCreationDateTime") == [
        (None, None, None)
    ]
    assert landing.broken() == {}


def test_a_date_of_d365_is_the_day_it_names_wherever_we_are(land_pages: Land) -> None:
    for zone in ("Pacific/Auckland", "Pacific/Honolulu"):
        page = json_page([an_order(RequestedShippingDate="2026-12-01T12:00:00Z")])
        landing = land_pages("d365", "sales_order", page)
        landing.con.execute(f"SET TimeZone = '{zone}'")

        landing = land_pages("d365", "sales_order", page)

        assert landing.value("RequestedShippingDate") == date(2026, 12, 1)


@pytest.mark.parametrize(
    "sent", ["2026-11-20T08:00:00.000+0000", "2026-11-20T08:00:00.000Z", "2026-11-20T09:00:00+01:00"]
)
def test_an_instant_is_one_point_in_time_however_it_is_written(land_pages: Land, sent: str) -> None:
    landing = land_pages("salesforce", "account", json_page([an_account(SystemModstamp=sent)]))

    assert landing.value("SystemModstamp").astimezone(UTC) == datetime(2026, 11, 20, 8, tzinfo=UTC)


def test_keys_are_salesforce_ids_and_company_with_number_in_small_letters(land_pages: Land) -> None:
    assert (
        land_pages("salesforce", "account", json_page([an_account(Id="0018d00000aBcDeAAF")])).value("_key")
        == "0018d00000aBcDeAAF"
    )

    landing = land_pages(
        "d365", "sales_order_line", json_page([an_order_line(dataAreaId="USMF", InventoryLotId="Lot-7")])
    )

    assert landing.good("_key", "_parent_key", "dataAreaId") == [("usmf|lot-7", "usmf|t-0068d00000aaaaaaa1", "USMF")]


def test_a_line_names_its_header_by_the_headers_key(land_pages: Land) -> None:
    header = land_pages("d365", "sales_order", json_page([an_order(dataAreaId="USMF")])).value("_key")

    assert land_pages("d365", "sales_order_line", json_page([an_order_line()])).value("_parent_key") == header


def test_every_row_tells_its_run_and_its_time(land_pages: Land) -> None:
    landing = land_pages("salesforce", "account", json_page([an_account()]))

    ((extracted_at, run_id),) = landing.good("_extracted_at", "_run_id")
    assert (extracted_at.astimezone(UTC), run_id) == (EXTRACTED_AT, "run-1")


def test_the_row_hash_moves_with_any_column_and_with_nothing_else(land_pages: Land) -> None:
    def row_hash(**changes: object) -> int:
        return int(land_pages("d365", "customer", json_page([a_customer(**changes)])).value("_row_hash"))

    assert row_hash() == row_hash()
    assert row_hash(CreditLimit=Raw("0.00")) == row_hash(CreditLimit=0)
    assert row_hash(LanguageId="de") != row_hash()


def test_the_compare_hash_is_equal_on_both_sides_where_the_values_are(land_pages: Land) -> None:
    account = an_account(
        Name=" Riders  COMPANY ",
        BillingStreet="Main St\r\nSuite 2",
        BillingCountry="United States",
        Phone="+1 (555) 010-99",
        Email__c="A@b.com",
        ERP_On_Hold__c="No",
    )
    ours = land_pages("salesforce", "account", json_page([account])).value("_compare_hash")
    customer = a_customer(
        AddressStreet="main st suite 2",
        AddressCountryRegionId="USA",
        PrimaryContactPhone="001 555 01099",
        PrimaryContactEmail="a@B.com",
    )
    theirs = land_pages("d365", "customer", json_page([customer])).value("_compare_hash")
    other = land_pages("d365", "customer", json_page([a_customer(OrganizationName="Riders Ltd")])).value(
        "_compare_hash"
    )

    assert ours == theirs
    assert ours != other


def test_no_page_and_empty_pages_give_no_rows(land_pages: Land) -> None:
    assert land_pages("d365", "customer").landed.rows == 0
    assert land_pages("d365", "customer", "[]").landed.rows == 0
    assert land_pages("salesforce", "account", "", '"Id","Name"\n', format="csv").landed.rows == 0


def test_keys_that_a_page_leaves_out_and_keys_that_nobody_asked_for_do_no_harm(land_pages: Land) -> None:
    landing = land_pages(
        "d365", "customer", json_page([a_customer(Surprise={"a": [1]}), '{"dataAreaId":"usmf","CustomerAccount":"B"}'])
    )

    assert landing.landed.good == 2
