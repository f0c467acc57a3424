"""Whole reads by data packages: the same rows in the lake as by OData, field by field; and OData where a package cannot be had."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from resources.workbench import QUARANTINE
from tests.pipeline.installation import Installation, environment_of
from tieout.errors import ConfigurationError
from tieout.settings import Settings

PROJECTS = {
    "released_product": "Released products V2",
    "customer": "Customers V3",
    "sales_order": "Sales order headers V2",
    "sales_order_line": "Sales order lines V2",
}
_OF_THE_READ = {"_extracted_at", "_run_id"}


def rows(folder: Path, system: str, table: str) -> dict[str, dict[str, Any]]:
    """Key → row, without what tells one read from another."""
    lake = Lake(folder)
    if not lake.exists((system, table)):
        return {}
    found = lake.dataset((system, table)).to_table().to_pylist()
    return {row["_key"]: {name: row[name] for name in row if name not in _OF_THE_READ} for row in found}


@pytest.fixture(scope="module")
def projects(installation: Installation) -> str:
    """An export project for each table; what TIEOUT_D365_EXPORT_PROJECTS says of them."""
    for number, (table, label) in enumerate(PROJECTS.items()):
        form = "CSV-Unicode" if number % 2 else "CSV"
        installation.d365.post("export-projects", {"name": f"TIEOUT-{table}", "entity": label, "format": form})
    installation.d365.post("settings", {"package_progress": []})
    with sqlite3.connect(installation.d365.file) as connection:
        strange = 'Müller; "Söhne",\r\nand \ttab 测试'
        given = "(dataAreaId, CustomerAccount, OrganizationName, CustomerGroupId, SalesCurrencyCode, CreditLimit)"
        connection.execute(f"INSERT INTO CustomersV3 {given} VALUES ('demf', 'Q-1', 'Bad', '30', 'XXX', '0')")
        connection.execute(
            f"INSERT INTO CustomersV3 {given} VALUES ('demf', ' S-1', ?, '30', 'EUR', '0.1234567')", (strange,)
        )
    return ",".join(f"{table}=TIEOUT-{table}" for table in PROJECTS)


@pytest.fixture(scope="module")
def read_whole(installation: Installation) -> Callable[..., dict[str, Sweep]]:
    """Reads D365 into the lake `folder`, as at night unless not `full`; returns the sweeps by table."""
    [*companies] = [row["DataArea"] for row in installation.books().d365("SELECT DataArea FROM Companies")]
    reading = dg.define_asset_job("reading_by_package", selection=dg.AssetSelection.groups("d365").without_checks())
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[reading])).resolve_job_def("reading_by_package")

    def once(folder: Path, projects: str, *, full: bool = True) -> dict[str, Sweep]:
        changed = {"TIEOUT_LAKE_URL": str(folder), "TIEOUT_COMPANIES": ",".join(companies)}
        with (
            environment_of({**os.environ, **changed, "TIEOUT_D365_EXPORT_PROJECTS": projects}),
            dg.DagsterInstance.get() as instance,
        ):
            config = {"resources": {"options": {"config": {"full": full}}}}
            assert job.execute_in_process(instance=instance, run_config=config).success
        with Ledger.opened(installation.database_url or "") as ledger:
            found = {table: ledger.watermarks.latest_sweep("d365", table) for table in PROJECTS}
        return {table: sweep for table, sweep in found.items() if sweep is not None}

    return once


def test_packages_and_odata_give_the_same_rows_field_by_field(
    installation: Installation, projects: str, read_whole: Callable[..., dict[str, Sweep]]
) -> None:
    by_odata, by_packages = installation.home / "by-odata", installation.home / "by-packages"

    read_whole(by_odata, "")
    sweeps = read_whole(by_packages, projects)

    for table in PROJECTS:
        assert (sweeps[table].mode, sweeps[table].complete) == ("full", True)
        assert (sweeps[table].proof or {})["by_package"] == f"export project TIEOUT-{table}"
        expected, found = rows(by_odata, "d365", table), rows(by_packages, "d365", table)
        assert len(expected) > 5
        assert found == expected
        waiting, kept = (rows(lake, QUARANTINE, f"d365_{table}") for lake in (by_packages, by_odata))
        assert {key: row["rules"] for key, row in waiting.items()} == {key: row["rules"] for key, row in kept.items()}
    assert rows(by_packages, QUARANTINE, "d365_customer").keys() == {"demf|q-1"}
    strange = rows(by_packages, "d365", "customer")["demf| s-1"]
    assert strange["OrganizationName"] == 'Müller; "Söhne",\r\nand \ttab 测试'


def test_a_table_is_read_by_odata_where_its_package_fails(
    installation: Installation, projects: str, read_whole: Callable[..., dict[str, Sweep]]
) -> None:
    installation.d365.post("settings", {"package_outcome": "Failed"})
    folder = installation.home / "by-packages"
    before = rows(folder, "d365", "sales_order")
    try:
        sweeps = read_whole(folder, projects)
    finally:
        installation.d365.post("settings", {"package_outcome": None})

    assert all(sweep.complete for sweep in sweeps.values())
    told = (sweeps["sales_order"].proof or {})["by_package"]
    assert told.startswith(
        "OData, because the packages failed: Export project TIEOUT-sales_order of D365 ended as Failed"
    )
    assert rows(folder, "d365", "sales_order") == before


def test_no_run_of_the_day_waits_for_packages(
    installation: Installation, projects: str, read_whole: Callable[..., dict[str, Sweep]]
) -> None:
    sweeps = read_whole(installation.home / "by-packages", projects, full=False)

    assert {table: (sweep.mode, (sweep.proof or {})["by_package"]) for table, sweep in sweeps.items()} == {
        "released_product": ("full", ""),
        "customer": ("full", ""),
        "sales_order": ("incremental", ""),
        "sales_order_line": ("incremental", ""),
    }


def test_projects_without_companies_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="TIEOUT_D365_EXPORT_PROJECTS is set, TIEOUT_COMPANIES is not"):
        Settings.from_environment({"TIEOUT_D365_EXPORT_PROJECTS": "customer=X"})
    with pytest.raises(ConfigurationError, match=r"holds 'customer'\. Write it as table=project"):
        Settings.from_environment({"TIEOUT_D365_EXPORT_PROJECTS": "customer", "TIEOUT_COMPANIES": "demf"})
