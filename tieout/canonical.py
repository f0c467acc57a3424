"""Canonical values: the SQL expression that makes two stored values comparable, one for each compare kind.

Text is compared in Unicode NFC, without outer blanks, with single inner blanks, in small letters. Apostrophes and accents are never folded:
`l'Esplanade` and `l´Esplanade` differ, and a person decides.
"""

from collections.abc import Sequence

from tieout.contract.model import System
from tieout.contract.tables import Field, ValueMap
from tieout.countries import COUNTRY_TABLE
from tieout.legal_forms import without_legal_form
from tieout.phone_numbers import E164
from tieout.sql import literal, literals, quoted

MONEY_TYPE = "DECIMAL(28,6)"

# Blanks that people type or paste without seeing them; tabs and line ends come from multi-line address fields.
_BLANKS = (" ", "\t", "\n", "\r", "\u00a0")


def canonical(field: Field, system: System, columns: Sequence[str]) -> str:
    """The expression for a field's canonical value.

    `columns` are the typed SQL expressions of its source columns on `system`, in the order of the contract; where the field refers to
    another record in D365, the company comes first. The result is NULL where the value is empty.
    """
    value = columns[-1] if field.compare == "reference" else columns[0]
    if field.values is not None:
        return mapped(field.values, system, columns)
    match field.compare:
        case "text" if field.ignores_legal_form:
            return without_legal_form(text(value))
        case "text":
            return text(value)
        case "code":
            return f"nullif(upper({_trimmed(value)}), '')"
        case "email":
            return f"nullif(lower({_trimmed(value)}), '')"
        case "phone" if field.region is not None or field.region_columns:
            region = literal(field.region) if field.region else country(quoted(field.region_columns[system]))
            return f"coalesce({E164}({value}, {region}), {phone(value)})"
        case "phone":
            return phone(value)
        case "country":
            return f"coalesce({country(value)}, nullif(upper({_trimmed(value)}), ''))"
        case "money" | "quantity":
            return value if field.empty_is is None else f"coalesce({value}, {literal(field.empty_is)}::{MONEY_TYPE})"
        case "reference" if len(columns) > 1:
            return f"lower({columns[0]}) || '|' || lower({columns[1]})"
    return value


def text(value: str) -> str:
    """NFC, small letters, no outer blanks, single inner blanks."""
    # The costly steps are guarded: most names have neither double blanks nor characters beyond ASCII (strlen counts bytes).
    composed = f"CASE WHEN strlen({value}) > length({value}) THEN nfc_normalize({value}) ELSE {value} END"
    spaced = " OR ".join(f"contains({value}, {_blank(blank)})" for blank in ("  ", *_BLANKS[1:]))
    collapsed = f"regexp_replace({composed}, '[\\s\\x{{A0}}]+', ' ', 'g')"
    return f"nullif(lower(trim(CASE WHEN {spaced} THEN {collapsed} ELSE {composed} END)), '')"


def phone(value: str) -> str:
    """The digits alone; `+`, a leading `00` and a bracketed trunk zero fall away: +49 (0)30 1234 = 0049 30 1234."""
    international = f"regexp_replace({value}, '^\\s*(\\+|00)(.*?)\\(0\\)', '+\\2')"
    digits = f"regexp_replace({international}, '[^0-9]', '', 'g')"
    return f"nullif(regexp_replace({digits}, '^00', ''), '')"


def country(value: str) -> str:
    """The ISO alpha-2 code, NULL where the spelling is unknown. Needs the table that `countries.register` makes."""
    return f"(SELECT alpha2 FROM {COUNTRY_TABLE} AS known_country WHERE known_country.name = lower({_trimmed(value)}))"


def mapped(values: ValueMap, system: System, columns: Sequence[str]) -> str:
    """The common value of a value map; a value that the map does not know stays itself in capitals, so that it shows as a difference."""
    itself = f"nullif({_joined(columns, upper=True)}, '')"
    if not values.of(system):
        return itself
    if len(columns) == 1:
        cases: dict[str, str] = {}
        for spelling, common in values.of(system).items():
            cases.setdefault(spelling.strip().lower(), common)
        whens = " ".join(f"WHEN {literal(spelling)} THEN {literal(common)}" for spelling, common in cases.items())
        return f"CASE lower({_trimmed(columns[0])}) {whens} ELSE {itself} END"
    whens = " ".join(
        f"WHEN {_spelling_fits(spelling, columns)} THEN {literal(common)}"
        for spelling, common in values.of(system).items()
    )
    return f"CASE {whens} ELSE {itself} END"


def is_unknown(values: ValueMap, system: System, columns: Sequence[str]) -> str:
    """TRUE where a value is stored that the value map does not know."""
    stored = " AND ".join(f"{_trimmed(column)} <> ''" for column in columns)
    if len(columns) == 1:
        known = literals(dict.fromkeys(spelling.strip().lower() for spelling in values.of(system))) or "NULL"
        return f"({stored} AND lower({_trimmed(columns[0])}) NOT IN ({known}))"
    fits = " OR ".join(_spelling_fits(spelling, columns) for spelling in values.of(system))
    return f"({stored} AND NOT ({fits or 'FALSE'}))"


def shown(columns: Sequence[str]) -> str:
    """The stored value as a person should see it; two columns as A/B."""
    return _joined(columns, upper=False) if len(columns) > 1 else columns[0]


def _joined(columns: Sequence[str], *, upper: bool) -> str:
    joined = " || '/' || ".join(_trimmed(column) for column in columns)
    return f"upper({joined})" if upper else joined


def _spelling_fits(spelling: str, columns: Sequence[str]) -> str:
    """Whether several columns together are one spelling, such as `Delivered/*`."""
    tests = [
        f"lower({_trimmed(column)}) = {literal(part.strip().lower())}"
        for part, column in zip(spelling.split("/"), columns, strict=True)
        if part.strip() != "*"
    ]
    return " AND ".join(tests) if tests else "TRUE"


def _trimmed(value: str) -> str:
    return f"trim({value})"


def _blank(characters: str) -> str:
    if characters.strip(" ") == "":
        return literal(characters)
    return f"chr({ord(characters)})"


def canonical_column(field: Field) -> str:
    """Name of the lake column that holds a field's canonical value."""
    return f"cmp_{field.name}"
