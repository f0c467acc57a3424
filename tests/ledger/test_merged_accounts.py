"""What becomes of deliveries for an account that was merged into another."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from tests.ledger.test_dead_letters import refuse
from tests.ledger.writes import a_change
from tieout.delivery import State
from tieout.intended import IntendedWrite

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOSER, MASTER = "L" * 18, "M" * 18


def a_creation(account: str) -> IntendedWrite:
    return IntendedWrite(
        "customer", "create", f"{account}/usmf", "usmf", f"T-{account}", {"OrganizationName": "Contoso"}
    )


def a_change_of(account: str) -> IntendedWrite:
    return replace(a_change("L"), business_key=f"{account}/usmf")


def states(ledger: Ledger) -> dict[str, tuple[str, str]]:
    return {
        row.business_key: (row.state, row.reason) for row in ledger.deliveries.find(DeliveryFilter(entity="customer"))
    }


@pytest.mark.parametrize(("write", "end"), [(a_creation, State.CANCELLED), (a_change_of, State.SUPERSEDED)])
@pytest.mark.parametrize("is_refused", [False, True])
def test_what_waits_for_a_merged_account_gives_way_to_its_master(ledger: Ledger, write, end, is_refused) -> None:
    ledger.deliveries.plan([write(LOSER), write(MASTER)], "run 1", NOW)
    if is_refused:
        refuse(ledger, write(LOSER), write(MASTER))
    before = states(ledger)[f"{MASTER}/usmf"]

    assert ledger.deliveries.give_up_merged({LOSER: MASTER}, "run 2", NOW) == 1
    assert states(ledger) == {
        f"{LOSER}/usmf": (end, f"the account was merged into {MASTER}"),
        f"{MASTER}/usmf": before,
    }
    assert ledger.deliveries.give_up_merged({LOSER: MASTER}, "run 3", NOW) == 0


def test_an_account_that_comes_back_gets_its_creation_back(ledger: Ledger) -> None:
    ledger.deliveries.plan([a_creation(LOSER)], "run 1", NOW)
    ledger.deliveries.give_up_merged({LOSER: MASTER}, "run 2", NOW)
    ledger.deliveries.plan([a_creation(LOSER)], "run 3", NOW)

    assert states(ledger) == {f"{LOSER}/usmf": (State.PLANNED, "")}


def test_a_creation_that_a_run_holds_is_under_way_and_not_given_up(ledger: Ledger) -> None:
    ledger.deliveries.plan([a_creation(LOSER)], "run 1", NOW)
    assert ledger.deliveries.creations_under_way("customer") == frozenset()
    ledger.deliveries.claim("customer", "create", "run 1", owner="run 1", lease_s=60, limit=1, now=NOW)

    assert ledger.deliveries.give_up_merged({LOSER: MASTER}, "run 2", NOW) == 0
    assert ledger.deliveries.creations_under_way("customer") == {f"{LOSER}/usmf"}
