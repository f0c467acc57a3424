"""Long answers: pages, locators, child pages, and what a snapshot means."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.salesforce.store import FILE_NAME, Store
from tests.sandbox_salesforce.running_org import Sandbox, start_sandbox

ROWS = 2001


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Sandbox]:
    state = tmp_path_factory.mktemp("pages")
    store = Store(state / FILE_NAME)
    parent = store.next_id("Account")
    store.insert_many("Account", [{"Id": parent, "Name": "Parent"}])
    store.insert_many(
        "Opportunity",
        (
            {"Name": f"Deal {number:04}", "AccountId": parent, "StageName": "Closed Won", "CloseDate": "2026-01-31"}
            for number in range(ROWS)
        ),
    )
    store.close()
    sandbox = start_sandbox(state)
    yield sandbox
    sandbox.stop()


@pytest.fixture
def org(filled: Sandbox) -> Sandbox:
    return filled


ALL = "SELECT Name FROM Opportunity ORDER BY Name"


def names(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [record["Name"] for record in page["records"]]


def test_2001_rows_come_in_two_pages(org: Sandbox) -> None:
    first = org.query(ALL)
    second = org.call("GET", first["nextRecordsUrl"]).json()

    assert (first["totalSize"], first["done"], len(first["records"])) == (ROWS, False, 2000)
    assert (second["totalSize"], second["done"], names(second)) == (ROWS, True, ["Deal 2000"])
    assert "nextRecordsUrl" not in second


def test_a_locator_looks_real_and_works_under_both_resources_whatever_else_the_url_says(org: Sandbox) -> None:
    url = org.query(ALL, deleted=True)["nextRecordsUrl"]
    locator, _, offset = url.rpartition("/")[2].partition("-")

    assert url.startswith("/services/data/v62.0/query/0r8")
    assert (len(locator), offset) == (18, "2000")
    for path in (url, url.replace("/query/", "/queryAll/"), f"{url}?q=SELECT+Id+FROM+Account", f"{url}/"):
        assert names(org.call("GET", path).json()) == ["Deal 2000"], path


@pytest.mark.parametrize(("asked", "given"), [("batchSize=500", 500), ("batchSize=1", 200), ("batchSize=9000", 2000)])
def test_the_page_size_is_a_wish_within_bounds(org: Sandbox, asked: str, given: int) -> None:
    sizes, answer = [], org.query(ALL, **{"Sforce-Query-Options": asked})
    seen = names(answer)
    sizes.append(len(answer["records"]))
    while not answer["done"]:
        answer = org.call("GET", answer["nextRecordsUrl"]).json()
        sizes.append(len(answer["records"]))
        seen += names(answer)
    assert set(sizes[:-1]) == {given}
    assert seen == [f"Deal {number:04}" for number in range(ROWS)]


@pytest.mark.parametrize("path", ["query/0r8xx2Kd0aBcDeFACV-2000", "query/nonsense", "queryAll/0r8-1"])
def test_an_unknown_locator_is_refused(org: Sandbox, path: str) -> None:
    answer = org.call("GET", path)
    assert answer.status_code == 400
    assert answer.json() == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


def test_children_page_by_themselves(org: Sandbox) -> None:
    soql = "SELECT Id, (SELECT Name FROM Opportunities ORDER BY Name) FROM Account"
    below = org.query(soql)["records"][0]["Opportunities"]
    more = org.call("GET", below["nextRecordsUrl"]).json()

    assert (below["totalSize"], below["done"], len(below["records"])) == (ROWS, False, 200)
    assert below["nextRecordsUrl"].endswith("-200")
    assert names(more)[0] == "Deal 0200"
    assert more["records"][0]["attributes"]["type"] == "Opportunity"


def test_a_snapshot_keeps_its_rows_but_shows_them_as_they_are_now(org: Sandbox) -> None:
    first = org.query(f"{ALL} DESC")
    (last,) = org.column("SELECT Id FROM Opportunity WHERE Name = 'Deal 0000'")
    org.call("PATCH", f"sobjects/Opportunity/{last}", json={"Name": "Zzz"})
    new = org.create("Opportunity", Name="Deal 0000b", StageName="Prospecting", CloseDate="2026-01-31")

    assert names(org.call("GET", first["nextRecordsUrl"]).json()) == ["Zzz"]

    org.call("DELETE", f"sobjects/Opportunity/{last}")
    assert names(org.call("GET", first["nextRecordsUrl"]).json()) == []
    org.call("DELETE", f"sobjects/Opportunity/{new}")
    org.control("undelete", ids=[last])
    org.call("PATCH", f"sobjects/Opportunity/{last}", json={"Name": "Deal 0000"})


def test_a_locator_dies_after_two_days(org: Sandbox) -> None:
    url = org.query(ALL)["nextRecordsUrl"]
    org.control("clock", advance_s=2 * 86400 + 5)
    org.log_in()
    assert org.call("GET", url).json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"
    org.control("clock", now=None)


def test_a_locator_survives_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / FILE_NAME)
    store.insert_many("Product2", ({"Name": f"P{number:04}"} for number in range(250)))
    store.close()
    before = start_sandbox(tmp_path)
    url = before.query("SELECT Name FROM Product2 ORDER BY Name", **{"Sforce-Query-Options": "batchSize=200"})[
        "nextRecordsUrl"
    ]
    before.stop()

    after = start_sandbox(tmp_path)
    after.token = before.token
    page = after.call("GET", url).json()
    counts = after.http.get(f"{after.url}/_sandbox/health", timeout=10).json()
    after.stop()

    assert len(page["records"]) == 50
    assert page["done"] is True
    assert counts["system"] == "salesforce"
    assert counts["counts"]["Product2"] == 250
