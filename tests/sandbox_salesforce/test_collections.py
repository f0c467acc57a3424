"""Two hundred records in a call, each with its own answer."""

from typing import Any

from tests.sandbox_salesforce.running_org import Sandbox, an_account


def collection(
    org: Sandbox, method: str, records: list[dict[str, Any]], path: str = "", all_or_none: bool = False
) -> list[Any]:
    answer = org.call(method, f"composite/sobjects{path}", json={"allOrNone": all_or_none, "records": records})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_good_rows_go_on_where_bad_ones_stop(org: Sandbox, tag: str) -> None:
    results = collection(org, "POST", [an_account(tag), an_account(tag, Name=None), an_account(tag)])

    assert [row["success"] for row in results] == [True, False, True]
    assert results[0] == {"id": results[0]["id"], "success": True, "errors": []}
    assert results[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }
    assert len(org.column(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'")) == 2


def test_all_or_none_takes_everything_back_and_says_so(org: Sandbox, tag: str) -> None:
    start = org.journal_end()
    results = collection(org, "POST", [an_account(tag), an_account(tag, Name=None)], all_or_none=True)

    assert [row["errors"][0]["statusCode"] for row in results] == [
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUIRED_FIELD_MISSING",
    ]
    assert results[0]["errors"][0]["message"] == (
        "Record rolled back because not all records were valid and the request was using AllOrNone header"
    )
    assert org.column(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'") == []
    assert org.journal(after=start, phase="effect") == []


def test_update_answers_row_by_row_and_the_journal_has_one_effect_per_record(org: Sandbox, tag: str) -> None:
    made = [row["id"] for row in collection(org, "POST", [an_account(tag) for _ in range(3)])]
    start = org.journal_end()
    records = [{"attributes": {"type": "Account"}, "id": each, "Site": "here"} for each in made]
    records[1]["id"] = "0018d00000XyZaBAAV"
    results = collection(org, "PATCH", records)

    assert [row["success"] for row in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    effects = org.journal(after=start, phase="effect")
    assert [(entry["effect"], entry["key"], entry["fields"]) for entry in effects] == [
        ("updated", made[0], ["Site"]), ("updated", made[2], ["Site"]),
    ]  # fmt: skip


def test_upsert_creates_then_updates_and_refuses_the_same_key_twice(org: Sandbox, tag: str) -> None:
    def rows(*keys: str) -> list[dict[str, Any]]:
        return [an_account(tag, ERP_Number__c=key) for key in keys]

    path = "/Account/ERP_Number__c"
    first = collection(org, "PATCH", rows(f"{tag}1", f"{tag}2"), path)
    second = collection(org, "PATCH", rows(f"{tag}2".upper(), f"{tag}3", f"{tag}3"), path)

    assert [row["created"] for row in first] == [True, True]
    assert (second[0]["id"], second[0]["created"]) == (first[1]["id"], False)
    assert [row["errors"][0]["message"] for row in second[1:]] == [f"Duplicate external id specified: {tag}3"] * 2


def test_more_than_two_hundred_records_are_refused(org: Sandbox, tag: str) -> None:
    answer = org.call("POST", "composite/sobjects", json={"records": [an_account(tag)] * 201})
    assert answer.status_code == 400
    assert answer.json()[0] == {
        "errorCode": "EXCEEDED_ID_LIMIT",
        "message": "record limit reached. cannot submit more than 200 records in this request",
    }


def test_records_are_read_in_the_order_of_their_ids_with_null_for_the_missing(org: Sandbox, tag: str) -> None:
    one, two = (row["id"] for row in collection(org, "POST", [an_account(tag), an_account(tag)]))
    ids = [two, "0018d00000XyZaBAAV", one[:15]]
    by_body = org.call(
        "POST", "composite/sobjects/Account", json={"ids": ids, "fields": ["Id", "AccountSource"]}
    ).json()
    by_url = org.call(
        "GET", "composite/sobjects/Account", params={"ids": ",".join(ids), "fields": "Id,AccountSource"}
    ).json()

    assert by_body == by_url
    assert [record and record["Id"] for record in by_body] == [two, None, one]


def test_deleting_answers_row_by_row(org: Sandbox, tag: str) -> None:
    made = collection(org, "POST", [an_account(tag)])[0]["id"]
    answer = org.call(
        "DELETE", "composite/sobjects", params={"ids": f"{made},0018d00000XyZaBAAV", "allOrNone": "false"}
    )
    assert [row["success"] for row in answer.json()] == [True, False]


def test_a_locked_row_can_be_written_later(org: Sandbox, tag: str) -> None:
    made = collection(org, "POST", [an_account(tag)])[0]["id"]
    org.control("settings", locked_rows={made: 1})
    record = {"attributes": {"type": "Account"}, "id": made, "Site": "x"}

    locked, free = (collection(org, "PATCH", [record])[0] for _ in range(2))

    assert locked["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
    assert free["success"] is True


def test_composite_calls_refer_to_each_other_and_count_as_one(org: Sandbox, tag: str) -> None:
    used = org.call("GET", "limits").headers["Sforce-Limit-Info"]
    base = "/services/data/v62.0"
    answer = org.call("POST", "composite", json={"allOrNone": True, "compositeRequest": [
        {"method": "POST", "url": f"{base}/sobjects/Account", "referenceId": "a", "body": {"Name": tag}},
        {"method": "PATCH", "url": f"{base}/sobjects/Account/@{{a.id}}", "referenceId": "b", "body": {"Site": tag}},
        {"method": "GET", "url": f"{base}/query/?q=SELECT+Site+FROM+Account+WHERE+Id='@{{a.id}}'", "referenceId": "c"},
    ]})  # fmt: skip
    parts = answer.json()["compositeResponse"]

    assert [part["httpStatusCode"] for part in parts] == [201, 204, 200]
    assert parts[2]["body"]["records"][0]["Site"] == tag
    before, after = (int(header.split("=")[1].split("/")[0]) for header in (used, answer.headers["Sforce-Limit-Info"]))
    assert after == before + 1


def test_a_failed_composite_call_halts_and_undoes_the_others(org: Sandbox, tag: str) -> None:
    start = org.journal_end()
    path = "/services/data/v62.0/sobjects/Account"
    parts = org.call("POST", "composite", json={"allOrNone": True, "compositeRequest": [
        {"method": "POST", "url": path, "referenceId": "a", "body": {"Name": tag}},
        {"method": "POST", "url": path, "referenceId": "b", "body": {}},
    ]}).json()["compositeResponse"]  # fmt: skip

    assert [part["body"][0]["errorCode"] for part in parts] == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert org.column(f"SELECT Id FROM Account WHERE Name = '{tag}'") == []
    assert org.journal(after=start, phase="effect") == []
