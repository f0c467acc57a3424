"""What is done about an intended write beside what the ledger knows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tests.ledger.writes import a_change, an_order
from tieout.delivery import State
from tieout.intended import Known, Step, newest_version, next_step

SAME, CHANGED = an_order("A").fingerprint, an_order("A", quantity="3").fingerprint


@pytest.mark.parametrize(
    ("state", "fingerprint", "step"),
    [
        (State.PLANNED, SAME, Step.REFRESH),
        (State.PLANNED, CHANGED, Step.REPLACE),
        (State.REJECTED, SAME, Step.LEAVE_REJECTED),
        (State.REJECTED, CHANGED, Step.CORRECT),
        (State.CANCELLED, SAME, Step.REVIVE),
        (State.CONFIRMED, SAME, Step.LEAVE_DELIVERED),
        (State.CONFIRMED, CHANGED, Step.LEAVE_DELIVERED),
        (State.IN_DOUBT, SAME, Step.LEAVE_IN_DOUBT),
        (State.SENT, SAME, Step.LEAVE_HELD),
        (State.CLAIMED, SAME, Step.LEAVE_HELD),
    ],
)
def test_each_state_of_a_create_has_one_next_step(state: State, fingerprint: str, step: Step) -> None:
    assert next_step(an_order("A"), Known(state, fingerprint)) is step


def test_what_is_unknown_is_planned() -> None:
    assert next_step(an_order("A"), None) is Step.PLAN


def test_a_delivered_order_is_never_sent_again_and_a_delivered_change_may_be() -> None:
    assert not next_step(an_order("A"), Known(State.CONFIRMED, CHANGED)).sends
    assert next_step(a_change("A"), Known(State.CONFIRMED, a_change("A").fingerprint)) is Step.PLAN


OLDER, NEWER = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize("state", [State.PLANNED, State.REJECTED, State.CANCELLED])
def test_what_was_made_of_an_older_version_never_takes_the_place_of_a_newer_one(state: State) -> None:
    older = replace(an_order("A"), source_version=OLDER)

    assert next_step(older, Known(state, CHANGED, NEWER)) is Step.LEAVE_STALE
    assert next_step(older, Known(state, CHANGED, OLDER)).sends
    assert next_step(replace(older, source_version=NEWER), Known(state, CHANGED, OLDER)).sends


def test_a_change_made_of_an_older_version_does_not_follow_a_newer_one_that_was_delivered() -> None:
    older = replace(a_change("A"), source_version=OLDER)

    assert next_step(older, Known(State.CONFIRMED, CHANGED, NEWER)) is Step.LEAVE_STALE
    assert next_step(older, Known(State.CONFIRMED, CHANGED, OLDER)) is Step.PLAN


def test_the_same_write_is_not_stale_and_an_unknown_version_is_not_old() -> None:
    older = replace(an_order("A"), source_version=OLDER)

    assert next_step(older, Known(State.PLANNED, SAME, NEWER)) is Step.REFRESH
    assert next_step(older, Known(State.PLANNED, CHANGED, None)) is Step.REPLACE
    assert next_step(an_order("A"), Known(State.PLANNED, CHANGED, NEWER)) is Step.REPLACE


def test_what_is_left_for_another_reason_keeps_that_reason() -> None:
    older = replace(an_order("A"), source_version=OLDER)

    assert next_step(older, Known(State.CONFIRMED, CHANGED, NEWER)) is Step.LEAVE_DELIVERED
    assert next_step(older, Known(State.IN_DOUBT, CHANGED, NEWER)) is Step.LEAVE_IN_DOUBT


def test_the_version_is_no_part_of_what_is_written() -> None:
    assert replace(an_order("A"), source_version=OLDER).fingerprint == SAME


def test_the_version_is_the_newest_of_the_records_in_utc() -> None:
    an_hour_east = NEWER.astimezone(timezone(timedelta(hours=1)))

    assert newest_version([OLDER, None, an_hour_east]) == NEWER
    assert newest_version([an_hour_east]).utcoffset() == timedelta(0)
    assert newest_version([None]) is None
