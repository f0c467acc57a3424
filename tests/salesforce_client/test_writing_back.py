"""Write-back to a real Salesforce sandbox through a real ledger: paused, cut off, refused, older than another run's."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from resources.salesforce import SalesforceClient
from resources.writing_back import WriteBackSummary, older_than_another_run, write_back
from tests.sandbox_salesforce.running_org import Sandbox
from tieout.contract import Contract, Contracts
from tieout.errors import RequestRefused
from tieout.flow import Flow
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
