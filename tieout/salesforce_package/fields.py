"""The custom fields that the contracts name: their Metadata API types and lengths, and the rules that a deployment would hold them to.

Fields whose names have no `__c` are Salesforce's own, and those with a namespace (`ns__Name__c`) belong to a managed package: neither is made here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tieout.contract import Column, Contracts, Field, Table
from tieout.errors import ContractError
from tieout.salesforce_package.metadata_xml import Element

FieldType = Literal["Text", "Email", "Phone", "Picklist", "Currency", "Number", "Checkbox", "Date", "DateTime"]

LONGEST_TEXT = 255
LONGEST_LABEL = 40
MOST_DIGITS = 18
_UNIQUE_TYPES = frozenset({"Text", "Number", "Email"})
_OURS = re.compile(r"[A-Za-z](?!.*__.*__)[A-Za-z0-9_]{0,39}(?<!_)__c")

LINK_LENGTH = 30
"""company/number: 4 characters, a slash, and 20 of a D365 number, with room to spare."""
COMPANY_LENGTH = 4
"""D365's `dataAreaId`."""
MONEY = (18, 2)
QUANTITY = (18, 6)

# Lengths of the D365 properties that texts are copied from, as far as they are known; a longer field is never wrong, a shorter one is refused
# at the first long value. Source: Microsoft's extended data types PaymTermId (10), CustVendorBlocked (an enumeration).
_LENGTHS_IN_D365 = {"PaymentTerms": 10, "OnHoldStatus": 20, "CustomerGroupId": 10, "CustomerAccount": 20}


@dataclass(frozen=True, slots=True)
class CustomField:
    """One custom field of an object. `length` is in characters, `precision` and `scale` in decimal digits; 0 where the type has none.

    Raises ValueError where Salesforce would refuse the field. Source: Metadata API Developer Guide, CustomField.
    """

    object: str
    name: str
    label: str
    type: FieldType
    length: int = 0
    precision: int = 0
    scale: int = 0
    external_id: bool = False
    unique: bool = False
    required: bool = False
    values: tuple[str, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        if not _OURS.fullmatch(self.name):
            raise ValueError(
                f"{self.name} is no name of a custom field: letters, digits and single underscores, 40 at most, then __c"
            )
        if not 0 < len(self.label) <= LONGEST_LABEL:
            raise ValueError(f"the label {self.label!r} is not between 1 and {LONGEST_LABEL} characters long")
        if (self.type == "Text") != bool(self.length) or self.length > LONGEST_TEXT:
            raise ValueError(f"a {self.type} cannot have {self.length} characters")
        if (self.type in {"Currency", "Number"}) != bool(
            self.precision
        ) or not self.scale <= self.precision <= MOST_DIGITS:
            raise ValueError(
                f"a {self.type} cannot have {self.precision} digits, {self.scale} of them behind the point"
            )
        if (self.external_id or self.unique) and self.type not in _UNIQUE_TYPES:
            raise ValueError(f"a {self.type} cannot be unique or an external id")
        if (self.type == "Picklist") != bool(self.values):
            raise ValueError("a picklist needs values, and nothing else takes them")

    def elements(self) -> list[Element]:
        """As Salesforce writes it: `fullName` first, then by the alphabet."""
        made: list[Element] = []
        if self.unique and self.type == "Text":
            made.append(("caseSensitive", False))
        if self.type == "Checkbox":
            made.append(("defaultValue", False))
        if self.description:
            made.append(("description", self.description))
        made += [("externalId", self.external_id), ("label", self.label)]
        if self.length:
            made.append(("length", self.length))
        if self.precision:
            made.append(("precision", self.precision))
        if self.type != "Checkbox":
            made.append(("required", self.required))
        if self.precision:
            made.append(("scale", self.scale))
        made.append(("type", self.type))
        if self.type in _UNIQUE_TYPES:
            made.append(("unique", self.unique))
        if self.values:
            made.append(("valueSet", _value_set(self.values)))
        return [("fullName", self.name), *made]


def custom_fields(contracts: Contracts) -> list[CustomField]:
    """Every custom field that the contracts name, by object and name, each once. Raises ContractError with the place of one that cannot be made."""
    made: dict[tuple[str, str], CustomField] = {}
    for table in contracts.tables("salesforce"):
        for column in table.columns:
            if is_ours(column.name):
                made[table.source, column.name] = _made(table, column)
    return [made[key] for key in sorted(made)]


def is_ours(name: str) -> bool:
    """Whether a field is a custom one without a namespace."""
    return name.endswith("__c") and name.count("__") == 1


def label_of(name: str) -> str:
    """`ERP_On_Hold__c` → `ERP On Hold`."""
    return name.removesuffix("__c").replace("_", " ").strip()


def _made(table: Table, column: Column) -> CustomField:
    place = table.where.get(column.name, table.contract.file)
    try:
        return _field(table, column)
    except ValueError as problem:
        raise ContractError(
            f"{place}: {table.source}.{column.name} cannot be made in Salesforce: {problem}. Correct it, or make the field by hand."
        ) from None


def _field(table: Table, column: Column) -> CustomField:
    name, source = column.name, table.source
    link = table.contract.link
    label = label_of(name)
    if not table.is_lines and name == link.stored:
        about = f"company/number of its record in D365 ({table.contract.d365.source}). Written by Tieout."
        return CustomField(source, name, label, "Text", LINK_LENGTH, external_id=True, unique=True, description=about)
    if not table.is_lines and name == link.company:
        about = "The D365 company (dataAreaId) that the record belongs to."
        return CustomField(source, name, label, "Text", COMPANY_LENGTH, description=about)
    if not table.is_lines and name == link.synced_at:
        return CustomField(source, name, label, "DateTime", description="When Tieout last wrote to this record.")
    field = next((each for each in table.fields if each.salesforce == name), None)
    if field is None:
        return _of_column(source, column)
    return _of_contract_field(table, column, field)


def _of_column(source: str, column: Column) -> CustomField:
    label = label_of(column.name)
    match column.type:
        case "decimal":
            return CustomField(source, column.name, label, "Number", precision=QUANTITY[0], scale=QUANTITY[1])
        case "integer":
            return CustomField(source, column.name, label, "Number", precision=MOST_DIGITS)
        case "boolean":
            return CustomField(source, column.name, label, "Checkbox")
        case "date":
            return CustomField(source, column.name, label, "Date")
        case "instant":
            return CustomField(source, column.name, label, "DateTime")
    return CustomField(source, column.name, label, "Text", LONGEST_TEXT)


def _of_contract_field(table: Table, column: Column, field: Field) -> CustomField:
    source, name, label = table.source, column.name, label_of(column.name)
    about = _about(table, field)
    if field.compare == "reference":
        raise ValueError("a lookup needs to know its object")
    if field.compare == "money":
        return CustomField(source, name, label, "Currency", precision=MONEY[0], scale=MONEY[1], description=about)
    if field.compare == "email":
        return CustomField(source, name, label, "Email", description=about)
    if field.compare == "phone":
        return CustomField(source, name, label, "Phone", description=about)
    if field.type != "text":
        plain = _of_column(source, column)
        return CustomField(
            source, name, label, plain.type, precision=plain.precision, scale=plain.scale, description=about
        )
    # What Salesforce may hold is a closed list only where D365 gives it and a value outside it is an error.
    closed = field.values is not None and field.owner == "d365" and field.on_unknown == "error"
    if closed and field.values is not None:
        return CustomField(source, name, label, "Picklist", values=tuple(field.values.salesforce), description=about)
    return CustomField(source, name, label, "Text", _length(field), description=about)


def _length(field: Field) -> int:
    if field.owner == "salesforce" and field.max_length:
        # People type what their customers write; what is too long for D365 shows in quarantine instead of being cut unseen.
        return min(2 * field.max_length, LONGEST_TEXT)
    return _LENGTHS_IN_D365.get(field.d365 or "", LONGEST_TEXT)


def _about(table: Table, field: Field) -> str:
    there = " and ".join(field.d365_columns) or (
        f"the sum of the lines' {field.d365_sum_of}" if field.d365_sum_of else ""
    )
    compared = f"Compared with {there} of {table.contract.d365.source} in D365." if there else ""
    if field.owner == "d365" and field.on_difference == "write":
        return f"Owned by D365, written by Tieout. {compared}".strip()
    return f"Owned by {'D365' if field.owner == 'd365' else 'Salesforce'}. {compared}".strip()


def _value_set(values: Sequence[str]) -> list[Element]:
    return [
        ("restricted", True),
        ("valueSetDefinition", [("sorted", False), *(_value(each) for each in values)]),
    ]


def _value(text: str) -> Element:
    return ("value", [("fullName", text), ("default", False), ("label", text)])
