"""Tables that live while they are read: rows come and go between two pages, and none of those that stay may be lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.d365 import D365Client, TableRead
from tests.d365_client.conftest import Sandbox
from tests.faults import sabotage
from tieout.batch import Changeset, Operation
from tieout.contract import Contracts, Table
from tieout.odata import json_body, key_path

STAYING = [f"STAY-{number:02}" for number in range(12)]
PAGE = 4


def create(client: D365Client, account: str) -> None:
    row = {"dataAreaId": "usmf", "CustomerAccount": account, "OrganizationName": account}
    body = json_body(row | {"CustomerGroupId": "30", "SalesCurrencyCode": "USD"})
    [answer] = client.send_changesets([Changeset((Operation("POST", "CustomersV3", body),))]).answers
    assert getattr(answer, "status", 0) == 201, answer


def remove(client: D365Client, account: str) -> None:
    path = key_path("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": account})
    operation = Operation("DELETE", f"{path}?cross-company=true")
    [answer] = client.send_changesets([Changeset((operation,))]).answers
    assert getattr(answer, "status", 0) == 204, answer


@pytest.fixture
def table(contracts: Contracts) -> Table:
    return contracts.table("d365", "customer")


@pytest.fixture
def read_while(
    client: D365Client, sandbox: Sandbox, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[int, Callable[[], None]]], tuple[TableRead, list[str]]]]:
    """Reads the staying customers and those around them, page by page, with something done behind the n-th page of the first read."""
    before, after = ["AAA-01", "AAA-02"], ["STAY-05-b", "ZZZ-01"]
    for account in [*before, *STAYING, *after]:
        create(client, account)
    sandbox.post("settings", {"page_size": PAGE})
    where = "CustomerAccount ge 'AAA' and not (CustomerAccount ge 'C-' and CustomerAccount lt 'D')"

    def read(happenings: dict[int, Callable[[], None]]) -> tuple[TableRead, list[str]]:
        real, pages = client._page, iter(range(1, 1000))

        def page(url: str, accept: str = "application/json") -> object:
            answered = real(url, accept)
            if "$count" not in url:
                happenings.pop(next(pages), lambda: None)()
            return answered

        monkeypatch.setattr(client, "_page", page)
        made = client.pages(table, tmp_path, where=where)
        monkeypatch.undo()
        rows = [row for file in made.pages.files for row in json.loads(file.read_bytes())]
        return made, [row["CustomerAccount"] for row in rows]

    yield read
    sandbox.post("settings", {"page_size": None})
    rows = client.rows("CustomersV3", where=where, select=["CustomerAccount"])
    for row in rows:
        remove(client, row["CustomerAccount"])


def test_a_row_that_goes_and_one_that_comes_between_two_pages_lose_nothing(
    read_while: Callable[..., tuple[TableRead, list[str]]], client: D365Client
) -> None:
    """The counts before and after are the same, so only the way of reading can tell."""

    def one_goes_and_one_comes() -> None:
        remove(client, "AAA-01")
        create(client, "ZZZ-02")

    made, accounts = read_while({1: one_goes_and_one_comes})

    assert made.complete
    assert [account for account in accounts if account in STAYING] == STAYING


def test_reading_by_counting_rows_would_lose_one(
    read_while: Callable[..., tuple[TableRead, list[str]]], client: D365Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teeth of the test above: with `$skip`, the same happening moves a staying row over the edge of a page, and the counts agree."""
    monkeypatch.setattr(D365Client, "_by_key_range", D365Client._by_key_range)  # put back afterwards
    sabotage.apply(["skip_paging"])

    def one_goes_and_one_comes() -> None:
        remove(client, "AAA-01")
        create(client, "ZZZ-02")

    made, accounts = read_while({1: one_goes_and_one_comes})

    assert made.complete
    assert set(STAYING) - set(accounts)


def test_a_table_that_only_grows_while_it_is_read_is_complete_at_once(
    read_while: Callable[..., tuple[TableRead, list[str]]], client: D365Client
) -> None:
    made, accounts = read_while({2: lambda: create(client, "AAA-00")})

    assert made.complete
    assert set(STAYING) <= set(accounts)
    assert all("first" in file.name for file in made.pages.files)
