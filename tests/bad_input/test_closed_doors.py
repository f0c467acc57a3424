"""Wrong secrets and hosts that cannot be reached: the run says so in one sentence, sends nothing, and the next one does everything."""

from dataclasses import dataclass

import pytest

from tests.bad_input.books import Books, Deal
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Installation, Run

NOBODY = "http://127.0.0.1:9"
NOBODY_TLS = "https://127.0.0.1:9/11111111-2222-3333-4444-555555555555"
WRONG_SECRET = "a-wrong-secret"

CLOSED = {
    "wrong Salesforce secret": {"SALESFORCE_CLIENT_SECRET": WRONG_SECRET},
    "wrong D365 secret": {"D365_CLIENT_SECRET": WRONG_SECRET},
    "Salesforce unreachable": {"SALESFORCE_INSTANCE_URL": NOBODY},
    "wrong D365 address": {"D365_URL": NOBODY},
    # The sandbox listens on the other loopback address alone; Entra knows it under either.
    "D365 unreachable": {"D365_URL": "http://[::1]:{port}"},
    "Entra unreachable": {"D365_AUTHORITY_URL": NOBODY_TLS},
}
EVERYTHING_BEHIND = ("crosswalk/customer", "reconciliation/sales_order", "delivery/customer", "delivery/sales_order")


@dataclass(frozen=True)
class Doors:
    """A failed run for each closed door, then one with all doors open, and the orders that D365 had before that one."""

    installation: Installation
    deals: tuple[Deal, Deal]
    failed: dict[str, Run]
    orders_before: list[str]
    opened: Run


@pytest.fixture(scope="module")
def doors(install: Install, impatient: None) -> Doors:  # noqa: ARG001 used for its effect
    books = Books()
    deals = (books.deal("First", customer="C-1"), books.deal("Second"))
    installation = install(books)
    port = installation.systems.d365.url.rpartition(":")[2]
    failed = {
        door: installation.run({name: value.format(port=port) for name, value in changes.items()})
        for door, changes in CLOSED.items()
    }
    before = installation.systems.d365.orders_made()
    return Doors(installation, deals, failed, before, installation.run())


def told(doors: Doors, door: str) -> str:
    """What the run said of a closed door, with the addresses that change from test to test replaced."""
    systems = doors.installation.systems
    return doors.failed[door].problem.replace(systems.salesforce.url, "<salesforce>")


@pytest.mark.parametrize(
    ("door", "message"),
    [
        (
            "wrong Salesforce secret",
            "Salesforce at <salesforce> refuses the sign-in: invalid_client (invalid client credentials). "
            "Check SALESFORCE_CLIENT_SECRET.",
        ),
        (
            "wrong D365 secret",
            "Entra at 127.0.0.1 refuses the sign-in of client tieout-sandbox: AADSTS7000215. The secret is wrong. "
            "Put the secret's value (not its id) into D365_CLIENT_SECRET.",
        ),
        (
            "Salesforce unreachable",
            f"Salesforce at {NOBODY} cannot be reached (ConnectionError). Check SALESFORCE_INSTANCE_URL and the network.",
        ),
        (
            "wrong D365 address",
            "Entra at 127.0.0.1 refuses the sign-in of client tieout-sandbox: AADSTS500011. The tenant has no such environment. "
            "D365_URL must be its address to the letter, without a slash at the end.",
        ),
        (
            "D365 unreachable",
            "D365 at ::1: it cannot be reached. Check D365_URL and the network.",
        ),
        (
            "Entra unreachable",
            "Entra at 127.0.0.1 cannot be reached (no connection). Check D365_AUTHORITY_URL and the network.",
        ),
    ],
)
def test_a_closed_door_is_told_in_one_sentence_that_says_what_to_do(doors: Doors, door: str, message: str) -> None:
    assert not doors.failed[door].success
    assert told(doors, door) == message


@pytest.mark.parametrize("door", CLOSED)
def test_behind_a_closed_door_nothing_is_compared_and_nothing_is_sent(doors: Doors, door: str) -> None:
    assert not doors.failed[door].made & set(EVERYTHING_BEHIND)


@pytest.mark.parametrize("door", CLOSED)
def test_what_can_be_read_is_read_although_the_other_system_is_closed(doors: Doors, door: str) -> None:
    other = "d365/customer" if "Salesforce" in door else "salesforce/account"
    assert other in doors.failed[door].made


@pytest.mark.parametrize("door", ["wrong Salesforce secret", "wrong D365 secret"])
def test_no_secret_is_in_the_log_of_a_failed_run(doors: Doors, door: str) -> None:
    assert WRONG_SECRET not in doors.failed[door].told
    assert "sandbox-secret" not in doors.failed[door].told


def test_the_next_run_does_everything_that_the_failed_ones_did_not(doors: Doors) -> None:
    assert doors.orders_before == []
    assert doors.opened.success, doors.opened.problem
    assert sorted(doors.installation.systems.d365.orders_made()) == sorted(deal.order for deal in doors.deals)
    findings = doors.installation.findings()
    assert findings.summary["deliveries"] == {"confirmed": 3}
    assert findings.summary["quarantined"] == {}
    assert not list((doors.installation.home / "landing").iterdir())
