"""The faults that only Salesforce has: row locks, partial success, the daily limit, dead locators, late rows."""

import time
from typing import Any

import pytest
import requests

from tests.sandbox_salesforce.running_org import VERSION, Sandbox, an_account
from tests.sandbox_salesforce.test_bulk import new_job, read_all, states_until_done

SHORT_S = 0.3


def create_many(org: Sandbox, tag: str, count: int, **options: Any) -> list[dict[str, Any]]:
    body = {"records": [an_account(tag, Name=f"{tag} {number}") for number in range(count)], **options}
    answer = org.call("POST", "composite/sobjects", json=body)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()
    return results


def codes(results: list[dict[str, Any]]) -> list[str]:
    return [row["errors"][0]["statusCode"] if row["errors"] else "" for row in results]


def struck(org: Sandbox, after: int) -> list[str]:
    return [entry["effect"] for entry in org.journal(after=after, phase="fault")]


def effects(org: Sandbox, after: int) -> list[str]:
    return [entry["effect"] for entry in org.journal(after=after, phase="effect")]


def names(org: Sandbox, tag: str, soql: str = "SELECT Name FROM Account WHERE AccountSource = '{}'") -> list[str]:
    found: list[str] = org.column(soql.format(tag))
    return sorted(found)


# --- writes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "code", "refused"),
    [
        ({"kind": "row_lock"}, "UNABLE_TO_LOCK_ROW", 8),
        ({"kind": "row_lock", "share": 0.25}, "UNABLE_TO_LOCK_ROW", 2),
        ({"kind": "partial_success"}, "FIELD_CUSTOM_VALIDATION_EXCEPTION", 4),
        ({"kind": "partial_success", "share": 0.01, "code": "STRING_TOO_LONG"}, "STRING_TOO_LONG", 1),
    ],
)
def test_a_share_of_a_collections_rows_is_refused_and_the_others_are_written(
    org: Sandbox, tag: str, rule: dict[str, Any], code: str, refused: int
) -> None:
    org.control("faults", **rule)
    place = org.journal_end()

    results = create_many(org, tag, 8)
    again = create_many(org, tag, 1)

    assert sorted(codes(results)) == [""] * (8 - refused) + [code] * refused
    assert effects(org, place) == ["created"] * (8 - refused + 1)
    assert struck(org, place) == [rule["kind"]]
    assert codes(again) == [""]


def test_the_same_seed_refuses_the_same_rows(org: Sandbox, tag: str) -> None:
    def places() -> list[str]:
        org.http.delete(f"{org.url}/_sandbox/faults", timeout=10)
        org.control("faults", seed=11, rules=[{"kind": "row_lock", "share": 0.3}])
        return codes(create_many(org, tag, 20))

    assert places() == places()


def test_a_locked_row_takes_all_of_an_all_or_none_collection_back(org: Sandbox, tag: str) -> None:
    org.control("faults", kind="row_lock", share=0.5)
    place = org.journal_end()

    results = create_many(org, tag, 2, allOrNone=True)

    assert sorted(codes(results)) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "UNABLE_TO_LOCK_ROW"]
    assert (effects(org, place), struck(org, place)) == ([], ["row_lock"])


@pytest.mark.parametrize("kind", ["row_lock", "partial_success"])
def test_a_write_of_one_record_is_refused_as_a_whole(org: Sandbox, tag: str, kind: str) -> None:
    record = org.create("Account", Name=tag)
    org.control("faults", kind=kind, method="PATCH")

    refused = org.call("PATCH", f"sobjects/Account/{record}", json={"Name": f"{tag} 2"})
    accepted = org.call("PATCH", f"sobjects/Account/{record}", json={"Name": f"{tag} 3"})

    assert (refused.status_code, accepted.status_code) == (400, 204)
    if kind == "row_lock":
        assert refused.json()[0] == {
            "errorCode": "UNABLE_TO_LOCK_ROW",
            "message": f"unable to obtain exclusive access to this record or 1 records: {record[:15]}",
            "fields": [],
        }


def test_a_fault_inside_a_composite_call_that_is_undone_is_told(org: Sandbox, tag: str) -> None:
    org.control("faults", kind="row_lock", after=1)
    place = org.journal_end()
    requests_ = [
        {"method": "POST", "url": f"/services/data/v{VERSION}/sobjects/Account", "referenceId": f"r{n}", "body": {"Name": tag}}
        for n in range(2)
    ]  # fmt: skip

    answer = org.call("POST", "composite", json={"allOrNone": True, "compositeRequest": requests_})

    assert [each["httpStatusCode"] for each in answer.json()["compositeResponse"]] == [400, 400]
    assert (effects(org, place), struck(org, place)) == ([], ["row_lock"])


# --- limits and locators -------------------------------------------------------------------------------------------


def test_a_call_beyond_the_daily_limit_is_refused_and_shows_it_as_used_up(org: Sandbox) -> None:
    org.control("faults", kind="daily_limit", path="/query")
    place = org.journal_end()

    other, refused, again = (org.call("GET", path) for path in ("limits", "query?q=x", "limits"))

    assert (other.status_code, refused.status_code, again.status_code) == (200, 403, 200)
    assert refused.json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    most = other.json()["DailyApiRequests"]["Max"]
    assert refused.headers["Sforce-Limit-Info"] == f"api-usage={most}/{most}"
    assert struck(org, place) == ["daily_limit"]


def test_a_locator_that_has_expired_stays_dead(org: Sandbox, tag: str) -> None:
    create_many(org, tag, 200)
    create_many(org, tag, 50)
    org.control("settings", page_size=200)
    org.control("faults", kind="expired_locator")
    place = org.journal_end()

    first = org.query(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'")
    pages = [org.call("GET", first["nextRecordsUrl"]) for _ in range(2)]

    assert [page.status_code for page in pages] == [400, 400]
    assert pages[0].json() == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]
    assert struck(org, place) == ["expired_locator"]
    fresh = org.query(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'")
    assert org.call("GET", fresh["nextRecordsUrl"]).status_code == 200


# --- rows that are late --------------------------------------------------------------------------------------------


def until_seen(org: Sandbox, tag: str, wanted: list[str]) -> None:
    deadline = time.monotonic() + 10
    while names(org, tag) != wanted:
        assert time.monotonic() < deadline, "It never came."
        time.sleep(0.02)


def test_a_new_row_is_seen_by_queries_only_later_and_keeps_its_stamp(org: Sandbox, tag: str) -> None:
    org.control("faults", kind="late_rows", method="POST", delay_s=SHORT_S)
    place = org.journal_end()

    record = org.create("Account", Name=tag, AccountSource=tag)

    stamp = org.read("Account", record)["SystemModstamp"]
    assert names(org, tag) == []
    assert org.query(f"SELECT count() FROM Account WHERE AccountSource = '{tag}'")["totalSize"] == 0
    assert org.query(f"SELECT count(Id) n FROM Account WHERE AccountSource = '{tag}'")["records"][0]["n"] == 0
    assert org.column(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'", deleted=True) == []
    assert (effects(org, place), struck(org, place)) == (["created"], ["late_rows"])
    until_seen(org, tag, [tag])
    assert org.column(f"SELECT SystemModstamp FROM Account WHERE AccountSource = '{tag}'") == [stamp]


def test_of_a_changed_row_queries_see_the_version_before_until_then(org: Sandbox, tag: str) -> None:
    org.control("clock", now="2026-07-01T10:00:00Z", frozen=True)
    kept, changed = (org.create("Account", Name=f"{tag} {n}", AccountSource=tag) for n in ("kept", "old"))
    org.control("clock", advance_s=60)
    org.control("faults", kind="late_rows", method="PATCH", delay_s=30)

    assert org.call("PATCH", f"sobjects/Account/{changed}", json={"Name": f"{tag} new"}).status_code == 204

    since = "SELECT Name FROM Account WHERE AccountSource = '{}' AND SystemModstamp > 2026-07-01T10:00:30Z"
    assert names(org, tag) == [f"{tag} kept", f"{tag} old"]
    assert names(org, tag, since) == []
    assert org.read("Account", changed)["Name"] == f"{tag} new"
    span = {"start": "2026-07-01T09:59:00Z", "end": "2026-07-01T10:05:00Z"}
    updated = org.call("GET", "sobjects/Account/updated", params=span).json()
    assert (set(updated["ids"]) >= {kept, changed}, updated["latestDateCovered"][:19]) == (True, "2026-07-01T10:01:00")
    org.control("clock", advance_s=29)
    assert names(org, tag, since) == []
    org.control("clock", advance_s=1)
    assert names(org, tag, since) == [f"{tag} new"]
    assert org.column(f"SELECT SystemModstamp FROM Account WHERE Id = '{changed}'")[0].startswith("2026-07-01T10:01:00")


def test_a_page_behind_a_locator_shows_the_version_before_too(org: Sandbox, tag: str) -> None:
    made = [row["id"] for row in create_many(org, tag, 200)]
    last = org.create("Account", Name="zzz old", AccountSource=tag)
    org.control("settings", page_size=200)
    first = org.query(f"SELECT Name FROM Account WHERE AccountSource = '{tag}' ORDER BY Name")
    org.control("faults", kind="late_rows", method="PATCH", delay_s=60)
    org.call("PATCH", f"sobjects/Account/{last}", json={"Name": "zzz new"})

    second = org.call("GET", first["nextRecordsUrl"]).json()

    assert len(made) == 200
    assert [each["Name"] for each in second["records"]] == ["zzz old"]


def test_a_bulk_job_does_not_see_late_rows_either(org: Sandbox, tag: str) -> None:
    seen = org.create("Account", Name=f"{tag} old", AccountSource=tag)
    org.control("faults", rules=[{"kind": "late_rows", "path": "sobjects", "times": 2, "delay_s": 60}])
    org.create("Account", Name=f"{tag} late", AccountSource=tag)
    org.call("PATCH", f"sobjects/Account/{seen}", json={"Name": f"{tag} new"})

    job = new_job(org, f"SELECT Name FROM Account WHERE AccountSource = '{tag}'")
    states_until_done(org, job)
    pages, _ = read_all(org, job)

    assert [row["Name"] for page in pages for row in page] == [f"{tag} old"]
    assert org.read("Account", seen)["Name"] == f"{tag} new"


def test_a_write_that_is_not_late_shows_the_row_at_once(org: Sandbox, tag: str) -> None:
    org.control("faults", kind="late_rows", method="POST", delay_s=60)
    record = org.create("Account", Name=tag, AccountSource=tag)
    assert names(org, tag) == []

    org.call("PATCH", f"sobjects/Account/{record}", json={"Name": f"{tag} 2"})

    assert names(org, tag) == [f"{tag} 2"]


def test_all_rows_of_a_late_collection_are_late(org: Sandbox, tag: str) -> None:
    org.control("faults", kind="late_rows", path="composite", delay_s=SHORT_S)

    create_many(org, tag, 3)

    assert names(org, tag) == []
    until_seen(org, tag, [f"{tag} {number}" for number in range(3)])


def test_throttled_by_the_edge_there_is_no_body(org: Sandbox) -> None:
    org.control("faults", kind="throttle", retry_after_s=None)

    answer = requests.get(f"{org.url}/services/data/v{VERSION}/limits", timeout=10)

    assert (answer.status_code, answer.content, "Retry-After" in answer.headers) == (429, b"", False)
