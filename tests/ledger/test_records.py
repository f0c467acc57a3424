"""Crosswalk, watermarks, sweeps, breaks and events in a real Postgres."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from resources.ledger import Ledger
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.ledger.breaks import BreakCounts, FoundBreak
from resources.ledger.crosswalk import Link, Moved
from resources.ledger.watermarks import Sweep
from tieout.errors import RecordError
from tieout.events import Hint

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def a_break(identity: str = "b1", **changes: object) -> FoundBreak:
    values = {"identity": identity, "entity": "customer", "company": "usmf", "verdict": "differs", "field": "street"}
    return FoundBreak(**(values | changes))  # type: ignore[arg-type]


def test_a_link_keeps_how_it_was_first_found_until_it_points_elsewhere(ledger: Ledger) -> None:
    first = Link("customer", "001A", "usmf", "C-1", "account_number")
    assert ledger.crosswalk.upsert([first], "run 1") == 1
    assert ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "C-1", "stored_link")], "run 2") == 0
    assert ledger.crosswalk.links("customer") == [first]

    moved = Link("customer", "001A", "usmf", "C-2", "stored_link")
    assert ledger.crosswalk.upsert([moved], "run 3") == 1
    assert ledger.crosswalk.links("customer") == [moved]


def test_an_account_has_a_link_in_each_company_and_an_opportunity_has_one(ledger: Ledger) -> None:
    customers = [Link("customer", "001A", company, "C-1", "delivery") for company in ("demf", "usmf")]
    orders = [Link("sales_order", "006A", company, f"T-{company}", "delivery") for company in ("demf", "usmf")]
    for link in (*customers, *orders):
        ledger.crosswalk.upsert([link], "run")

    assert sorted(link.company for link in ledger.crosswalk.links("customer")) == ["demf", "usmf"]
    assert ledger.crosswalk.links("sales_order") == [orders[1]]


def test_two_accounts_may_share_a_customer_because_accounts_are_merged(ledger: Ledger) -> None:
    links = [Link("customer", account, "usmf", "C-1", "decision") for account in ("001A", "001B")]

    assert ledger.crosswalk.upsert(links, "run") == 2
    assert ledger.crosswalk.upsert([], "run") == 0


def test_the_link_of_a_merged_account_moves_once_and_leaves_a_decision(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", "001L", "usmf", "C-1", "delivery", "p1")], "run 1")
    taken_over = Link("customer", "001M", "usmf", "C-1", "merged", "p1")

    assert ledger.crosswalk.follow([Moved(taken_over, "001L", "C-1")], "run 2") == 1
    assert ledger.crosswalk.follow([Moved(taken_over, "001L", "C-1")], "run 3") == 0
    assert ledger.crosswalk.links("customer") == [taken_over]
    [decision] = ledger.decisions.of("crosswalk", "001M/usmf")
    assert (decision.action, decision.before) == (
        "merged",
        {"salesforce_id": "001L", "company": "usmf", "d365_key": "C-1"},
    )


def test_two_losers_of_one_customer_are_both_forgotten(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", each, "usmf", "C-1", "decision") for each in ("001K", "001L")], "run 1")
    taken_over = Link("customer", "001M", "usmf", "C-1", "merged")

    assert ledger.crosswalk.follow([Moved(taken_over, each, "C-1") for each in ("001K", "001L")], "run 2") == 2
    assert ledger.crosswalk.links("customer") == [taken_over]


def test_a_link_under_a_new_number_replaces_the_old_one(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "C-1", "delivery", "p1")], "run 1")
    renumbered = Link("customer", "001A", "usmf", "C-9", "renumbered", "p1")

    assert ledger.crosswalk.follow([Moved(renumbered, "001A", "C-1")], "run 2") == 1
    assert ledger.crosswalk.links("customer") == [renumbered]


def test_a_party_is_learnt_once_and_outlives_what_knows_none(ledger: Ledger) -> None:
    ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "T-001A", "delivery")], "run 1")
    for party in ("p1", "p2"):
        ledger.crosswalk.learn_parties([Link("customer", "001A", "usmf", "T-001a", "ledger", party)])
    ledger.crosswalk.upsert([Link("customer", "001A", "usmf", "T-001A", "delivery")], "run 2")

    assert ledger.crosswalk.links("customer") == [Link("customer", "001A", "usmf", "T-001A", "delivery", "p1")]


def test_a_watermark_does_not_count_for_rows_that_were_landed_by_other_rules(ledger: Ledger) -> None:
    ledger.watermarks.set("salesforce", "account", NOW, "run 1", "rules of yesterday")

    assert ledger.watermarks.get("salesforce", "account", "rules of yesterday") == NOW
    assert ledger.watermarks.get("salesforce", "account", "rules of today") is None


def test_a_watermark_never_goes_back(ledger: Ledger) -> None:
    assert ledger.watermarks.get("salesforce", "account") is None
    ledger.watermarks.set("salesforce", "account", LATER, "run 2")
    ledger.watermarks.set("salesforce", "account", NOW, "run 1")

    assert ledger.watermarks.get("salesforce", "account") == LATER
    assert ledger.watermarks.all() == {("salesforce", "account"): LATER}
    ledger.watermarks.reset("salesforce", "account")
    assert ledger.watermarks.get("salesforce", "account") is None


def test_the_latest_sweep_says_whether_nothing_is_missing(ledger: Ledger) -> None:
    good = Sweep("run 1", "d365", "customer", "full", NOW, LATER, 5, 5, complete=True)
    bad = Sweep("run 2", "d365", "customer", "full", NOW, LATER, 5, 4, complete=False, problem="4 rows arrived")

    ledger.watermarks.record_sweep(good)
    ledger.watermarks.record_sweep(bad)

    assert ledger.watermarks.latest_sweep("d365", "customer") == bad
    assert ledger.watermarks.latest_sweep("d365", "sales_order") is None


def test_what_read_some_records_says_nothing_of_the_table(ledger: Ledger) -> None:
    whole = Sweep("run 1", "d365", "customer", "full", NOW, LATER, 5, 4, complete=False, problem="4 rows arrived")
    some = Sweep("run 2", "d365", "customer", "partition", NOW, LATER, 1, 1, complete=True)

    ledger.watermarks.record_sweep(whole)
    ledger.watermarks.record_sweep(some)

    assert ledger.watermarks.latest_sweep("d365", "customer") == whole
    assert ledger.watermarks.tables_read_by("run 1") == {("d365", "customer")}
    assert ledger.watermarks.tables_read_by("run 2") == set()
    assert ledger.watermarks.began_by("run 2") == {"d365": NOW}


def test_a_break_is_opened_kept_closed_and_opened_again_under_one_identity(ledger: Ledger) -> None:
    def record(*found: FoundBreak, hour: int) -> BreakCounts:
        return ledger.breaks.record(found, f"run {hour}", NOW + timedelta(hours=hour), whole_entities=["customer"])

    assert record(a_break("b1"), a_break("b2"), hour=0) == BreakCounts(opened=2)
    assert record(a_break("b1", cause="new cause"), hour=1) == BreakCounts(still_open=1, closed=1)
    assert record(a_break("b1"), a_break("b2"), hour=2) == BreakCounts(still_open=1, reopened=1)

    kept = ledger.breaks.get("b1")
    again = ledger.breaks.get("b2")
    assert (kept.first_seen, kept.last_seen, kept.times_opened) == (NOW, NOW + timedelta(hours=2), 1)
    assert (again.first_seen, again.times_opened, again.closed_at) == (NOW, 2, None)
    assert ledger.breaks.counts() == {"open": 2, "closed": 0}


def test_a_comparison_of_a_part_closes_nothing(ledger: Ledger) -> None:
    ledger.breaks.record([a_break("b1")], "run 1", NOW)

    assert ledger.breaks.record([], "run 2", LATER) == BreakCounts()
    assert ledger.breaks.record([], "run 2", LATER, whole_entities=["sales_order"]) == BreakCounts()


def test_owner_and_comment_survive_later_runs_and_are_on_record(ledger: Ledger) -> None:
    ledger.breaks.record([a_break("b1")], "run 1", NOW)
    ledger.breaks.assign("b1", "ann", who="bob")
    ledger.breaks.comment("b1", "asked the branch", who="ann")
    ledger.breaks.comment("b1", "street was renamed", who="ann")
    ledger.breaks.record([a_break("b1")], "run 2", LATER)

    assert (ledger.breaks.get("b1").owner, ledger.breaks.get("b1").comment) == ("ann", "street was renamed")
    said = [(made.action, made.who, made.before, made.after) for made in ledger.decisions.of("break", "b1")]
    assert said[0] == ("assign", "bob", {"owner": ""}, {"owner": "ann"})
    assert said[2] == ("comment", "ann", {"comment": "asked the branch"}, {"comment": "street was renamed"})


def test_breaks_are_listed_with_the_largest_amount_first(ledger: Ledger) -> None:
    amounts = {"small": Decimal("-1.00"), "none": None, "large": Decimal("-900.00"), "middle": Decimal("20.00")}
    ledger.breaks.record([a_break(name, amount=amount) for name, amount in amounts.items()], "run", NOW)

    assert [row.identity for row in ledger.breaks.find()] == ["large", "middle", "small", "none"]
    assert [row.identity for row in ledger.breaks.find(limit=1)] == ["large"]
    assert ledger.breaks.find(owner="ann") == []


def test_a_break_of_a_record_that_was_not_judged_stays_open(ledger: Ledger) -> None:
    found = [a_break("b1", salesforce_key="001A"), a_break("b2", d365_key="C-2"), a_break("b3", salesforce_key="001C")]
    ledger.breaks.record(found, "run 1", NOW)

    ledger.breaks.record([], "run 2", LATER, whole_entities=["customer"], unjudged_keys={"001A", "C-2"})

    assert [row.identity for row in ledger.breaks.find()] == ["b1", "b2"]


def test_a_new_verdict_on_a_record_takes_the_place_of_the_old_one_and_leaves_its_fields_alone(ledger: Ledger) -> None:
    """A record in quarantine has no field that could be looked at, but that it is there is known."""
    missing = a_break("b1", salesforce_key="001A", field="only_in_salesforce")
    street = a_break("b2", salesforce_key="001A", d365_key="C-1", field="street")
    of_another = a_break("b3", salesforce_key="001B", field="only_in_salesforce")
    ledger.breaks.record([missing, street, of_another], "run 1", NOW)

    waiting = a_break("b4", salesforce_key="001A", d365_key="C-1", field="quarantined")
    counts = ledger.breaks.record(
        [waiting], "run 2", LATER, whole_entities=["customer"], unjudged_keys={"001A", "C-1", "001B"}
    )

    assert counts.closed == 1
    assert {row.identity for row in ledger.breaks.find()} == {"b2", "b3", "b4"}


def test_a_break_that_does_not_exist_is_named(ledger: Ledger) -> None:
    with pytest.raises(RecordError, match="no break 'b9'"):
        ledger.breaks.comment("b9", "?", who="ann")


def test_ten_thousand_breaks_are_recorded_in_seconds(ledger: Ledger) -> None:
    found = [a_break(f"b{number}") for number in range(10_000)]

    assert ledger.breaks.record(found, "run", NOW, whole_entities=["customer"]).opened == 10_000


def test_an_event_is_received_once(ledger: Ledger) -> None:
    assert ledger.events.receive("salesforce", "e1", "OpportunityChangeEvent", {"Id": "006"})
    assert not ledger.events.receive("salesforce", "e1", "OpportunityChangeEvent", {"Id": "006"})
    assert ledger.events.waiting() == 1

    ledger.events.handled("salesforce", "e1")
    assert ledger.events.waiting() == 0


def a_hint(event_id: str, key: str = "0068d00000AbCdEAAV", **changes: Any) -> Hint:
    return Hint("salesforce", event_id, "Opportunity", "opportunity", key, **changes)


def test_hints_wait_in_the_order_in_which_they_came_and_come_back_whole(ledger: Ledger) -> None:
    order = Hint("d365", "e2", "SalesInvoicePostedBusinessEvent", "sales_order", "T-1", "usmf", NOW)

    assert ledger.events.receive_hints([a_hint("e1")]) == 1
    assert ledger.events.receive_hints([order, a_hint("e1"), order]) == 1
    assert ledger.events.receive_hints([]) == 0

    waiting = ledger.events.waiting_hints(10)
    assert [each.hint for each in waiting] == [a_hint("e1"), order]
    assert ledger.events.waiting_span() == (waiting[0].id, waiting[1].id)
    assert len(ledger.events.waiting_hints(1)) == 1


def test_what_was_handled_waits_no_longer_and_is_forgotten_in_time(ledger: Ledger) -> None:
    ledger.events.receive_hints([a_hint("e1")], NOW)
    ledger.events.receive_hints([a_hint("e2")], LATER)
    [first, second] = ledger.events.waiting_hints(10)

    assert ledger.events.all_handled([first.id], LATER) == 1
    assert ledger.events.all_handled([first.id], LATER) == 0
    assert ledger.events.all_handled([], LATER) == 0
    assert [each.id for each in ledger.events.waiting_hints(10)] == [second.id]

    assert ledger.events.forget_before(LATER + timedelta(seconds=1)) == 1
    assert ledger.events.receive_hints([a_hint("e1"), a_hint("e2")]) == 1


def test_whoever_began_to_read_everything_has_seen_what_came_before(ledger: Ledger) -> None:
    ledger.events.receive_hints([a_hint("e1")], NOW)
    ledger.events.receive_hints([a_hint("e2")], LATER)

    assert ledger.events.handled_before(LATER) == 1
    assert [each.hint.event_id for each in ledger.events.waiting_hints(10)] == ["e2"]


def test_write_backs_to_salesforce_are_in_the_same_log(ledger: Ledger) -> None:
    attempts = [
        NewAttempt("opportunity", "update", key, "to_salesforce", request="PATCH composite/sobjects")
        for key in ("006A", "006B")
    ]
    ids = ledger.attempts.begin(attempts, "run")
    ledger.attempts.end(
        [
            AttemptResult(ids[0], "confirmed", "confirmed", 30, Decimal("0.5"), 200),
            AttemptResult(ids[1], "rejected", "rejected", 30, Decimal("0.5"), 200, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        ]
    )

    log = ledger.attempts.attempts_of_run("run").to_pylist()
    assert [(row["business_key"], row["direction"], row["outcome"], row["reason"]) for row in log] == [
        ("006A", "to_salesforce", "confirmed", ""),
        ("006B", "to_salesforce", "rejected", "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    ]
    assert sum(row["api_calls"] for row in log) == 1
