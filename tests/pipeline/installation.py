"""One installation for tests: a home with filled sandboxes that run as processes, a database, and runs judged by the sandboxes' journals."""

import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from pipelines.cli.main import main
from pipelines.cli.run import summary_of_run
from pipelines.services import processes, sandboxes, supervisor
from pipelines.services.home import Home
from tests.conftest import PROJECT
from tieout.settings import Settings

PAGE = 1000
API = "services/data/v62.0"
_OURS = ("TIEOUT_", "SALESFORCE_", "D365_", "DATAVERSE_", "SHAREPOINT_", "DAGSTER_", "SANDBOX_")


@dataclass(frozen=True)
class System:
    """A sandbox as tests see it: its journal, its test-only routes, its SQLite file."""

    name: str
    url: str
    file: Path

    def effects(self, after: int = 0, **wanted: str) -> list[dict[str, Any]]:
        """What took effect behind the place `after` of the journal."""
        return self._journal(after, phase="effect", **wanted)

    def asked(self, after: int = 0) -> list[dict[str, Any]]:
        """What was asked behind the place `after` of the journal."""
        return self._journal(after, phase="asked")

    def answered(self, after: int = 0) -> list[dict[str, Any]]:
        """What was answered behind the place `after` of the journal, with its status."""
        return self._journal(after, phase="answered")

    def struck(self, after: int = 0) -> bool:
        """Whether a fault that was ordered has struck behind the place `after` of the journal."""
        return bool(self._journal(after, phase="fault"))

    def position(self) -> int:
        """The place in the journal that later entries come after."""
        return int(self._get("journal", phase="no such phase")["next"])

    def post(self, route: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call one of the sandbox's own routes."""
        answer = requests.post(f"{self.url}/_sandbox/{route}", json=body or {}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _journal(self, after: int, **wanted: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        while True:
            page = self._get("journal", after=str(after), limit=str(PAGE), **wanted)
            entries += page["entries"]
            if len(page["entries"]) < PAGE:
                return entries
            after = page["next"]

    def _get(self, route: str, **query: str) -> Any:
        return requests.get(f"{self.url}/_sandbox/{route}", params=query, timeout=30).json()


@dataclass(frozen=True)
class Books:
    """Copies of both systems' SQLite files as they were at one moment, for questions in SQL."""

    folder: Path

    def salesforce(self, query: str, *parameters: object) -> list[sqlite3.Row]:
        return self._ask("salesforce", query, parameters)

    def d365(self, query: str, *parameters: object) -> list[sqlite3.Row]:
        return self._ask("d365", query, parameters)

    def _ask(self, system: str, query: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        connection = sqlite3.connect(self.folder / f"{system}.sqlite")
        connection.row_factory = sqlite3.Row
        try:
            return connection.execute(query, parameters).fetchall()
        finally:
            connection.close()


@dataclass(frozen=True)
class Run:
    """One run of the main job: its summary, what both systems were before it, and what it did to them according to their journals."""

    summary: dict[str, Any]
    before: Books
    d365: list[dict[str, Any]]
    salesforce: list[dict[str, Any]]

    @property
    def run_id(self) -> str:
        return str(self.summary["run_id"])


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str
    duration_s: float
    peak_mib: float = 0

    @property
    def json(self) -> Any:
        """Standard output, which has to be one JSON value and nothing else."""
        return json.loads(self.stdout)


@dataclass
class Installation:
    """A home, its database, its two systems."""

    home: Path
    database_url: str | None
    systems: dict[str, System] = field(default_factory=dict)

    @property
    def salesforce(self) -> System:
        return self.systems["salesforce"]

    @property
    def d365(self) -> System:
        return self.systems["d365"]

    @cached_property
    def planted(self) -> dict[str, list[str]]:
        """What the seed planted: kind → keys."""
        noted = json.loads((self.home / "sandbox" / "seed.json").read_text())["planted"]
        return {kind: planted["keys"] for kind, planted in noted.items()}

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that belongs to this installation and finds everything else by itself."""
        database = {"TIEOUT_DATABASE_URL": self.database_url} if self.database_url else {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return inherited | {"TIEOUT_HOME": str(self.home), "PYTHONPATH": str(PROJECT)} | database

    def run(self, **options: bool) -> Run:
        """The main job in this process; `dry_run`, `full`."""
        books = self.books()
        places = {name: system.position() for name, system in self.systems.items()}
        summary = summary_of_run(Settings.from_environment(), **options)
        return Run(
            summary,
            books,
            self.d365.effects(places["d365"]),
            self.salesforce.effects(places["salesforce"]),
        )

    def books(self) -> Books:
        """Copies of both systems as they are now."""
        folder = Path(tempfile.mkdtemp(dir=self.home))
        for name, system in self.systems.items():
            source, target = sqlite3.connect(system.file), sqlite3.connect(folder / f"{name}.sqlite")
            with source, target:
                source.backup(target)
            source.close()
            target.close()
        return Books(folder)

    def tieout(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Finished:
        """The command line as a process, in the folder of the home and not in that of the project."""
        started = time.monotonic()
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
            process = self.start_tieout(*arguments, environment=environment, stdout=stdout, stderr=stderr)
            peak_mib = _peak_mib(process)
            stdout.seek(0)
            stderr.seek(0)
            return Finished(process.wait(), stdout.read(), stderr.read(), time.monotonic() - started, peak_mib)

    def called(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Finished:
        """The command line in this process, which spares a second of loading for each command. Ends as the process would."""
        started = time.monotonic()
        stdout, stderr = io.StringIO(), io.StringIO()
        before = sys.argv
        sys.argv = ["tieout", *arguments]
        try:
            with (
                environment_of(self.environment | dict(environment or {})),
                redirect_stdout(stdout),
                redirect_stderr(stderr),
                pytest.raises(SystemExit) as ended,
            ):
                main()
        finally:
            sys.argv = before
        return Finished(int(ended.value.code or 0), stdout.getvalue(), stderr.getvalue(), time.monotonic() - started)

    def start_tieout(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """The command line as a process that the test looks after."""
        return subprocess.Popen(
            tieout_command(*arguments),
            env=self.environment | dict(environment or {}),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )

    def start_systems(self) -> None:
        """Start what does not run of the sandboxes (and of Postgres, where it is embedded), and point this process to it."""
        settings = Settings.from_environment(self.environment)
        supervisor.start_embedded(settings, seed=None, say=lambda _: None)
        self.find_systems()

    def start_systems_only(self) -> None:
        """Start the sandboxes and nothing else, to ask them what happened."""
        for name in sandboxes.PORTS:
            sandboxes.start(Home(self.home), name)
        self.find_systems()

    def find_systems(self) -> None:
        """Take up the sandboxes that run in this home."""
        for name in ("salesforce", "d365"):
            service = processes.running(Home(self.home), f"sandbox-{name}")
            assert service is not None, f"the sandbox of {name} does not run"
            self.systems[name] = System(name, service.address, self.home / "sandbox" / f"{name}.sqlite")

    def changed_in_salesforce(self, sobject: str, record_id: str, **fields: object) -> None:
        """Change a record as a person would, over the REST API."""
        answer = requests.patch(
            f"{self.salesforce.url}/{API}/sobjects/{sobject}/{record_id}",
            json=fields,
            headers={"Authorization": f"Bearer {self._token('salesforce')}"},
            timeout=30,
        )
        assert answer.status_code == 204, answer.text

    def changed_in_d365(self, path: str, **fields: object) -> None:
        """Change a record as a person would, over OData; `path` is the set with its key."""
        answer = requests.patch(
            f"{self.d365.url}/data/{path}?cross-company=true",
            json=fields,
            headers={"Authorization": f"Bearer {self._token('d365')}"},
            timeout=30,
        )
        assert answer.status_code == 204, answer.text

    def _token(self, system: str) -> str:
        url = self.systems[system].url
        if system == "salesforce":
            path, form = "services/oauth2/token", {"grant_type": "client_credentials"}
        else:
            path = "11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
            form = {"grant_type": "client_credentials", "scope": f"{url}/.default"}
        form |= {"client_id": "tieout-sandbox", "client_secret": "sandbox-secret"}
        answer = requests.post(f"{url}/{path}", data=form, timeout=30)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def tieout_command(*arguments: str) -> list[str]:
    """The command line in this interpreter."""
    return [sys.executable, "-W", "ignore", "-m", "pipelines", *arguments]


@contextmanager
def environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """This process' environment for the length of a block, whatever happens to it meanwhile."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def fresh_home(database_url: str | None = None) -> Iterator[Installation]:
    """An installation of which nothing is there yet; whatever runs in it at the end is stopped."""
    # A unix socket's path must stay below 107 bytes, which pytest's own folders can exceed.
    home = Path(tempfile.mkdtemp(prefix="tieout-"))
    try:
        yield Installation(home, database_url)
    finally:
        supervisor.stop_all(Settings.from_environment({"TIEOUT_HOME": str(home)}))
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def running_installation(seeded: Path, database_url: str) -> Iterator[Installation]:
    """An installation whose sandboxes run on a copy of the folder `seeded`; this process' environment points to it meanwhile."""
    with fresh_home(database_url) as installation:
        shutil.copytree(seeded, installation.home / "sandbox")
        with environment_of(installation.environment):
            installation.start_systems()
            yield installation


def _peak_mib(process: subprocess.Popen[str]) -> float:
    """Wait for a process; returns the most memory that it had, MiB.

    Not from `ru_maxrss`: a process that is started with vfork begins there with what its parent, the test run, has had.
    """
    peak_kib = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):  # it may end just now
            told = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
            peak_kib = int(told[1]) if told else peak_kib
        time.sleep(0.05)
    return peak_kib / 1024
