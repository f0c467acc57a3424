"""When two stored values count as equal: one claim for each compare kind."""

from typing import Any

import duckdb
import pycountry
import pytest

from tieout import countries
from tieout.canonical import country, phone, text
from tieout.sql import literal


def compared(con: duckdb.DuckDBPyConnection, expression: Any, value: str | None) -> str | None:
    """The canonical value of one stored value."""
    row = con.execute(f"SELECT {expression('value')} FROM (SELECT {literal(value)}::VARCHAR AS value)").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Riders Company", "  riders   company "),
        ("Caf\u00e9", "Cafe\u0301"),
        ("Main St\r\nSuite 2", "MAIN ST SUITE 2"),
        ("a\u00a0b\tc", "A B C"),
        ("", None),
        ("   ", None),
        ("\u00a0", None),
        ("STRAẞE", "straße"),
    ],
)
def test_text_is_equal_beyond_blanks_capitals_and_composition(
    con: duckdb.DuckDBPyConnection, one: str, other: str | None
) -> None:
    assert compared(con, text, one) == compared(con, text, other)


@pytest.mark.parametrize(
    ("one", "other"), [("l'Esplanade", "l\u00b4Esplanade"), ("Müller", "Muller"), ("A&B", "A and B"), ("AB", "A B")]
)
def test_text_differs_in_apostrophes_accents_and_signs(con: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    assert compared(con, text, one) != compared(con, text, other)


@pytest.mark.parametrize("written", ["+49 (0)30 12-34", "0049 30 1234", "+49301234", "49 30 1234"])
def test_a_phone_number_is_its_digits(con: duckdb.DuckDBPyConnection, written: str) -> None:
    assert compared(con, phone, written) == "49301234"


def test_a_phone_number_without_digits_is_none(con: duckdb.DuckDBPyConnection) -> None:
    assert compared(con, phone, "n/a") is None


@pytest.mark.parametrize(
    "written", ["DE", "DEU", "deu ", "Germany", "Deutschland", "Allemagne", "Federal Republic of Germany"]
)
def test_a_country_is_one_however_it_is_written(con: duckdb.DuckDBPyConnection, written: str) -> None:
    countries.register(con)

    assert compared(con, country, written) == "DE" == countries.alpha2(written)


def test_everyday_names_of_countries_are_known() -> None:
    assert [countries.alpha2(name) for name in ("USA", "UK", "South Korea", "Czech Republic")] == [
        "US",
        "GB",
        "KR",
        "CZ",
    ]
    assert countries.alpha3("Deutschland") == "DEU"
    assert countries.alpha2("Atlantis") is None
    assert countries.alpha3("Atlantis") is None


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("Republic of Korea", "KR"),
        ("Iran (Islamic Republic of)", "IR"),
        ("Cote d'Ivoire", "CI"),
        ("Ivory Coast", "CI"),
        ("Türkiye", "TR"),
        ("Turkiye", "TR"),
        ("Vatican City", "VA"),
        ("The Gambia", "GM"),
        ("Democratic Republic of the Congo", "CD"),
        ("036", "AU"),
        ("36", "AU"),
        ("4", "AF"),
    ],
)
def test_a_country_is_known_turned_around_without_accents_and_without_leading_zeros(
    con: duckdb.DuckDBPyConnection, written: str, code: str
) -> None:
    countries.register(con)

    assert compared(con, country, written) == code == countries.alpha2(written)


def test_no_variant_takes_the_place_of_a_name_or_code() -> None:
    for known in pycountry.countries:
        for written in (known.alpha_2, known.alpha_3, known.numeric, known.name):
            assert countries.alpha2(written) == known.alpha_2


def test_countries_may_be_registered_twice(con: duckdb.DuckDBPyConnection) -> None:
    countries.register(con)
    countries.register(con)
