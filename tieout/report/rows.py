"""The rows of a report: what one table read, total, verdict, break, delivery or write-back says.

Frozen. Money is `Decimal`, instants have a time zone; a row that breaks either rule is refused when it is made, because a page that was
signed cannot be rounded afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

System = Literal["salesforce", "d365"]
ZERO = Decimal(0)

VERDICTS = ("matched", "differs", "only_in_salesforce", "only_in_d365", "duplicate", "in_flight", "quarantined")
DELIVERY_STATES = ("planned", "claimed", "sent", "in_doubt", "confirmed", "rejected", "superseded", "cancelled")


@dataclass(frozen=True, slots=True)
class TableRead:
    """One table as it was read. `complete` is the proof that no row is missing: without it, absence means nothing."""

    table: str
    rows: int
    started_at: datetime
    ended_at: datetime
    complete: bool = True

    def __post_init__(self) -> None:
        require_zone(self, "started_at", "ended_at")


@dataclass(frozen=True, slots=True)
class Source:
    """A system that was compared. `address` is shown; it must hold no secret. `sandbox` is said aloud on the page."""

    system: System
    address: str
    reads: Sequence[TableRead] = ()
    sandbox: bool = False

    @property
    def rows(self) -> int:
        return sum(read.rows for read in self.reads)

    @property
    def started_at(self) -> datetime | None:
        return min((read.started_at for read in self.reads), default=None)

    @property
    def ended_at(self) -> datetime | None:
        return max((read.ended_at for read in self.reads), default=None)


@dataclass(frozen=True, slots=True)
class TieOut:
    """Totals of one company and currency, each in that currency. `explained` is the part of the difference with a known cause."""

    company: str
    currency: str
    salesforce: Decimal
    d365: Decimal
    explained: Decimal = ZERO

    def __post_init__(self) -> None:
        require_decimal(self, "salesforce", "d365", "explained")

    @property
    def difference(self) -> Decimal:
        """Salesforce minus D365: positive where D365 has less."""
        return self.salesforce - self.d365

    @property
    def unexplained(self) -> Decimal:
        return self.difference - self.explained


@dataclass(frozen=True, slots=True)
class MonthTieOut:
    """What one month (`YYYY-MM`, that of the order date) adds to the totals of a company and currency; empty where no date is known."""

    company: str
    currency: str
    month: str
    salesforce: Decimal
    d365: Decimal
    explained: Decimal = ZERO

    def __post_init__(self) -> None:
        require_decimal(self, "salesforce", "d365", "explained")

    @property
    def difference(self) -> Decimal:
        """Salesforce minus D365: positive where D365 has less."""
        return self.salesforce - self.d365

    @property
    def unexplained(self) -> Decimal:
        return self.difference - self.explained


@dataclass(frozen=True, slots=True)
class BridgePart:
    """What one cause adds to the difference of a company and currency (Salesforce minus D365).

    `is_explained` is false for a cause that says that the money differs, but not why.
    """

    company: str
    currency: str
    cause: str
    amount: Decimal
    records: int
    is_explained: bool = True

    def __post_init__(self) -> None:
        require_decimal(self, "amount")


@dataclass(frozen=True, slots=True)
class CurrencyTotal:
    """All companies of one currency together; amounts of different currencies are never added."""

    currency: str
    companies: int
    salesforce: Decimal
    d365: Decimal
    explained: Decimal

    @property
    def difference(self) -> Decimal:
        return self.salesforce - self.d365

    @property
    def unexplained(self) -> Decimal:
        return self.difference - self.explained


@dataclass(frozen=True, slots=True)
class VerdictCount:
    """How many records of an entity got a verdict."""

    entity: str
    verdict: str
    records: int

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.verdict!r} is no verdict. Use one of {', '.join(VERDICTS)}.")


@dataclass(frozen=True, slots=True)
class FieldCount:
    """How the pairs of one field compare. The four counts exclude each other."""

    entity: str
    field: str
    matched: int
    equal_after_normalising: int
    differs: int
    damaged_characters: int


@dataclass(frozen=True, slots=True)
class Break:
    """One difference, with both values as stored and as compared.

    `field` is a field's name, or a verdict where the whole record is the difference. `owner` is the system that owns the field.
    `amount` is the money at stake in `currency`, `None` where it is not about money. `detail` says more about the cause, often in the
    words of a system. `needs_person` is false where the next run settles it (planned, in doubt, confirmed a moment ago).
    """

    entity: str
    company: str
    salesforce_key: str | None
    d365_key: str | None
    label: str
    field: str
    salesforce_stored: str | None
    salesforce_compared: str | None
    d365_stored: str | None
    d365_compared: str | None
    owner: str
    cause: str
    proposed_fix: str
    first_seen: datetime
    state: str = "open"
    amount: Decimal | None = None
    currency: str = ""
    line_key: str | None = None
    detail: str = ""
    needs_person: bool = True
    identity: str = ""
    assigned_to: str = ""
    comment: str = ""

    def __post_init__(self) -> None:
        require_zone(self, "first_seen")
        if self.amount is not None:
            require_decimal(self, "amount")

    @property
    def is_open(self) -> bool:
        return self.state != "closed"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record that stands for something which another record of the same system already stands for."""

    entity: str
    system: System
    company: str
    key: str
    label: str
    sibling_key: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A record that could be linked to more than one of the other side, and therefore was linked to none."""

    entity: str
    side: System
    key: str
    candidates: Sequence[str]
    reason: str
    company: str = ""


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One rule that one row breaks. `severity` is `error` (the row waits) or `warn` (the row went on)."""

    system: System
    table: str
    key: str
    rule: str
    field: str
    severity: str
    value: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record written, or meant to be written, to D365 in this run.

    `outcome` is the state it was left in, `effect` what changed in D365 (`created`, `updated`, `adopted` or nothing), `message` holds D365's
    own words.
    """

    entity: str
    operation: str
    company: str
    business_key: str
    d365_key: str
    label: str
    outcome: str
    message: str = ""
    amount: Decimal | None = None
    currency: str = ""
    effect: str = ""

    def __post_init__(self) -> None:
        if self.amount is not None:
            require_decimal(self, "amount")


@dataclass(frozen=True, slots=True)
class DeliveryCount:
    """Deliveries of an entity by state, over all runs."""

    entity: str
    state: str
    deliveries: int


@dataclass(frozen=True, slots=True)
class WriteBack:
    """One record changed in Salesforce in this run, with the names of the fields that changed."""

    object: str
    record_id: str
    label: str
    fields: Sequence[str]
    outcome: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ApiCalls:
    """Calls made to one system in this run. `quota_used` and `quota_limit` as the system reports them, if it does."""

    system: System
    calls: int
    quota_used: int | None = None
    quota_limit: int | None = None


@dataclass(frozen=True, slots=True)
class StepTime:
    """How long one step of the run took."""

    step: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class TableVersion:
    """Which version of a lake table was compared, so that the comparison can be repeated."""

    table: str
    version: int
    rows: int


def require_decimal(row: object, *names: str) -> None:
    """Raise TypeError unless each named value of `row` is a finite Decimal."""
    for name in names:
        value = getattr(row, name)
        if not isinstance(value, Decimal) or not value.is_finite():
            raise TypeError(f"{type(row).__name__}.{name} is {value!r}. Give a finite Decimal: money is never float.")


def require_zone(row: object, *names: str) -> None:
    """Raise ValueError unless each named instant of `row` has a time zone."""
    for name in names:
        value = getattr(row, name)
        if value.tzinfo is None:
            raise ValueError(f"{type(row).__name__}.{name} is {value!r}, without a time zone. Give an instant in UTC.")
