"""Deliveries in a real Postgres."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from resources.ledger import Ledger, connect
from resources.ledger.crosswalk import Link
from resources.ledger.deliveries import Ended, Held, ReadBack, Sent
from resources.ledger.delivery_queries import DeliveryFilter
from tests.ledger.writes import a_change, an_order
from tieout.delivery import Event, State
from tieout.intended import IntendedWrite, Step

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDER = ("sales_order", "create")


def claim(ledger: Ledger, run_id: str = "run", now: datetime = NOW, limit: int = 100) -> list[Held]:
    return ledger.deliveries.claim("sales_order", "create", run_id, owner="me", lease_s=60, limit=limit, now=now)


def send(ledger: Ledger, held: list[Held], run_id: str = "run", now: datetime = NOW) -> list[Sent]:
    return ledger.deliveries.mark_sent(held, run_id, correlation_id="b1", request="POST $batch", lease_s=60, now=now)


def ended(sent: Sent, event: Event = Event.CONFIRM, reason: str = "") -> Ended:
    return Ended(sent.held, sent.attempt_id, event, "confirmed", 12, Decimal("0.5"), 201, reason)


def state_of(ledger: Ledger, letter: str) -> State:
    [row] = ledger.deliveries.find(DeliveryFilter(business_key=letter * 18))
    return row.state


def a_rejected_order(ledger: Ledger, letter: str = "A", reason: str = "Customer US-001 is on hold.") -> int:
    ledger.deliveries.plan([an_order(letter)], "run", NOW)
    ledger.deliveries.end([ended(each, Event.REFUSE, reason) for each in send(ledger, claim(ledger))], "run", now=NOW)
    [row] = ledger.deliveries.find(DeliveryFilter(business_key=letter * 18))
    return row.id


def an_order_in_doubt(ledger: Ledger) -> Held:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    ledger.deliveries.end(
        [ended(each, Event.LOSE_ANSWER, "timed out") for each in send(ledger, claim(ledger))], "run", now=NOW
    )
    [held] = ledger.deliveries.in_doubt(*ORDER)  # type: ignore[arg-type]
    return held


def test_an_order_is_planned_claimed_sent_and_confirmed_with_its_link_and_its_log(ledger: Ledger) -> None:
    planned = ledger.deliveries.plan([an_order("A"), an_order("B")], "run", NOW)
    held = claim(ledger)
    sent = send(ledger, held)
    link = Link("sales_order", "A" * 18, "usmf", "T-A", "delivery")
    moved = ledger.deliveries.end([ended(each) for each in sent], "run", links=[link], now=NOW)

    assert [each.step for each in planned] == [Step.PLAN, Step.PLAN]
    assert moved == {each.id for each in held}
    assert ledger.deliveries.counts()["confirmed"] == 2
    assert ledger.crosswalk.links("sales_order") == [link]
    log = ledger.attempts.attempts_of_run("run").to_pylist()
    assert [(row["business_key"][0], row["outcome"], row["state"], row["api_calls"]) for row in log] == [
        ("A", "confirmed", "confirmed", Decimal("0.5")),
        ("B", "confirmed", "confirmed", Decimal("0.5")),
    ]


def test_a_payload_comes_back_with_every_digit(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)

    [held] = claim(ledger)

    assert held.lines[0]["SalesPrice"] == Decimal("2024.9940")
    assert held.lines[0]["CustomersLineNumber"] == 1


def test_an_attempt_is_in_the_log_before_its_request_leaves(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    send(ledger, claim(ledger))

    [row] = ledger.attempts.attempts_of_run("run").to_pylist()
    assert (row["outcome"], row["state"]) == ("unanswered", "sent")


def test_planning_the_same_again_plans_nothing_new(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run 1", NOW)

    [again] = ledger.deliveries.plan([an_order("A")], "run 2", NOW)

    assert again.step is Step.REFRESH
    assert sum(ledger.deliveries.counts().values()) == 1
    assert [held.business_key for held in claim(ledger, "run 2")] == ["A" * 18]


def test_an_order_that_changed_before_it_was_sent_is_sent_as_it_is_now(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run 1", NOW)
    ledger.deliveries.plan([an_order("A", quantity="9")], "run 2", NOW)

    [held] = claim(ledger, "run 2")
    assert held.lines[0]["OrderedSalesQuantity"] == 9


def test_an_update_that_changed_before_it_was_sent_is_superseded_by_a_new_one(ledger: Ledger) -> None:
    ledger.deliveries.plan([a_change("A", name="One")], "run 1", NOW)
    ledger.deliveries.plan([a_change("A", name="Two")], "run 2", NOW)

    counts = ledger.deliveries.counts("customer")
    assert (counts["superseded"], counts["planned"]) == (1, 1)
    [held] = ledger.deliveries.claim("customer", "update", "run 2", owner="me", lease_s=60, limit=9, now=NOW)
    assert held.header == {"OrganizationName": "Two"}


def test_a_refused_order_waits_for_a_person_until_its_source_changes(ledger: Ledger) -> None:
    a_rejected_order(ledger)

    [same] = ledger.deliveries.plan([an_order("A")], "run 2", NOW)
    [changed] = ledger.deliveries.plan([an_order("A", quantity="9")], "run 3", NOW)

    assert (same.step, same.state, same.reason) == (Step.LEAVE_REJECTED, State.REJECTED, "Customer US-001 is on hold.")
    assert (changed.step, changed.state) == (Step.CORRECT, State.PLANNED)


def test_a_redrive_plans_a_refused_order_again_and_says_who_did_it(ledger: Ledger) -> None:
    refused = a_rejected_order(ledger)

    assert ledger.deliveries.redrive([refused, 999], who="ann", note="hold is lifted", now=NOW) == [refused]
    assert ledger.deliveries.redrive([refused], who="ann") == []

    assert state_of(ledger, "A") is State.PLANNED
    [decision] = ledger.decisions.of("delivery", str(refused))
    assert (decision.action, decision.who, decision.note) == ("redrive", "ann", "hold is lifted")
    assert decision.before == {"state": "rejected", "reason": "Customer US-001 is on hold."}


def test_a_delivered_order_is_never_planned_again(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    ledger.deliveries.end([ended(each) for each in send(ledger, claim(ledger))], "run", now=NOW)

    [again] = ledger.deliveries.plan([an_order("A", quantity="9")], "run 2", NOW)

    assert again.step is Step.LEAVE_DELIVERED
    assert claim(ledger, "run 2") == []


def test_a_dry_run_says_the_same_steps_and_writes_nothing(ledger: Ledger) -> None:
    preview = ledger.deliveries.preview([an_order("A")])

    assert [each.step for each in preview] == [Step.PLAN]
    assert sum(ledger.deliveries.counts().values()) == 0


def test_two_runs_never_claim_the_same_order(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order(letter) for letter in "ABCDEFGHIJ"], "run", NOW)

    with ThreadPoolExecutor(4) as threads:
        claims = list(threads.map(lambda _: claim(ledger, limit=3), range(4)))

    keys = [held.business_key for held in itertools.chain(*claims)]
    assert sorted(keys) == [letter * 18 for letter in "ABCDEFGHIJ"]


def test_two_runs_that_plan_the_same_order_at_once_make_one_delivery(ledger: Ledger) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda number: ledger.deliveries.plan([an_order(letter) for letter in "ABCDE"], f"run {number}"),
                range(4),
            )
        )

    assert ledger.deliveries.counts()["planned"] == 5


def test_a_run_claims_only_what_it_wants(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "an earlier run", NOW)

    assert claim(ledger, "this run") == []


def test_what_a_dead_run_claimed_is_planned_again_and_what_it_sent_is_in_doubt(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B")], "run", NOW)
    held = claim(ledger)
    send(ledger, held[:1])

    assert not any(ledger.deliveries.recover(NOW + timedelta(seconds=59)).values())
    assert ledger.deliveries.recover(NOW + timedelta(seconds=61)) == {State.PLANNED: 1, State.IN_DOUBT: 1}
    assert (state_of(ledger, "A"), state_of(ledger, "B")) == (State.IN_DOUBT, State.PLANNED)


def test_a_run_that_lost_its_lease_can_change_nothing_any_more(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    slow = claim(ledger)
    ledger.deliveries.recover(NOW + timedelta(hours=1))
    quick = claim(ledger, now=NOW + timedelta(hours=1))

    assert send(ledger, slow) == []
    [sent] = send(ledger, quick, now=NOW + timedelta(hours=1))
    late = Ended(slow[0], sent.attempt_id, Event.REFUSE, "rejected", 1, Decimal(1))
    assert ledger.deliveries.end([late], "run") == frozenset()
    assert state_of(ledger, "A") is State.SENT


def test_only_a_look_moves_an_order_in_doubt(ledger: Ledger) -> None:
    held = an_order_in_doubt(ledger)
    assert (held.reason, held.doubt_since) == ("timed out", NOW)
    assert claim(ledger) == []

    look = Ended(held, 0, Event.FIND_OURS, "adopted", 5, Decimal(1))
    ledger.deliveries.looked_up(
        [look], "run 2", links=[Link("sales_order", held.business_key, "usmf", held.d365_key, "delivery")], now=NOW
    )

    assert state_of(ledger, "A") is State.CONFIRMED
    assert len(ledger.crosswalk.links("sales_order")) == 1


def test_a_look_that_proves_nothing_is_logged_and_leaves_the_doubt(ledger: Ledger) -> None:
    held = an_order_in_doubt(ledger)

    ledger.deliveries.looked_up(
        [], "run 2", undecided=[Ended(held, 0, Event.FIND_NOTHING, "in_doubt", 5, Decimal(1))], now=NOW
    )

    assert state_of(ledger, "A") is State.IN_DOUBT
    [row] = ledger.attempts.attempts_of_run("run 2").to_pylist()
    assert (row["operation"], row["outcome"], row["state"]) == ("look_up", "in_doubt", "in_doubt")


def test_a_slower_look_cannot_undo_what_a_quicker_one_decided(ledger: Ledger) -> None:
    held = an_order_in_doubt(ledger)
    ledger.deliveries.looked_up([Ended(held, 0, Event.FIND_NOTHING, "absent", 5, Decimal(1))], "run 2", now=NOW)
    ledger.deliveries.plan([an_order("A")], "run 2", NOW)
    claim(ledger, "run 2")

    assert (
        ledger.deliveries.looked_up([Ended(held, 0, Event.FIND_NOTHING, "absent", 5, Decimal(1))], "run 3", now=NOW)
        == frozenset()
    )
    assert state_of(ledger, "A") is State.CLAIMED


def a_version(letter: str, name: str, version: datetime) -> IntendedWrite:
    return replace(a_change(letter, name=name), source_version=version)


def confirmed_change(ledger: Ledger, write: IntendedWrite, run_id: str) -> None:
    ledger.deliveries.plan([write], run_id, NOW)
    held = ledger.deliveries.claim("customer", "update", run_id, owner="me", lease_s=60, limit=9, now=NOW)
    ledger.deliveries.end([ended(each) for each in send(ledger, held, run_id)], run_id, now=NOW)


def test_no_change_follows_one_in_doubt_until_somebody_has_looked(ledger: Ledger) -> None:
    ledger.deliveries.plan([a_change("A")], "run", NOW)
    held = ledger.deliveries.claim("customer", "update", "run", owner="me", lease_s=60, limit=9, now=NOW)
    send(ledger, held)
    ledger.deliveries.recover(NOW + timedelta(hours=1))

    [planned] = ledger.deliveries.plan([a_change("A", name="Newer")], "run 2", NOW)

    assert (planned.step, planned.state) == (Step.LEAVE_IN_DOUBT, State.IN_DOUBT)


def test_a_change_made_of_an_older_version_never_follows_a_newer_one(ledger: Ledger) -> None:
    confirmed_change(ledger, a_version("A", "Newer", NOW), "quick run")

    [late] = ledger.deliveries.plan([a_version("A", "Older", NOW - timedelta(minutes=5))], "slow run", NOW)
    [next_one] = ledger.deliveries.plan([a_version("A", "Newest", NOW + timedelta(minutes=5))], "next run", NOW)

    assert late.step is Step.LEAVE_STALE
    assert next_one.step is Step.PLAN


def test_a_planned_order_is_neither_replaced_nor_cancelled_by_a_run_with_an_older_version(ledger: Ledger) -> None:
    newer = replace(an_order("A", quantity="3"), source_version=NOW)
    ledger.deliveries.plan([newer], "quick run", NOW)

    [late] = ledger.deliveries.plan(
        [replace(an_order("A"), source_version=NOW - timedelta(minutes=5))], "slow run", NOW
    )

    assert late.step is Step.LEAVE_STALE
    assert ledger.deliveries.cancel_unwanted("sales_order", "create", "slow run", NOW) == 0
    assert [held.lines[0]["OrderedSalesQuantity"] for held in claim(ledger, "slow run")] == [Decimal(3)]


def test_companies_whose_flow_is_shut_keep_their_deliveries_planned(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B", company="demf")], "run", NOW)

    taken = ledger.deliveries.claim(
        "sales_order", "create", "run", owner="me", lease_s=60, limit=9, shut=["usmf"], now=NOW
    )

    assert [held.company for held in taken] == ["demf"]
    assert ledger.deliveries.companies_waiting("sales_order", "create", "run") == ["usmf"]


def test_the_number_that_d365_gave_is_kept_before_the_lines_leave(ledger: Ledger) -> None:
    ledger.deliveries.plan([replace(an_order("A"), d365_key="")], "run", NOW)
    [sent] = send(ledger, claim(ledger))

    [again] = ledger.deliveries.numbered(
        [replace(ended(sent), d365_key="USMF-000001")], "run", request="lines", now=NOW
    )

    [row] = ledger.deliveries.find(DeliveryFilter(business_key="A" * 18))
    assert (row.state, row.d365_key) == (State.SENT, "USMF-000001")
    assert (again.held.d365_key, again.attempt_id > sent.attempt_id) == ("USMF-000001", True)


def test_what_nobody_wants_any_more_is_cancelled_and_can_be_wanted_again(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B")], "run 1", NOW)
    ledger.deliveries.plan([an_order("B")], "run 2", NOW)

    assert ledger.deliveries.cancel_unwanted("sales_order", "create", "run 2") == 1
    assert (state_of(ledger, "A"), state_of(ledger, "B")) == (State.CANCELLED, State.PLANNED)
    [again] = ledger.deliveries.plan([an_order("A")], "run 3", NOW)
    assert (again.step, state_of(ledger, "A")) == (Step.REVIVE, State.PLANNED)


def test_a_refused_update_that_is_still_wanted_is_not_cancelled(ledger: Ledger) -> None:
    ledger.deliveries.plan([a_change("A")], "run 1", NOW)
    held = ledger.deliveries.claim("customer", "update", "run 1", owner="me", lease_s=60, limit=9, now=NOW)
    ledger.deliveries.end([ended(each, Event.REFUSE, "no") for each in send(ledger, held, "run 1")], "run 1", now=NOW)
    ledger.deliveries.plan([a_change("A")], "run 2", NOW)

    assert ledger.deliveries.cancel_unwanted("customer", "update", "run 2") == 0
    assert ledger.deliveries.cancel_unwanted("customer", "update", "run 3") == 1


def test_a_planned_order_that_was_found_in_d365_is_adopted_without_sending(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B")], "run", NOW)

    assert ledger.deliveries.adopt("sales_order", ["A" * 18, "Z" * 18]) == 1
    assert (state_of(ledger, "A"), state_of(ledger, "B")) == (State.CONFIRMED, State.PLANNED)


def test_what_was_claimed_and_not_sent_is_given_back(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    ledger.deliveries.release(claim(ledger))

    assert len(claim(ledger)) == 1


def test_what_d365_holds_is_kept_with_the_delivery(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    [held] = claim(ledger)
    ledger.deliveries.keep_read_back([ReadBack(held.id, {"SalesOrderStatus": "Backorder"}, Decimal("12.340000"))])

    [row] = ledger.deliveries.find()
    assert (row.d365_status, row.d365_amount) == ({"SalesOrderStatus": "Backorder"}, Decimal("12.340000"))


def test_deliveries_are_found_by_state_entity_company_and_key(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B", company="demf")], "run", NOW)
    ledger.deliveries.plan([a_change("A")], "run", NOW)

    assert len(ledger.deliveries.find(DeliveryFilter(entity="sales_order"))) == 2
    assert len(ledger.deliveries.find(DeliveryFilter(company="demf", state=State.PLANNED))) == 1
    assert len(ledger.deliveries.find(DeliveryFilter(business_key="A" * 18))) == 2
    assert len(ledger.deliveries.ids(DeliveryFilter(state=State.REJECTED))) == 0
    assert len(ledger.deliveries.find(limit=2, offset=2)) == 1
    assert ledger.deliveries.as_table().num_rows == 3


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_counted_even_where_it_is_empty(ledger: Ledger, state: State) -> None:
    assert ledger.deliveries.counts()[state] == 0


def test_an_upgrade_of_a_database_in_use_keeps_its_rows(ledger: Ledger, ledger_url: str) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)

    with Ledger.opened(ledger_url) as again:
        assert again.deliveries.counts()["planned"] == 1
    connect(ledger_url).dispose()
