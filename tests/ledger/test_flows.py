"""Flows in a real Postgres: paused by people, cut off and probed by their breakers, by several runs at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

import pytest

from resources.flow_figures import flow_figures, standings
from resources.ledger import Ledger, connect
from resources.ledger.flows import Gate, subject_key
from tests.ledger.writes import an_order
from tieout.breaker import Admission, Breaker, BreakerState
from tieout.errors import ConfigurationError
from tieout.flow import Flow

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDERS = Flow.DELIVERY_SALES_ORDER
FAILED, WENT, NEITHER = True, False, None
AT_ONCE = 8
Answer = TypeVar("Answer")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def cut_off(ledger: Ledger, company: str = "usmf", flow: str = ORDERS, failures: int = 20) -> None:
    ledger.flows.record(flow, [(company, FAILED)] * failures, NOW)


def breaker_of(ledger: Ledger, company: str = "usmf") -> Breaker:
    return next(row.breaker for row in ledger.flows.all(ORDERS) if row.company == company)


def at_once(ledger_url: str, ask: Callable[[Ledger, int], Answer]) -> list[Answer]:
    """The answers of several connections that ask in the same moment."""
    start = Barrier(AT_ONCE)
    ledgers = [Ledger(connect(ledger_url)) for _ in range(AT_ONCE)]

    def one(number: int) -> Answer:
        ledgers[number].flows.all()  # connected, before the others are waited for
        start.wait(timeout=30)
        return ask(ledgers[number], number)

    try:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(one, range(AT_ONCE)))
    finally:
        for each in ledgers:
            each.close()


# --- paused by people ---------------------------------------------------------------------------------------------------


def test_a_flow_that_nobody_touched_may_send_for_every_company(ledger: Ledger) -> None:
    gates = ledger.flows.gates(ORDERS, NOW)

    assert (gates.of(""), gates.of("usmf")) == (Gate(), Gate())
    assert (gates.held_back, gates.probing) == ((), ())


def test_a_paused_company_may_not_send_and_is_told_by_whom_and_why(ledger: Ledger) -> None:
    assert ledger.flows.pause(ORDERS, "usmf", who="anna", note="stock-taking", now=NOW)

    gates = ledger.flows.gates(ORDERS, NOW)

    assert gates.of("usmf") == Gate(Admission.NONE, "paused by anna: stock-taking")
    assert gates.of("demf") == Gate()
    assert (gates.held_back, gates.probing) == (("usmf",), ())
    assert ledger.flows.gates(Flow.DELIVERY_CUSTOMER, NOW).of("usmf") == Gate()


def test_a_pause_for_all_companies_covers_each_of_them_and_one_that_comes_later(ledger: Ledger) -> None:
    ledger.flows.pause(ORDERS, who="anna", note="release night")
    ledger.flows.record(ORDERS, [("usmf", WENT)], NOW)

    gates = ledger.flows.gates(ORDERS, NOW)

    assert gates.everywhere == Gate(Admission.NONE, "paused by anna: release night")
    assert gates.of("usmf") == gates.of("never seen") == gates.everywhere


def test_a_company_is_the_same_in_capitals_because_it_is_in_d365(ledger: Ledger) -> None:
    ledger.flows.pause(ORDERS, "USMF", who="anna")

    assert ledger.flows.gates(ORDERS, NOW).of("usmf") == Gate(Admission.NONE, "paused by anna")
    assert ledger.flows.resume(ORDERS, " usmf", who="anna")


def test_pausing_twice_is_pausing_once_and_the_first_reason_stays(ledger: Ledger) -> None:
    assert ledger.flows.pause(ORDERS, "usmf", who="anna", note="stock-taking", now=NOW)
    assert not ledger.flows.pause(ORDERS, "usmf", who="bob", note="me too")

    assert ledger.flows.gates(ORDERS, NOW).of("usmf").reason == "paused by anna: stock-taking"
    assert len(ledger.decisions.of("flow", subject_key(ORDERS, "usmf"))) == 1


def test_who_paused_and_who_resumed_is_on_record(ledger: Ledger) -> None:
    ledger.flows.pause(ORDERS, "usmf", who="anna", note="stock-taking", now=NOW)

    assert ledger.flows.resume(ORDERS, "usmf", who="bob", note="counted", now=later(60))
    assert not ledger.flows.resume(ORDERS, "usmf", who="bob")

    assert ledger.flows.gates(ORDERS, NOW).of("usmf") == Gate()
    pause, resume = ledger.decisions.of("flow", "delivery/sales_order/usmf")
    assert (pause.action, pause.who, pause.note, pause.at) == ("pause", "anna", "stock-taking", NOW)
    assert (resume.action, resume.who, resume.note) == ("resume", "bob", "counted")
    assert resume.before == {"paused": True, "reason": "paused by anna: stock-taking"}
    assert resume.after == {"paused": False, "reason": ""}


def test_resuming_what_was_never_paused_leaves_no_trace(ledger: Ledger) -> None:
    assert not ledger.flows.resume(ORDERS, who="bob")

    assert ledger.flows.all() == []
    assert ledger.decisions.of("flow", subject_key(ORDERS)) == []


def test_resuming_all_companies_leaves_the_pause_of_one_because_somebody_else_had_a_reason(ledger: Ledger) -> None:
    ledger.flows.pause(ORDERS, "usmf", who="anna", note="stock-taking")
    ledger.flows.pause(ORDERS, who="bob", note="release night")
    assert ledger.flows.gates(ORDERS, NOW).of("usmf").reason == (
        "paused by bob: release night; paused by anna: stock-taking"
    )

    ledger.flows.resume(ORDERS, who="bob")

    assert ledger.flows.gates(ORDERS, NOW).held_back == ("usmf",)


def test_an_unknown_flow_is_answered_with_the_known_ones(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match=r"no flow 'orders'\. Flows: delivery/customer, delivery/sales_order"):
        ledger.flows.pause("orders", who="anna")
    with pytest.raises(ConfigurationError):
        ledger.flows.gates("orders", NOW)
    with pytest.raises(ConfigurationError):
        ledger.flows.record("orders", [], NOW)


# --- cut off by the breaker ---------------------------------------------------------------------------------------------


def test_failures_cut_off_their_own_company_and_flow_only(ledger: Ledger) -> None:
    [opened] = ledger.flows.record(ORDERS, [("usmf", FAILED), ("demf", WENT)] * 20, NOW)

    assert (opened.flow, opened.company, opened.before, opened.after) == (
        ORDERS,
        "usmf",
        BreakerState.CLOSED,
        BreakerState.OPEN,
    )
    gates = ledger.flows.gates(ORDERS, NOW)
    assert gates.of("usmf").admission is Admission.NONE
    assert (
        gates.of("usmf").reason
        == opened.words
        == (
            "circuit breaker open since 2026-11-20 12:00:00 UTC: 20 of the last 20 failed; next probe at 2026-11-20 12:01:00 UTC"
        )
    )
    assert gates.of("demf") == Gate()
    assert ledger.flows.gates(Flow.DELIVERY_CUSTOMER, NOW).of("usmf") == Gate()


def test_outcomes_add_up_over_runs_in_their_order(ledger: Ledger) -> None:
    assert ledger.flows.record(ORDERS, [("usmf", WENT), ("usmf", FAILED)], NOW) == []
    assert ledger.flows.record(ORDERS, [("usmf", NEITHER), ("usmf", FAILED)], NOW) == []
    assert breaker_of(ledger).recent == (WENT, FAILED, FAILED)

    [opened] = ledger.flows.record(ORDERS, [("usmf", FAILED)] * 17, NOW)
    assert "19 of the last 20 failed" in opened.words


def test_outcomes_that_runs_record_at_once_are_all_counted(ledger: Ledger, ledger_url: str) -> None:
    """Each alone proves nothing: 8 times 3 failures open the breaker, once."""
    moved = at_once(ledger_url, lambda each, _: each.flows.record(ORDERS, [("demf", WENT), ("usmf", FAILED)] * 3, NOW))

    [transition] = [transition for transitions in moved for transition in transitions]
    assert (transition.company, transition.after) == ("usmf", BreakerState.OPEN)
    assert len(breaker_of(ledger, "demf").recent) == AT_ONCE * 3


def test_after_the_cool_down_one_delivery_may_go_and_asking_takes_nothing(ledger: Ledger) -> None:
    cut_off(ledger)
    assert not ledger.flows.take_probe(ORDERS, "usmf", later(59))

    for _ in range(2):
        gates = ledger.flows.gates(ORDERS, later(60))
        assert gates.of("usmf").admission is Admission.ONE
        assert (gates.held_back, gates.probing) == (("usmf",), ("usmf",))

    assert ledger.flows.take_probe(ORDERS, "usmf", later(60))
    assert not ledger.flows.take_probe(ORDERS, "usmf", later(60))
    assert ledger.flows.gates(ORDERS, later(60)).of("usmf").admission is Admission.NONE


@pytest.mark.parametrize("attempt", range(5))
def test_of_runs_that_race_for_the_probe_exactly_one_gets_it(ledger: Ledger, ledger_url: str, attempt: int) -> None:
    cut_off(ledger)

    taken = at_once(ledger_url, lambda each, _: each.flows.take_probe(ORDERS, "usmf", later(60 + attempt)))

    assert sorted(taken) == [False] * (AT_ONCE - 1) + [True]


def test_a_run_that_waited_for_the_lock_sees_that_the_probe_is_gone(ledger: Ledger, ledger_url: str) -> None:
    cut_off(ledger)
    other = connect(ledger_url)
    with ThreadPoolExecutor(1) as thread, other.connect() as holder:
        with holder.begin():
            holder.exec_driver_sql("select 1 from tieout.flow for update")
            waiting = thread.submit(ledger.flows.take_probe, ORDERS, "usmf", later(60))
            holder.exec_driver_sql(
                "update tieout.flow set breaker = 'half_open', probe_at = timestamptz '2026-11-20 12:11:00+00'"
            )
        assert waiting.result(timeout=30) is False
    other.dispose()


def test_a_probe_that_went_through_opens_the_flow_and_a_failed_one_shuts_it_for_longer(ledger: Ledger) -> None:
    cut_off(ledger)
    ledger.flows.take_probe(ORDERS, "usmf", later(60))
    [again] = ledger.flows.record(ORDERS, [("usmf", FAILED)], later(61))
    assert again.after is BreakerState.OPEN
    assert (
        "open since 2026-11-20 12:00:00 UTC: 21 of the last 21 failed; next probe at 2026-11-20 12:03:01" in again.words
    )

    assert ledger.flows.take_probe(ORDERS, "usmf", later(181))
    [closed] = ledger.flows.record(ORDERS, [("usmf", WENT)], later(182))

    assert (closed.before, closed.after, closed.words) == (BreakerState.HALF_OPEN, BreakerState.CLOSED, "")
    assert ledger.flows.gates(ORDERS, later(182)).of("usmf") == Gate()
    assert breaker_of(ledger) == Breaker()


def test_a_prober_that_died_gives_the_slot_back_after_a_lease(ledger: Ledger) -> None:
    cut_off(ledger)
    ledger.flows.take_probe(ORDERS, "usmf", later(60))

    assert not ledger.flows.take_probe(ORDERS, "usmf", later(659))
    assert ledger.flows.take_probe(ORDERS, "usmf", later(660))


def test_a_prober_that_could_not_send_after_all_gives_the_slot_back(ledger: Ledger) -> None:
    cut_off(ledger)
    ledger.flows.take_probe(ORDERS, "usmf", later(60))

    [back] = ledger.flows.record(ORDERS, [("usmf", NEITHER)], later(61))

    assert back.after is BreakerState.OPEN
    assert ledger.flows.take_probe(ORDERS, "usmf", later(121))


def test_no_probe_is_given_to_a_paused_flow(ledger: Ledger) -> None:
    cut_off(ledger)
    ledger.flows.pause(ORDERS, who="anna")

    assert not ledger.flows.take_probe(ORDERS, "usmf", later(60))
    assert ledger.flows.gates(ORDERS, later(60)).of("usmf").admission is Admission.NONE


def test_a_pause_leaves_the_breaker_as_it_is_and_outcomes_leave_the_pause(ledger: Ledger) -> None:
    cut_off(ledger, failures=19)
    ledger.flows.pause(ORDERS, "usmf", who="anna")
    cut_off(ledger, failures=1)
    ledger.flows.resume(ORDERS, "usmf", who="anna")

    assert breaker_of(ledger).state is BreakerState.OPEN


def test_a_person_closes_a_breaker_once_and_it_forgets_what_was_before(ledger: Ledger) -> None:
    cut_off(ledger)

    assert ledger.flows.close_breaker(ORDERS, "usmf", who="anna", note="firewall mended") == ["usmf"]
    assert ledger.flows.close_breaker(ORDERS, "usmf", who="anna") == []

    assert breaker_of(ledger) == Breaker()
    [decision] = ledger.decisions.of("flow", "delivery/sales_order/usmf")
    assert (decision.action, decision.who, decision.note) == ("close_breaker", "anna", "firewall mended")
    assert decision.before is not None
    assert "20 of the last 20 failed" in str(decision.before["reason"])


def test_without_a_company_every_open_breaker_of_the_flow_is_closed(ledger: Ledger) -> None:
    cut_off(ledger, "usmf")
    cut_off(ledger, "demf")
    ledger.flows.record(ORDERS, [("gbsi", WENT)], NOW)
    cut_off(ledger, "usmf", flow=Flow.DELIVERY_CUSTOMER)

    assert ledger.flows.close_breaker(ORDERS, who="anna") == ["demf", "usmf"]

    assert ledger.flows.gates(ORDERS, NOW).held_back == ()
    assert ledger.flows.gates(Flow.DELIVERY_CUSTOMER, NOW).held_back == ("usmf",)


def test_a_flow_without_companies_has_one_breaker_that_holds_for_all(ledger: Ledger) -> None:
    flow = Flow.WRITEBACK_ACCOUNT
    cut_off(ledger, "", flow=flow)

    assert ledger.flows.gates(flow, NOW).everywhere.admission is Admission.NONE
    assert ledger.flows.gates(flow, later(60)).of("usmf").admission is Admission.ONE
    assert ledger.flows.take_probe(flow, "", later(60))
    assert ledger.flows.gates(flow, later(60)).of("usmf").admission is Admission.NONE


# --- what the UI shows --------------------------------------------------------------------------------------------------


def test_the_figures_of_a_quiet_flow_say_so(ledger: Ledger) -> None:
    assert flow_figures(ledger, ORDERS, NOW) == {
        "queued": 0,
        "in_doubt": 0,
        "oldest_doubt_s": 0,
        "dead_letters": 0,
        "paused": "no",
        "breaker": "closed",
    }
    assert flow_figures(ledger, Flow.WRITEBACK_ACCOUNT, NOW) == {"paused": "no", "breaker": "closed"}


def test_the_figures_tell_what_waits_and_what_holds_it_back(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B"), an_order("C", company="demf")], "run", NOW)
    [held] = ledger.deliveries.claim("sales_order", "create", "run", owner="me", lease_s=60, limit=1, now=NOW)
    ledger.deliveries.mark_sent([held], "run", correlation_id="", request="", lease_s=60, now=NOW)
    ledger.deliveries.recover(later(100))
    ledger.flows.pause(ORDERS, who="bob", note="release night")
    cut_off(ledger, "demf")

    figures = flow_figures(ledger, ORDERS, later(400))

    assert figures == {
        "queued": 2,
        "in_doubt": 1,
        "oldest_doubt_s": 300,
        "dead_letters": 0,
        "paused": "all companies: paused by bob: release night",
        "breaker": "demf: circuit breaker open since 2026-11-20 12:00:00 UTC: 20 of the last 20 failed; "
        "next probe at 2026-11-20 12:01:00 UTC",
    }


def test_every_flow_is_listed_and_each_company_that_it_has_deliveries_for(ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B", company="demf")], "run", NOW)
    ledger.deliveries.cancel_unwanted("sales_order", "create", "another run")
    ledger.flows.pause(ORDERS, "gbsi", who="anna")

    listed = [
        (each.flow, each.company, each.paused, each.waiting and each.waiting.queued) for each in standings(ledger)
    ]

    assert listed == [
        (Flow.DELIVERY_CUSTOMER, "", "", 0),
        (ORDERS, "demf", "", 0),
        (ORDERS, "gbsi", "paused by anna", 0),
        (ORDERS, "usmf", "", 0),
        (Flow.WRITEBACK_ACCOUNT, "", "", None),
        (Flow.WRITEBACK_OPPORTUNITY, "", "", None),
    ]
