"""Bulk API 2.0 query jobs: states, pages behind locators, and what Bulk cannot do."""

import csv
import io
import time
from typing import Any

import pytest

from tests.sandbox_salesforce.running_org import Sandbox, an_account


@pytest.fixture(scope="module")
def marked(running: Sandbox) -> str:
    """Five accounts that share a source; one is deleted, one has an awkward name."""
    tag = "bulk-test"
    records = [an_account(tag, Name=f"B{number}") for number in range(4)]
    records.append(
        an_account(tag, Name='a "quoted",\nname', ERP_Synced_At__c="2026-10-01T12:34:56Z", Credit_Limit__c=1.5)
    )
    made = running.call("POST", "composite/sobjects", json={"records": records}).json()
    running.call("DELETE", f"sobjects/Account/{made[0]['id']}")
    return tag


def new_job(org: Sandbox, soql: str, operation: str = "query") -> dict[str, Any]:
    answer = org.call("POST", "jobs/query", json={"operation": operation, "query": soql})
    assert answer.status_code == 200, answer.text
    return answer.json()


def states_until_done(org: Sandbox, job: dict[str, Any]) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["state"] not in ("JobComplete", "Failed", "Aborted"):
        seen.append(org.call("GET", f"jobs/query/{job['id']}").json())
        assert len(seen) < 200
        time.sleep(0.01)
    return seen


def read_all(org: Sandbox, job: dict[str, Any], **parameters: Any) -> tuple[list[list[dict[str, str]]], list[str]]:
    """The pages as rows, and their locators."""
    pages, locators = [], [""]
    while locators[-1] != "null":
        wanted = parameters | ({"locator": locators[-1]} if locators[-1] else {})
        answer = org.call("GET", f"jobs/query/{job['id']}/results", params=wanted, headers={"Accept": "text/csv"})
        assert answer.status_code == 200, answer.text
        pages.append(list(csv.DictReader(io.StringIO(answer.text, newline=""))))
        assert answer.headers["Sforce-NumberOfRecords"] == str(len(pages[-1]))
        locators.append(answer.headers["Sforce-Locator"])
    return pages, locators[1:]


def test_a_job_goes_through_its_states_and_its_pages_end_with_the_word_null(org: Sandbox, marked: str) -> None:
    job = new_job(
        org,
        f"SELECT Id, Name, Owner.Name, IsDeleted, Credit_Limit__c, ERP_Synced_At__c FROM Account WHERE AccountSource = '{marked}'",
    )
    polls = states_until_done(org, job)
    pages, locators = read_all(org, job, maxRecords=3)

    assert job["id"].startswith("750")
    assert (job["state"], job["apiVersion"], job["object"], job["contentType"]) == (
        "UploadComplete",
        62.0,
        "Account",
        "CSV",
    )
    assert polls[0]["state"] == "InProgress"
    assert polls[-1]["state"] == "JobComplete"
    assert (polls[-1]["numberRecordsProcessed"], polls[-1]["jobType"], polls[-1]["retries"]) == (4, "V2Query", 0)
    assert [len(page) for page in pages] == [3, 1]
    assert len(locators) == 2
    assert locators[0].isalnum()
    last = pages[1][0]
    assert list(last) == ["Id", "Name", "Owner.Name", "IsDeleted", "Credit_Limit__c", "ERP_Synced_At__c"]
    assert list(last.values())[1:] == ['a "quoted",\nname', "Integration", "false", "1.5", "2026-10-01T12:34:56.000Z"]
    assert pages[0][0]["Credit_Limit__c"] == ""
    assert read_all(org, job, maxRecords=3)[0] == pages


def test_every_value_is_quoted_and_no_rows_are_a_header(org: Sandbox, marked: str) -> None:
    some, none = (
        new_job(org, f"SELECT Name, Site FROM Account WHERE Name = '{name}' AND AccountSource = '{marked}'")
        for name in ("B1", "-")
    )
    for job in (some, none):
        states_until_done(org, job)
    text = {job["id"]: org.call("GET", f"jobs/query/{job['id']}/results").content for job in (some, none)}
    assert text[some["id"]] == b'"Name","Site"\n"B1",""\n'
    assert text[none["id"]] == b'"Name","Site"\n'


def test_query_all_gives_deleted_rows_too(org: Sandbox, marked: str) -> None:
    job = new_job(org, f"SELECT IsDeleted FROM Account WHERE AccountSource = '{marked}'", "queryAll")
    states_until_done(org, job)
    rows = read_all(org, job)[0][0]
    assert sorted(row["IsDeleted"] for row in rows) == ["false"] * 4 + ["true"]


def test_results_are_fixed_when_the_job_ran(org: Sandbox, tag: str) -> None:
    made = org.create("Account", Name=tag)
    job = new_job(org, f"SELECT Name FROM Account WHERE Id = '{made}'")
    states_until_done(org, job)
    org.call("PATCH", f"sobjects/Account/{made}", json={"Name": "changed"})
    assert read_all(org, job)[0][0] == [{"Name": tag}]


@pytest.mark.parametrize(
    ("soql", "part"),
    [
        ("SELECT COUNT() FROM Account", "aggregate"),
        ("SELECT Name, COUNT(Id) FROM Account GROUP BY Name", "GROUP BY"),
        ("SELECT Id, (SELECT Id FROM Opportunities) FROM Account", "subqueries"),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 1", "OFFSET"),
        ("SELECT BillingAddress FROM Account", "Selecting compound data not supported in Bulk Query"),
        ("SELECT Nope FROM Account", "No such column 'Nope' on entity 'Account'"),
    ],
)
def test_what_bulk_cannot_do_is_refused_when_the_job_is_made(org: Sandbox, soql: str, part: str) -> None:
    answer = org.call("POST", "jobs/query", json={"operation": "query", "query": soql})
    assert answer.status_code == 400
    assert part in answer.json()[0]["message"]


def test_a_job_belongs_to_one_version_and_gives_results_only_when_complete(org: Sandbox) -> None:
    job = new_job(org, "SELECT Id FROM Product2")
    early = org.call("GET", f"jobs/query/{job['id']}/results")
    other = org.call("GET", f"/services/data/v61.0/jobs/query/{job['id']}")

    assert (early.status_code, early.json()[0]["errorCode"]) == (400, "INVALIDJOBSTATE")
    assert other.status_code == 409
    assert org.call("GET", f"/services/data/v62.0/jobs/query//{job['id']}").status_code == 404


def test_a_job_can_be_aborted_and_then_deleted(org: Sandbox) -> None:
    job = new_job(org, "SELECT Id FROM Product2")
    path = f"jobs/query/{job['id']}"
    too_early = org.call("DELETE", path)
    aborted = org.call("PATCH", path, json={"state": "Aborted"})
    listed = org.call("GET", "jobs/query?jobType=V2Query").json()["records"]

    assert too_early.status_code == 400
    assert aborted.json()["state"] == "Aborted"
    assert job["id"] in [each["id"] for each in listed]
    assert org.call("DELETE", path).status_code == 204
    assert org.call("GET", path).status_code == 404


def test_a_job_can_fail_and_says_why(org: Sandbox) -> None:
    org.control("settings", bulk_error="InternalServerError : out of luck")
    last = states_until_done(org, new_job(org, "SELECT Id FROM Product2"))[-1]
    assert (last["state"], last["errorMessage"]) == ("Failed", "InternalServerError : out of luck")


def test_result_pages_can_be_fetched_in_any_order(org: Sandbox, marked: str) -> None:
    org.control("settings", bulk_page_rows=1)
    job = new_job(org, f"SELECT Name FROM Account WHERE AccountSource = '{marked}'", "queryAll")
    states_until_done(org, job)
    pages = org.call("GET", f"jobs/query/{job['id']}/resultPages").json()

    assert (len(pages["resultPages"]), pages["done"], pages["nextRecordsUrl"]) == (5, True, None)
    names = [
        org.call("GET", "/services/data/v62.0" + page["resultLink"]).text for page in reversed(pages["resultPages"])
    ]
    assert len(set(names)) == 5
