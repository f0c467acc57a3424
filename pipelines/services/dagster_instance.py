"""Dagster's instance: its home, its pools, and the traces of runs whose process died."""

import os
import shutil
import socket

import dagster as dg
import psutil

from pipelines.services.home import Home
from tieout.settings import PROJECT_ROOT

# Two runs never touch one outside system, or write one table of the lake, at the same moment.
POOLS = {"salesforce": 1, "d365": 1, "lake": 1}

PROCESS_TAG = "tieout/process"


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


def prepare(instance: dg.DagsterInstance) -> None:
    """Give every pool its explicit limit and clear what dead command-line runs left.

    A pool that is first met inside a run is made by code that breaks on Postgres when two runs meet it together, so all are made here.
    """
    storage = instance.event_log_storage
    for pool, limit in POOLS.items():
        storage.set_concurrency_slots(pool, limit)
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(unfinished):
        if _process_is_dead(run.tags.get(PROCESS_TAG)):
            instance.report_run_failed(
                run, "The process of this run ended without a word; what it left is taken up by the next run."
            )
            storage.free_concurrency_slots_for_run(run.run_id)


def process_tag() -> str:
    """Host, process id and start of this process: enough to tell later whether a run's process still lives."""
    process = psutil.Process(os.getpid())
    return f"{socket.gethostname()}:{process.pid}:{process.create_time():.0f}"


def _process_is_dead(tag: str | None) -> bool:
    if tag is None:
        return False
    host, pid, created = tag.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.0f}" != created
    except psutil.NoSuchProcess:
        return True
