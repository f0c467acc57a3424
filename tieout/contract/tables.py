"""Contracts as the rest of Tieout uses them: entities, fields, value maps, and the tables with their columns.

Frozen values that `load.py` makes from the checked files. Nothing here reads a file or knows a system.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from tieout.compared_field import Conversion, Exchange, Tolerance
from tieout.contract.model import (
    NUMBER_KINDS,
    SETTLE_S,
    TEXT_KINDS,
    ChangePolicy,
    ColumnType,
    CompareKind,
    LossPolicy,
    NumberGiver,
    Severity,
    System,
)
from tieout.contract.rates import ExchangeRate

# Read before what refers to them, so that a line never arrives before its header was asked for.
_READ_ORDER = ("product", "customer", "sales_order")

_TYPE_OF_KIND: Mapping[CompareKind, ColumnType] = {
    "money": "decimal",
    "quantity": "decimal",
    "date": "date",
    "instant": "instant",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a source: its API name and the type that it is stored with."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class ValueMap:
    """Which stored values mean the same.

    `salesforce` and `d365` map the stored spelling to the common value. Spellings are looked up without regard to capitals and outer blanks.
    """

    name: str
    salesforce: Mapping[str, str]
    d365: Mapping[str, str]

    def of(self, system: System) -> Mapping[str, str]:
        """Stored spelling → common value, in the order of the contract."""
        return self.salesforce if system == "salesforce" else self.d365

    def common(self, system: System, stored: str | None) -> str | None:
        """The common value of a stored one; `None` where the contract does not know it."""
        if stored is None:
            return None
        wanted = stored.strip().lower()
        return next((value for spelling, value in self.of(system).items() if _fits(spelling, wanted)), None)

    def stored(self, system: System, common: str | None) -> str | None:
        """How `system` spells a common value: the first spelling in the contract. `None` where it has none."""
        return next((spelling for spelling, value in self.of(system).items() if value == common), None)


def _fits(spelling: str, wanted: str) -> bool:
    pattern, given = spelling.lower().split("/"), wanted.split("/")
    if "*" not in pattern:
        return spelling.lower() == wanted
    return len(pattern) == len(given) and all(part in ("*", value) for part, value in zip(pattern, given, strict=True))


@dataclass(frozen=True)
class Field:
    """One field of a contract.

    `salesforce` is the Salesforce field; `d365_columns` the D365 properties, `d365` the first of them. A field without a column on one side is
    made from elsewhere (`d365_sum_of`: a line field, added up; `salesforce_via_product`: a field of the product) or lives on one side only.
    Of a phone number, `region` (ISO alpha-2) or the country in `region_columns` tells where a number without prefix is from.
    """

    name: str
    label: str
    owner: System
    compare: CompareKind
    salesforce: str | None = None
    d365_columns: tuple[str, ...] = ()
    d365_sum_of: str | None = None
    salesforce_via_product: str | None = None
    type: ColumnType = "text"
    required: bool = False
    positive: bool = False
    max_length: int | None = None
    tolerance: Tolerance | None = None
    values: ValueMap | None = None
    ignores_legal_form: bool = False
    region: str | None = None
    region_columns: Mapping[System, str] = field(default_factory=lambda: MappingProxyType({}))
    conversion: Conversion | None = None
    exchange: Exchange | None = None
    on_unknown: Severity = "error"
    references: str | None = None
    on_create: bool = False
    on_difference: Literal["write", "report"] = "report"
    skip_when_empty: bool = False
    empty_is: Decimal | None = None
    where: str = ""

    @property
    def d365(self) -> str | None:
        """The D365 property; the first one where two are read together."""
        return self.d365_columns[0] if self.d365_columns else None

    def sources(self, system: System) -> tuple[str, ...]:
        """The columns of `system` that hold the field; empty where it has none."""
        if system == "d365":
            return self.d365_columns
        return (self.salesforce,) if self.salesforce else ()

    @property
    def is_number(self) -> bool:
        """Compared as a number, where a tolerance may apply."""
        return self.compare in NUMBER_KINDS

    @property
    def is_text(self) -> bool:
        """Stored and compared as text of some kind."""
        return self.type == "text" and (self.compare in TEXT_KINDS or self.compare == "none")

    @property
    def is_compared(self) -> bool:
        """Whether a difference of this field is looked for at all."""
        return self.compare != "none"

    @property
    def is_hashed(self) -> bool:
        """Whether equal means equal canonical values, so that `_compare_hash` covers it: stored on both sides, and no rule but equality.

        Not hashed: numbers (tolerance), references (crosswalk), fields made from lines or products, fields whose empty side is not compared.
        """
        return (
            self.is_compared
            and not self.is_number
            and self.compare != "reference"
            and self.salesforce is not None
            and bool(self.d365_columns)
            and not self.skip_when_empty
            and self.tolerance is None
        )


@dataclass(frozen=True, slots=True)
class Link:
    """Where the systems remember each other: Salesforce fields `stored` (company/key), `company`, `synced_at`; D365 property `reference`."""

    stored: str | None = None
    company: str | None = None
    synced_at: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """What a new D365 record gets besides the fields.

    `number_prefix` + Salesforce id is its number, unless `number_from` (a Salesforce field) holds one of 20 characters or fewer. Where
    `number_given_by` is `d365`, its number sequence gives it, both are `None`, and only a look for the reference tells whether the record
    is there: `settle_s` seconds after a lost answer one that is not found counts as absent.
    """

    number_prefix: str | None = None
    number_from: str | None = None
    constants: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    number_given_by: NumberGiver = "tieout"
    settle_s: int = SETTLE_S


@dataclass(frozen=True, slots=True)
class AfterDelivery:
    """What is done when the Salesforce record changes after its D365 record was made.

    `changed`: `report` a break, or `amend` the D365 record. `lost` (out of scope, or deleted): `report` a break, or `stop` its processing.
    """

    changed: ChangePolicy = "report"
    lost: LossPolicy = "report"


@dataclass(frozen=True)
class Side:
    """One system's half of an entity. `source` is the Salesforce object or the D365 entity set; `parent` the column that names the header."""

    system: System
    source: str
    table: str
    key: tuple[str, ...]
    version: str | None
    parent: str | None
    extra: Mapping[str, ColumnType]
    where: Mapping[str, str]


@dataclass(frozen=True)
class Lines:
    """The lines of a header: both sides, and the field that pairs them within one header."""

    salesforce: Side
    d365: Side
    fields: tuple[Field, ...]
    match_on: str
    link: Link
    create: Create

    def field(self, name: str) -> Field:
        """The line field of that name; KeyError where there is none."""
        return _field_of(self.fields, name)


@dataclass(frozen=True)
class Contract:
    """One entity: its two sides, its fields, and what links and makes its records."""

    entity: str
    salesforce: Side
    d365: Side
    fields: tuple[Field, ...]
    scope: Mapping[str, str]
    link: Link
    create: Create
    values: Mapping[str, ValueMap]
    lines: Lines | None
    file: str
    after_delivery: AfterDelivery = AfterDelivery()

    def field(self, name: str) -> Field:
        """The header field of that name; KeyError where there is none."""
        return _field_of(self.fields, name)

    def table(self, system: System) -> "Table":
        """The header's table in `system`."""
        side = self.salesforce if system == "salesforce" else self.d365
        return _table(self, side, self.fields, self.link, self.create, is_lines=False)

    def lines_table(self, system: System) -> "Table":
        """The lines' table in `system`; KeyError where the entity has no lines."""
        if self.lines is None:
            raise KeyError(f"{self.entity} has no lines")
        lines = self.lines
        side = lines.salesforce if system == "salesforce" else lines.d365
        return _table(self, side, lines.fields, lines.link, lines.create, is_lines=True)


@dataclass(frozen=True)
class Table:
    """One table of the lake, as it is read from a system.

    `source` is the Salesforce object or the D365 entity set. `columns` is everything to extract, each once: key, fields, links, extra.
    `fields` are the contract's fields that have a column here. `version` moves with every change (Salesforce only). `parent` is the
    column that names the header (lines only).
    """

    system: System
    name: str
    source: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    fields: tuple[Field, ...]
    version: str | None
    contract: Contract
    is_lines: bool
    parent: str | None
    where: Mapping[str, str]

    @property
    def lake_key(self) -> tuple[str, str]:
        """Key of the table in the lake: (system, name)."""
        return (self.system, self.name)

    @property
    def hashed_fields(self) -> tuple[Field, ...]:
        """The fields that `_compare_hash` covers, the same and in the same order on both sides."""
        return tuple(each for each in self.fields if each.is_hashed)

    @property
    def has_company(self) -> bool:
        """Whether rows belong to a D365 company."""
        return self.system == "d365" and "dataAreaId" in self.key

    def column(self, name: str) -> Column:
        """The column of that API name; KeyError where it is not extracted."""
        for each in self.columns:
            if each.name == name:
                return each
        raise KeyError(f"{self.system}/{self.name} has no column {name}")


class Contracts(Mapping[str, Contract]):
    """All contracts by entity, the tables that they make, and the exchange rates that amounts are compared at."""

    def __init__(self, contracts: Mapping[str, Contract], rates: Sequence[ExchangeRate] = ()) -> None:
        self._contracts = dict(contracts)
        self.rates = tuple(rates)

    def __getitem__(self, entity: str) -> Contract:
        return self._contracts[entity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._contracts)

    def __len__(self) -> int:
        return len(self._contracts)

    def tables(self, system: System) -> tuple[Table, ...]:
        """All tables of `system` in the order of extraction: products, customers, orders, lines."""
        made: list[Table] = []
        for contract in sorted(self.values(), key=_read_order):
            made.append(contract.table(system))
            if contract.lines is not None:
                made.append(contract.lines_table(system))
        return tuple(made)

    def table(self, system: System, name: str) -> Table:
        """One table by its name in the lake; KeyError where there is none."""
        for each in self.tables(system):
            if each.name == name:
                return each
        raise KeyError(f"no contract makes a table {system}/{name}")


def _read_order(contract: Contract) -> tuple[int, str]:
    known = contract.entity in _READ_ORDER
    return (_READ_ORDER.index(contract.entity) if known else len(_READ_ORDER), contract.entity)


def _field_of(fields: tuple[Field, ...], name: str) -> Field:
    for each in fields:
        if each.name == name:
            return each
    raise KeyError(f"no field {name}")


def column_type(compare: CompareKind) -> ColumnType:
    """The stored type that a compare kind implies."""
    return _TYPE_OF_KIND.get(compare, "text")


def _table(
    contract: Contract, side: Side, fields: tuple[Field, ...], link: Link, create: Create, *, is_lines: bool
) -> Table:
    here = tuple(each for each in fields if each.sources(side.system))
    types: dict[str, ColumnType] = dict(side.extra)
    for each in here:
        types.update(dict.fromkeys(each.sources(side.system), each.type))
    order: list[str] = list(side.key)
    if side.parent:
        order.append(side.parent)
    for each in here:
        order.extend(each.sources(side.system))
    if side.system == "salesforce":
        order.extend(name for name in (link.stored, link.company, create.number_from) if name)
        if link.synced_at:
            types.setdefault(link.synced_at, "instant")
            order.append(link.synced_at)
    elif link.reference:
        order.append(link.reference)
    order.extend(side.extra)
    if side.version:
        types.setdefault(side.version, "instant")
        order.append(side.version)
    return Table(
        system=side.system,
        name=side.table,
        source=side.source,
        key=side.key,
        columns=tuple(Column(name, types.get(name, "text")) for name in dict.fromkeys(order)),
        fields=here,
        version=side.version,
        contract=contract,
        is_lines=is_lines,
        parent=side.parent,
        where=side.where,
    )
