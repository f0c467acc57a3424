"""One field as it is compared: the SQL that says whether a pair of records differs in it.

A compared field has, on each side, a column `cmp_<field>` (made comparable) and a column `stored_<field>` (as the system has it).
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tieout.sql import literal, quoted

if TYPE_CHECKING:  # a comparison of files needs no contracts, and these bring pydantic with them
    from tieout.contract import System


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two numbers may lie apart: an amount in the field's unit, percent of the larger number, or both."""

    absolute: Decimal | None = None
    percent: Decimal | None = None


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

    @property
    def compared(self) -> str:
        """Name of the column that holds the comparable value."""
        return quoted(f"cmp_{self.name}")

    @property
    def stored(self) -> str:
        """Name of the column that holds the stored value."""
        return quoted(f"stored_{self.name}")


def differs(field: ComparedField) -> str:
    """TRUE where the pair (relations `sf`, `d365`, `pair`) differs in the field; never NULL."""
    sf, d365 = f"sf.{field.compared}", f"d365.{field.compared}"
    test = f"{sf} IS DISTINCT FROM {d365}"
    if field.tolerance is not None:
        # One side empty makes the subtraction NULL, and NULL would read as "equal".
        test = f"coalesce({_outside(field.tolerance, sf, d365)}, {test})"
    conditions = [test]
    if field.skips_empty:
        owner = sf if field.owner == "salesforce" else d365
        conditions.append(f"{owner} IS NOT NULL")
    if field.primary_only:
        conditions.append("pair.is_primary")
    return test if len(conditions) == 1 else f"({' AND '.join(conditions)})"


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
    if tolerance.percent is not None:
        tests.append(f"abs({sf} - {d365}) * 100 > greatest(abs({sf}), abs({d365})) * {literal(tolerance.percent)}")
    return " AND ".join(tests) or "true"
