"""One installation of Tieout for a test: its home, its database, the real Dagster graph in this process, and what a run leaves behind."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.jobs import WHOLE_WAY
from pipelines.launch import problem_of
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.breaks import BreakRow
from resources.ledger.delivery_queries import DeliveryRow
from resources.workbench import duckdb_connection
from tests.bad_input.systems import Systems
from tests.conftest import PROJECT

MAIN = "main"


@dataclass(frozen=True)
class Run:
    """How one run ended.

    `problem` is what the command line says of a failure, `failed_checks` are `asset check` pairs, `told` is everything that Dagster keeps.
    """

    success: bool
    problem: str
    made: frozenset[str]
    failed_checks: frozenset[str]
    told: str


@dataclass
class Installation:
    """Tieout with a home and a ledger of its own."""

    home: Path
    database_url: str
    systems: Systems

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.systems.environment(),
            "TIEOUT_HOME": str(self.home),
            "TIEOUT_DATABASE_URL": self.database_url,
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "GX_ANALYTICS_ENABLED": "false",
        }

    @contextmanager
    def environs(self, changes: Mapping[str, str] | None = None) -> Iterator[None]:
        """This process has the installation's environment, with `changes`, until the end of the block."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.environment, **(changes or {})}.items():
                patch.setenv(name, value)
            yield

    def run(self, changes: Mapping[str, str] | None = None, *, only: Sequence[str] = (), checks: bool = False) -> Run:
        """Run the main job, or only the assets named (`salesforce/account`), with `changes` in the environment.

        Without the asset checks, unless asked for: they count what is told elsewhere, and take half the time.
        """
        changes = changes or {}
        with self.environs(changes), dg.DagsterInstance.ephemeral() as instance:
            result = job_of(changes.get("TIEOUT_CONTRACTS", ""), tuple(only), checks).execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            entries = instance.all_logs(result.run_id)
            made = {
                event.asset_key.to_user_string()
                for event in result.get_asset_materialization_events()
                if event.asset_key is not None
            }
            failed = {
                f"{check.asset_key.to_user_string()} {check.check_name}"
                for check in result.get_asset_check_evaluations()
                if not check.passed
            }
            told = "\n".join(f"{entry.user_message}\n{entry!r}" for entry in entries)
        return Run(
            result.success, "" if result.success else problem_of(result), frozenset(made), frozenset(failed), told
        )

    def command(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """`tieout …` as a process of its own, with this installation's environment and `changes`."""
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "pipelines", *arguments],
            cwd=PROJECT,
            env={**os.environ, **self.environment, **changes},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger of this installation."""
        with Ledger.opened(self.database_url) as ledger:
            yield ledger

    def lake_rows(self, *key: str) -> list[dict[str, Any]]:
        """All rows of a lake table; none where there is no table."""
        lake = Lake(self.home / "lake")
        if not lake.exists(key):
            return []
        with duckdb_connection() as con:
            lake.register(con, "rows", key)
            relation = con.sql("SELECT * FROM rows")
            return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def findings(self) -> "Findings":
        """What the latest run left for people."""
        latest = self.home / "reports" / "latest"
        with self.ledger() as ledger:
            return Findings(
                summary=json.loads((latest / "summary.json").read_text()),
                page=(latest / "reconciliation.html").read_text(),
                workbook=(latest / "reconciliation.xlsx").resolve(),
                quarantine=self.lake_rows("quality", "quarantine"),
                verdicts=self.lake_rows("reconciliation", "sales_order_verdict"),
                breaks=ledger.breaks.find(state="open", limit=None),
                deliveries=ledger.deliveries.find(limit=None),
            )


@dataclass(frozen=True)
class Findings:
    """Summary, report, quarantine, verdicts, open breaks and deliveries after a run."""

    summary: dict[str, Any]
    page: str
    workbook: Path
    quarantine: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    breaks: list[BreakRow]
    deliveries: list[DeliveryRow]

    def quarantined(self, key: str) -> tuple[str, str | None, str] | None:
        """Rule, value and reason of the record with this key, where it waits in quarantine."""
        found = [(row["rule"], row["value"], row["reason"]) for row in self.quarantine if row["key"] == key]
        assert len(found) <= 1
        return found[0] if found else None

    def verdict(self, opportunity: str) -> tuple[str, str | None]:
        """Verdict and reason of the order of an opportunity."""
        [found] = [(row["verdict"], row["reason"]) for row in self.verdicts if row["salesforce_key"] == opportunity]
        return found

    def break_of(self, key: str) -> BreakRow | None:
        """The open break of a Salesforce record, if it has one."""
        found = [row for row in self.breaks if row.salesforce_key == key]
        assert len(found) <= 1
        return found[0] if found else None

    def delivery(self, key: str) -> DeliveryRow | None:
        """The delivery that creates the order of an opportunity (or the customer of an account), if it ever came to one."""
        found = [
            row for row in self.deliveries if row.operation == "create" and row.business_key.partition("/")[0] == key
        ]
        return found[0] if found else None


@cache
def job_of(contracts: str, only: tuple[str, ...], checks: bool) -> dg.JobDefinition:
    """The main job, or one of some of its assets; with the definitions read anew for another folder of contracts."""
    definitions = _code_location(contracts)
    if checks and not only:
        return definitions.resolve_job_def(MAIN)
    way: dg.AssetSelection = WHOLE_WAY
    if only:
        way = dg.AssetSelection.assets(*(name.split("/") for name in only))
    part = dg.define_asset_job(
        "part", selection=way if checks else way.without_checks().required_multi_asset_neighbors()
    )
    return dg.Definitions.merge(definitions, dg.Definitions(jobs=[part])).resolve_job_def("part")


def _code_location(contracts: str) -> dg.Definitions:
    if not contracts:
        from pipelines.definitions import defs

        return defs
    # A code location reads the contracts once, when it is loaded; Dagster would load it in a new process.
    spec = importlib.util.spec_from_file_location("another_code_location", PROJECT / "pipelines" / "definitions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    another: dg.Definitions = module.defs
    return another
