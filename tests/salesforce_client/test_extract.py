"""What an extraction leaves on disk, and that nothing is lost on the way."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import resources.salesforce
import resources.salesforce_pages
import tieout.soql
from resources.bulk_progress import progress_in
from resources.salesforce import SalesforceClient
from tests.salesforce_client.conftest import PRODUCTS
from tests.sandbox_salesforce.running_org import Sandbox
from tieout.contract import Column, Contracts, Table
from tieout.errors import RequestRefused, SourceUnavailable
from tieout.landing import land
from tieout.page_files import PageFiles

MakeAccounts = Callable[[int], list[str]]


@pytest.fixture
def account(contracts: Contracts) -> Table:
    return contracts.table("salesforce", "account")


@pytest.fixture
def product(contracts: Contracts) -> Table:
    return contracts.table("salesforce", "product")


@pytest.fixture
def now(org: Sandbox) -> datetime:
    """A moment of this test's own, which the sandbox keeps: nothing of the other tests changed since."""
    moment = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(minutes=org.journal_end())
    org.control("clock", now=moment.isoformat(), frozen=True)
    org.log_in()
    return moment


def records(pages: PageFiles) -> list[dict[str, Any]]:
    if pages.format == "json":
        return [record for file in pages.files for record in json.loads(file.read_text())]
    return [row for file in pages.files for row in csv.DictReader(file.read_text().splitlines())]


def test_changed_records_come_as_json_pages_with_all_columns_of_the_contract(
    org: Sandbox, client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime
) -> None:
    ids = accounts(450)
    org.control("settings", page_size=200)

    pages = client.extract(account, now, tmp_path / "pages")

    assert (pages.format, pages.rows, len(pages.files)) == ("json", 450, 3)
    got = records(pages)
    assert sorted(record["Id"] for record in got) == sorted(ids)
    assert {name for name in got[0] if name != "attributes"} == {column.name for column in account.columns}


def test_the_read_starts_on_salesforces_clock(
    client: SalesforceClient, account: Table, tmp_path: Path, now: datetime
) -> None:
    pages = client.extract(account, now, tmp_path)

    assert pages.started_at == pages.ended_at == now
    assert client.server_now() == now


def test_a_record_of_the_very_second_of_the_watermark_is_read(
    client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime
) -> None:
    accounts(1)

    assert client.extract(account, now + timedelta(milliseconds=900), tmp_path).rows == 1
    assert client.extract(account, now + timedelta(seconds=1), tmp_path).rows == 0


def test_nothing_changed_is_one_empty_page(
    client: SalesforceClient, account: Table, tmp_path: Path, now: datetime
) -> None:
    pages = client.extract(account, now, tmp_path)

    assert (pages.rows, len(pages.files), records(pages)) == (0, 1, [])


def test_deleted_records_come_too_and_say_so(
    org: Sandbox, client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime
) -> None:
    kept, deleted = accounts(2)
    org.call("DELETE", f"sobjects/Account/{deleted}")

    found = {record["Id"]: record["IsDeleted"] for record in records(client.extract(account, now, tmp_path))}

    assert found == {kept: False, deleted: True}


def test_a_token_that_dies_between_two_pages_costs_nothing(
    org: Sandbox, client_for: Callable[..., SalesforceClient], account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime
) -> None:  # fmt: skip
    ids = accounts(450)
    # The first pause comes when the second page is asked for: the moment to let all tokens die.
    org.control("settings", page_size=200)
    org.control("faults", kind="refuse", status=503, path="/query/0r8")
    client = client_for(sleep=lambda _: org.control("tokens/expire"))

    pages = client.extract(account, now, tmp_path)

    assert sorted(record["Id"] for record in records(pages)) == sorted(ids)


@pytest.mark.parametrize("fault", ["drop", "lose_answer", "cut_body"])
def test_a_connection_that_breaks_within_a_page_is_met_by_asking_again(
    org: Sandbox, client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime,
    fault: str, pauses: list[float],
) -> None:  # fmt: skip
    ids = accounts(450)
    org.control("settings", page_size=200)
    org.control("faults", kind=fault, path="/query/0r8", times=2)

    pages = client.extract(account, now, tmp_path)

    assert sorted(record["Id"] for record in records(pages)) == sorted(ids)
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [420, 429, 500, 502, 503])
def test_trouble_that_stays_is_told_after_four_times(
    org: Sandbox, client: SalesforceClient, account: Table, tmp_path: Path, status: int, pauses: list[float]
) -> None:
    org.control("faults", kind="refuse", status=status, times=9, path="/queryAll")

    with pytest.raises(
        SourceUnavailable, match=rf"answered 4 times with HTTP {status} \(.*\)\. Wait, then run it again"
    ):
        client.extract(account, None, tmp_path)

    assert len(pauses) == 3


def test_a_field_that_salesforce_does_not_have_is_refused_in_its_own_words(
    client: SalesforceClient, account: Table, tmp_path: Path, now: datetime, pauses: list[float]
) -> None:
    wrong = replace(account, columns=(*account.columns, Column("Foo__c", "text")))

    with pytest.raises(RequestRefused, match="No such column 'Foo__c' on entity 'Account'") as refused:
        client.extract(wrong, now, tmp_path)

    assert (refused.value.status, refused.value.code) == (400, "INVALID_FIELD")
    assert pauses == []


def test_used_up_calls_stop_the_run_and_say_so(
    org: Sandbox, client: SalesforceClient, account: Table, tmp_path: Path, pauses: list[float]
) -> None:
    client.limits()
    org.control("settings", daily_api_limit=1)

    with pytest.raises(
        RequestRefused, match=r"REQUEST_LIMIT_EXCEEDED: .* nothing is lost: run it again later"
    ) as refused:
        client.extract(account, None, tmp_path)

    assert refused.value.code == "REQUEST_LIMIT_EXCEEDED"
    assert pauses == []


def test_too_many_calls_at_once_is_a_refusal_of_the_moment(
    org: Sandbox, client: SalesforceClient, account: Table, tmp_path: Path, now: datetime, pauses: list[float]
) -> None:
    words = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    body = [{"message": words, "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    org.control("faults", kind="refuse", status=403, body=body, path="/queryAll")

    assert client.extract(account, now, tmp_path).rows == 0
    assert len(pauses) == 1


def test_many_records_come_by_a_bulk_job_as_csv_pages_and_the_job_is_removed(
    org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources.salesforce_pages, "_BULK_PAGE_ROWS", 4_000)

    pages = client.extract(product, None, tmp_path)

    assert (pages.format, pages.rows, len(pages.files)) == ("csv", PRODUCTS, 3)
    got = records(pages)
    assert len({row["Id"] for row in got}) == PRODUCTS
    assert got[0]["Name"].startswith('"Rad"')
    assert org.call("GET", "jobs/query").json()["records"] == []


def test_a_token_that_dies_during_a_bulk_job_does_not_start_it_anew(
    org: Sandbox, client_for: Callable[..., SalesforceClient], product: Table, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resources.salesforce_pages, "_BULK_PAGE_ROWS", 4_000)
    org.control("settings", bulk_in_progress_polls=2)
    org.control("faults", kind="cut_body", path="/results", after=1)
    before = org.journal_end()

    # Tokens die at every pause: while the job is polled, and after the second page broke off.
    pages = client_for(sleep=lambda _: org.control("tokens/expire")).extract(product, None, tmp_path)

    assert len({row["Id"] for row in records(pages)}) == pages.rows == PRODUCTS
    created = org.journal(after=before, phase="answered", method="POST", path="/services/data/v62.0/jobs/query")
    assert [entry["status"] for entry in created if entry["status"] != 401] == [200]


def test_a_bulk_job_that_fails_is_told_in_salesforces_words_and_removed(
    org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path
) -> None:
    org.control("settings", bulk_error="API_ERROR: Implementation restriction")

    with pytest.raises(RequestRefused, match="for product ended as Failed: API_ERROR: Implementation restriction"):
        client.extract(product, None, tmp_path)

    assert org.call("GET", "jobs/query").json()["records"] == []


def test_a_bulk_job_that_was_left_half_way_is_removed(
    org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path
) -> None:
    org.control("faults", kind="refuse", status=503, path="/results", times=9)

    with pytest.raises(SourceUnavailable):
        client.extract(product, None, tmp_path)

    assert org.call("GET", "jobs/query").json()["records"] == []


def broken_off(org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path) -> None:
    """A read that breaks off for good behind its second page; the folder of its run goes."""
    org.control("faults", kind="refuse", status=503, path="/results", after=2, times=9)
    with pytest.raises(SourceUnavailable):
        client.extract(product, None, tmp_path / "first", keep=tmp_path / "kept")
    shutil.rmtree(tmp_path / "first")
    org.http.delete(f"{org.url}/_sandbox/faults", timeout=10)


def test_a_bulk_read_that_broke_off_goes_on_behind_its_last_page(
    org: Sandbox, client_for: Callable[..., SalesforceClient], product: Table, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resources.salesforce_pages, "_BULK_PAGE_ROWS", 3_000)
    begun = client_for().server_now()
    broken_off(org, client_for(), product, tmp_path)
    place = org.journal_end()

    pages = client_for().extract(product, None, tmp_path / "second", keep=tmp_path / "kept")

    assert [file.parent for file in pages.files] == [tmp_path / "second"] * 4
    ids = [row["Id"] for row in records(pages)]
    assert len(ids) == len(set(ids)) == pages.rows == PRODUCTS
    asked = org.journal(after=place, phase="asked")
    assert [entry["method"] for entry in asked if entry["path"].endswith("jobs/query")] == []
    assert sum(entry["path"].endswith("/results") for entry in asked) == 2
    assert begun <= pages.started_at <= pages.ended_at
    assert org.call("GET", "jobs/query").json()["records"] == []
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["lock"]


def test_a_job_that_is_gone_and_another_question_are_begun_anew(
    org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resources.salesforce_pages, "_BULK_PAGE_ROWS", 3_000)
    for change in ("the job is gone", "another question"):
        broken_off(org, client, product, tmp_path)
        wanted = product
        if change == "another question":
            wanted = replace(product, columns=product.columns[:-4])
        else:
            [job] = org.call("GET", "jobs/query").json()["records"]
            org.call("DELETE", f"jobs/query/{job['id']}")

        pages = client.extract(wanted, None, tmp_path / change, keep=tmp_path / "kept")

        got = records(pages)
        assert len({row["Id"] for row in got}) == len(got) == PRODUCTS
        assert set(got[0]) == {column.name for column in wanted.columns}


def test_two_reads_at_once_do_not_share_what_is_kept(
    org: Sandbox, client: SalesforceClient, product: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(resources.salesforce_pages, "_BULK_PAGE_ROWS", 3_000)
    broken_off(org, client, product, tmp_path)
    with progress_in(tmp_path / "kept", "SELECT Id FROM Product2"):
        pages = client.extract(product, None, tmp_path / "beside", keep=tmp_path / "kept")

    assert len({row["Id"] for row in records(pages)}) == pages.rows == PRODUCTS


def test_a_statement_too_long_for_an_address_goes_by_a_bulk_job(
    client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tieout.soql, "LONGEST_IN_ADDRESS", 100)
    ids = accounts(2)

    pages = client.extract(account, now, tmp_path)

    assert pages.format == "csv"
    assert sorted(row["Id"] for row in records(pages)) == sorted(ids)


def test_rest_and_bulk_land_as_the_same_rows(
    client: SalesforceClient, product: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two write instants, numbers and nothing differently; a run that changes its way must not see changes."""
    by_bulk = client.extract(product, None, tmp_path / "bulk")
    monkeypatch.setattr(resources.salesforce, "MOST_ROWS_BY_REST", 1_000_000)
    by_rest = client.extract(product, None, tmp_path / "rest")

    assert (by_bulk.format, by_rest.format) == ("csv", "json")
    landed = []
    for pages in (by_bulk, by_rest):
        con = duckdb.connect()
        land(con, product, pages, run_id="run", extracted_at=pages.started_at)
        landed.append(con.execute("SELECT _key, _row_hash FROM good ORDER BY _key").fetchall())
    assert len(landed[0]) == PRODUCTS
    assert landed[0] == landed[1]


def test_records_are_read_again_by_id_deleted_ones_too(
    org: Sandbox, client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path
) -> None:
    ids = accounts(201)
    org.call("DELETE", f"sobjects/Account/{ids[0]}")
    asked = [*ids, "001000000000000AAA"]

    again = client.read_by_id(account, asked)
    pages = client.extract_by_id(account, asked, tmp_path)

    assert sorted(record["Id"] for record in again) == sorted(ids)
    assert sorted(record["Id"] for record in records(pages)) == sorted(ids)
    assert (pages.rows, len(pages.files)) == (201, 2)


def test_calls_are_counted_as_salesforce_counts_them(
    org: Sandbox, client: SalesforceClient, account: Table, accounts: MakeAccounts, tmp_path: Path, now: datetime
) -> None:
    """Sign-ins and the list of versions are free; a page, a count and a description are one call each."""
    accounts(450)
    org.control("settings", page_size=200)
    before = org.journal_end()
    assert client.quota is None
    assert "62.0" in client.versions()
    assert client.api_calls == 0

    client.extract(account, now, tmp_path)
    client.describe("Account")

    asked = [entry["path"] for entry in org.journal(after=before, phase="asked", limit=1000)]
    assert client.api_calls == len([path for path in asked if path.startswith("/services/data/v")]) == 1 + 3 + 1
    quota = client.quota
    assert quota is not None
    assert client.limits()["DailyApiRequests"]["Remaining"] == quota.allowed - quota.used - 1


def test_an_object_that_is_not_there_is_refused_by_name(client: SalesforceClient) -> None:
    with pytest.raises(RequestRefused, match="NOT_FOUND"):
        client.describe("Nothing__c")


def test_the_orders_of_a_month_and_their_lines_can_be_asked_for(
    org: Sandbox, client: SalesforceClient, contracts: Contracts, tag: str
) -> None:
    company = tag[:4]
    ids = [
        org.create("Opportunity", Name=tag, StageName="Closed Won", CloseDate=day, ERP_Company__c=company)
        for day in ("2026-11-30", "2026-12-01", "2026-12-31", "2027-01-01")
    ]
    orders = contracts["sales_order"]

    [december] = tieout.soql.consecutive([(date(2026, 12, 1), company)])
    found = client.query(tieout.soql.closed_in(orders, december), include_deleted=True)
    lines = client.query(tieout.soql.lines_closed_in(orders, december), include_deleted=True)

    assert {record["Id"] for record in found} == set(ids[1:3])
    assert lines == []


def test_months_that_follow_each_other_are_asked_for_at_once() -> None:
    months = [
        (date(2026, 1, 1), "usmf"),
        (date(2025, 12, 1), "usmf"),
        (date(2026, 3, 1), "usmf"),
        (date(2026, 2, 1), "demf"),
    ]

    assert tieout.soql.consecutive(months) == [
        tieout.soql.ClosedIn(date(2026, 2, 1), date(2026, 3, 1), "demf"),
        tieout.soql.ClosedIn(date(2025, 12, 1), date(2026, 2, 1), "usmf"),
        tieout.soql.ClosedIn(date(2026, 3, 1), date(2026, 4, 1), "usmf"),
    ]
