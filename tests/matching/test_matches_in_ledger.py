"""What people say about proposals is kept, and followed. Real Postgres."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
from tests.matching.parties import CONTOSO
from tieout.errors import RecordError
from tieout.matching import Evidence, Proposal

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KINDS = ("link", "duplicate_in_salesforce", "duplicate_in_d365")


def a_proposal(**changes: Any) -> Proposal:
    values = {
        "kind": "link",
        "left_key": "001A",
        "right_key": "usmf|c-1",
        "company": "usmf",
        "probability": 0.93,
        "weight": Decimal("3.70"),
        "prior": Decimal("-6.00"),
        "found_by": "model",
        "evidence": (Evidence("name", "the same name", Decimal("9.70")),),
        "left": dict(CONTOSO),
        "right": {**CONTOSO, "number": "C-1"},
    }
    return Proposal(**(values | changes))


def test_an_accepted_link_is_in_the_crosswalk_as_a_decision(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)

    ledger.matches.accept("link", "001A", "usmf|c-1", who="ann", note="asked the customer")

    assert ledger.crosswalk.links("customer") == [Link("customer", "001A", "usmf", "C-1", "decision")]
    assert ledger.matches.counts() == {"proposed": 0, "accepted": 1, "refused": 0, "withdrawn": 0}
    (made,) = ledger.decisions.of("match", "link/001A/usmf|c-1")
    assert (made.action, made.who, made.note) == ("accept", "ann", "asked the customer")


def test_a_refused_pair_is_remembered_however_often_it_is_found(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.matches.refuse("link", "001A", "usmf|c-1", who="ann")

    states = ledger.matches.record([a_proposal(weight=Decimal("9.00"))], KINDS, "run 2", LATER)

    assert states == {"refused": 1}
    assert ledger.matches.page()[1] == 0
    assert ledger.crosswalk.links("customer") == []


def test_what_is_no_longer_found_is_withdrawn_and_comes_back_when_it_is(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.matches.record([], KINDS, "run 2", LATER)
    assert ledger.matches.counts()["withdrawn"] == 1

    ledger.matches.record([a_proposal()], KINDS, "run 3", LATER + timedelta(hours=1))

    (row,), total = ledger.matches.page()
    assert (total, row.state, row.first_seen) == (1, "proposed", NOW)


def test_an_account_that_has_another_customer_in_the_company_is_not_linked_twice(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "C-9", "delivery")], "run 0")
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)

    with pytest.raises(RecordError, match="Account 001A is customer C-9 in usmf already"):
        ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    assert ledger.matches.get("link", "001A", "usmf|c-1").state == "proposed"
    assert ledger.decisions.of("match", "link/001A/usmf|c-1") == []


def test_accepted_doubles_link_nothing(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal(kind="duplicate_in_d365", left_key="usmf|c-0")], KINDS, "run 1", NOW)

    ledger.matches.accept("duplicate_in_d365", "usmf|c-0", "usmf|c-1", who="ann")

    assert ledger.crosswalk.links("customer") == []


def test_pages_are_searched_sorted_and_cut_by_the_database(ledger: Ledger) -> None:
    found = [
        a_proposal(left_key=f"001{number:03d}", weight=Decimal(number), left={**CONTOSO, "name": f"Company {number} %"})
        for number in range(120)
    ]
    ledger.matches.record(found, KINDS, "run 1", NOW)

    rows, total = ledger.matches.page(offset=50, limit=50)
    assert (total, len(rows), rows[0].left_key) == (120, 50, "001069")
    assert ledger.matches.page(search="company 7 %")[1] == 1
    assert ledger.matches.page(kind="duplicate_in_d365")[1] == 0
    with pytest.raises(RecordError, match="cannot be sorted"):
        ledger.matches.page(sort="note; drop table")


def test_nobody_decides_about_what_was_never_proposed(ledger: Ledger) -> None:
    with pytest.raises(RecordError, match="Nobody proposed"):
        ledger.matches.accept("link", "001X", "usmf|c-1", who="ann")


def test_a_customer_who_got_an_account_meanwhile_gets_no_second_one(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.crosswalk.upsert([Link("customer", "001B", "usmf", "c-1", "delivery")], "run 2", LATER)

    with pytest.raises(RecordError, match="Customer C-1 in usmf is account 001B already"):
        ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    assert ledger.matches.get("link", "001A", "usmf|c-1").state == "proposed"
    assert [link.salesforce_id for link in ledger.crosswalk.links("customer")] == ["001B"]


def test_of_two_proposals_for_one_customer_only_one_is_accepted(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal(), a_proposal(left_key="001B")], KINDS, "run 1", NOW)
    ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    with pytest.raises(RecordError, match="is account 001A already"):
        ledger.matches.accept("link", "001B", "usmf|c-1", who="bob")


@pytest.mark.parametrize(
    "dead", [Link("customer", "001A", "usmf", "C-9", "delivery"), Link("customer", "001Z", "usmf", "C-1", "delivery")]
)
def test_a_link_that_the_run_found_dead_gives_way_to_a_persons_decision(ledger: Ledger, dead: Link) -> None:
    ledger.crosswalk.upsert([dead], "run 0", NOW - timedelta(days=9))
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)

    ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    assert ledger.crosswalk.links("customer") == [Link("customer", "001A", "usmf", "C-1", "decision")]
    (made,) = ledger.decisions.of("match", "link/001A/usmf|c-1")
    assert made.before is not None
    assert made.before["links"] == [f"{dead.salesforce_id} = {dead.company}/{dead.d365_key}"]


def test_refusing_what_was_accepted_takes_the_link_back(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    ledger.matches.refuse("link", "001A", "usmf|c-1", who="bob", note="two branches")

    assert ledger.crosswalk.links("customer") == []
    assert [each.action for each in ledger.decisions.of("match", "link/001A/usmf|c-1")] == ["accept", "refuse"]


def test_a_link_that_stands_without_the_decision_is_not_taken_back_by_it(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "C-1", "stored_link")], "run 0")
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")

    with pytest.raises(RecordError, match="stored_link"):
        ledger.matches.refuse("link", "001A", "usmf|c-1", who="bob")

    assert ledger.matches.get("link", "001A", "usmf|c-1").state == "accepted"


def test_what_a_later_run_no_longer_found_cannot_be_accepted(ledger: Ledger) -> None:
    ledger.matches.record([a_proposal()], KINDS, "run 1", NOW)
    ledger.matches.record([], KINDS, "run 2", LATER)

    with pytest.raises(RecordError, match="withdrawn"):
        ledger.matches.accept("link", "001A", "usmf|c-1", who="ann")


def test_two_people_who_accept_at_once_do_not_both_get_their_way(ledger: Ledger) -> None:
    accounts = [f"001{number}" for number in range(8)]
    ledger.matches.record([a_proposal(left_key=account) for account in accounts], KINDS, "run 1", NOW)

    def accept(account: str) -> bool:
        try:
            ledger.matches.accept("link", account, "usmf|c-1", who="ann")
        except RecordError:
            return False
        return True

    with ThreadPoolExecutor(len(accounts)) as pool:
        accepted = list(pool.map(accept, accounts))

    assert accepted.count(True) == 1
    assert len(ledger.crosswalk.links("customer")) == 1
    assert ledger.matches.counts()["accepted"] == 1
