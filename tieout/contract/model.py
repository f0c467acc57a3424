"""What may be written in a contract file: its keys, their types and their defaults.

Only the shape. What the keys mean together (a tolerance on text, a value map that does not exist) is in `mistakes.py`; the form that the
rest of Tieout works with is in `tables.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

System = Literal["salesforce", "d365"]
ColumnType = Literal["text", "decimal", "integer", "boolean", "date", "instant"]
CompareKind = Literal[
    "text", "exact", "money", "quantity", "date", "instant", "code", "email", "phone", "country", "reference", "none"
]
Severity = Literal["error", "warn"]
NumberGiver = Literal["tieout", "d365"]
ChangePolicy = Literal["report", "amend"]
LossPolicy = Literal["report", "stop"]

NUMBER_KINDS = frozenset({"money", "quantity"})
TEXT_KINDS = frozenset({"text", "exact", "code", "email", "phone", "country", "reference"})

SETTLE_S = 1800
"""Seconds that a commit of D365 may take to show, where the contract does not say."""
STOPPED = "IsSalesProcessingStopped"
"""Property of a D365 order header that keeps the order from being processed further: Yes or No."""

_NAME = r"^[a-z][a-z0-9_]*$"
_API_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"


def _must_be_quoted(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError(f'is the bare number {value}, which YAML may round: quote it, as "{value}"')
    return value


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Name = Annotated[str, StringConstraints(pattern=_NAME)]
ApiName = Annotated[str, StringConstraints(pattern=_API_NAME)]
DecimalText = Annotated[str, BeforeValidator(_must_be_quoted), StringConstraints(pattern=r"^-?\d+(\.\d+)?$")]
ApiNames = Annotated[
    list[ApiName], BeforeValidator(_one_or_more, json_schema_input_type=ApiName | list[ApiName]), Field(min_length=1)
]
ValueName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SalesforceSide(_Part):
    """Which Salesforce object is read, and what besides the fields."""

    object: ApiName = Field(description="API name of the object.")
    table: Name = Field(description="Name of its table in the lake.")
    key: ApiName = Field(description="Field that identifies a record.")
    version: ApiName = Field(description="Field that moves with every change; the watermark follows it.")
    parent: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="Lines only: field that holds the id of the header."
    )
    extra: dict[ApiName, ColumnType] = Field(
        default_factory=dict, description="Fields that are read, but not compared."
    )


class D365Side(_Part):
    """Which D365 entity set is read, and what besides the fields."""

    entity_set: ApiName = Field(description="Name of the OData collection.")
    table: Name = Field(description="Name of its table in the lake.")
    key: ApiNames = Field(description="Key properties, dataAreaId first.")
    parent: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="Lines only: property that holds the header's number."
    )
    extra: dict[ApiName, ColumnType] = Field(
        default_factory=dict, description="Properties that are read, but not compared."
    )


class Link(_Part):
    """Where the two systems remember each other."""

    stored: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="Salesforce field that holds company/key of the D365 record."
    )
    company: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="Salesforce field that holds the company (dataAreaId)."
    )
    synced_at: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="Salesforce field that holds the time of the last write-back."
    )
    reference: ApiName | SkipJsonSchema[None] = Field(
        default=None, description="D365 property that holds the Salesforce id."
    )


class Number(_Part):
    """How the number of a new D365 record is made."""

    given_by: NumberGiver = Field(
        default="tieout",
        description="`tieout`: prefix and Salesforce id, so that D365 refuses a second copy. `d365`: its number sequence; needs `link.reference`.",
    )
    prefix: Annotated[str, StringConstraints(min_length=1)] | SkipJsonSchema[None] = Field(
        default=None, description="Put before the 18-character Salesforce id."
    )
    from_: ApiName | SkipJsonSchema[None] = Field(
        default=None,
        alias="from",
        description="Salesforce field that is used instead where it holds 20 characters or fewer.",
    )
    settle_s: Annotated[int, Field(ge=60)] | SkipJsonSchema[None] = Field(
        default=None,
        description="`given_by: d365` only: seconds after a lost answer before a record that is not found counts as absent. "
        f"Default: {SETTLE_S}.",
    )


class Create(_Part):
    """What a new D365 record gets besides the fields."""

    number: Number | SkipJsonSchema[None] = None
    constants: dict[ApiName, str] = Field(
        default_factory=dict, description="Properties with one value for every record."
    )


class AfterDeliveryModel(_Part):
    """What is done when the Salesforce record changes after its D365 record was made. Never a second record."""

    changed: ChangePolicy = Field(
        default="report",
        description="`report`: a break for a person. `amend`: bring the D365 record to Salesforce's values while nothing of it is posted.",
    )
    lost: LossPolicy = Field(
        default="report",
        description="`report`: a break for a person. `stop`: stop the processing of the D365 record while nothing of it is posted; "
        "released when the Salesforce record is back in scope.",
    )


class ToleranceModel(_Part):
    """How far two numbers, dates or instants may lie apart and still be equal."""

    absolute: DecimalText | SkipJsonSchema[None] = Field(
        default=None, description='Quoted decimal in the unit of the field, such as "0.01".'
    )
    percent: DecimalText | SkipJsonSchema[None] = Field(
        default=None, description='Quoted decimal, percent of the larger number, such as "0.5".'
    )

    days: Annotated[int, Field(gt=0)] | SkipJsonSchema[None] = Field(
        default=None, description="`compare: date` only: whole days."
    )
    seconds: Annotated[int, Field(gt=0)] | SkipJsonSchema[None] = Field(
        default=None, description="`compare: instant` only: whole seconds."
    )


class ConversionModel(_Part):
    """Quantities in different units, brought to one before they are compared."""

    unit: Name = Field(description="Field of the same record that holds the unit.")
    factors: dict[str, DecimalText] = Field(
        min_length=2,
        description='Unit, as it is compared: how many of the base unit it is, quoted. `{ea: "1", box: "12"}`.',
    )


class ExchangeModel(_Part):
    """Amounts in different currencies, compared at the rate of a day. Rates are in `exchange_rates.csv` beside the contracts."""

    currency: Name = Field(description="Field of the same record that holds the currency.")
    date: ApiName = Field(description="Salesforce column with the day whose rate counts.")


class ValueMapModel(_Part):
    """Which stored values mean the same. Capitals and outer blanks do not matter."""

    salesforce: dict[str, str] = Field(default_factory=dict, description="Salesforce value: common value.")
    d365: dict[str, str] = Field(
        default_factory=dict, description="D365 value: common value. Two columns as A/B, * fits all."
    )
    known: list[str] = Field(default_factory=list, description="Values that both sides spell alike.")


class SumOfLines(_Part):
    """A header value that D365 does not store."""

    sum: Name = Field(description="Line field that is added up.")


class FieldModel(_Part):
    """One field: where it is stored, who owns it, how it is compared."""

    label: str | SkipJsonSchema[None] = Field(
        default=None, description="Name in reports; made from the field's name where it is absent."
    )
    salesforce: ApiName | SkipJsonSchema[None] = Field(default=None, description="Salesforce field.")
    d365: ApiNames | SkipJsonSchema[None] = Field(
        default=None, description="D365 property, or two that are read together."
    )
    d365_from_lines: SumOfLines | SkipJsonSchema[None] = Field(
        default=None, description="The D365 value is made from the lines."
    )
    salesforce_from_product: Name | SkipJsonSchema[None] = Field(
        default=None, description="The Salesforce value is the product's field."
    )
    owner: System = Field(description="Who may change it. The other side is written or reported, never both.")
    compare: CompareKind = Field(description="How the two stored values are made comparable.")
    type: ColumnType | SkipJsonSchema[None] = Field(
        default=None, description="Stored type, where `compare` does not tell it."
    )
    required: bool = Field(default=False, description="A record without it is quarantined.")
    positive: bool = Field(default=False, description="A number that is 0 or less is quarantined.")
    max_length: Annotated[int, Field(gt=0)] | SkipJsonSchema[None] = Field(
        default=None, description="Characters that the other side takes."
    )
    tolerance: ToleranceModel | SkipJsonSchema[None] = None
    legal_form: Literal["compared", "ignored"] = Field(
        default="compared", description="`compare: text` only. `ignored`: Bike Shop GmbH and Bike Shop are equal."
    )
    default_country: str | SkipJsonSchema[None] = Field(
        default=None,
        description="`compare: phone` only: numbers are compared as E.164. Two letters (US), or the field that holds the country of a number without prefix.",
    )
    conversion: ConversionModel | SkipJsonSchema[None] = Field(default=None, description="`compare: quantity` only.")
    exchange: ExchangeModel | SkipJsonSchema[None] = Field(default=None, description="`compare: money` only.")
    values: ValueName | SkipJsonSchema[None] = Field(
        default=None, description="Value map: a name, or entity.name of another contract."
    )
    on_unknown: Severity = Field(default="error", description="What a value outside the value map is.")
    references: Name | SkipJsonSchema[None] = Field(
        default=None, description="`compare: reference` only: the entity whose crosswalk decides."
    )
    on_create: bool | SkipJsonSchema[None] = Field(
        default=None, description="Sent when a record is created. Default: owner is salesforce."
    )
    on_difference: Literal["write", "report"] = Field(
        default="report", description="Write the side that does not own it, or only report."
    )
    when_empty: Literal["compared", "not_compared"] = Field(
        default="compared", description="`not_compared`: an empty owner's side is no difference."
    )
    empty_is: DecimalText | SkipJsonSchema[None] = Field(
        default=None, description='Number that an empty value stands for, quoted: "0".'
    )


class LinesModel(_Part):
    """The lines of a header."""

    salesforce: SalesforceSide
    d365: D365Side
    link: Link = Link()
    create: Create = Create()
    match_on: Name = Field(description="Line field that pairs the lines of a header.")
    fields: dict[Name, FieldModel] = Field(min_length=1)


class ContractModel(_Part):
    """One entity that lives in both systems."""

    entity: Name
    salesforce: SalesforceSide
    d365: D365Side
    scope: dict[Name, str] = Field(
        default_factory=dict, description="Field: common value. Only these Salesforce records take part."
    )
    link: Link = Link()
    create: Create = Create()
    after_delivery: AfterDeliveryModel | SkipJsonSchema[None] = Field(
        default=None, description="Policies for changes after delivery; `report` where they are absent."
    )
    values: dict[Name, ValueMapModel] = Field(default_factory=dict)
    fields: dict[Name, FieldModel] = Field(min_length=1)
    lines: LinesModel | SkipJsonSchema[None] = None
