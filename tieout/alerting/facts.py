"""What rules are judged on: figures that the ledger and the runs give, one value for each subject of a rule. No text of a record is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class OldBreaks:
    """The breaks of a company that a rule of age is about. `money`: currency → the sum of their amounts, without signs."""

    company: str
    breaks: int
    oldest: datetime
    money: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenMoney:
    """The money of a company's breaks in one currency, without signs."""

    company: str
    currency: str
    breaks: int
    money: Decimal


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts of a direction, entity and company (empty: write-backs have none) that ended in a rule's time, and how many failed."""

    direction: str
    entity: str
    company: str
    ended: int
    failed: int


@dataclass(frozen=True, slots=True)
class Doubts:
    """The deliveries of an entity and company whose answer was lost before a rule's bound."""

    entity: str
    company: str
    deliveries: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class QuotaRead:
    """Calls of the last 24 hours as a system told them at `at`."""

    system: str
    used: int
    allowed: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TableRead:
    """When the last complete read of a table ended; `None`: it was tried since `first_tried`, and never was complete."""

    system: str
    table: str
    read_at: datetime | None
    first_tried: datetime


@dataclass(frozen=True, slots=True)
class WholeRuns:
    """The runs of the whole way that were no dry runs: when the last good one ended, and when the first one of all began."""

    succeeded_at: datetime | None
    first_started: datetime


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a job that has ended. `run_id` is Dagster's."""

    job: str
    run_id: str
    succeeded: bool
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the runs say. `whole` is `None` where nobody ever started one."""

    whole: WholeRuns | None = None
    last: Sequence[LastRun] = ()


Fact = OldBreaks | OpenMoney | Attempts | Doubts | QuotaRead | TableRead | WholeRuns | LastRun

Observed = Mapping[str, Sequence[Fact]]
"""Rule → its facts. A rule that is absent could not be looked at: nothing of it is raised, and nothing recovers."""
