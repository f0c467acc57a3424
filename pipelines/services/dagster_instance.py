"""Dagster's instance: its home, its pools, and the traces of runs whose process died."""

import os
import shutil
import socket

import dagster as dg
import psutil

from pipelines.services.home import Home
from tieout.settings import PROJECT_ROOT

# Two runs never touch one outside system, or write one table of the lake, at the same moment. Buckets have tables of their own; their pool
# keeps the memory of one machine in bounds, and may be raised where there are several. The sinks of the log wait for nobody.
POOLS = {"salesforce": 1, "d365": 1, "lake": 1, "buckets": 2, "dataverse": 1, "sharepoint": 1}

PROCESS_TAG = "tieout/process"

_START_TOLERANCE_S = 2.0

_STATEMENT_TIMEOUT_MS = 60_000
_CONNECTION_AGE_S = 3600
_CONNECTIONS_AT_ONCE = 10

# The name that Dagster gives to a code location's definitions, and the location's own from workspace.yaml.
REPOSITORY = "__repository__"
# What the UI filters runs by; the tags of a run are kept apart from its origin and have to say it, too.
LOCATION_TAGS = {".dagster/repository": f"{REPOSITORY}@tieout", "dagster/code_location": "tieout"}

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def environment(home: Home, database_url: str) -> dict[str, str]:
    """Write DAGSTER_HOME and return the variables that every process of Dagster needs."""
    shutil.copyfile(PROJECT_ROOT / "dagster.yaml", home.dagster / "dagster.yaml")
    return {
        "DAGSTER_HOME": str(home.dagster),
        "DAGSTER_PG_URL": database_url,
        "DAGSTER_LOG_DIR": str(home.folder("logs", "compute")),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "GX_ANALYTICS_ENABLED": "false",
    }


def hold_connections(instance: dg.DagsterInstance) -> None:
    """Keep a connection to Postgres open for each storage instead of one for each statement.

    A run writes some five hundred events; 1,400 connections for them were measured to take a third of a small run's time.
    """
    instance.optimize_for_webserver(
        statement_timeout=_STATEMENT_TIMEOUT_MS, pool_recycle=_CONNECTION_AGE_S, max_overflow=_CONNECTIONS_AT_ONCE
    )


def prepare(instance: dg.DagsterInstance, *, daemon_is_down: bool = False) -> list[str]:
    """Give every pool its explicit limit and clear what dead runs left; returns the ids of those runs.

    A run of the command line names its process. Those that a daemon started end with it, and an instance has one daemon: where that is down,
    none of them lives. Left as they are they would count as under way for hours, and nothing of their kind would be started.

    A pool that is first met inside a run is made by code that breaks on Postgres when two runs meet it together, so all are made here.
    """
    dead = []
    storage = instance.event_log_storage
    for pool, limit in POOLS.items():
        storage.set_concurrency_slots(pool, limit)
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        tag = run.tags.get(PROCESS_TAG)
        if daemon_is_down if tag is None else _process_is_dead(tag):
            instance.report_run_failed(
                run, "The process of this run ended without a word; what it left is taken up by the next run."
            )
            storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def belong_to_the_code_location(instance: dg.DagsterInstance, run_id: str) -> None:
    """Say of a run that it belongs to the code location of workspace.yaml.

    A run that was executed in process is stored without an origin, and the timeline of the UI leaves such runs out.
    """
    # Dagster has no public call for this; its own `dagster run migrate-repository` does the same with the same functions.
    from dagster._core.remote_origin import RemoteRepositoryOrigin
    from dagster._core.workspace.load import location_origins_from_yaml_paths

    run = instance.get_run_by_id(run_id)
    if run is None or run.remote_job_origin is not None:
        return
    (location,) = location_origins_from_yaml_paths([str(PROJECT_ROOT / "workspace.yaml")])
    origin = RemoteRepositoryOrigin(location, REPOSITORY).get_job_origin(run.job_name)
    instance.run_storage.replace_job_origin(run, origin)


def process_tag() -> str:
    """Host, process id and start of this process: enough to tell later whether a run's process still lives."""
    process = psutil.Process(os.getpid())
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.0f}"


def _process_is_dead(tag: str) -> bool:
    host, pid, created = tag.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        process = psutil.Process(int(pid))
        # The start is reckoned from the time of boot, which moves a little when the clock is set.
        is_another = abs(process.create_time() - float(created)) > _START_TOLERANCE_S
        return is_another or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
