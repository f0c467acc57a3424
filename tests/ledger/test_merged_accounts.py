"""What becomes of deliveries for an account that was merged into another."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from assets.delivery import intended_customers
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
from resources.ledger.deliveries import Ended
from resources.ledger.delivery_queries import DeliveryFilter
from resources.workbench import Workbench
from tests.ledger.writes import a_change
from tests.reconciliation.books import Books, account_id, compared
from tieout.delivery import Event, State
from tieout.intended import IntendedWrite, Operation

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOSER, MASTER = "L" * 18, "M" * 18


def a_creation(account: str) -> IntendedWrite:
    return IntendedWrite(
        "customer", "create", f"{account}/usmf", "usmf", f"T-{account}", {"OrganizationName": "Contoso"}
    )


def a_change_of(account: str) -> IntendedWrite:
    return replace(a_change("L"), business_key=f"{account}/usmf")


def refuse(ledger: Ledger, operation: Operation) -> None:
    """Send what is planned of customers; D365 refuses all of it."""
    held = ledger.deliveries.claim("customer", operation, "run 1", owner="me", lease_s=60, limit=9, now=NOW)
    sent = ledger.deliveries.mark_sent(held, "run 1", correlation_id="", request="", lease_s=60, now=NOW)
    ended = [Ended(each.held, each.attempt_id, Event.REFUSE, "rejected", 5, Decimal(1), 400, "No.") for each in sent]
    ledger.deliveries.end(ended, "run 1", now=NOW)


def states(ledger: Ledger) -> dict[str, tuple[str, str]]:
    return {
        row.business_key: (row.state, row.reason) for row in ledger.deliveries.find(DeliveryFilter(entity="customer"))
    }


@pytest.mark.parametrize(("write", "end"), [(a_creation, State.CANCELLED), (a_change_of, State.SUPERSEDED)])
@pytest.mark.parametrize("is_refused", [False, True])
def test_what_waits_for_a_merged_account_gives_way_to_its_master(ledger: Ledger, write, end, is_refused) -> None:
    ledger.deliveries.plan([write(LOSER), write(MASTER)], "run 1", NOW)
    if is_refused:
        refuse(ledger, write(LOSER).operation)
    before = states(ledger)[f"{MASTER}/usmf"]
    assert before[0] == (State.REJECTED if is_refused else State.PLANNED)

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


def customers_wanted(ledger: Ledger, folder: Path) -> list[str]:
    """What a run would create for a master without a customer, which needs one for an order; a loser was merged into it."""

    def write(books: Books) -> None:
        books.account(2, IsDeleted="true", MasterRecordId=account_id(3))
        books.account(3, AccountNumber=None)
        books.opportunity(1, AccountId=account_id(3))
        books.line(1)

    result = compared(write)
    assert result.customers
    assert result.orders == {"only_in_salesforce": 1}
    bench = Workbench(result.con, Lake(folder), ledger, result.contracts)
    return [write.business_key for write in intended_customers(bench, ledger, result.contracts)]


def test_a_master_waits_while_a_customer_is_made_for_an_account_that_was_merged_into_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    master, loser = account_id(3), account_id(2)
    assert customers_wanted(ledger, tmp_path) == [f"{master}/usmf"]

    ledger.deliveries.plan([a_creation(loser)], "run 1", NOW)
    ledger.deliveries.claim("customer", "create", "run 1", owner="run 1", lease_s=60, limit=1, now=NOW)
    assert customers_wanted(ledger, tmp_path) == []


def test_a_master_waits_until_the_customer_that_was_made_for_a_merged_account_is_read(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.crosswalk.upsert([Link("customer", account_id(2), "usmf", "T-1", "delivery")], "run 1", NOW)

    assert customers_wanted(ledger, tmp_path) == []
