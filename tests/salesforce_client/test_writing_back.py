"""Write-back to a real Salesforce sandbox through a real ledger: paused, cut off, refused, older than another run's."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from resources.salesforce import SalesforceClient
from resources.writing_back import WriteBackSummary, older_than_another_run, write_back
from tests.sandbox_salesforce.running_org import Sandbox, an_opportunity
from tieout.contract import Contract, Contracts
from tieout.errors import RequestRefused
from tieout.flow import Flow
from tieout.salesforce_package.order_status import EVENT
from tieout.writeback import RecordUpdate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MakeAccounts = Callable[[int], list[str]]


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["customer"]


@pytest.fixture
def written(ledger: Ledger, client: SalesforceClient, contract: Contract) -> Callable[..., WriteBackSummary]:
    """Writes a payment term to accounts of the given companies (by id)."""

    def write(companies: dict[str, str], term: str = "Net30", **options: Any) -> WriteBackSummary:
        due = [RecordUpdate(each, {"Payment_Terms__c": term}) for each in companies]
        return write_back(
            client, ledger, contract, due, companies, flow=Flow.WRITEBACK_ACCOUNT, run_id="run", now=NOW, **options
        )

    return write


def test_a_paused_company_is_held_back_and_the_others_are_written(
    org: Sandbox, ledger: Ledger, accounts: MakeAccounts, written: Callable[..., WriteBackSummary]
) -> None:
    ours, theirs = accounts(2)
    ledger.flows.pause(Flow.WRITEBACK_ACCOUNT, "usmf", who="ann", note="stock-taking")

    summary = written({ours: "usmf", theirs: "demf"})

    assert (summary.updated, summary.held_back) == (1, 1)
    assert "ann" in summary.reason
    assert [org.read("Account", each)["Payment_Terms__c"] for each in (ours, theirs)] == [None, "Net30"]


def test_after_a_resume_everything_that_was_held_back_is_written(
    org: Sandbox, ledger: Ledger, accounts: MakeAccounts, written: Callable[..., WriteBackSummary]
) -> None:
    (one,) = accounts(1)
    ledger.flows.pause(Flow.WRITEBACK_ACCOUNT, who="ann", note="")
    written({one: "usmf"})
    ledger.flows.resume(Flow.WRITEBACK_ACCOUNT, who="ann", note="")

    assert written({one: "usmf"}).updated == 1
    assert org.read("Account", one)["Payment_Terms__c"] == "Net30"


def test_a_company_of_which_most_is_refused_is_cut_off(
    accounts: MakeAccounts, written: Callable[..., WriteBackSummary]
) -> None:
    ids = accounts(30)

    refused = written(dict.fromkeys(ids, "usmf"), term="x" * 300)
    cut_off = written(dict.fromkeys(ids, "usmf"))

    assert refused.refused == 30
    assert (cut_off.updated, cut_off.held_back) == (0, 30)
    assert "circuit breaker" in cut_off.reason


def test_every_record_of_a_call_that_failed_has_an_end_in_the_log(
    org: Sandbox, ledger: Ledger, accounts: MakeAccounts, written: Callable[..., WriteBackSummary]
) -> None:
    (one,) = accounts(1)
    org.control("faults", kind="daily_limit", path="composite/sobjects", times=None)

    with pytest.raises(RequestRefused, match="REQUEST_LIMIT_EXCEEDED"):
        written({one: "usmf"})

    [attempt] = ledger.attempts.of_business_key(one)
    assert (attempt["outcome"], attempt["state"]) == ("in_doubt", "unknown")


def test_a_run_that_knows_an_older_d365_than_another_one_says_so(ledger: Ledger, contract: Contract) -> None:
    sweep = Sweep("newer run", "d365", "customer", "full", NOW, NOW, 1, 1, complete=True, lake_version=7)
    ledger.watermarks.record_sweep(sweep)

    assert "newer run" in older_than_another_run(ledger, contract, {"d365/customer": 6})
    assert older_than_another_run(ledger, contract, {"d365/customer": 7}) == ""


@pytest.fixture
def publishing(client_for: Callable[..., SalesforceClient]) -> SalesforceClient:
    """A client of an installation that tells subscribers of orders."""
    return client_for(publishes_order_status=True)


def told(org: Sandbox, after: int) -> list[dict[str, Any]]:
    """The platform events that were sent behind a place of the journal, as they were sent."""
    asked = org.journal(phase="asked", method="POST", after=after, limit=10_000)
    return [json.loads(each["body"]) for each in asked if EVENT in each["path"]]


def write_statuses(
    client: SalesforceClient, ledger: Ledger, contract: Contract, statuses: dict[str, str]
) -> WriteBackSummary:
    due = [RecordUpdate(each, {"ERP_Order_Status__c": status}) for each, status in statuses.items()]
    return write_back(
        client, ledger, contract, due, dict.fromkeys(statuses, "usmf"), flow=Flow.WRITEBACK_OPPORTUNITY, run_id="run", now=NOW
    )  # fmt: skip


def test_subscribers_are_told_of_what_was_written_and_of_nothing_else(
    org: Sandbox, ledger: Ledger, contracts: Contracts, publishing: SalesforceClient, client: SalesforceClient
) -> None:
    good, bad = (org.create("Opportunity", **an_opportunity()) for _ in range(2))
    place = org.journal_end()

    summary = write_statuses(publishing, ledger, contracts["sales_order"], {good: "Confirmed", bad: "no such status"})
    write_statuses(client, ledger, contracts["sales_order"], {good: "Invoiced"})

    assert (summary.updated, summary.refused) == (1, 1)
    assert told(org, place) == [
        {"Opportunity_Id__c": good, "ERP_Company__c": "usmf", "ERP_Order_Status__c": "Confirmed"}
    ]


def test_an_event_that_cannot_be_published_does_not_undo_the_write_back(
    org: Sandbox, ledger: Ledger, contracts: Contracts, publishing: SalesforceClient
) -> None:
    opportunity = org.create("Opportunity", **an_opportunity())
    org.control("faults", kind="daily_limit", path=f"sobjects/{EVENT}", times=None)
    place = org.journal_end()

    summary = write_statuses(publishing, ledger, contracts["sales_order"], {opportunity: "Confirmed"})

    assert (summary.updated, len(told(org, place))) == (1, 1)
    assert org.read("Opportunity", opportunity)["ERP_Order_Status__c"] == "Confirmed"
