"""The clients that are compared: where each is installed, how one read of it is started, and how its folder becomes rows again.

A client keeps in its folder what it brought and where it has to go on. Every read is a process of its own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.extraction import connectors, disk
from benchmarks.extraction.org import PROJECT, Opportunity, opportunity_table
from benchmarks.extraction.tunnel import INSTANCE_URL, MY_DOMAIN
from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET

LONGEST_READ_S = 3600
TAP, AIRBYTE, DLT = ".venv-extract-tap", ".venv-extract-airbyte", ".venv-extract-dlt"
_OURS = ("TIEOUT_", "SALESFORCE_", "SANDBOX_", "DAGSTER_", "PYTHON")
_FAKE_TIME = "lib/python3.*/site-packages/libfaketime/vendor/libfaketime/src/libfaketime.so.1"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one read took. `problem` is the end of what it said where it failed."""

    s: float
    cpu_s: float
    peak_mib: float
    problem: str = ""


@dataclass(frozen=True)
class Client:
    """One client. `command` and `prepare` are given the folder that it reads into, `rows` what is in it afterwards.

    `lives_by_machine_clock`: it compares stamps of records with the time of the machine it runs on, so that has to be Salesforce's.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    rows: Callable[[Path], dict[str, Opportunity]]
    environment_folder: str = ""
    distribution: str = "simple-salesforce"
    prepare: Callable[[Path, "Road"], None] = lambda _folder, _road: None
    keeps_output: bool = False
    lives_by_machine_clock: bool = False

    @property
    def python(self) -> Path:
        """The Python that it is installed for."""
        return PROJECT / self.environment_folder / "bin" / "python" if self.environment_folder else Path(sys.executable)

    @property
    def missing(self) -> str:
        """What to do where it is not installed; empty where it is."""
        return "" if self.python.exists() else f"not installed: `make extract-peers` makes {self.environment_folder}"

    def version(self) -> str:
        """The version that is installed."""
        if self.distribution == "tieout":
            return "this"
        asked = f"import importlib.metadata; print(importlib.metadata.version({self.distribution!r}))"
        return subprocess.run([self.python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True, slots=True)
class Road:
    """How clients get to Salesforce: variables of their environment, and how far its clock is ahead of this machine's."""

    variables: Mapping[str, str]
    database_url: str = ""
    ahead_s: float = 0.0
    more: Mapping[str, str] = field(default_factory=dict)

    def environment(self, client: Client, folder: Path) -> dict[str, str]:
        """The whole environment of one client's process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        settings = {
            "TIEOUT_HOME": str(folder),
            "TIEOUT_DATABASE_URL": self.database_url,
            "TIEOUT_CA_BUNDLE": self.variables["SSL_CERT_FILE"],
            "SALESFORCE_INSTANCE_URL": INSTANCE_URL,
            "SALESFORCE_CLIENT_ID": DEFAULT_CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
            "PYTHONPATH": str(PROJECT),
        }
        quiet = {
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "RUNTIME__LOG_LEVEL": "ERROR",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        at = _at_the_orgs_time(self.ahead_s) if client.lives_by_machine_clock and self.ahead_s else {}
        return {**kept, **self.variables, **({} if client.keeps_output else settings), **quiet, **at}


def read(client: Client, folder: Path, road: Road) -> Reading:
    """One read of a client into its folder. Whether it failed is in the result, because schedulers start failed reads again."""
    report, said = folder / "report.json", folder / "said.txt"
    report.unlink(missing_ok=True)
    out = connectors.next_output(folder) if client.keeps_output else said
    # In its own folder, because some leave files where they are started.
    command = [str(client.python), str(Path(__file__).with_name("measured.py")), str(report), *client.command(folder)]
    started = time.perf_counter()
    with out.open("wb") as stdout, said.open("ab") as stderr:
        process = subprocess.Popen(
            command, stdout=stdout, stderr=stderr, env=road.environment(client, folder), cwd=folder
        )
        try:
            code = process.wait(LONGEST_READ_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if not report.exists():
        return Reading(time.perf_counter() - started, float("nan"), float("nan"), f"ended with {code}: {_end_of(said)}")
    took = json.loads(report.read_text())
    return Reading(took["s"], took["cpu_s"], took["peak_mib"], f"ended with {code}: {_end_of(said)}" if code else "")


def _end_of(said: Path) -> str:
    return " ".join(said.read_text(errors="replace")[-2000:].split())[-300:]


def _at_the_orgs_time(ahead_s: float) -> dict[str, str]:
    """A clock that is as far ahead as the sandbox's: the same program, at another time of day."""
    library = next((PROJECT / TAP).glob(_FAKE_TIME))
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": f"+{ahead_s:.0f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def _columns() -> str:
    return ", ".join(column.name for column in opportunity_table().columns)


def _job(target: str, *arguments: str) -> Callable[[Path], Sequence[str]]:
    return lambda folder: [target, str(folder), *arguments]


def _app() -> tuple[str, ...]:
    return DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, MY_DOMAIN, _columns()


def _discovered(
    client: str, discover: Sequence[str], configure: Callable[[Path, str], None]
) -> Callable[[Path, Road], None]:
    def prepared(folder: Path, road: Road) -> None:
        connectors.write_config(folder)
        here = CLIENTS[client]
        command = [str(here.python.with_name(discover[0])), *discover[1:], "--config", str(folder / connectors.CONFIG)]
        found = subprocess.run(
            command, capture_output=True, text=True, env=road.environment(here, folder), cwd=folder, timeout=600
        )
        if found.returncode:
            raise RuntimeError(f"{client} could not discover: {found.stdout[-500:]} {found.stderr[-2000:]}")
        configure(folder, found.stdout)

    return prepared


CLIENTS: dict[str, Client] = {
    each.name: each
    for each in (
        Client(
            "tieout",
            _job("benchmarks.extraction.on_tieout:to_lake"),
            disk.of_lake,
            distribution="tieout",
        ),
        Client(
            "tieout_pages",
            _job("benchmarks.extraction.on_tieout_client:to_pages"),
            disk.of_pages,
            distribution="tieout",
        ),
        Client(
            "simple_salesforce",
            _job("benchmarks.extraction.on_simple_salesforce:by_rest", *_app()),
            disk.of_json_lines,
        ),
        Client(
            "simple_salesforce_bulk",
            _job("benchmarks.extraction.on_simple_salesforce:by_bulk", *_app()),
            disk.of_csv,
        ),
        Client(
            "tap_salesforce",
            lambda folder: ["tap_salesforce:main", *connectors.tap_arguments(folder)],
            disk.of_singer,
            TAP,
            "tap-salesforce",
            prepare=_discovered("tap_salesforce", ["tap-salesforce", "--discover"], connectors.choose_for_tap),
            keeps_output=True,
            lives_by_machine_clock=True,
        ),
        Client(
            "airbyte_source_salesforce",
            lambda folder: ["source_salesforce.run:run", *connectors.airbyte_arguments(folder)],
            disk.of_airbyte,
            AIRBYTE,
            "airbyte-source-salesforce",
            prepare=_discovered(
                "airbyte_source_salesforce", ["source-salesforce", "discover"], connectors.choose_for_airbyte
            ),
            keeps_output=True,
            lives_by_machine_clock=True,
        ),
        Client(
            "dlt",
            _job("benchmarks.extraction.on_dlt:load", *_app()),
            disk.of_dlt,
            DLT,
            "dlt",
        ),
    )
}
