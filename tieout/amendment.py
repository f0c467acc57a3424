"""What changes in a sales order that was delivered: its header and lines brought to the opportunity, its processing stopped or released.

Pure, driven by the contract. When a change is due is in `reconciliation/after_delivery.py`. Values are absolute, so sending a change twice
harms nobody; lines are never added, because a new line has no key of ours by which D365 would refuse a second copy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tieout.contract import Contract, Field
from tieout.contract.model import STOPPED
from tieout.errors import RecordError
from tieout.intended import IntendedWrite, newest_version
from tieout.order import Row
from tieout.payload_values import d365_value

Processing = Literal["stop", "release"]

_KINDS = frozenset({"text", "exact", "email", "phone", "money", "quantity", "date", "instant"})
_EMPTY = {"text": "", "date": "1900-01-01T12:00:00Z", "instant": "1900-01-01T00:00:00Z"}
"""What D365 stores for nothing."""
_CALCULATES = "CalculateLineAmount"


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line of an order that is to follow its opportunity line: its lot in D365, the line fields that differ, the opportunity line."""

    lot: str
    fields: tuple[str, ...]
    line: Row


def is_amendable(field: Field) -> bool:
    """Whether an amendment may write the field: what Salesforce owns, measures and texts only.

    References, codes and values with a map say what an order is about (whose it is, of which product, in which unit or currency): an order
    that differs in these is another order.
    """
    return (
        field.owner == "salesforce"
        and len(field.d365_columns) == 1
        and field.values is None
        and field.compare in _KINDS
        and field.salesforce_via_product is None
    )


def can_be_emptied(field: Field) -> bool:
    """Whether D365 has a value that means empty and reads as empty; for a number only where the contract names it."""
    return field.empty_is is not None if field.is_number else field.type in _EMPTY


def order_amendment(
    contract: Contract,
    opportunity: Row,
    company: str,
    order_number: str,
    *,
    fields: Iterable[str] = (),
    lines: Iterable[ChangedLine] = (),
    processing: Processing | None = None,
    version: datetime | None = None,
) -> IntendedWrite:
    """The write that changes the order of `opportunity` in one step.

    `fields` and those of each line are the contract's names of what differs; RecordError for one that is not amendable, and where nothing is to
    be done. A changed line always carries its amount, so that D365 does not work it out again. `version` is the newest of the opportunity
    and its lines.
    """
    opportunity_id = str(opportunity[contract.salesforce.key[0]])
    header = _changed([contract.field(name) for name in fields], opportunity, contract.file)
    if processing is not None:
        header[STOPPED] = {"stop": "Yes", "release": "No"}[processing]
    changed_lines = [_line(contract, changed) for changed in lines]
    if not header and not changed_lines:
        raise RecordError(f"Nothing to change in order {order_number} of opportunity {opportunity_id}.")
    return IntendedWrite(
        contract.entity,
        "update",
        opportunity_id,
        company.casefold(),
        order_number,
        header,
        changed_lines,
        source_version=newest_version([version]),
    )


def _line(contract: Contract, changed: ChangedLine) -> dict[str, object]:
    described = contract.lines
    if described is None:
        raise RecordError(f"{contract.file} describes no lines, so none can be changed.")
    amount = described.field("amount")
    fields = {name: described.field(name) for name in changed.fields}
    if is_amendable(amount):
        fields[amount.name] = amount
    properties: dict[str, object] = {described.d365.key[-1]: changed.lot}
    if _CALCULATES in described.create.constants:
        properties[_CALCULATES] = described.create.constants[_CALCULATES]
    return properties | _changed(fields.values(), changed.line, contract.file)


def _changed(fields: Iterable[Field], row: Row, file: str) -> dict[str, object]:
    properties: dict[str, object] = {}
    for field in fields:
        stored = row.get(field.salesforce or "")
        if not is_amendable(field) or (stored in (None, "") and not can_be_emptied(field)):
            raise RecordError(f"{file}: {field.name} of an order is never changed after delivery. Change it by hand.")
        value = d365_value(field, field.empty_is if stored is None else stored)
        properties[field.d365_columns[0]] = _EMPTY[field.type] if value is None else value
    return properties
