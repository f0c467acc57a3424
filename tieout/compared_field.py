"""One field as it is compared: the SQL that says whether a pair of records differs in it.

A compared field has, on each side, a column `cmp_<field>` (made comparable) and a column `stored_<field>` (as the system has it).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from tieout.sql import literal, literals, quoted

if TYPE_CHECKING:  # a comparison of files needs no contracts, and these bring pydantic with them
    from tieout.contract import System

FACTOR_TYPE = "DECIMAL(18,9)"
RATE_TYPE = "DECIMAL(18,12)"
"""What a factor of a unit and an exchange rate are calculated with. More decimals for rates: of a rupiah in euro, nine leave five digits."""


def does_not_fit(number: Decimal, sql_type: str) -> str | None:
    """Why `number` cannot be calculated with as it is written; `None` where it can. Nothing is rounded that a person wrote."""
    digits, decimals = map(int, sql_type.removeprefix("DECIMAL(").removesuffix(")").split(","))
    exponent = number.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals:
        return f"{number:f} has more than {decimals} decimals"
    if abs(number) >= 10 ** (digits - decimals):
        return f"{number:f} has more than {digits - decimals} digits before the point"
    return None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may lie apart: an amount in the field's unit, percent of the larger number, or both. `days` of dates, `seconds` of instants."""

    absolute: Decimal | None = None
    percent: Decimal | None = None
    days: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """Units that can be brought to one: the field that holds the unit, and how many of the base unit each is."""

    unit: str
    factors: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Exchange:
    """Currencies that can be brought to one: the field that holds the currency, and the Salesforce column with the day of the rate."""

    currency: str
    date: str


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One field as it is compared.

    `shown_as` is its name in the tables. `is_hashed`: `_compare_hash` covers it. `is_free_text`: people type it, so another case or
    other blanks as stored are worth counting. `skips_empty`: an empty owner's side is no difference. `primary_only`: compared only with
    the customer whose values go back to the account.
    """

    name: str
    shown_as: str
    owner: "System"
    on_difference: str
    tolerance: Tolerance | None = None
    is_hashed: bool = False
    is_number: bool = False
    is_money: bool = False
    is_free_text: bool = False
    can_be_damaged: bool = False
    skips_empty: bool = False
    primary_only: bool = False
    conversion: Conversion | None = None
    exchange: Exchange | None = None
    convertible: tuple[str, ...] = ()

    @property
    def compared(self) -> str:
        """Name of the column that holds the comparable value."""
        return quoted(f"cmp_{self.name}")

    @property
    def rate_date(self) -> str:
        """Name of the column with the day whose exchange rate counts; on the side of Salesforce, where there is an exchange."""
        return quoted(f"rate_date_{self.name}")

    @property
    def stored(self) -> str:
        """Name of the column that holds the stored value."""
        return quoted(f"stored_{self.name}")


def differs(field: ComparedField) -> str:
    """TRUE where the pair (relations `sf`, `d365`, `pair`) differs in the field; never NULL."""
    sf, d365 = f"sf.{field.compared}", f"d365.{field.compared}"
    test = f"{sf} IS DISTINCT FROM {d365}"
    if is_converted(field):
        of_salesforce, of_d365 = brought_together(field)
        outside = (
            f"{of_salesforce} <> {of_d365}"
            if field.tolerance is None
            else _outside(field.tolerance, of_salesforce, of_d365)
        )
        # What cannot be brought together is equal only where both sides are empty.
        test = f"coalesce({outside}, {sf} IS NOT NULL OR {d365} IS NOT NULL)"
    elif field.tolerance is not None:
        # One side empty makes the subtraction NULL, and NULL would read as "equal".
        test = f"coalesce({_outside(field.tolerance, sf, d365)}, {test})"
    conditions = [test]
    if field.convertible:
        known = literals(unit.lower() for unit in field.convertible)
        conditions.append(f"NOT coalesce(lower({sf}) IN ({known}) AND lower({d365}) IN ({known}), false)")
    if field.skips_empty:
        owner = sf if field.owner == "salesforce" else d365
        conditions.append(f"{owner} IS NOT NULL")
    if field.primary_only:
        conditions.append("pair.is_primary")
    return test if len(conditions) == 1 else f"({' AND '.join(conditions)})"


def brought_together(field: ComparedField) -> tuple[str, str]:
    """Both values in one unit or currency; NULL where the conversion or the rate is not known.

    Needs, for an exchange, the relation `exchange_rate` (see `tieout.reconciliation.rates`).
    """
    sf, d365 = f"sf.{field.compared}", f"d365.{field.compared}"
    if field.conversion is not None:
        same = f"sf.{_kept_in(field)} IS NOT DISTINCT FROM d365.{_kept_in(field)}"
        of_salesforce, of_d365 = (
            f"(CASE WHEN {same} THEN {value} ELSE {_times(value, _factor(field, field.conversion, side), FACTOR_TYPE)} END)"
            for side, value in (("sf", sf), ("d365", d365))
        )
        return of_salesforce, of_d365
    if field.exchange is not None:
        same = f"sf.{_kept_in(field)} IS NOT DISTINCT FROM d365.{_kept_in(field)}"
        return f"(CASE WHEN {same} THEN {sf} ELSE {_times(sf, _rate(field), RATE_TYPE)} END)", d365
    return sf, d365


def why_not_brought_together(field: ComparedField) -> str:
    """The sentence that tells why two values could not be brought to one unit or currency; NULL where they could, or one is empty."""
    of_salesforce, of_d365 = brought_together(field)
    both = f"sf.{field.compared} IS NOT NULL AND d365.{field.compared} IS NOT NULL"
    of_each = [f"coalesce({side}.{_kept_in(field)}, 'nothing')" for side in ("sf", "d365")]
    too_large = literal("too large to be converted")
    if field.conversion is not None:
        factors = [_factor(field, field.conversion, side) for side in ("sf", "d365")]
        unknown = " OR ".join(f"({factor}) IS NULL" for factor in factors)
        told = f"'no conversion between ' || {of_each[0]} || ' and ' || {of_each[1]}"
    else:
        unknown = f"{_rate(field)} IS NULL"
        day = f"coalesce(sf.{field.rate_date}::VARCHAR, 'an unknown day')"
        told = f"'no exchange rate ' || {of_each[0]} || '→' || {of_each[1]} || ' on ' || {day}"
    failed = f"{both} AND ({of_salesforce} IS NULL OR {of_d365} IS NULL)"
    return f"CASE WHEN {failed} THEN CASE WHEN {unknown} THEN {told} ELSE {too_large} END END"


def is_converted(field: ComparedField) -> bool:
    """Whether values of the field may have to be brought to one unit or currency first."""
    return field.conversion is not None or field.exchange is not None


def as_is(field: ComparedField) -> ComparedField:
    """The field without conversion: for sums, which have neither unit nor currency of their own."""
    return replace(field, conversion=None, exchange=None, convertible=())


def differs_as_stored(field: ComparedField) -> str:
    """TRUE where the stored values of the pair are not the same; never NULL."""
    return f"sf.{field.stored} IS DISTINCT FROM d365.{field.stored}"


def differs_in_blanks(field: ComparedField) -> str:
    """TRUE where nothing but blanks keeps the stored texts of the pair apart; never NULL."""

    def packed(value: str) -> str:
        return f"trim(regexp_replace(coalesce({value}, ''), '[\\s\\x{{A0}}]+', ' ', 'g'))"

    return f"{packed(f'sf.{field.stored}')} = {packed(f'd365.{field.stored}')}"


def _outside(tolerance: Tolerance, sf: str, d365: str) -> str:
    """Beyond every tolerance that is given: a pair that one of them forgives is equal."""
    tests = []
    if tolerance.absolute is not None:
        tests.append(f"abs({sf} - {d365}) > {literal(tolerance.absolute)}")
    if tolerance.days is not None:
        tests.append(f"abs(date_diff('day', {sf}, {d365})) > {tolerance.days}")
    if tolerance.seconds is not None:
        tests.append(f"abs(epoch_us({sf}) - epoch_us({d365})) > {tolerance.seconds * 1_000_000}")
    if tolerance.percent is not None:
        tests.append(f"abs({sf} - {d365}) * 100 > greatest(abs({sf}), abs({d365})) * {literal(tolerance.percent)}")
    return " AND ".join(tests) or "true"


def _kept_in(field: ComparedField) -> str:
    """The column with the unit of a quantity, the currency of an amount."""
    beside = field.conversion.unit if field.conversion else field.exchange.currency if field.exchange else ""
    return quoted(f"cmp_{beside}")


def _factor(field: ComparedField, conversion: Conversion, side: str) -> str:
    whens = " ".join(
        f"WHEN {literal(unit.lower())} THEN {literal(factor)}" for unit, factor in conversion.factors.items()
    )
    return f"CASE lower({side}.{_kept_in(field)}) {whens} END"


def _rate(field: ComparedField) -> str:
    currency = _kept_in(field)
    return (
        f"(SELECT max(rate) FROM exchange_rate WHERE from_currency = sf.{currency} AND to_currency = d365.{currency} "
        f"AND sf.{field.rate_date} BETWEEN from_date AND to_date)"
    )


def _times(value: str, factor: str, factor_type: str) -> str:
    # 20 and 18 digits: a product of more than 38 does not fit into a decimal. A larger value cannot be converted, so it differs.
    return f"(TRY_CAST({value} AS DECIMAL(20,6)) * ({factor})::{factor_type})::DECIMAL(28,6)"
