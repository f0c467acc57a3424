"""What the second look does to a run: it holds back what has changed, and whatever fails in it, the run goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg
import pytest

from tests.pipeline.business import orders_due
from tests.pipeline.installation import Installation, Run
from tests.pipeline.reading import headers_made, materializations, report_of

READ_AGAIN = "reconciliation/read_again"
# Asked for only when records are read again, before their opportunities are.
ACCOUNTS_BY_ID = r"FROM Account WHERE Id IN"
LINES_BY_HEADER = r"FROM OpportunityLineItem WHERE OpportunityId IN"


@pytest.fixture
def fresh(install: Callable[[], AbstractContextManager[Installation]]) -> Iterator[Installation]:
    with install() as running:
        yield running


def figures_of(run: Run) -> dict[str, Any]:
    """What the second look reported."""
    with dg.DagsterInstance.get() as instance:
        return {name: value.value for name, value in materializations(instance, run.run_id)[READ_AGAIN].items()}


def when_struck(installation: Installation, act: Callable[[], None]) -> threading.Thread:
    """Act as soon as the fault that was ordered in Salesforce strikes."""
    place = installation.salesforce.position()

    def wait_and_act() -> None:
        deadline = time.monotonic() + 60
        while not installation.salesforce.struck(place):
            assert time.monotonic() < deadline, "it never struck"
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread


def test_an_opportunity_that_is_lost_between_the_reads_is_not_delivered_and_no_break(fresh: Installation) -> None:
    [lost, *rest] = orders_due(fresh, fresh.books())
    fresh.salesforce.post("faults", {"kind": "delay", "delay_s": 2, "path": ACCOUNTS_BY_ID})
    changing = when_struck(fresh, lambda: fresh.changed_in_salesforce("Opportunity", lost, StageName="Closed Lost"))

    run = fresh.run()

    changing.join(10)
    made = {effect["values"]["CustomersOrderReference"] for effect in headers_made(run)}
    assert set(rest) <= made
    assert lost not in made
    assert lost not in {row["salesforce_key"] for row in report_of(run)["breaks"]}
    figures = figures_of(run)
    assert (figures["in_flight"], figures["not_read"]) == (1, 0)
    assert figures["read_again"] == figures["suspects"] > 1
    assert run.summary["reconciliation"]["sales_order"]["in_flight"] == 1


def test_where_records_cannot_be_read_again_the_run_goes_on_and_says_so(fresh: Installation) -> None:
    due = orders_due(fresh, fresh.books())
    answer = [{"errorCode": "INSUFFICIENT_ACCESS", "message": "not today"}]
    fresh.salesforce.post(
        "faults", {"kind": "refuse", "status": 403, "body": answer, "path": LINES_BY_HEADER, "times": None}
    )

    run = fresh.run()

    figures = figures_of(run)
    assert (figures["read_again"], figures["in_flight"]) == (0, 0)
    assert figures["not_read"] == figures["suspects"] > 0
    assert "not today" in figures["summary"]
    assert {effect["values"]["CustomersOrderReference"] for effect in headers_made(run)} == set(due)


def test_calls_follow_the_records_that_are_read_again_and_the_largest_amounts_come_first(
    fresh: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of_them = figures_of(fresh.run(dry_run=True))
    monkeypatch.setenv("TIEOUT_REREAD_MOST_RECORDS", "3")

    some = figures_of(fresh.run(dry_run=True))

    assert all_of_them["read_again"] == all_of_them["suspects"] == some["suspects"]
    assert some["read_again"] == 3
    assert some["not_read"] == some["suspects"] - 3
    assert all_of_them["api_calls"] < all_of_them["suspects"]
    from resources.lake import Lake

    rows = Lake(fresh.home / "lake").dataset(("reconciliation", "read_again")).to_table().to_pylist()
    read = [row["stake"] for row in rows if row["outcome"] == "still_there"]
    left = [row["stake"] for row in rows if row["outcome"] == "not_read" and row["stake"] is not None]
    assert len(read) == 3
    assert min(read) >= max(left)
