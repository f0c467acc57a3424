"""The code location: what it holds, how it shows itself in the UI, and that loading it opens nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.instance.ref import InstanceRef

from pipelines.definitions import defs
from pipelines.jobs import main
from pipelines.schedules import schedule_of
from pipelines.services.dagster_instance import POOLS
from tests.conftest import PROJECT
from tieout.contract import Contracts
from tieout.errors import ConfigurationError

EXTRACTED = {
    "salesforce/product",
    "salesforce/account",
    "salesforce/opportunity",
    "salesforce/opportunity_line",
    "d365/released_product",
    "d365/customer",
    "d365/sales_order",
    "d365/sales_order_line",
}
MADE = {
    "quality/quarantine",
    "quality/source_schema",
    "crosswalk/customer",
    "crosswalk/sales_order",
    "crosswalk/match_proposals",
    "reconciliation/customer",
    "reconciliation/sales_order",
    "reconciliation/read_again",
    "reconciliation/breaks",
    "reconciliation/periods",
    "reconciliation/report",
    "delivery/customer",
    "delivery/sales_order",
    "writeback/account",
    "writeback/opportunity",
    "integration_log",
}
BACKFILL = "backfill/sales_order"
EVENTS = "events/changed_records"
LOGS = {"integration_log/dataverse", "integration_log/sharepoint"}
BUCKETS = {"buckets/sales_order", "buckets/sales_order_verdict"}

# Loads the code location and tells which doors it opened meanwhile. Reading files is allowed, everything else is told; the null device
# holds nothing, urllib3 asks the machine at import whether it has IPv6 by binding a socket, and `platform` asks `file` for its bits.
_LOAD = """
import json, os, sys
opened = []
def told(event, arguments):
    if event in ("socket.connect", "sqlite3.connect", "os.system", "os.mkdir"):
        opened.append(f"{event} {arguments!r}")
    elif event == "subprocess.Popen" and arguments[0] != "file":
        opened.append(f"process {arguments[0]!r}")
    elif event == "open" and arguments[0] != os.devnull and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        opened.append(f"open {arguments[0]!r} for writing")
sys.addaudithook(told)
from pipelines.definitions import defs
modules = [name for name in ("great_expectations", "pandas", "duckdb") if name in sys.modules]
print(json.dumps({"opened": opened, "modules": modules, "assets": len(list(defs.resolve_all_asset_keys()))}))
"""


@pytest.fixture(scope="module")
def graph() -> AssetGraph:
    return defs.resolve_asset_graph()


def names_of(graph: AssetGraph) -> set[str]:
    return {key.to_user_string() for key in graph.get_all_asset_keys()}


@pytest.fixture(scope="module")
def loaded_alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What loading does in a fresh process that has no environment at all."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-B", "-c", _LOAD],
        env={"PYTHONPATH": str(PROJECT)},
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_loading_needs_no_environment_and_opens_nothing(loaded_alone: dict[str, object]) -> None:
    assert loaded_alone["opened"] == []
    assert loaded_alone["assets"] == len(EXTRACTED | MADE | {BACKFILL} | BUCKETS | {EVENTS} | LOGS)


def test_loading_does_not_pay_for_great_expectations_and_pandas(loaded_alone: dict[str, object]) -> None:
    assert not {"great_expectations", "pandas"} & set(loaded_alone["modules"])  # type: ignore[call-overload]


def test_the_assets_are_those_of_the_picture(graph: AssetGraph) -> None:
    assert names_of(graph) == EXTRACTED | MADE | {BACKFILL} | BUCKETS | {EVENTS} | LOGS


@pytest.mark.parametrize("name", sorted(EXTRACTED | MADE | {BACKFILL} | BUCKETS | {EVENTS} | LOGS))
def test_an_asset_says_what_it_is_and_whose(graph: AssetGraph, name: str) -> None:
    asset = graph.get(dg.AssetKey(name.split("/")))

    assert asset.group_name == name.split("/")[0]
    assert asset.owners == ["team:integration"]
    assert asset.kinds
    assert asset.description
    assert len(asset.description) > 60


@pytest.mark.parametrize("name", sorted(EXTRACTED))
def test_an_extracted_table_shows_its_columns_with_keys_that_are_never_empty(
    graph: AssetGraph, contracts: Contracts, name: str
) -> None:
    table = contracts.table(*name.split("/"))
    schema = graph.get(dg.AssetKey(name.split("/"))).metadata["dagster/column_schema"]

    columns = {column.name: column for column in schema.columns}
    assert set(columns) >= {column.name for column in table.columns} | {"_key", "_row_hash", "_extracted_at", "_run_id"}
    assert not any(columns[key].constraints.nullable for key in table.key)
    decimals = [column.name for column in table.columns if column.type == "decimal"]
    assert {columns[name].type for name in decimals} <= {"decimal(28,6)"}


def test_every_extracted_table_is_checked_and_every_delivery_for_doubts_that_last_too_long(graph: AssetGraph) -> None:
    counts: dict[str, int] = {}
    for check in graph.asset_check_keys:
        counts[check.asset_key.to_user_string()] = counts.get(check.asset_key.to_user_string(), 0) + 1

    deliveries = {"delivery/customer", "delivery/sales_order"}
    assert set(counts) == EXTRACTED | deliveries | {"quality/source_schema"} | LOGS
    assert all(counts[name] >= 4 for name in EXTRACTED)
    assert {counts[name] for name in deliveries} == {1}
    assert sum(counts.values()) > 100


def test_an_asset_reads_only_from_assets_above_it(graph: AssetGraph) -> None:
    above = {
        name: {key.to_user_string() for key in graph.get(dg.AssetKey(name.split("/"))).parent_keys}
        for name in names_of(graph)
    }

    assert all(not above[name] for name in EXTRACTED)
    assert above["reconciliation/read_again"] == {"reconciliation/customer", "reconciliation/sales_order"}
    assert above["delivery/sales_order"] == {
        "delivery/customer",
        "reconciliation/sales_order",
        "reconciliation/read_again",
    }
    assert "delivery/sales_order" in above["reconciliation/breaks"]
    assert above["reconciliation/report"] == {"reconciliation/breaks", "integration_log", "quality/quarantine"}


def test_the_jobs_hold_the_whole_way_and_the_backfill_apart() -> None:
    selected = {
        name: {key.to_user_string() for key in defs.resolve_job_def(name).asset_layer.executable_asset_keys}
        for name in (
            "main",
            "full_reconciliation",
            "backfill_sales_orders",
            "bucket_sales_orders",
            "reconcile_buckets",
            "changed_records",
            "log_to_dataverse",
            "log_to_sharepoint",
        )
    }

    assert selected["main"] == selected["full_reconciliation"] == EXTRACTED | MADE
    assert selected["backfill_sales_orders"] == {BACKFILL}
    assert selected["log_to_dataverse"] | selected["log_to_sharepoint"] == LOGS
    assert selected["bucket_sales_orders"] | selected["reconcile_buckets"] == BUCKETS


def test_the_nightly_job_reads_salesforce_whole() -> None:
    config = defs.resolve_job_def("full_reconciliation").run_config

    assert config == {"resources": {"options": {"config": {"full": True}}}}


def test_the_schedules_wait_until_a_person_switches_them_on() -> None:
    schedules = {
        schedule.name: (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone, schedule.default_status)
        for schedule in defs.schedules or []
        if isinstance(schedule, dg.ScheduleDefinition)
    }

    stopped = dg.DefaultScheduleStatus.STOPPED
    assert schedules == {
        "throughout_the_day": ("main", "*/15 * * * *", "UTC", stopped),
        "every_night": ("full_reconciliation", "30 1 * * *", "UTC", stopped),
    }


def test_a_schedule_runs_when_its_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIEOUT_MAIN_SCHEDULE", "*/5 6-20 * * 1-5")
    assert schedule_of("s", main, "TIEOUT_MAIN_SCHEDULE", "").cron_schedule == "*/5 6-20 * * 1-5"

    monkeypatch.setenv("TIEOUT_MAIN_SCHEDULE", "every day")
    with pytest.raises(ConfigurationError, match=r"TIEOUT_MAIN_SCHEDULE is 'every day'\. Write a cron expression"):
        schedule_of("s", main, "TIEOUT_MAIN_SCHEDULE", "")


def test_what_is_read_and_reported_has_to_be_fresh(graph: AssetGraph) -> None:
    fresh = {name for name in names_of(graph) if graph.get(dg.AssetKey(name.split("/"))).freshness_policy is not None}

    assert fresh == EXTRACTED | {"reconciliation/report"}


def test_history_is_cut_by_month_and_company(graph: AssetGraph) -> None:
    partitions = graph.get(dg.AssetKey(BACKFILL.split("/"))).partitions_def

    assert isinstance(partitions, dg.MultiPartitionsDefinition)
    assert partitions.partition_dimension_names == ["company", "month"]
    assert {"ausi|2013-07-01", "usmf|2010-12-01"} <= set(partitions.get_partition_keys())


def test_every_asset_waits_for_its_pool_and_every_pool_has_a_limit(graph: AssetGraph) -> None:
    pools = {name: graph.get(dg.AssetKey(name.split("/"))).pools for name in names_of(graph)}

    assert all(len(of_asset) == 1 for of_asset in pools.values())
    assert {pool for of_asset in pools.values() for pool in of_asset} == set(POOLS)
    assert all(pools[name] == ({"salesforce"} if name.startswith("salesforce") else {"d365"}) for name in EXTRACTED)


def test_a_pool_of_what_runs_share_lets_one_step_in_at_a_time() -> None:
    assert {limit for pool, limit in POOLS.items() if pool != "buckets"} == {1}


def test_dagster_accepts_its_settings_and_speaks_to_postgres_through_psycopg2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy 2.1 takes the bare scheme for psycopg 3, which dagster-postgres does not install."""
    address = "postgresql+psycopg2://somebody:secret@127.0.0.1:1/dagster"
    monkeypatch.setenv("DAGSTER_PG_URL", address)
    monkeypatch.setenv("DAGSTER_LOG_DIR", str(tmp_path / "logs"))
    (tmp_path / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())

    reference = InstanceRef.from_dir(str(tmp_path))

    storages = (reference.run_storage_data, reference.event_storage_data, reference.schedule_storage_data)
    assert {storage.config_dict["postgres_url"]["env"] for storage in storages} == {"DAGSTER_PG_URL"}
    assert reference.settings["telemetry"] == {"enabled": False}
    assert reference.settings["run_retries"]["enabled"]
    assert reference.settings["concurrency"]["runs"]["max_concurrent_runs"] > 0


def test_two_runs_of_the_whole_way_never_overlap() -> None:
    settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text())

    limits = settings["concurrency"]["runs"]["tag_concurrency_limits"]
    assert {"key": "tieout/flow", "value": "main", "limit": 1} in limits
    assert defs.resolve_job_def("main").tags == {"tieout/flow": "main"}
    assert defs.resolve_job_def("full_reconciliation").tags == {"tieout/flow": "main"}


def test_the_import_rules_of_the_design_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(command), "--no-cache"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kept, 0 broken" in done.stdout
