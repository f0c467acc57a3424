"""`tieout flows`, and re-driving refused deliveries by a filter: what a person can do to flows from the command line."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.cli.ledger import who
from pipelines.definitions import defs
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from tests.ledger.test_dead_letters import refuse
from tests.ledger.writes import an_order
from tests.pipeline.installation import Finished, Installation, fresh_home
from tieout.delivery import State
from tieout.flow import Flow

DONE, NEEDS_A_PERSON, COULD_NOT_RUN = 0, 1, 2
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDERS = Flow.DELIVERY_SALES_ORDER


@pytest.fixture
def tieout(ledger: Ledger, ledger_url: str) -> Iterator[Installation]:  # noqa: ARG001 it empties the ledger
    """The command line on this test's ledger, and nothing else of an installation."""
    with fresh_home(ledger_url) as home:
        yield home


def figures_of(tieout: Installation, flow: Flow, company: str) -> dict[str, Any]:
    listed = tieout.called("flows", "list", "--json").json["flows"]
    return next(each for each in listed if (each["flow"], each["company"]) == (flow, company))


def refused(ledger: Ledger) -> list[str]:
    return sorted(row.business_key[0] for row in ledger.deliveries.find(DeliveryFilter(state=State.REJECTED)))


def three_refusals(ledger: Ledger) -> None:
    """A and B are on hold in two companies; C, of the first, is about an item."""
    refuse(ledger, an_order("A"), an_order("B", company="demf"))
    refuse(ledger, an_order("C"), reason="Item 1000 is blocked.")


def one_complaint(finished: Finished) -> str:
    assert finished.code == COULD_NOT_RUN
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    return line


def test_each_flow_has_the_name_of_its_asset() -> None:
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}

    assert set(Flow) <= keys
    assert {key for key in keys if key.startswith(("delivery/", "writeback/"))} == set(Flow)


# --- list ---------------------------------------------------------------------------------------------------------------


def test_every_flow_is_listed_even_before_anything_happened(tieout: Installation) -> None:
    finished = tieout.called("flows", "list", "--json")

    assert finished.code == DONE
    assert [each["flow"] for each in finished.json["flows"]] == list(Flow)
    assert finished.json["needs_a_person"] is False
    assert finished.json["flows"][0] == {
        "flow": "delivery/customer",
        "company": "",
        "paused": False,
        "pause": "",
        "breaker": "closed",
        "breaker_reason": "",
        "queued": 0,
        "in_doubt": 0,
        "oldest_doubt": None,
        "refused": 0,
    }


def test_a_pause_and_what_queues_behind_it_need_nobody(tieout: Installation, ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A"), an_order("B")], "run", NOW)
    ledger.flows.pause(ORDERS, "usmf", who="anna", note="stock-taking")

    finished = tieout.called("flows", "list")

    assert finished.code == DONE
    assert "paused by anna: stock-taking" in finished.stdout
    figures = figures_of(tieout, ORDERS, "usmf")
    assert (figures["paused"], figures["queued"], figures["refused"]) == (True, 2, 0)


def test_an_open_breaker_needs_a_person(tieout: Installation, ledger: Ledger) -> None:
    ledger.flows.record(ORDERS, [("usmf", True)] * 20, NOW)

    finished = tieout.called("flows", "list")

    assert finished.code == NEEDS_A_PERSON
    assert "20 of the last 20 failed" in finished.stdout
    assert figures_of(tieout, ORDERS, "usmf")["breaker"] == "open"


def test_a_dead_letter_needs_a_person(tieout: Installation, ledger: Ledger) -> None:
    refuse(ledger, an_order("A"))

    assert tieout.called("flows", "list").code == NEEDS_A_PERSON
    assert figures_of(tieout, ORDERS, "usmf")["refused"] == 1


# --- pause, resume, close-breaker ---------------------------------------------------------------------------------------


def test_a_flow_is_paused_for_a_company_and_resumed_by_name(tieout: Installation, ledger: Ledger) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)
    paused = tieout.called("flows", "pause", ORDERS, "--company", "USMF", "--comment", "stock-taking")
    again = tieout.called("flows", "pause", ORDERS, "--company", "usmf")

    assert (paused.code, again.code) == (DONE, DONE)
    assert paused.stdout == (
        "Paused: delivery/sales_order for usmf. What it would send queues until: "
        "tieout flows resume delivery/sales_order --company usmf\n"
    )
    assert again.stdout == (f"It was paused already: delivery/sales_order for usmf, paused by {who()}: stock-taking.\n")
    assert ledger.flows.gates(ORDERS, NOW).held_back == ("usmf",)

    resumed = tieout.called("flows", "resume", ORDERS, "--company", "usmf", "--comment", "counted")

    assert resumed.stdout == "Resumed: delivery/sales_order for usmf. The next run sends what queued.\n"
    assert ledger.flows.gates(ORDERS, NOW).held_back == ()
    decisions = ledger.decisions.of("flow", "delivery/sales_order/usmf")
    assert [(each.action, each.note) for each in decisions] == [("pause", "stock-taking"), ("resume", "counted")]


def test_a_pause_for_a_company_that_nothing_was_ever_planned_for_is_made_and_questioned(
    tieout: Installation, ledger: Ledger
) -> None:
    ledger.deliveries.plan([an_order("A")], "run", NOW)

    said = tieout.called("flows", "pause", ORDERS, "--company", "usfm").stdout.splitlines()

    assert said[1:] == ["Nothing was ever planned for usfm, so check how it is written. Companies: usmf."]
    assert ledger.flows.gates(ORDERS, NOW).held_back == ("usfm",)


def test_a_resume_says_which_other_pause_still_holds(tieout: Installation, ledger: Ledger) -> None:
    ledger.flows.pause(ORDERS, who="anna", note="release night")
    ledger.flows.pause(ORDERS, "usmf", who="bob")

    of_one = tieout.called("flows", "resume", ORDERS, "--company", "usmf").stdout.splitlines()
    of_one_again = tieout.called("flows", "resume", ORDERS, "--company", "usmf").stdout.splitlines()

    still = (
        "Still held back: delivery/sales_order for all companies, paused by anna: release night. "
        "Lift it with: tieout flows resume delivery/sales_order"
    )
    assert of_one == ["Resumed: delivery/sales_order for usmf.", still]
    assert of_one_again == ["There was no such pause: delivery/sales_order for usmf.", still]
    assert tieout.called("flows", "resume", ORDERS).stdout.startswith(
        "Resumed: delivery/sales_order for all companies."
    )


def test_a_breaker_is_closed_by_hand(tieout: Installation, ledger: Ledger) -> None:
    ledger.flows.record(ORDERS, [("usmf", True)] * 20, NOW)

    closed = tieout.called("flows", "close-breaker", ORDERS, "--company", "usmf", "--comment", "mended")
    again = tieout.called("flows", "close-breaker", ORDERS)

    assert closed.stdout.startswith("Closed: the circuit breaker of delivery/sales_order for usmf.")
    assert again.stdout == "No circuit breaker was open: delivery/sales_order for all companies.\n"
    assert ledger.flows.gates(ORDERS, NOW).held_back == ()


@pytest.mark.parametrize("command", ["pause", "resume", "close-breaker"])
def test_an_unknown_flow_is_answered_with_the_known_ones_and_nothing_is_done(
    tieout: Installation, ledger: Ledger, command: str
) -> None:
    assert one_complaint(tieout.called("flows", command, "orders")) == (
        "tieout: There is no flow 'orders'. "
        "Flows: delivery/customer, delivery/sales_order, writeback/account, writeback/opportunity."
    )
    assert ledger.flows.all() == []


@pytest.mark.parametrize("command", ["pause", "resume", "close-breaker"])
def test_an_empty_company_is_not_taken_for_all_of_them(tieout: Installation, command: str) -> None:
    assert "--company is empty" in one_complaint(tieout.called("flows", command, ORDERS, "--company", ""))


# --- re-drive -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--company", "demf"], ["A", "C"]),
        (["--company", "DEMF"], ["A", "C"]),
        (["--reason", "on HOLD"], ["C"]),
        (["--reason", "on hold", "--company", "usmf"], ["B", "C"]),
        (["--entity", "sales_order"], []),
        (["--entity", "customer"], ["A", "B", "C"]),
        (["--reason", "no such words"], ["A", "B", "C"]),
        (["--all"], []),
        (["A" * 18], ["B", "C"]),
    ],
)
def test_a_redrive_plans_what_fits_every_option_and_says_how_many(
    tieout: Installation, ledger: Ledger, options: list[str], left: list[str]
) -> None:
    three_refusals(ledger)

    finished = tieout.called("deliveries", "redrive", *options, "--comment", "mended")

    assert finished.code == DONE, finished.stderr
    assert finished.stdout.startswith(f"Planned again: {3 - len(left)}.")
    assert refused(ledger) == left
    assert ledger.deliveries.counts()["planned"] == 3 - len(left)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Name one record, or a filter (--entity, --company, --reason), or say --all."),
        (["A" * 18, "--all"], "Name one record, or a filter"),
        (["A" * 18, "--company", "usmf"], "Name one record, or a filter"),
        (["--reason", "hold", "--all"], "Name one record, or a filter"),
        (["--entity", "sales_order", "--company", ""], "--company is empty."),
        (["--reason", " "], "--reason is empty."),
        ([""], "The record's key is empty."),
        (["--entity", "order"], "There is no entity 'order'. There are: customer, sales_order."),
        (["Z" * 18], f"There is no delivery of {'Z' * 18}."),
    ],
)
def test_a_redrive_that_does_not_say_exactly_what_moves_nothing(
    tieout: Installation, ledger: Ledger, options: list[str], words: str
) -> None:
    three_refusals(ledger)

    assert words in one_complaint(tieout.called("deliveries", "redrive", *options))
    assert refused(ledger) == ["A", "B", "C"]


def test_deliveries_are_listed_by_words_of_their_reason(tieout: Installation, ledger: Ledger) -> None:
    three_refusals(ledger)

    listed = tieout.called("deliveries", "list", "--reason", "IS BLOCKED", "--json").json

    assert [each["business_key"] for each in listed["deliveries"]] == ["C" * 18]
