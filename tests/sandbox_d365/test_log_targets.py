"""Dataverse and Graph in the D365 sandbox: their limits, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.graph.items import LIST_ID, SITE_ID
from tests.log_sinks.conftest import Targets, running_targets

UPSERT = "api/data/v9.2/new_integrationlogs/Microsoft.Dynamics.CRM.UpsertMultiple"
ITEMS = f"/sites/{SITE_ID}/lists/{LIST_ID}/items"


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    with running_targets(Path(tmp_path_factory.mktemp("limits"))) as running:
        yield running


@pytest.fixture
def http(targets: Targets) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {targets.token()}"
        yield session
    defaults = requests.get(f"{targets.url}/_sandbox/settings", timeout=30).json()
    targets.post("settings", dict.fromkeys(defaults))
    targets.post("clock", {"advance_s": 600})


def target(key: str, **columns: Any) -> dict[str, Any]:
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.new_integrationlog"}
    return kind | {"@odata.id": f"new_integrationlogs(new_logkey='{key}')", **columns}


def upserted(http: requests.Session, targets: Targets, *rows: dict[str, Any]) -> requests.Response:
    return http.post(f"{targets.url}/{UPSERT}", json={"Targets": list(rows)}, timeout=30)


def batched(http: requests.Session, targets: Targets, *fields: dict[str, Any]) -> requests.Response:
    parts = [
        {
            "id": str(place),
            "method": "POST",
            "url": ITEMS,
            "headers": {"Content-Type": "application/json"},
            "body": {"fields": each},
        }
        for place, each in enumerate(fields)
    ]
    return http.post(f"{targets.url}/v1.0/$batch", json={"requests": parts}, timeout=30)


def statuses(answer: requests.Response) -> list[int]:
    parts = sorted(answer.json()["responses"], key=lambda part: int(part["id"]))
    return [part["status"] for part in parts]


def test_nobody_comes_in_without_a_token(targets: Targets) -> None:
    assert requests.post(f"{targets.url}/{UPSERT}", json={}, timeout=30).status_code == 401
    assert requests.post(f"{targets.url}/v1.0/$batch", json={}, timeout=30).status_code == 401


def test_a_row_of_the_same_key_is_changed_and_not_made_again(http: requests.Session, targets: Targets) -> None:
    before = requests.get(f"{targets.url}/_sandbox/health", timeout=30).json()["counts"]["new_integrationlogs"]
    assert upserted(http, targets, target("A-1", new_name="first")).status_code == 204
    assert upserted(http, targets, target("A-1", new_name="second"), target("A-2")).status_code == 204

    found = http.get(f"{targets.url}/api/data/v9.2/new_integrationlogs?$filter=new_logkey eq 'A-1'", timeout=30).json()
    counts = requests.get(f"{targets.url}/_sandbox/health", timeout=30).json()["counts"]
    assert [row["new_name"] for row in found["value"]] == ["second"]
    assert counts["new_integrationlogs"] == before + 2


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"new_reason": "x" * 4001}, "0x80044331"),
        ({"new_reason": "bell \x07"}, "0x80040203"),
        ({"new_direction": 1}, "0x8004431a"),
        ({"new_httpstatus": 2**31}, "0x8004431a"),
        ({"new_unknown": "x"}, "0x80048d19"),
    ],
)
def test_one_row_that_does_not_fit_rolls_all_back(
    http: requests.Session, targets: Targets, columns: dict[str, Any], code: str
) -> None:
    answer = upserted(http, targets, target(f"good beside {code}"), target("bad", **columns))

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    found = http.get(
        f"{targets.url}/api/data/v9.2/new_integrationlogs?$filter=new_logkey eq 'good beside {code}'", timeout=30
    )
    assert found.json()["value"] == []


def test_more_rows_than_a_call_takes_and_a_key_that_no_key_may_be_are_refused(
    http: requests.Session, targets: Targets
) -> None:
    assert upserted(http, targets, *(target(f"R-{number}") for number in range(1001))).status_code == 400
    assert upserted(http, targets, target("a:b")).status_code == 400
    assert upserted(http, targets, target("same"), target("SAME")).status_code == 400


def test_too_many_calls_in_a_window_are_answered_with_the_seconds_until_there_is_room(
    http: requests.Session, targets: Targets
) -> None:
    targets.post("settings", {"dataverse_requests": 2})
    targets.post("clock", {"advance_s": 600})
    answers = [upserted(http, targets, target(f"W-{number}")) for number in range(3)]

    assert [each.status_code for each in answers] == [204, 204, 429]
    assert answers[2].json()["error"]["code"] == "0x80072322"
    wait_s = int(answers[2].headers["Retry-After"])
    assert 290 <= wait_s <= 301
    targets.post("clock", {"advance_s": wait_s})
    assert upserted(http, targets, target("W-9")).status_code == 204


def test_a_batch_holds_20_requests_and_not_one_more(http: requests.Session, targets: Targets) -> None:
    assert statuses(batched(http, targets, *({"LogKey": f"B-{number}"} for number in range(20)))) == [201] * 20
    too_many = batched(http, targets, *({"LogKey": f"C-{number}"} for number in range(21)))

    assert too_many.status_code == 400
    assert "maximum value of 20" in too_many.json()["error"]["message"]


@pytest.mark.parametrize("status", [400, 409])
def test_a_key_that_is_there_is_refused_by_its_own_part(http: requests.Session, targets: Targets, status: int) -> None:
    targets.post("settings", {"graph_duplicate_status": status})
    key = f"D-{status}"

    assert statuses(batched(http, targets, {"LogKey": key}, {"LogKey": key}, {"LogKey": f"{key}-2"})) == [
        201,
        status,
        201,
    ]


@pytest.mark.parametrize(
    "fields",
    [{"Title": "x" * 256}, {"Title": "two\nlines"}, {"Reason": "bell \x07"}, {"Direction": "Up"}, {"New": "x"}],
)
def test_a_field_that_does_not_fit_is_refused(http: requests.Session, targets: Targets, fields: dict[str, Any]) -> None:
    assert statuses(batched(http, targets, fields)) == [400]


def test_a_filter_needs_a_column_with_an_index(http: requests.Session, targets: Targets) -> None:
    answer = http.get(f"{targets.url}/v1.0{ITEMS}?$filter=fields/Outcome eq 'x'", timeout=30)

    assert answer.status_code == 400
    assert "not indexed" in json.loads(answer.text)["error"]["message"]


def test_every_item_counts_and_what_is_too_much_is_told_part_by_part(http: requests.Session, targets: Targets) -> None:
    targets.post("settings", {"graph_units_per_minute": 6})
    targets.post("clock", {"advance_s": 600})

    answer = batched(http, targets, *({"LogKey": f"E-{number}"} for number in range(5)))

    assert statuses(answer) == [201, 201, 201, 429, 429]
    refused = [part for part in answer.json()["responses"] if part["status"] == 429]
    assert {part["body"]["error"]["code"] for part in refused} == {"activityLimitReached"}
    assert all(50 <= int(part["headers"]["Retry-After"]) <= 61 for part in refused)
