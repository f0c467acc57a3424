"""Countries as ISO 3166 codes, whatever way they are written: two or three letters, or a name in one of the languages of the companies.

The names come from pycountry (Debian's iso-codes), with the few everyday names that no standard lists.
"""

import gettext
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

COUNTRY_TABLE = "country_name"
"""Name of the DuckDB table that `register` makes: name (small letters, trimmed), alpha2."""

_LANGUAGES = ("de", "fr", "es", "it", "nl", "pt", "da", "sv", "nb", "fi", "pl", "cs")

_EVERYDAY = {
    "America": "US",
    "Bosnia": "BA",
    "Cape Verde": "CV",
    "Czech Republic": "CZ",
    "Democratic Republic of the Congo": "CD",
    "DR Congo": "CD",
    "East Timor": "TL",
    "EL": "GR",  # the European Union's code
    "England": "GB",
    "Falkland Islands": "FK",
    "Great Britain": "GB",
    "Great Britain and Northern Ireland": "GB",
    "Holland": "NL",
    "Holy See": "VA",
    "Ivory Coast": "CI",
    "Korea": "KR",
    "Macedonia": "MK",
    "Mainland China": "CN",
    "Northern Ireland": "GB",
    "Palestine": "PS",
    "PRC": "CN",
    "Republic of Ireland": "IE",
    "Russia": "RU",
    "Saint Kitts": "KN",
    "São Tomé and Príncipe": "ST",
    "Scotland": "GB",
    "Sint Maarten": "SX",
    "St Kitts and Nevis": "KN",
    "St. Kitts and Nevis": "KN",
    "The Bahamas": "BS",
    "The Gambia": "GM",
    "The Netherlands": "NL",
    "The Philippines": "PH",
    "Trinidad": "TT",
    "Turkey": "TR",
    "U.K.": "GB",
    "U.S.": "US",
    "U.S.A.": "US",
    "UAE": "AE",
    "UK": "GB",
    "United States of America": "US",
    "US Virgin Islands": "VI",
    "Vatican": "VA",
    "Vatican City": "VA",
    "Wales": "GB",
}


@cache
def alpha2_by_name() -> dict[str, str]:
    """Every spelling in small letters → alpha-2 code."""
    import pycountry  # here, because reading its database costs time that only landing needs

    names: dict[str, str] = {}
    for country in pycountry.countries:
        for spelling in _spellings(country):
            names.setdefault(spelling.lower(), country.alpha_2)
    for spelling, code in _EVERYDAY.items():
        names.setdefault(spelling.lower(), code)
    for language in _LANGUAGES:
        # A spelling that two countries share in different languages belongs to the one that came first: English, then the order above.
        translation = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=[language], fallback=True)
        for country in pycountry.countries:
            for spelling in _spellings(country):
                names.setdefault(translation.gettext(spelling).lower(), country.alpha_2)
    # Last, so that no variant takes the place of a name.
    for spelling, code in list(names.items()):
        for variant in _variants(spelling):
            names.setdefault(variant, code)
    return names


def alpha2(country: str | None) -> str | None:
    """The alpha-2 code of a country in any known spelling; `None` where it is unknown."""
    return None if country is None else alpha2_by_name().get(" ".join(country.split()).lower())


def alpha3(country: str | None) -> str | None:
    """The alpha-3 code, as `AddressCountryRegionId` of D365 holds it; `None` where the country is unknown."""
    import pycountry

    code = alpha2(country)
    found = None if code is None else pycountry.countries.get(alpha_2=code)
    return None if found is None else str(found.alpha_3)


def register(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the table `country_name` on `connection`, once."""
    # Read to its end: a function cannot be made on a connection that still holds an unread result.
    if connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [COUNTRY_TABLE]).fetchall():
        return
    names = alpha2_by_name()
    connection.execute(
        f"CREATE TEMP TABLE {COUNTRY_TABLE} AS SELECT unnest(?) AS name, unnest(?) AS alpha2",
        [list(names), list(names.values())],
    )


def _spellings(country: Any) -> list[str]:
    attributes = ("alpha_2", "alpha_3", "numeric", "name", "common_name", "official_name")
    return [value for value in (getattr(country, attribute, None) for attribute in attributes) if value]


def _variants(spelling: str) -> Iterator[str]:
    """Other ways to write a name or code: turned around, with brackets, without accents or leading zeros."""
    if spelling.isdecimal():
        yield spelling.lstrip("0")
        return
    name, comma, rest = spelling.partition(", ")
    written = [spelling, f"{rest} {name}", f"{name} ({rest})"] if comma else [spelling]
    for one in written:
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", one) if not unicodedata.combining(sign))
        yield from (one, plain, plain.replace("\u2019", "'"))
