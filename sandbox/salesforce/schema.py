"""What an sObject and its fields are: types, lengths, who may write them, and how they point at each other."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

NUMBER_TYPES = frozenset({"double", "currency", "percent"})
TEXT_TYPES = frozenset({"string", "textarea", "picklist", "email", "phone", "url"})
ID_TYPES = frozenset({"id", "reference"})

# Text areas above this length are "long" ones: Salesforce neither filters nor sorts by them.
LONGEST_FILTERABLE_TEXT_AREA = 255


@dataclass(frozen=True, slots=True)
class Field:
    """One field as describe shows it."""

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    default: object = None
    name_field: bool = False
    unique: bool = False
    external_id: bool = False
    restricted: bool = False
    calculated: bool = False
    cascade: bool = False
    refers_to: str | None = None
    relationship: str | None = None
    compound: str | None = None
    values: tuple[str, ...] = ()

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def stored(self) -> bool:
        """Compound addresses are put together from their parts; everything else has a column."""
        return self.type != "address"

    @property
    def filterable(self) -> bool:
        long_text = self.type == "textarea" and self.length > LONGEST_FILTERABLE_TEXT_AREA
        return self.stored and not long_text

    @property
    def nillable(self) -> bool:
        return not self.required and self.type not in ("boolean", "id") and not self.defaulted


@dataclass(frozen=True, slots=True)
class ChildRelationship:
    """The way down: `name` of the children of one sObject, kept by `field` of `child`."""

    name: str
    child: str
    field: str
    cascade: bool = False


@dataclass(frozen=True)
class SObject:
    """One kind of record."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: tuple[Field, ...]
    children: tuple[ChildRelationship, ...] = ()
    writeable: bool = True
    rights: str = "crud"

    def may(self, right: str) -> bool:
        """Whether the running user may `c`reate, `u`pdate or `d`elete records."""
        return self.writeable and right in self.rights

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by lower-case name: SOQL and JSON names are case-insensitive."""
        return {each.name.lower(): each for each in self.fields}

    @cached_property
    def by_relationship(self) -> dict[str, Field]:
        """Reference fields by lower-case relationship name (`account` → AccountId)."""
        return {each.relationship.lower(): each for each in self.fields if each.relationship}

    def columns(self) -> Iterator[Field]:
        return (each for each in self.fields if each.stored)

    def has(self, name: str) -> bool:
        return name.lower() in self.by_name


_LINE = re.compile(r'^(?P<name>\w+)\s+(?P<type>\w+)(?:\((?P<size>[^)]*)\))?(?P<flags>[^"]*)(?:"(?P<label>[^"]*)")?$')


def label_of(name: str) -> str:
    """The label Salesforce gives by default: `BillingCity` → Billing City, `AccountId` → Account ID."""
    if name.endswith("__c"):
        return name.removesuffix("__c").replace("_", " ")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r" Id$", " ID", words)


def _relationship_of(name: str) -> str:
    return name.removesuffix("__c") + "__r" if name.endswith("__c") else name.removesuffix("Id")


def fields_from(notation: str, values: dict[str, tuple[str, ...]] | None = None) -> tuple[Field, ...]:
    """Reads the short notation of the catalogue: `Name type(size) flags "Label"`, one field a line.

    Flags: R required on create, ro read-only, co create only, def[=value] defaulted on create, name the name field,
    unique, extid, restricted, calc a formula or copy, cascade, part=X part of the compound field X.
    """
    return tuple(_field_from(line, values or {}) for line in notation.strip().splitlines() if line.strip())


def _field_from(line: str, values: dict[str, tuple[str, ...]]) -> Field:
    match = _LINE.match(line.strip())
    if match is None:
        raise ValueError(f"The catalogue does not understand {line!r}.")
    name, kind, size = match["name"], match["type"], match["size"] or ""
    flags = dict(flag.partition("=")[::2] for flag in match["flags"].split())
    numbers = [int(part) for part in size.split(",")] if size and kind != "reference" else []
    is_number = kind in NUMBER_TYPES
    default = {"true": True, "false": False}.get(flags.get("def", ""), flags.get("def") or None)
    return Field(
        name=name,
        type=kind,
        label=match["label"] or label_of(name),
        length=18 if kind in ID_TYPES else (numbers[0] if numbers and not is_number else 0),
        precision=numbers[0] if is_number else 0,
        scale=numbers[1] if is_number and len(numbers) > 1 else 0,
        required="R" in flags,
        createable="ro" not in flags,
        updateable="ro" not in flags and "co" not in flags,
        defaulted="def" in flags,
        default=default,
        name_field="name" in flags,
        unique="unique" in flags,
        external_id="extid" in flags,
        restricted="restricted" in flags,
        calculated="calc" in flags,
        cascade="cascade" in flags,
        refers_to=size if kind == "reference" else None,
        relationship=_relationship_of(name) if kind == "reference" else None,
        compound=flags.get("part"),
        values=values.get(name, ()),
    )
