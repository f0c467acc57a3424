"""What a sales order in D365 is made of: header and lines from a won opportunity, and whether an order found there is the one we meant.

Pure, driven by the contract: constants, fields that are sent on creation, value maps. The number is given by us (prefix + opportunity id), so
that D365 itself refuses a second copy, unless the contract leaves it to D365.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from tieout.contract import Contract, Field, Lines
from tieout.errors import ContractError, RecordError
from tieout.intended import IntendedWrite, newest_version
from tieout.payload_values import d365_value

Row = Mapping[str, object]
"""A row of a lake table: columns under the source's API names, decimals as Decimal, dates as date."""

LONGEST_KEY = 20
"""Characters of an order number or a customer account in D365."""

_INVOICE_ACCOUNT = "InvoiceCustomerAccountNumber"
"""D365 asks for it beside the ordering account; an order of ours is billed to the customer that orders."""


def order_number(contract: Contract, opportunity_id: str) -> str:
    """Our number for the order of an opportunity; the same one at every try."""
    number = f"{contract.create.number_prefix or ''}{opportunity_id}"
    if len(opportunity_id) != 18 or len(number) > LONGEST_KEY:
        raise RecordError(
            f"Order number {number!r} must be the prefix and an 18-character opportunity id, {LONGEST_KEY} characters at most. "
            f"Shorten create.number.prefix in {contract.file}."
        )
    return number


def line_numbers(lines: Sequence[Row], *, sort_order: str = "SortOrder") -> list[int]:
    """A number for each line: its sort order where every line has one of its own, else its position by sort order, then by id."""
    orders = [line.get(sort_order) for line in lines]
    if None not in orders and len(set(orders)) == len(orders):
        return [int(str(order)) for order in orders]
    ranked = sorted(range(len(lines)), key=lambda at: (orders[at] is None, orders[at] or 0, str(lines[at]["Id"])))
    positions = {at: position for position, at in enumerate(ranked, start=1)}
    return [positions[at] for at in range(len(lines))]


def order_write(
    contract: Contract, opportunity: Row, lines: Sequence[Row], customer_account: str, products: Mapping[str, Row]
) -> IntendedWrite:
    """The write that creates the order of `opportunity`. Where D365 gives the number, header and lines come without one.

    `customer_account` is the account's customer in D365, from the crosswalk. `products` maps Product2Id to the stored Salesforce values of
    the product contract's fields (`{"01t…": {"unit": "Each"}}`). Raises RecordError for what cannot become an order.
    """
    opportunity_id = str(opportunity[contract.salesforce.key[0]])
    company = str(opportunity.get(contract.link.company or "") or "").strip().casefold()
    if not company:
        raise RecordError(f"Opportunity {opportunity_id} names no company. Fill {contract.link.company} in Salesforce.")
    if not lines:
        raise RecordError(f"Opportunity {opportunity_id} has no lines. Add its products in Salesforce.")
    described = _lines_of(contract)
    number = "" if contract.create.number_given_by == "d365" else order_number(contract, opportunity_id)
    header: dict[str, object] = {contract.d365.key[0]: company, **contract.create.constants}
    parent: dict[str, object] = {contract.d365.key[0]: company}
    if number:
        header[contract.d365.key[1]] = number
        parent[described.d365.parent or contract.d365.key[1]] = number
    if contract.link.reference:
        header[contract.link.reference] = opportunity_id
    for field in _sent(contract.fields):
        if field.references == "customer":
            header |= {_property(field): customer_account, _INVOICE_ACCOUNT: customer_account}
        else:
            _put(header, field, opportunity.get(field.salesforce or ""))
    numbered = sorted(zip(line_numbers(lines), lines, strict=True), key=lambda pair: pair[0])
    return IntendedWrite(
        entity=contract.entity,
        operation="create",
        business_key=opportunity_id,
        company=company,
        d365_key=number,
        header=header,
        lines=[parent | _line(contract, number, line, products) for number, line in numbered],
        source_version=version_of(contract, opportunity, lines),
    )


def version_of(contract: Contract, opportunity: Row, lines: Sequence[Row]) -> datetime | None:
    """The newest version (UTC) of an opportunity and its lines: a change of a line alone need not show on the opportunity."""
    of_lines = _lines_of(contract).salesforce.version or ""
    return newest_version([opportunity.get(contract.salesforce.version or ""), *(line.get(of_lines) for line in lines)])


def _line(contract: Contract, number: int, line: Row, products: Mapping[str, Row]) -> dict[str, object]:
    described = _lines_of(contract)
    properties: dict[str, object] = dict(described.create.constants)
    if described.link.reference:
        properties[described.link.reference] = str(line[described.salesforce.key[0]])
    for field in _sent(described.fields):
        if field.name == described.match_on:
            properties[_property(field)] = number
        elif field.salesforce_via_product:
            product = products.get(str(line.get("Product2Id")), {})
            _put(properties, field, product.get(field.salesforce_via_product))
        else:
            stored = line.get(field.salesforce or "")
            _put(properties, field, field.empty_is if stored is None else stored)
    return properties


def _sent(fields: Sequence[Field]) -> list[Field]:
    return [field for field in fields if field.on_create and field.d365]


def _lines_of(contract: Contract) -> Lines:
    if contract.lines is None:
        raise ContractError(f"{contract.file} describes no lines, so no order can be made from it. Add `lines`.")
    return contract.lines


def _property(field: Field) -> str:
    if field.d365 is None:
        raise ContractError(f"{field.where}: {field.name} has no D365 property. Add `d365`.")
    return field.d365


def _put(properties: dict[str, object], field: Field, stored: object) -> None:
    value = d365_value(field, stored)
    if value is not None:
        properties[_property(field)] = value


def order_differences(
    contract: Contract, header: Row, lines: Sequence[Row], found: Row, found_lines: Sequence[Row]
) -> list[str]:
    """Where an order found under our number is not the one we meant; empty when it is ours.

    Compared are the reference, the customer, the currency, the number of lines and each line's item and quantity: what says whose order it
    is. Dates and prices may have been changed by people since.
    """
    described = _lines_of(contract)
    names = [contract.link.reference] if contract.link.reference else []
    names += [_property(contract.field(name)) for name in ("customer", "currency")]
    differences = [
        f"{name} is {found.get(name)!r}, not {header[name]!r}"
        for name in names
        if name in header and not _same(header[name], found.get(name))
    ]
    if len(lines) != len(found_lines):
        return [*differences, f"it has {len(found_lines)} lines, not {len(lines)}"]
    by_number = _property(described.field(described.match_on))
    there = {_number(line.get(by_number)): line for line in found_lines}
    for line in lines:
        other = there.get(_number(line[by_number]))
        if other is None:
            differences.append(f"line {line[by_number]} is missing")
            continue
        differences += [
            f"line {line[by_number]}: {name} is {other.get(name)!r}, not {line[name]!r}"
            for name in (_property(described.field(each)) for each in ("product", "quantity"))
            if name in line and not _same(line[name], other.get(name))
        ]
    return differences


def order_amount(contract: Contract, found_lines: Sequence[Row]) -> Decimal:
    """The amount of an order in D365: the sum of its lines, because header totals stay 0 until they are calculated on demand."""
    described = _lines_of(contract)
    name = _property(described.field("amount"))
    return sum((Decimal(str(line.get(name) or 0)) for line in found_lines), Decimal(0))


def _same(meant: object, found: object) -> bool:
    if isinstance(meant, Decimal | int):
        return _number(meant) == _number(found)
    # D365 compares keys without regard to capitals.
    return str(meant).casefold() == str(found or "").casefold()


def _number(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))
