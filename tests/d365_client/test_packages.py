"""Whole tables by data packages: ordered, waited for, fetched, and proven by D365's count; and how that goes wrong."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from resources.d365 import D365Client
from resources.packages import PackageExports
from tests.d365_client.conftest import Sandbox
from tests.d365_client.gateway import Fault, Gateway
from tieout.contract import Contracts, Table
from tieout.errors import RequestRefused, SourceUnavailable

COMPANIES = ("demf", "usmf")
ITEMS = 50
ENTITY = "Released products V2"


@pytest.fixture
def table(contracts: Contracts) -> Table:
    return contracts.table("d365", "released_product")


@pytest.fixture
def project(sandbox: Sandbox) -> Callable[..., str]:
    """Makes an export project of products."""

    def make(name: str = "PRODUCTS", **options: object) -> str:
        sandbox.post("export-projects", {"name": name, "entity": ENTITY, **options})
        return name

    return make


@pytest.fixture
def exports(client: D365Client, sandbox: Sandbox, naps: list[float]) -> PackageExports:
    return PackageExports(client, ca_bundle=sandbox.ca, sleep=naps.append)


@pytest.mark.parametrize("form", ["CSV", "CSV-Unicode"])
def test_all_rows_of_all_companies_arrive_in_the_columns_of_the_contract(
    exports: PackageExports, project: Callable[..., str], table: Table, tmp_path: Path, naps: list[float], form: str
) -> None:
    read = exports.pages(table, project(format=form), COMPANIES, tmp_path)

    rows = [row for file in read.pages.files for row in json.loads(file.read_bytes())]
    assert (read.rows_read, read.pages.rows, read.complete) == (ITEMS, ITEMS, True)
    assert len({(row["dataAreaId"], row["ItemNumber"]) for row in rows}) == ITEMS
    assert set(rows[0]) == {column.name for column in table.columns}
    assert naps == [5.0, 7.5] * len(COMPANIES), "two polls for each company find it at work"
    assert not list(tmp_path.glob("*.zip"))


def test_an_execution_of_which_d365_has_no_record_yet_is_asked_after_again(
    exports: PackageExports, project: Callable[..., str], sandbox: Sandbox, table: Table, tmp_path: Path
) -> None:
    sandbox.post("settings", {"package_progress": ["NoRecord", "Queued"]})

    assert exports.pages(table, project(), COMPANIES, tmp_path).complete


def test_a_company_that_is_left_out_makes_the_read_incomplete(
    exports: PackageExports, project: Callable[..., str], table: Table, tmp_path: Path
) -> None:
    read = exports.pages(table, project(), ["demf"], tmp_path)

    assert not read.complete
    assert "25 rows arrived in packages of demf; D365 counted 50 in all companies" in read.problem


def test_a_project_that_exports_only_changes_is_refused(
    exports: PackageExports, project: Callable[..., str], table: Table, tmp_path: Path
) -> None:
    with pytest.raises(SourceUnavailable, match=r"CHANGES of D365 gave only what changed; set its refresh type"):
        exports.pages(table, project("CHANGES", refresh="IncrementalPush"), COMPANIES, tmp_path)


def test_a_project_without_a_column_of_the_contract_is_told_with_the_column(
    exports: PackageExports, project: Callable[..., str], table: Table, tmp_path: Path
) -> None:
    narrow = project("NARROW", columns=["ItemNumber"])

    with pytest.raises(
        SourceUnavailable, match=r"without .*SALESUNITSYMBOL.*; map these columns in the export project"
    ):
        exports.pages(table, narrow, COMPANIES, tmp_path)


@pytest.mark.parametrize("outcome", ["Failed", "PartiallySucceeded", "Canceled"])
def test_an_execution_that_fails_is_told_with_its_id_and_where_to_look(
    exports: PackageExports, project: Callable[..., str], sandbox: Sandbox, table: Table, tmp_path: Path, outcome: str
) -> None:
    sandbox.post("settings", {"package_outcome": outcome})

    with pytest.raises(
        SourceUnavailable,
        match=rf"PRODUCTS of D365 ended as {outcome} for company demf\. Execution PRODUCTS-.*Job history",
    ):
        exports.pages(table, project(), COMPANIES, tmp_path)


def test_an_execution_that_does_not_end_is_given_up_after_half_an_hour(
    exports: PackageExports,
    project: Callable[..., str],
    sandbox: Sandbox,
    table: Table,
    tmp_path: Path,
    naps: list[float],
) -> None:
    sandbox.post("settings", {"package_progress": ["Executing"] * 200})

    with pytest.raises(SourceUnavailable, match=r"is still Executing for company demf after 3[01] minutes"):
        exports.pages(table, project(), COMPANIES, tmp_path)
    assert max(naps) == 60.0


def test_an_unknown_project_and_a_company_out_of_sight_are_refused_in_d365s_words(
    exports: PackageExports, project: Callable[..., str], sandbox: Sandbox, table: Table, tmp_path: Path
) -> None:
    with pytest.raises(RequestRefused, match="The definition group NOBODY does not exist"):
        exports.pages(table, "NOBODY", COMPANIES, tmp_path)
    sandbox.post("settings", {"hidden_companies": ["usmf"]})
    with pytest.raises(RequestRefused, match="The legal entity usmf does not exist, or the user has no access"):
        exports.pages(table, project(), COMPANIES, tmp_path)


def test_an_order_whose_answer_was_lost_is_not_given_twice(
    client_behind_gateway: D365Client,
    gateway: Gateway,
    project: Callable[..., str],
    sandbox: Sandbox,
    table: Table,
    tmp_path: Path,
    naps: list[float],
) -> None:
    place = sandbox.position()
    gateway.faults.append(Fault("POST", "ExportToPackage", cut_body=True))

    exports = PackageExports(client_behind_gateway, ca_bundle=sandbox.ca, sleep=naps.append)
    read = exports.pages(table, project(), COMPANIES, tmp_path)

    assert read.complete
    made = sandbox.journal(place, phase="effect", effect="exported")
    assert sorted(each["company"] for each in made) == sorted(COMPANIES)


def test_an_address_that_has_expired_is_asked_for_anew_and_given_up_in_the_end(
    exports: PackageExports,
    project: Callable[..., str],
    sandbox: Sandbox,
    table: Table,
    tmp_path: Path,
    naps: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.post("settings", {"package_url_lifetime_s": -60, "package_progress": []})

    with pytest.raises(SourceUnavailable, match=r"could not be fetched: 127\.0\.0\.1 answers HTTP 403"):
        exports.pages(table, project(), COMPANIES, tmp_path)
    assert naps == [5.0, 5.0]
    assert "package_download_failed" in caplog.text
    assert "sig=" not in caplog.text
