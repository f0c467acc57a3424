"""Rows by lists of keys: many lists travel in one call, and whatever goes wrong with the call is met as with any other read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resources.d365 import D365Client
from tests.d365_client.conftest import Sandbox
from tieout.answer import Answer, NoAnswer
from tieout.batch import build_reads, parse_reads
from tieout.budget import Budget
from tieout.contract import Contracts
from tieout.errors import BudgetSpent, RequestRefused
from tieout.odata import any_of, equals
from tieout.page_files import PageFiles

LISTS = 25
"""One for each product of a company."""


def filters(company: str = "usmf") -> list[str]:
    return [
        f"{equals('dataAreaId', company)} and {any_of('ItemNumber', [str(1000 + n), 'none'])}" for n in range(LISTS)
    ]


def rows_of(pages: PageFiles) -> list[dict[str, Any]]:
    return [row for file in pages.files for row in json.loads(file.read_bytes())]


def test_many_lists_of_keys_travel_in_few_calls(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    pages = client.pages_of_keys(contracts.table("d365", "released_product"), filters(), tmp_path)

    rows = rows_of(pages)
    assert [(row["dataAreaId"], row["ItemNumber"]) for row in rows] == [("usmf", str(1000 + n)) for n in range(LISTS)]
    assert pages.rows == len(rows)
    assert client.api_calls == 3


def test_companies_other_than_the_own_one_are_read(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    pages = client.pages_of_keys(contracts.table("d365", "released_product"), filters("demf")[:1], tmp_path)

    assert [row["dataAreaId"] for row in rows_of(pages)] == ["demf"]


def test_pages_behind_the_first_are_followed(
    client: D365Client, sandbox: Sandbox, contracts: Contracts, tmp_path: Path
) -> None:
    sandbox.post("settings", {"page_size": 10})

    pages = client.pages_of_keys(contracts.table("d365", "released_product"), ["dataAreaId eq 'usmf'"], tmp_path)

    assert len(rows_of(pages)) == 25


def test_nothing_to_ask_for_is_no_call(client: D365Client, contracts: Contracts, tmp_path: Path) -> None:
    assert client.pages_of_keys(contracts.table("d365", "released_product"), [], tmp_path).rows == 0
    assert client.api_calls == 0


@pytest.mark.parametrize("kind", ["drop", "lose_answer", "cut_body", "expire_tokens"])
def test_a_batch_of_reads_whose_answer_is_lost_is_asked_for_again(
    client: D365Client, sandbox: Sandbox, contracts: Contracts, tmp_path: Path, kind: str
) -> None:
    sandbox.fault(kind)

    pages = client.pages_of_keys(contracts.table("d365", "released_product"), filters(), tmp_path)

    assert len(rows_of(pages)) == LISTS


def test_retry_after_is_obeyed(
    client: D365Client, sandbox: Sandbox, contracts: Contracts, tmp_path: Path, naps: list[float]
) -> None:
    sandbox.fault("refuse", status=429, headers={"Retry-After": "7"})

    pages = client.pages_of_keys(contracts.table("d365", "released_product"), filters()[:1], tmp_path)

    assert len(rows_of(pages)) == 1
    assert sum(naps) == pytest.approx(7, abs=1)


def test_a_filter_that_d365_refuses_is_told_in_its_words(
    client: D365Client, contracts: Contracts, tmp_path: Path
) -> None:
    with pytest.raises(RequestRefused, match="NoSuchColumn"):
        client.pages_of_keys(contracts.table("d365", "released_product"), ["NoSuchColumn eq 'x'"], tmp_path)


def test_half_of_a_budget_is_left_to_what_comes_after(
    open_client: Callable[..., D365Client], contracts: Contracts, tmp_path: Path
) -> None:
    budget = Budget("D365", 4, variable="TIEOUT_D365_CALLS_PER_RUN")
    client = open_client(budget=budget)

    with budget.halved(), pytest.raises(BudgetSpent):
        client.pages_of_keys(contracts.table("d365", "released_product"), filters(), tmp_path)

    assert budget.calls == 2
    assert client.count("ReleasedProductsV2") > 0


def test_the_parts_of_an_answer_that_was_cut_off_are_no_answers() -> None:
    request = build_reads("https://d365/data", ["A?x=1", "B?x=2"], "1")
    body = b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}\r\n--b\r\nContent-Type: app"

    first, second = parse_reads("multipart/mixed; boundary=b", body, 2)

    assert request.body.count(b"GET https://d365/data/") == 2
    assert isinstance(first, Answer)
    assert first.status == 200
    assert isinstance(second, NoAnswer)
