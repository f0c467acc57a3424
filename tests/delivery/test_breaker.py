"""The circuit breaker: opened by failures, probed after a cool-down, closed by a success."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tieout.breaker import (
    Admission,
    Breaker,
    BreakerRules,
    BreakerState,
    admission,
    after_outcomes,
    in_words,
    is_failure,
    with_probe_taken,
)
from tieout.outcome import Outcome

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FAILED, WENT, NEITHER = True, False, None
RULES = BreakerRules()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def an_open_breaker() -> Breaker:
    return after_outcomes(Breaker(), [FAILED] * 20, NOW)


def probed(breaker: Breaker, outcome: bool | None, at: datetime) -> Breaker:
    probing = with_probe_taken(breaker, at)
    assert probing is not None
    return after_outcomes(probing, [outcome], at)


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([FAILED] * 19, False),
        ([FAILED] * 20, True),
        ([WENT] * 10 + [FAILED] * 9, False),
        ([WENT] * 10 + [FAILED] * 10, True),
        ([WENT] * 11 + [FAILED] * 10, False),
        ([FAILED] * 9 + [WENT] * 40 + [FAILED] * 15, False),
        ([WENT] * 500 + [FAILED] * 24, False),
        ([WENT] * 500 + [FAILED] * 25, True),
        ([FAILED] * 19 + [NEITHER] * 500, False),
        ([NEITHER] * 500, False),
        ([], False),
    ],
)
def test_a_breaker_opens_when_half_of_the_last_fifty_failed_and_at_least_twenty_are_known(
    outcomes: Sequence[bool | None], opens: bool
) -> None:
    assert (after_outcomes(Breaker(), outcomes, NOW).state is BreakerState.OPEN) is opens


def test_an_open_breaker_admits_nothing_until_its_cool_down_is_over_and_then_one() -> None:
    breaker = an_open_breaker()

    assert admission(Breaker(), NOW) is Admission.ALL
    assert admission(breaker, NOW) is Admission.NONE
    assert admission(breaker, later(59.9)) is Admission.NONE
    assert admission(breaker, later(60)) is Admission.ONE
    assert with_probe_taken(breaker, later(59.9)) is None


def test_nothing_else_goes_while_the_probe_is_under_way() -> None:
    probing = with_probe_taken(an_open_breaker(), later(60))

    assert probing is not None
    assert probing.state is BreakerState.HALF_OPEN
    assert admission(probing, later(60)) is Admission.NONE
    assert with_probe_taken(probing, later(61)) is None


def test_a_prober_that_died_blocks_its_flow_no_longer_than_a_lease() -> None:
    probing = with_probe_taken(an_open_breaker(), later(60))

    assert probing is not None
    assert admission(probing, later(60 + RULES.probe_s - 1)) is Admission.NONE
    assert with_probe_taken(probing, later(60 + RULES.probe_s)) is not None


def test_a_probe_that_succeeds_closes_the_breaker_and_forgets_what_was_before() -> None:
    assert probed(an_open_breaker(), WENT, later(60)) == Breaker()


def test_each_probe_that_fails_doubles_the_cool_down_up_to_a_quarter_of_an_hour() -> None:
    breaker, at = an_open_breaker(), NOW
    waited = [breaker.cool_down_s]
    for _ in range(6):
        assert breaker.probe_at is not None
        at = breaker.probe_at
        breaker = probed(breaker, FAILED, at)
        waited.append(breaker.cool_down_s)
        assert breaker.probe_at == at + timedelta(seconds=breaker.cool_down_s)

    assert waited == [60, 120, 240, 480, 900, 900, 900]
    assert breaker.opened_at == NOW


def test_a_breaker_that_opens_again_after_it_had_closed_begins_with_the_first_cool_down() -> None:
    breaker = probed(probed(an_open_breaker(), FAILED, later(60)), WENT, later(180))

    again = after_outcomes(breaker, [FAILED] * 20, later(200))

    assert (again.cool_down_s, again.opened_at) == (60, later(200))


def test_a_probe_that_was_throttled_proves_nothing_and_is_repeated_after_the_same_cool_down() -> None:
    breaker = probed(an_open_breaker(), NEITHER, later(60))

    assert breaker.state is BreakerState.OPEN
    assert (breaker.cool_down_s, breaker.probe_at) == (60, later(120))


def test_what_was_under_way_when_the_breaker_opened_moves_it_no_further() -> None:
    breaker = an_open_breaker()

    assert after_outcomes(breaker, [FAILED] * 30 + [WENT] * 30, later(5)) == breaker


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_a_breaker_keeps_its_word(seed: int) -> None:
    """Random lives: never two probes at once, never shut for longer than a lease or the longest cool-down, never more than the window."""
    chance = random.Random(seed)
    breaker, now, probe_taken_at = Breaker(), NOW, None
    for _ in range(300):
        now += timedelta(seconds=chance.choice((0, 1, 30, 90, 700)))
        before = breaker
        taken = with_probe_taken(breaker, now)
        if taken is not None and chance.random() < 0.8:
            assert probe_taken_at is None or now >= probe_taken_at + timedelta(seconds=RULES.probe_s)
            breaker, probe_taken_at = taken, now
        else:
            breaker = after_outcomes(breaker, [chance.choice((FAILED, FAILED, WENT, NEITHER))], now)
            if breaker.state is not BreakerState.HALF_OPEN:
                probe_taken_at = None
        assert len(breaker.recent) <= RULES.window
        if breaker.state is BreakerState.CLOSED:
            assert (breaker.opened_at, breaker.probe_at, breaker.cool_down_s) == (None, None, 0)
        else:
            assert breaker.opened_at is not None
            assert breaker.probe_at is not None
            assert breaker.probe_at - max(now, before.probe_at or now) <= timedelta(seconds=RULES.longest_cool_down_s)
            assert RULES.first_cool_down_s <= breaker.cool_down_s <= RULES.longest_cool_down_s
            assert admission(breaker, breaker.probe_at) is Admission.ONE


@pytest.mark.parametrize(
    ("outcome", "http_status", "failed"),
    [
        (Outcome.CONFIRMED, 204, WENT),
        (Outcome.ADOPTED, 200, WENT),
        (Outcome.ALREADY_EXISTS, 400, WENT),
        (Outcome.REJECTED, 400, FAILED),
        (Outcome.REJECTED_UNSURE, 500, FAILED),
        (Outcome.IN_DOUBT, None, FAILED),
        (Outcome.IN_DOUBT, 503, FAILED),
        (Outcome.SIGN_IN, 401, NEITHER),
        (Outcome.NOT_PROCESSED, None, FAILED),
        (Outcome.NOT_PROCESSED, 502, FAILED),
        (Outcome.NOT_PROCESSED, 429, NEITHER),
        (Outcome.NOT_PROCESSED, 412, NEITHER),
        (Outcome.ABSENT, None, NEITHER),
    ],
)
def test_what_counts_as_a_failure(outcome: Outcome, http_status: int | None, failed: bool | None) -> None:
    assert is_failure(outcome, http_status) is failed


def test_every_outcome_is_judged() -> None:
    for outcome in Outcome:
        assert is_failure(outcome, 200) in (True, False, None)


def test_people_read_since_when_why_and_until_when() -> None:
    breaker = after_outcomes(Breaker(), [WENT] * 16 + [FAILED] * 16, NOW)
    probing = with_probe_taken(breaker, later(60))
    elsewhere = replace(breaker, opened_at=NOW.astimezone(tz=None))

    assert in_words(Breaker()) == ""
    assert in_words(breaker) == (
        "circuit breaker open since 2026-11-20 12:00:00 UTC: 16 of the last 32 failed; next probe at 2026-11-20 12:01:00 UTC"
    )
    assert in_words(elsewhere) == in_words(breaker)
    assert probing is not None
    assert in_words(probing).endswith("one delivery is probing, the next may at 2026-11-20 12:11:00 UTC")
