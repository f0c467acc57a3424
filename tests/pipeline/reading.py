"""Reading what a run left: effects in the journals, the report, the integration log, Dagster's own events."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import create_engine, text

from tests.pipeline.installation import Installation, Run
from tests.writes import is_write

HEADERS, LINES, CUSTOMERS = "SalesOrderHeadersV2", "SalesOrderLines", "CustomersV3"
READING = frozenset({"GET", "HEAD"})


def report_of(run: Run) -> dict[str, Any]:
    """The report as data."""
    return dict(json.loads(Path(run.summary["report"]).with_name("report.json").read_text()))


def effects_of(effects: list[dict[str, Any]], entity: str = "", effect: str = "") -> list[dict[str, Any]]:
    """Those of `effects` that are about an entity set and of a kind, where these are named."""
    return [each for each in effects if entity in ("", each["entity"]) and effect in ("", each["effect"])]


def other_than_reading(asked: list[dict[str, Any]]) -> set[str]:
    """The last part of the path of all that asks for more than reading: no GET, and no batch of reads."""
    asks = (each for each in asked if each["method"] not in READING)
    return {each["path"].rpartition("/")[2] for each in asks if is_write(each) or not each["path"].endswith("$batch")}


def headers_made(run: Run) -> list[dict[str, Any]]:
    """The orders that a run made in D365."""
    return effects_of(run.d365, HEADERS, "created")


def written_back(run: Run, sobject: str) -> dict[str, dict[str, Any]]:
    """Id → values of the records of an object that a run changed in Salesforce, each once."""
    effects = effects_of(run.salesforce, sobject)
    assert {effect["effect"] for effect in effects} <= {"updated"}
    assert len({effect["key"] for effect in effects}) == len(effects)
    return {effect["key"]: effect["values"] for effect in effects}


def integration_log(installation: Installation, run_id: str = "") -> list[dict[str, Any]]:
    """The rows of the Postgres view, of one run where it is named."""
    engine = create_engine(installation.database_url or "")
    query = text("select * from tieout.integration_log where :run in ('', run_id)")
    with engine.connect() as connection:
        rows = [dict(row) for row in connection.execute(query, {"run": run_id}).mappings()]
    engine.dispose()
    return rows


def materializations(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """Asset → the metadata of its materialization in a run."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
    return {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in events
        if event.asset_key is not None
    }


def failed_with(result: Any, severity: dg.AssetCheckSeverity) -> bool:
    return not result.passed and result.severity is severity


def is_between(asked: dict[str, Any], earlier: Run, later: Run) -> bool:
    """Whether something was asked after the report of one run and before that of another."""
    return bool(earlier.summary["as_of"] < asked["at"] < later.summary["as_of"])
