"""The circuit breaker of a flow and company: when it opens, when it lets one delivery through to probe, and when it closes.

```
closed ─▶ open            (too many of the newest outcomes are failures)
open ─▶ half_open         (the cool-down is over, and somebody took the one probe)
half_open ─▶ closed       (the probe succeeded: everything before it is forgotten)
half_open ─▶ open         (the probe failed: twice the cool-down, up to a longest one; it proved nothing: the same cool-down)
```

Pure. `resources/ledger/flows.py` keeps breakers and applies these functions under a row lock, so that two runs share one breaker.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tieout.outcome import Outcome


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"  # one delivery is under way as a probe


class Admission(StrEnum):
    """How many deliveries may go."""

    NONE = "none"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens and for how long. Seconds where the name says `_s`."""

    window: int = 50
    """How many of the newest outcomes count."""
    at_least: int = 20
    """Fewer outcomes than this prove nothing."""
    opens_at_rate: float = 0.5
    """The share of failures among them that opens it."""
    first_cool_down_s: int = 60
    longest_cool_down_s: int = 900
    probe_s: int = 600
    """How long a probe may stay unanswered before another may go: as long as a delivery's lease, so that two never run side by side."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker of one flow and company.

    `recent` are the newest outcomes that count, oldest first: True for a failure. `opened_at` is when sending stopped, and stays while probes
    fail. `probe_at` is when the next probe may go. `cool_down_s` is 0 while it is closed.
    """

    state: BreakerState = BreakerState.CLOSED
    recent: tuple[bool, ...] = ()
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    cool_down_s: int = 0


RULES = BreakerRules()


def admission(breaker: Breaker, now: datetime) -> Admission:
    """How many deliveries may go at `now`."""
    if breaker.state is BreakerState.CLOSED:
        return Admission.ALL
    # Half open, too: a prober that died must not block its flow for ever.
    return Admission.ONE if breaker.probe_at is None or now >= breaker.probe_at else Admission.NONE


def with_probe_taken(breaker: Breaker, now: datetime, rules: BreakerRules = RULES) -> Breaker | None:
    """The breaker once its one probe is under way; `None` where none may go now."""
    if admission(breaker, now) is not Admission.ONE:
        return None
    return replace(breaker, state=BreakerState.HALF_OPEN, probe_at=now + timedelta(seconds=rules.probe_s))


def after_outcomes(
    breaker: Breaker, outcomes: Iterable[bool | None], now: datetime, rules: BreakerRules = RULES
) -> Breaker:
    """The breaker after these outcomes, in their order: True for a failure, False for a success, `None` for what proves neither."""
    for failed in outcomes:
        breaker = _after_one(breaker, failed, now, rules)
    return breaker


def is_failure(outcome: Outcome, http_status: int | None) -> bool | None:
    """What one attempt says about the flow: True for a failure, False for a success, `None` for neither.

    `http_status` is `None` where no answer came. A refusal for good is a failure: many at once are a misconfiguration, and sending the rest
    into it would only fill the dead letters. Being throttled is neither: a system that asks to wait is well.
    """
    match outcome:
        case Outcome.CONFIRMED | Outcome.ADOPTED | Outcome.ALREADY_EXISTS:
            # D365 knew the key, so it works; whose record that is, only the look can tell.
            return False
        case Outcome.REJECTED | Outcome.REJECTED_UNSURE | Outcome.IN_DOUBT:
            return True
        case Outcome.NOT_PROCESSED:
            # An update that met a broken gateway is planned again like one that was throttled, but only one of the two is a fault.
            return True if http_status is None or http_status >= 500 else None
        case Outcome.SIGN_IN | Outcome.ABSENT:
            # A run that cannot sign in stops by itself; a lost answer was counted when it was lost.
            return None


def in_words(breaker: Breaker) -> str:
    """Why a breaker holds deliveries back, and until when; empty while it is closed."""
    if breaker.state is BreakerState.CLOSED:
        return ""
    why = (
        f"circuit breaker open since {_told(breaker.opened_at)}: "
        f"{sum(breaker.recent)} of the last {len(breaker.recent)} failed"
    )
    if breaker.state is BreakerState.OPEN:
        return f"{why}; next probe at {_told(breaker.probe_at)}"
    return f"{why}; one delivery is probing, the next may at {_told(breaker.probe_at)}"


def _after_one(breaker: Breaker, failed: bool | None, now: datetime, rules: BreakerRules) -> Breaker:
    match breaker.state:
        case BreakerState.OPEN:
            return breaker  # what was under way when it opened; only a probe counts now
        case BreakerState.CLOSED:
            if failed is None:
                return breaker
            recent = _with(breaker.recent, failed, rules)
            enough = len(recent) >= rules.at_least and sum(recent) >= rules.opens_at_rate * len(recent)
            if not enough:
                return replace(breaker, recent=recent)
            return _open(replace(breaker, recent=recent, opened_at=now), rules.first_cool_down_s, now)
        case BreakerState.HALF_OPEN:
            # Whoever answers first decides: a straggler of another run says as much about the system as the probe does.
            if failed is None:
                return _open(breaker, breaker.cool_down_s, now)
            if not failed:
                return Breaker()
            longer_s = min(2 * breaker.cool_down_s, rules.longest_cool_down_s)
            return _open(replace(breaker, recent=_with(breaker.recent, failed, rules)), longer_s, now)


def _open(breaker: Breaker, cool_down_s: int, now: datetime) -> Breaker:
    probe_at = now + timedelta(seconds=cool_down_s)
    return replace(breaker, state=BreakerState.OPEN, probe_at=probe_at, cool_down_s=cool_down_s)


def _with(recent: tuple[bool, ...], failed: bool, rules: BreakerRules) -> tuple[bool, ...]:
    return (*recent, failed)[-rules.window :]


def _told(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"
