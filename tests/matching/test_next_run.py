"""An accepted proposal is a link of the next run, and the command line decides as the desk does. Real Postgres, real lake rows."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from assets.matching import KINDS, accept_sure_links, make_parties, proposals
from resources.ledger import Ledger
from tests.matching.test_matches_in_ledger import a_proposal
from tests.pipeline.installation import Installation, fresh_home
from tests.reconciliation.books import Books, Compared, account_id, compared
from tieout.contract import Contracts
from tieout.matching.proposals import PROPOSE_FROM, Proposal

STARTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT, CUSTOMER = account_id(2), "usmf|x-77"


@pytest.fixture
def tieout(ledger: Ledger, ledger_url: str) -> Iterator[Installation]:  # noqa: ARG001 it empties the ledger
    """The command line on this test's ledger, and nothing else of an installation."""
    with fresh_home(ledger_url) as home:
        yield home


def run(ledger: Ledger) -> Compared:
    """A run over an account and a customer that are one company and share no key, beside a pair that is linked."""

    def write(books: Books) -> None:
        books.account(
            2, AccountNumber=None, Name="Harbour Pumps Inc", BillingStreet="12 Harbour Street", Phone="2065550100"
        )
        books.customer(
            2,
            CustomerAccount="X-77",
            OrganizationName="HARBOUR PUMPS",
            AddressStreet="12 Harbour St.",
            PrimaryContactPhone="+1 206 555 0100",
        )
        for link in ledger.crosswalk.links("customer"):
            books.known("customer", link.salesforce_id, link.company, link.d365_key)

    return compared(write)


def links_proposed(made: Compared, contracts: Contracts) -> list[Proposal]:
    make_parties(made.con, contracts["customer"])
    return [each for each in proposals(made.con, PROPOSE_FROM) if each.kind == "link"]


def linked(made: Compared) -> list[tuple[str, str]]:
    return made.rows("SELECT d365_lake_key, found_by FROM crosswalk_customer WHERE salesforce_id = '" + ACCOUNT + "'")


def test_the_next_run_follows_what_was_accepted_and_proposes_it_no_more(ledger: Ledger, contracts: Contracts) -> None:
    first = run(ledger)
    assert linked(first) == []
    found = links_proposed(first, contracts)
    assert [(each.left_key, each.right_key) for each in found] == [(ACCOUNT, CUSTOMER)]
    ledger.matches.record(found, KINDS, "run 1", STARTED)

    ledger.matches.accept("link", ACCOUNT, CUSTOMER, who="ann")

    second = run(ledger)
    assert linked(second) == [(CUSTOMER, "ledger")]
    assert links_proposed(second, contracts) == []


def test_a_pair_that_was_refused_is_found_by_the_next_run_and_shown_to_nobody(
    ledger: Ledger, contracts: Contracts
) -> None:
    ledger.matches.record(links_proposed(run(ledger), contracts), KINDS, "run 1", STARTED)
    ledger.matches.refuse("link", ACCOUNT, CUSTOMER, who="ann")

    again = links_proposed(run(ledger), contracts)
    ledger.matches.record(again, KINDS, "run 2", STARTED + timedelta(hours=1))

    assert len(again) == 1
    assert ledger.matches.page(kind="link") == ([], 0)
    assert accept_sure_links(ledger, again, 0.0) == 0
    assert linked(run(ledger)) == []


def test_the_upper_threshold_accepts_only_where_there_is_no_choice(ledger: Ledger) -> None:
    sure = a_proposal(left_key="001A", right_key="usmf|c-1", probability=0.99)
    torn = [
        a_proposal(left_key="001B", right_key=f"usmf|c-{n}", right={"number": f"C-{n}"}, probability=0.99)
        for n in (2, 3)
    ]
    weak = a_proposal(left_key="001C", right_key="usmf|c-4", right={"number": "C-4"}, probability=0.5)
    ledger.matches.record([sure, *torn, weak], KINDS, "run 1", STARTED)

    assert accept_sure_links(ledger, [sure, *torn, weak], 0.9) == 1

    assert [link.salesforce_id for link in ledger.crosswalk.links("customer")] == ["001A"]
    assert ledger.matches.page()[1] == 3


def test_the_command_line_lists_shows_accepts_and_refuses(ledger: Ledger, tieout: Installation) -> None:
    hostile = "[red]<script>\u202e =cmd()"
    other = a_proposal(
        left_key="001B", right_key="usmf|c-2", left={"name": hostile}, right={"name": "B", "number": "C-2"}
    )
    ledger.matches.record([a_proposal(), other], KINDS, "run 1", STARTED)

    assert tieout.called("matches", "list", "--json").json["total"] == 2
    assert "[red]<script>" in tieout.called("matches", "show", "001B", "usmf|c-2").stdout
    shown = tieout.called("matches", "show", "001A", "usmf|c-1", "--json").json
    assert shown["explanation"]["evidence"][0]["words"] == "the same name"

    assert tieout.called("matches", "accept", "001A", "usmf|c-1").code == 0
    assert tieout.called("matches", "refuse", "001B", "usmf|c-2", "--comment", "a namesake").code == 0

    assert tieout.called("matches", "list", "--json").json["counts"]["proposed"] == 0
    assert [link.d365_key for link in ledger.crosswalk.links("customer")] == ["C-1"]
    assert ledger.matches.get("link", "001B", "usmf|c-2").note == "a namesake"


def test_the_command_line_says_why_it_cannot_decide(ledger: Ledger, tieout: Installation) -> None:
    ledger.matches.record([a_proposal(), a_proposal(left_key="001B")], KINDS, "run 1", STARTED)
    assert tieout.called("matches", "accept", "001A", "usmf|c-1").code == 0

    finished = tieout.called("matches", "accept", "001B", "usmf|c-1")

    assert finished.code == 2
    assert "is account 001A already" in finished.stderr
