"""What became of each intended write in one run, collected while it happens and summed up at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from resources.ledger.deliveries import Held
from resources.ledger.planning import Planned
from tieout.delivery import State
from tieout.intended import Operation, Step


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one intended write. `effect` is what this run changed in D365: created, updated, adopted or nothing.

    `d365_status` and `d365_amount` are what D365 holds after a creation: the contract's columns that D365 owns, and the sum of the lines.
    """

    entity: str
    operation: Operation
    business_key: str
    company: str
    d365_key: str
    step: Step
    state: State
    effect: str = ""
    reason: str = ""
    d365_status: Mapping[str, Any] | None = None
    d365_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """One delivery of one entity. In a dry run nothing was changed and `results` say what would be sent.

    `overdue_doubts` counts the records, of this run or earlier ones, whose fate is unknown for longer than the bound.
    """

    entity: str
    dry_run: bool
    results: tuple[DeliveryResult, ...]
    api_calls: int
    batches: int
    duration_s: float
    cancelled: int = 0
    overdue_doubts: int = 0

    @property
    def created(self) -> int:
        """Records that this run made in D365."""
        return self._with_effect("created")

    @property
    def updated(self) -> int:
        """Records that this run changed in D365."""
        return self._with_effect("updated")

    @property
    def adopted(self) -> int:
        """Records that were there already and are ours: made by an earlier attempt whose answer was lost."""
        return self._with_effect("adopted")

    @property
    def would_send(self) -> int:
        """Writes that a run without `dry_run` would send."""
        return sum(result.step.sends for result in self.results) if self.dry_run else 0

    def in_state(self, state: State) -> tuple[DeliveryResult, ...]:
        """The results whose delivery is in `state`."""
        return tuple(result for result in self.results if result.state is state)

    def _with_effect(self, effect: str) -> int:
        return sum(result.effect == effect for result in self.results)


class Results:
    """The results of a run, one for each record and operation, the newest news of each."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str], DeliveryResult] = {}

    def planned(self, planned: Sequence[Planned]) -> None:
        """What planning did. A record that was adopted before it was planned keeps that effect."""
        for each in planned:
            write = each.intended
            key = (write.operation, write.business_key)
            earlier = self._results.get(key)
            if earlier is not None and earlier.effect:
                self._results[key] = replace(earlier, step=each.step)
            else:
                self._results[key] = DeliveryResult(
                    entity=write.entity,
                    operation=write.operation,
                    business_key=write.business_key,
                    company=write.company,
                    d365_key=write.d365_key,
                    step=each.step,
                    state=each.state,
                    reason=each.reason,
                )

    def moved(self, held: Held, state: State, *, effect: str = "", reason: str = "") -> None:
        """A delivery has come to `state`."""
        known = self._results.get(_key(held)) or DeliveryResult(
            entity=held.entity,
            operation=held.operation,
            business_key=held.business_key,
            company=held.company,
            d365_key=held.d365_key,
            step=Step.LEAVE_IN_DOUBT,  # from an earlier run, and not wanted by this one so far
            state=state,
        )
        self._results[_key(held)] = replace(known, state=state, effect=effect, reason=reason)

    def read_back(self, held: Held, status: Mapping[str, Any], amount: Decimal | None, remark: str) -> None:
        """What D365 holds after a creation; `remark` where that is not what was sent."""
        known = self._results[_key(held)]
        self._results[_key(held)] = replace(known, d365_status=status, d365_amount=amount, reason=remark)

    def all(self) -> tuple[DeliveryResult, ...]:
        """All results, in the order in which their records were first met."""
        return tuple(self._results.values())


def _key(held: Held) -> tuple[str, str]:
    return (held.operation, held.business_key)
