"""The options of the compare kinds: what each makes equal, what stays different, and that nothing changes where it is not used."""

import shutil
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resources.lake import Lake
from resources.workbench import Inputs, Workbench, duckdb_connection
from tests.conftest import PROJECT
from tests.reconciliation.books import READS, Books, compared
from tieout.breaks import breaks_of
from tieout.contract import Contracts, load_contracts
from tieout.errors import ContractError
from tieout.landing import register_functions
from tieout.reconciliation.rows import differences_to_look_at

With = Callable[..., Contracts]


@pytest.fixture
def contracts_with(tmp_path: Path) -> With:
    """The project's contracts with changes (file, old, new), and `exchange_rates.csv` where rates are given."""
    folder = tmp_path / "contracts"
    shutil.copytree(PROJECT / "contracts", folder)

    def load(*changes: tuple[str, str, str], rates: str = "") -> Contracts:
        for name, old, new in changes:
            text = (folder / name).read_text()
            assert old in text, f"{name} no longer holds {old!r}"
            (folder / name).write_text(text.replace(old, new, 1))
        if rates:
            (folder / "exchange_rates.csv").write_text(f"from_currency,to_currency,from_date,to_date,rate\n{rates}")
        return load_contracts(folder)

    return load


def customer_fields(contracts: Contracts | None, account: dict[str, Any], customer: dict[str, Any]) -> list[str]:
    """The fields in which an account and its customer differ."""

    def write(books: Books) -> None:
        books.account(2, **account)
        books.customer(2, **customer)

    result = compared(write, contracts=contracts)
    return [
        field
        for (field,) in result.rows("SELECT DISTINCT field FROM customer_difference WHERE kind = 'differs' ORDER BY 1")
    ]


def order_fields(contracts: Contracts | None, write: Callable[[Books], None]) -> dict[str, Decimal | None]:
    """The fields in which an opportunity and its order differ, header and lines, each with the money at stake."""
    result = compared(write, contracts=contracts)
    return dict(result.rows("SELECT field, amount FROM sales_order_difference WHERE kind = 'differs' ORDER BY 1"))


# --- legal forms

NAME = (
    "customer.yaml",
    "    compare: text\n    on_difference: write\n",
    "    compare: text\n    legal_form: ignored\n    on_difference: write\n",
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Müller & Co. KG", "Müller"),
        ("Bike Shop, Inc.", "Bike Shop LLC"),
        ("Velo S.A.", "velo sa"),
        ("Fiets B. V.", "FIETS"),
        ("Rad GmbH & Co. KG", "Rad"),
    ],
)
def test_a_legal_form_at_the_end_does_not_count_where_the_contract_says_so(
    contracts_with: With, one: str, other: str
) -> None:
    names = {"Name": one}, {"OrganizationName": other}
    assert customer_fields(None, *names) == ["name"]
    assert customer_fields(contracts_with(NAME), *names) == []


@pytest.mark.parametrize(("one", "other"), [("AG", "KG"), ("Agatha", "ha"), ("Inc Bikes", "Bikes"), ("Corpus", "us")])
def test_a_name_is_not_taken_for_a_legal_form(contracts_with: With, one: str, other: str) -> None:
    assert customer_fields(contracts_with(NAME), {"Name": one}, {"OrganizationName": other}) == ["name"]


# --- phone numbers

PHONE = ("customer.yaml", "    compare: phone\n", "    compare: phone\n    default_country: country\n")


@pytest.mark.parametrize(
    ("country", "iso", "one", "other"),
    [
        ("Germany", "DEU", "030 1234567", "+49 30 1234567"),
        ("United States", "USA", "(206) 555-0100", "+1 206 555 0100"),
        ("United Kingdom", "GBR", "020 7946 0018", "0044 20 7946 0018"),
    ],
)
def test_a_number_without_prefix_is_read_in_the_country_of_its_record(
    contracts_with: With, country: str, iso: str, one: str, other: str
) -> None:
    sides = {"BillingCountry": country, "Phone": one}, {"AddressCountryRegionId": iso, "PrimaryContactPhone": other}
    assert customer_fields(None, *sides) == ["phone"]
    assert customer_fields(contracts_with(PHONE), *sides) == []


def test_a_reconciliation_knows_the_function_that_reads_phone_numbers(contracts_with: With, tmp_path: Path) -> None:
    """The connection of a run is another one than that which landed the rows."""
    with duckdb_connection() as con:
        bench = Workbench(con, Lake(tmp_path / "lake"), None, contracts_with(PHONE), Inputs({}, [], READS))

        assert bench.customers() == {}


def test_what_values_need_is_made_on_a_connection_once_however_often_it_is_asked_for(contracts_with: With) -> None:
    table = contracts_with(PHONE).table("salesforce", "account")
    with duckdb_connection() as con:
        for _ in range(3):
            register_functions(con, table)

        assert con.execute("SELECT e164('030 1234567', 'DE')").fetchall() == [("+49301234567",)]


def test_one_country_for_all_numbers_and_numbers_that_are_none(contracts_with: With) -> None:
    contracts = contracts_with(
        ("customer.yaml", "    compare: phone\n", "    compare: phone\n    default_country: DE\n")
    )
    assert customer_fields(contracts, {"Phone": "030 1234567"}, {"PrimaryContactPhone": "+49301234567"}) == []
    assert customer_fields(contracts, {"Phone": "030 1234567"}, {"PrimaryContactPhone": "+49301234568"}) == ["phone"]
    assert customer_fields(contracts, {"Phone": "12"}, {"PrimaryContactPhone": "1-2"}) == []
    assert customer_fields(contracts, {"Phone": "call me"}, {"PrimaryContactPhone": None}) == []
    assert customer_fields(contracts, {"Phone": "+49 30 1234567 ext. 5"}, {"PrimaryContactPhone": "+49301234567"}) == [
        "phone"
    ]


# --- dates and instants

LAG = (
    "sales_order.yaml",
    "    compare: date\n    when_empty: not_compared ",
    "    compare: date\n    tolerance: {days: 2}\n    when_empty: not_compared ",
)


@pytest.mark.parametrize(
    ("day", "differs"),
    [
        ("2026-04-03T12:00:00Z", False),
        ("2026-03-30T12:00:00Z", False),
        ("2026-04-04T12:00:00Z", True),
        ("2026-03-29T12:00:00Z", True),
        (None, True),
    ],
)
def test_dates_may_lag_by_so_many_days(contracts_with: With, day: str | None, differs: bool) -> None:
    """Wanted for 2026-04-01."""

    def write(books: Books) -> None:
        books.agree(2)
        books.rows["d365", "sales_order"][-1]["RequestedShippingDate"] = day

    assert ("requested_ship_date" in order_fields(contracts_with(LAG), write)) is differs
    assert "requested_ship_date" in order_fields(None, write)


INSTANT = (
    "customer.yaml",
    "  phone:\n    salesforce: Phone\n    d365: PrimaryContactPhone\n",
    "  seen_at:\n    salesforce: ERP_Seen_At__c\n    d365: SeenDateTime\n    owner: salesforce\n    compare: instant\n"
    "    tolerance: {seconds: 5}\n  phone:\n    salesforce: Phone\n    d365: PrimaryContactPhone\n",
)


def test_instants_may_lag_by_so_many_seconds_in_any_zone(contracts_with: With) -> None:
    contracts = contracts_with(INSTANT)
    seen = {"ERP_Seen_At__c": "2026-03-01T08:00:00.000Z"}

    assert customer_fields(contracts, seen, {"SeenDateTime": "2026-03-01T09:00:05+01:00"}) == []
    assert customer_fields(contracts, seen, {"SeenDateTime": "2026-03-01T08:00:05.001Z"}) == ["seen_at"]
    assert customer_fields(contracts, seen, {"SeenDateTime": None}) == ["seen_at"]


def notes(contracts: Contracts, write: Callable[[Books], None]) -> dict[str, str | None]:
    """The fields in which an opportunity and its order differ, each with what is said about it."""
    result = compared(write, contracts=contracts)
    return dict(result.rows("SELECT field, note FROM sales_order_difference WHERE kind = 'differs' ORDER BY 1"))


# --- money in another currency

EXCHANGE = (
    "sales_order.yaml",
    "    d365_from_lines: {sum: amount}     # D365 keeps",
    "    exchange: {currency: currency, date: CloseDate}\n    d365_from_lines: {sum: amount}     # D365 keeps",
)
RATES = "USD,EUR,2026-01-01,2026-02-28,0.9\nUSD,EUR,2026-03-01,2026-03-31,0.95\n"


def in_euro(amount: str | None) -> Callable[[Books], None]:
    """Sold for 20.00 USD on 2026-03-01, ordered in EUR."""

    def write(books: Books) -> None:
        books.agree(2)
        books.rows["d365", "sales_order"][-1]["CurrencyCode"] = "EUR"
        books.rows["d365", "sales_order_line"][-1]["LineAmount"] = amount

    return write


def test_amounts_in_two_currencies_are_compared_at_the_rate_of_the_day(contracts_with: With) -> None:
    contracts = contracts_with(EXCHANGE, rates=RATES)

    assert "amount" in order_fields(None, in_euro("19.00"))
    assert "amount" not in order_fields(contracts, in_euro("19.00"))
    assert "amount" not in order_fields(contracts, in_euro("19.01"))
    assert order_fields(contracts, in_euro("18.00"))["amount"] == Decimal("1.00")
    assert "currency" in order_fields(contracts, in_euro("19.00"))


def test_without_a_rate_for_the_day_the_amounts_differ(contracts_with: With) -> None:
    assert "amount" in order_fields(
        contracts_with(EXCHANGE, rates="USD,EUR,2026-01-01,2026-02-28,0.95\n"), in_euro("19.00")
    )


def sold_for(amount: str | None, in_d365: str | None) -> Callable[[Books], None]:
    """Sold for so many USD on 2026-03-01, ordered for so many EUR."""

    def write(books: Books) -> None:
        in_euro(in_d365)(books)
        books.rows["salesforce", "opportunity"][-1]["Amount"] = amount
        books.rows["salesforce", "opportunity_line"][-1]["TotalPrice"] = amount

    return write


def test_a_small_rate_counts_with_all_its_digits(contracts_with: With) -> None:
    contracts = contracts_with(EXCHANGE, rates="USD,EUR,2026-01-01,2026-12-31,0.000061234567\n")

    assert "amount" not in order_fields(contracts, sold_for("1000000000000.00", "61234567.00"))
    assert order_fields(contracts, sold_for("1000000000000.00", "61235000.00"))["amount"] == Decimal("433.00")


def test_an_amount_that_is_too_large_to_convert_differs_and_stops_no_run(contracts_with: With) -> None:
    contracts = contracts_with(EXCHANGE, rates="USD,EUR,2026-01-01,2026-12-31,0.5\n")

    assert "amount" not in order_fields(contracts, sold_for("20000000000000.00", "10000000000000.00"))
    assert "amount" in order_fields(contracts, sold_for("200000000000000.00", "100000000000000.00"))


@pytest.mark.parametrize(("amount", "in_d365"), [("20.00", None), (None, "19.00")])
def test_an_amount_that_one_side_does_not_have_differs_at_any_rate(
    contracts_with: With, amount: str | None, in_d365: str | None
) -> None:
    assert "amount" in order_fields(contracts_with(EXCHANGE, rates=RATES), sold_for(amount, in_d365))


def test_a_rate_that_is_missing_is_told_with_its_currencies_and_day(contracts_with: With) -> None:
    contracts = contracts_with(
        EXCHANGE, rates="USD,EUR,2026-01-01,2026-02-28,0.95\nEUR,USD,2026-03-01,2026-03-31,1.05\n"
    )
    told = notes(contracts, in_euro("19.00"))

    assert told["amount"] == "no exchange rate USD→EUR on 2026-03-01"
    assert told["currency"] is None


def test_an_amount_that_differs_at_a_known_rate_has_no_such_note(contracts_with: With) -> None:
    contracts = contracts_with(EXCHANGE, rates=RATES)

    assert notes(contracts, in_euro("18.00"))["amount"] is None
    assert notes(contracts, sold_for(None, "18.00"))["amount"] is None
    assert notes(contracts, sold_for("200000000000000.00", "1.00"))["amount"] == "too large to be converted"


def test_amounts_in_one_currency_need_no_rate(contracts_with: With) -> None:
    contracts = contracts_with(EXCHANGE)

    assert order_fields(contracts, lambda books: books.agree(2)) == {}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "USD,EUR,2026-01-01,2026-02-28",
            "4 values instead of 5. Write: from_currency,to_currency,from_date,to_date,rate",
        ),
        ("usd,EUR,2026-01-01,2026-02-28,1", "'usd' is no currency. Write three capital letters, such as EUR."),
        ("USD,EUR,2026-03-01,2026-02-28,1", "the period ends on 2026-02-28, before it begins. Exchange the two days."),
        ("USD,EUR,2026-01-01,31.1.2026,1", "'2026-01-01' or '31.1.2026' is no day. Write days as 2026-01-31."),
        ("USD,EUR,2026-01-01,2026-02-28,0", "the rate 0 is not above 0. Correct it."),
        (
            "USD,EUR,2026-01-01,2026-02-28,0.0000000000001",
            "the rate 0.0000000000001 has more than 12 decimals. Correct it.",
        ),
        (
            "USD,EUR,2026-01-01,2026-02-28,1234567",
            "the rate 1234567 has more than 6 digits before the point. Correct it.",
        ),
        ('USD,EUR,2026-01-01,2026-02-28,"0,9"', "'0,9' is no number. Write it with a point: 1.0825."),
    ],
)
def test_a_wrong_rate_is_told_with_its_line(contracts_with: With, line: str, told: str) -> None:
    with pytest.raises(ContractError, match=r"contracts/exchange_rates\.csv:3: ") as refused:
        contracts_with(rates=f"USD,CHF,2026-01-01,2026-02-28,0.8\n{line}\n")

    assert str(refused.value) == f"contracts/exchange_rates.csv:3: {told}"


def test_periods_of_a_rate_may_not_overlap_and_rates_keep_all_their_digits(contracts_with: With) -> None:
    [rate] = contracts_with(rates="USD,EUR,2026-01-01,2026-02-28,0.123456789\n").rates
    assert (rate.from_date, rate.rate) == (date(2026, 1, 1), Decimal("0.123456789"))
    with pytest.raises(
        ContractError, match=r"USD to EUR has a rate for 2026-02-28 already\. Let periods not overlap\."
    ):
        contracts_with(rates="USD,EUR,2026-01-01,2026-02-28,0.9\nUSD,EUR,2026-02-28,2026-03-31,0.8\n")


# --- quantities in another unit

UNITS = (
    "sales_order.yaml",
    "      compare: quantity\n    unit:\n",
    '      compare: quantity\n      conversion: {unit: unit, factors: {ea: "1", box: "12"}}\n    unit:\n',
)


def ordered(quantity: str | None, unit: str | None) -> Callable[[Books], None]:
    """24 pieces sold."""

    def write(books: Books) -> None:
        books.agree(2)
        books.rows["salesforce", "opportunity_line"][-1]["Quantity"] = "24"
        books.rows["d365", "sales_order_line"][-1] |= {"OrderedSalesQuantity": quantity, "SalesUnitSymbol": unit}

    return write


def test_quantities_are_compared_in_one_unit(contracts_with: With) -> None:
    contracts = contracts_with(UNITS)

    assert {"line.quantity", "line.unit"} <= set(order_fields(None, ordered("2", "box")))
    assert set(order_fields(contracts, ordered("2", "box"))) == set()
    assert set(order_fields(contracts, ordered("3", "box"))) == {"line.quantity"}
    assert set(order_fields(contracts, ordered("24", "ea"))) == set()


def test_a_unit_without_a_conversion_differs_and_so_does_its_quantity(contracts_with: With) -> None:
    assert set(order_fields(contracts_with(UNITS), ordered("24", "pallet"))) == {"line.quantity", "line.unit"}


@pytest.mark.parametrize("quantity", ["24", None])
def test_a_quantity_or_unit_that_one_side_does_not_have_differs(contracts_with: With, quantity: str | None) -> None:
    unit = "box" if quantity is None else None

    assert "line.quantity" in order_fields(contracts_with(UNITS), ordered(quantity, unit))


@pytest.mark.parametrize(
    ("factor", "told"),
    [
        ("0.08333333333", "the factor 0.08333333333 has more than 9 decimals."),
        ("12000000000", "the factor 12000000000 has more than 9 digits before the point."),
    ],
)
def test_a_factor_that_would_be_rounded_is_told(contracts_with: With, factor: str, told: str) -> None:
    with pytest.raises(ContractError, match=r"contracts/sales_order\.yaml:\d+: ") as refused:
        contracts_with((UNITS[0], UNITS[1], UNITS[2].replace('"12"', f'"{factor}"')))

    assert told in str(refused.value)


def test_a_conversion_that_is_missing_is_told_with_both_units(contracts_with: With) -> None:
    contracts = contracts_with(UNITS)

    assert notes(contracts, ordered("24", "pallet"))["line.quantity"] == "no conversion between ea and PALLET"
    assert notes(contracts, ordered("24", None))["line.quantity"] == "no conversion between ea and nothing"
    assert notes(contracts, ordered("3", "box"))["line.quantity"] is None


def test_what_is_missing_is_the_detail_of_the_break(contracts_with: With) -> None:
    result = compared(ordered("24", "pallet"), contracts=contracts_with(UNITS))
    assert result.orders == {"differs": 1}
    found = differences_to_look_at(result.con, "sales_order_difference")
    told = {one.subject: one.detail for one in breaks_of([], found, {})}

    assert told["line.quantity"] == "no conversion between ea and PALLET"
