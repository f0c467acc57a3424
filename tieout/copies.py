"""What Salesforce's copies have to hold after a creation in D365: the stored link, and the fields that D365 owns.

Pure, driven by the contract. Copies of records that were compared are found by `reconciliation.mirror_changes`; a record that was made
after the comparison is known only by what was read back.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from tieout.contract import Contract, Field


def copies_after_creation(
    contract: Contract, company: str, d365_key: str, status: Mapping[str, object] | None, amount: Decimal | None
) -> dict[str, object]:
    """Salesforce field → value, for a record that was just created.

    `status` holds the D365 columns that were read back, `amount` the sum of the lines; `None` where the read-back did not come, and then
    only the link is told: the next run compares the rest.
    """
    copies: dict[str, object] = {}
    if contract.link.stored:
        copies[contract.link.stored] = f"{company}/{d365_key}"
    for field in contract.fields:
        if field.owner != "d365" or field.on_difference != "write" or field.salesforce is None:
            continue
        if field.d365_sum_of is not None:
            if amount is not None:
                copies[field.salesforce] = amount
        elif status is not None:
            value = spelled(field, [status.get(column) for column in field.d365_columns])
            if value is not None:
                copies[field.salesforce] = value
    return copies


def spelled(field: Field, stored: Sequence[object]) -> str | Decimal | None:
    """How Salesforce spells what D365 stores in the field's columns; `None` where D365 stores nothing, or nothing that Salesforce has a word for.

    A value without a word is left alone; the quality check of the next read tells of it.
    """
    text = "/".join("" if value is None else str(value) for value in stored)
    if not text.strip("/ "):
        return None
    if field.type == "decimal":
        return Decimal(text)
    if field.values is None:
        return text
    common = field.values.common("d365", text)
    return None if common is None else field.values.stored("salesforce", common)
