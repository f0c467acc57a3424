"""The log of a whole run in Dataverse and SharePoint, by their own jobs, beside a main job that does not notice when they are down."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import requests
from sqlalchemy import create_engine, text

from pipelines.launch import JobOutcome, run_job
from pipelines.log_sensor import log_rows_wait
from resources.connections import LedgerResource, LogSinksResource
from tests.pipeline.installation import Installation, Run, environment_of
from tieout.log_sinks.settings import SINKS, SinkName

HOLDS: dict[SinkName, str] = {"dataverse": "new_integrationlogs", "sharepoint": "sharepoint_items"}
APIS = "/api/data|/v1.0"


@pytest.fixture(scope="module")
def switched_on(install: Callable[[], AbstractContextManager[Installation]]) -> Iterator[Installation]:
    """An installation whose log goes to both targets of the sandbox; both are down."""
    with (
        install() as running,
        environment_of({**os.environ, "DATAVERSE_URL": "sandbox", "SHAREPOINT_SITE_ID": "sandbox"}),
    ):
        running.start_systems()
        running.d365.post("faults", {"kind": "drop", "path": APIS, "times": None})
        yield running


@pytest.fixture(scope="module")
def ran(switched_on: Installation) -> Run:
    """The main job, while both targets are down."""
    return switched_on.run()


def job(name: str) -> tuple[JobOutcome, list[str]]:
    said: list[str] = []
    return run_job(name, say=said.append, resource_config={}), said


def keys_in_log(installation: Installation) -> int:
    assert installation.database_url is not None
    engine = create_engine(installation.database_url)
    with engine.connect() as connection:
        count = int(connection.execute(text("select count(*) from tieout.integration_log")).scalar_one())
    engine.dispose()
    return count


def requested(instance: dg.DagsterInstance) -> list[str]:
    """The jobs that the sensor would start now, and why it would not."""
    resources = {"ledger": LedgerResource(), "log_sinks": LogSinksResource()}
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        found = log_rows_wait.evaluate_tick(context)
    return sorted(str(each.job_name) for each in found.run_requests or ())


def test_the_main_job_does_not_notice_that_the_targets_are_down(switched_on: Installation, ran: Run) -> None:
    assert keys_in_log(switched_on) > 15
    asked = {each["path"] for each in switched_on.d365.asked()}
    assert not [path for path in asked if path.startswith(("/api/data/v9", "/v1.0"))]
    assert ran.d365


@pytest.mark.usefixtures("ran")
def test_what_waits_is_sent_by_its_own_jobs_when_the_targets_are_back(switched_on: Installation) -> None:
    with dg.DagsterInstance.get() as instance:
        assert requested(instance) == ["log_to_dataverse", "log_to_sharepoint"]
        for name in SINKS:
            ended, said = job(f"log_to_{name}")
            # The target is down, not the run: its check is what fails.
            assert ended.success
            assert "0 sent" in said[0]
            assert "cannot be reached" in said[0]
            key = dg.AssetCheckKey(dg.AssetKey(["integration_log", name]), "keeps_up")
            record = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)[0]
            assert record.status.value == "FAILED"
        assert requested(instance) == [], "left alone for a while"

        requests.delete(f"{switched_on.d365.url}/_sandbox/faults", timeout=30)
        let_the_pause_pass(switched_on)
        rows = keys_in_log(switched_on)
        assert requested(instance) == ["log_to_dataverse", "log_to_sharepoint"]
        for name in SINKS:
            ended, said = job(f"log_to_{name}")
            assert said == [f"integration_log/{name}: {rows:,} sent, 0 waiting, 0 refused"]
            found = switched_on.books().d365(f"select count(*), count(distinct log_key) from {HOLDS[name]}")
            assert tuple(found[0]) == (rows, rows)
        assert requested(instance) == []


@pytest.mark.usefixtures("ran")
def test_the_doctor_tells_how_each_sink_stands(switched_on: Installation) -> None:
    found = switched_on.called("doctor", "--json", environment=dict(os.environ)).json["findings"]
    by_name = {each["what"]: each for each in found}

    for title in ("Dataverse", "SharePoint"):
        assert by_name[f"Log in {title}"]["status"] == "ok"
        assert "the key is unique" in by_name[f"Log in {title}"]["found"]
        assert "taken, 0 waiting, 0 refused" in by_name[f"Log in {title}, rows"]["found"]

    switched_on.d365.post("settings", {"graph_key_is_unique": False, "dataverse_application_user": False})
    found = switched_on.called("doctor", "--json", environment=dict(os.environ)).json["findings"]
    by_name = {each["what"]: each for each in found}
    assert by_name["Log in SharePoint"]["status"] == by_name["Log in Dataverse"]["status"] == "fail"
    assert "enforce unique values" in by_name["Log in SharePoint"]["advice"]
    assert "application user" in by_name["Log in Dataverse"]["advice"]


def let_the_pause_pass(installation: Installation) -> None:
    assert installation.database_url is not None
    engine = create_engine(installation.database_url)
    with engine.begin() as connection:
        past = datetime.now(UTC) - timedelta(seconds=1)
        connection.execute(text("update tieout.log_sink set not_before = :past"), {"past": past})
    engine.dispose()
