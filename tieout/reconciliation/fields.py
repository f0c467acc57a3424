"""Which fields of a contract take part in a comparison, and the SQL that says whether a pair differs in one.

A compared field has, on each side, a column `cmp_<field>` (made comparable) and a column `stored_<field>` (as the system has it); the
views in `sides.py` provide both.
"""

from dataclasses import dataclass, replace

from tieout.contract import Contract, Field, Lines, System, Tolerance
from tieout.sql import literal, quoted

LINE_PREFIX = "line."
"""Put before the name of a line field where header and line fields stand in one table: both have an amount."""


@dataclass(frozen=True, slots=True)
class ComparedField:
    """One field as it is compared.

    `shown_as` is its name in the tables. `is_hashed`: `_compare_hash` covers it. `is_free_text`: people type it, so another case or
    other blanks as stored are worth counting. `skips_empty`: an empty owner's side is no difference. `primary_only`: compared only with
    the customer whose values go back to the account.
    """

    name: str
    shown_as: str
    owner: System
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


def customer_fields(contract: Contract) -> tuple[ComparedField, ...]:
    """The fields of a customer; those that go back to the account only for its primary customer, because it can hold one value."""
    return tuple(
        replace(compared_field(field), primary_only=is_mirrored(field))
        for field in contract.fields
        if field.is_compared
    )


def order_fields(contract: Contract) -> tuple[ComparedField, ...]:
    """The header fields of a sales order, and its company.

    Fields that D365 owns and that are written back are left out: in Salesforce they are copies, kept by the write-back.
    """
    fields = [compared_field(field) for field in contract.fields if field.is_compared and not is_mirrored(field)]
    if contract.link.company is not None:
        fields.append(ComparedField("company", "company", "salesforce", "report", skips_empty=True))
    return tuple(fields)


def line_fields(lines: Lines) -> tuple[ComparedField, ...]:
    """The fields of a line, named with the line prefix. A value that comes from the product is compared where the product has one."""
    return tuple(
        replace(
            compared_field(field),
            shown_as=LINE_PREFIX + field.name,
            skips_empty=field.skip_when_empty or field.salesforce_via_product is not None,
        )
        for field in lines.fields
        if field.is_compared
    )


def is_mirrored(field: Field) -> bool:
    """Whether Salesforce holds a copy of the field that Tieout keeps up to date."""
    return field.owner == "d365" and field.on_difference == "write" and field.salesforce is not None


def compared_field(field: Field) -> ComparedField:
    """How one field of a contract is compared."""
    return ComparedField(
        name=field.name,
        shown_as=field.name,
        owner=field.owner,
        on_difference=field.on_difference,
        tolerance=field.tolerance,
        is_hashed=field.is_hashed,
        is_number=field.is_number,
        is_money=field.compare == "money",
        # Codes and countries are spelt differently by rule (Germany, DEU); only typed text tells something by its case and blanks.
        is_free_text=field.is_text and field.values is None and field.compare in ("text", "email", "phone"),
        can_be_damaged=field.compare == "text",
        skips_empty=field.skip_when_empty,
    )


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
