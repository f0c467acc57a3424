"""Which fields of a contract take part in a comparison; the views in `sides.py` provide their columns."""

from collections.abc import Sequence
from dataclasses import replace

from tieout.compared_field import ComparedField, as_is
from tieout.contract import Contract, Field, Lines

LINE_PREFIX = "line."
"""Put before the name of a line field where header and line fields stand in one table: both have an amount."""


def customer_fields(contract: Contract) -> tuple[ComparedField, ...]:
    """The fields of a customer; those that go back to the account only for its primary customer, because it can hold one value."""
    return with_convertible_units(
        [
            replace(compared_field(field), primary_only=is_mirrored(field))
            for field in contract.fields
            if field.is_compared
        ]
    )


def order_fields(contract: Contract) -> tuple[ComparedField, ...]:
    """The header fields of a sales order, and its company.

    Fields that D365 owns and that are written back are left out: in Salesforce they are copies, kept by the write-back.
    """
    fields = [compared_field(field) for field in contract.fields if field.is_compared and not is_mirrored(field)]
    if contract.link.company is not None:
        fields.append(ComparedField("company", "company", "salesforce", "report", skips_empty=True))
    return with_convertible_units(fields)


def line_fields(lines: Lines) -> tuple[ComparedField, ...]:
    """The fields of a line, named with the line prefix. A value that comes from the product is compared where the product has one."""
    return with_convertible_units(
        [
            replace(
                compared_field(field),
                shown_as=LINE_PREFIX + field.name,
                skips_empty=field.skip_when_empty or field.salesforce_via_product is not None,
            )
            for field in lines.fields
            if field.is_compared
        ]
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
        conversion=field.conversion,
        exchange=field.exchange,
    )


def summed_field(field: Field) -> ComparedField:
    """How a sum of one field is compared: sums have neither unit nor currency of their own."""
    return as_is(compared_field(field))


def with_convertible_units(fields: Sequence[ComparedField]) -> tuple[ComparedField, ...]:
    """The fields of one record, those that hold a unit told between which units a quantity beside them is converted."""
    units = {field.conversion.unit: tuple(field.conversion.factors) for field in fields if field.conversion}
    return tuple(replace(field, convertible=units.get(field.name, ())) for field in fields)
