"""One write that a run wants, and what is to be done about it beside what the ledger already knows.

Pure. The ledger takes the step inside its transaction; a dry run prints the very same steps.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from tieout.delivery import State
from tieout.odata import json_body

Operation = Literal["create", "update"]


@dataclass(frozen=True, slots=True)
class IntendedWrite:
    """One record to be created or changed in D365.

    `business_key` names what exists at most once: the 18-character Salesforce id, for customers with `/company` behind it, because an account
    is a customer in each company that sells to it. `d365_key` is the order number or customer account, given by us.
    `header` holds the properties of the record itself, `lines` those of its lines; decimals are exact.
    `source_version` is the version (UTC) of the Salesforce record that this was made of: two equal writes may be made of different ones.
    """

    entity: str
    operation: Operation
    business_key: str
    company: str
    d365_key: str
    header: Mapping[str, object]
    lines: Sequence[Mapping[str, object]] = ()
    source_version: datetime | None = None

    @property
    def payload(self) -> dict[str, object]:
        """What the ledger keeps and the dispatcher sends."""
        return {"header": dict(self.header), "lines": [dict(line) for line in self.lines]}

    @property
    def fingerprint(self) -> str:
        """Equal for equal writes; the order of the properties does not count."""
        parts = {"company": self.company, "d365_key": self.d365_key, "header": _sorted(self.header)}
        return hashlib.sha256(json_body(parts | {"lines": [_sorted(line) for line in self.lines]})).hexdigest()


def _sorted(properties: Mapping[str, object]) -> dict[str, object]:
    return dict(sorted(properties.items()))


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows about the same entity, operation and business key: its newest delivery that counts."""

    state: State
    fingerprint: str
    source_version: datetime | None = None


def salesforce_id_of(business_key: str) -> str:
    """The Salesforce id in a business key."""
    return business_key.partition("/")[0]


def newest_version(stamps: Iterable[object]) -> datetime | None:
    """The version (UTC) of what was made of rows with these time stamps; `None` where none of them has one."""
    known = [stamp.astimezone(UTC) for stamp in stamps if isinstance(stamp, datetime)]
    return max(known, default=None)


class Step(StrEnum):
    """What is done about an intended write."""

    PLAN = "plan"  # nothing known: a new delivery
    REFRESH = "refresh"  # planned already, by a run that did not come to it
    REPLACE = "replace"  # planned already, but the source has changed since
    CORRECT = "correct"  # was refused, and the source has changed since
    REVIVE = "revive"  # was cancelled, and is wanted again
    LEAVE_DELIVERED = "leave_delivered"  # created before: never a second time
    LEAVE_REJECTED = "leave_rejected"  # refused, and nothing has changed: waits for a person
    LEAVE_IN_DOUBT = "leave_in_doubt"  # its answer was lost: nothing is sent until it was looked for
    LEAVE_HELD = "leave_held"  # another run has it in its hands
    LEAVE_STALE = "leave_stale"  # made of an older version of the record than what was sent

    @property
    def sends(self) -> bool:
        """Whether something will be sent."""
        return not self.value.startswith("leave_")


def next_step(intended: IntendedWrite, known: Known | None) -> Step:
    """The one step for `intended`. An update that was confirmed is no obstacle to the next one; a create is.

    Nothing that was made of an older version of the record takes the place of what was made of a newer one, or follows it.
    """
    step = _step_by_state(intended, known)
    if known is not None and step.sends and step is not Step.REFRESH and _is_older(intended, known):
        return Step.LEAVE_STALE
    return step


def _is_older(intended: IntendedWrite, known: Known) -> bool:
    if intended.source_version is None or known.source_version is None:
        return False
    return intended.source_version < known.source_version


def _step_by_state(intended: IntendedWrite, known: Known | None) -> Step:
    if known is None or (
        intended.operation == "update" and known.state in {State.CONFIRMED, State.SUPERSEDED, State.CANCELLED}
    ):
        return Step.PLAN
    same = known.fingerprint == intended.fingerprint
    match known.state:
        case State.PLANNED:
            return Step.REFRESH if same else Step.REPLACE
        case State.REJECTED:
            return Step.LEAVE_REJECTED if same else Step.CORRECT
        case State.CANCELLED | State.SUPERSEDED:
            return Step.REVIVE
        case State.CONFIRMED:
            return Step.LEAVE_DELIVERED
        case State.IN_DOUBT:
            return Step.LEAVE_IN_DOUBT
        case State.CLAIMED | State.SENT:
            return Step.LEAVE_HELD
