"""A D365 sandbox with its Dataverse table and its SharePoint list, and a ledger with a log of attempts."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from resources.ledger import Ledger
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.log_sinks import Sink
from resources.log_sinks.dataverse import DataverseTable
from resources.log_sinks.sharepoint import SharePointList
from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from sandbox.graph.items import LIST_ID, SITE_ID
from tests.conftest import PROJECT
from tieout.log_sinks.settings import SINKS, SinkName, settings_of

FIRST_DAY = datetime(2025, 1, 1, 15, 0, tzinfo=UTC)
EFFECT_OF: dict[SinkName, str] = {"dataverse": "new_integrationlog", "sharepoint": "listItem"}


@dataclass(frozen=True)
class Targets:
    """The sandbox that holds both targets."""

    url: str
    environment: dict[str, str]
    ca: Path
    begin: int = 0

    def post(self, route: str, body: Any = None) -> Any:
        """Call one of the sandbox's own routes."""
        answer = requests.post(f"{self.url}/_sandbox/{route}", json={} if body is None else body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, path: str, **details: Any) -> None:
        """What goes wrong with the next calls to `path`."""
        self.post("faults", {"kind": kind, "path": path} | details)

    def forget_faults(self) -> None:
        """Nothing goes wrong any more."""
        requests.delete(f"{self.url}/_sandbox/faults", timeout=30).raise_for_status()

    def journal(self, **wanted: str) -> list[dict[str, Any]]:
        """The entries of the journal."""
        query = {"after": str(self.begin), "limit": "1000000", **wanted}
        entries: list[dict[str, Any]] = requests.get(f"{self.url}/_sandbox/journal", params=query, timeout=60).json()[
            "entries"
        ]
        return entries

    def made(self, name: SinkName) -> Counter[str]:
        """How often each row was made in a target: by its key."""
        effects = self.journal(phase="effect", entity=EFFECT_OF[name], effect="created")
        return Counter(each["key"] for each in effects)

    def rows(self, name: SinkName) -> list[dict[str, Any]]:
        """The rows of a target that were made in this test, as its own API reads them, with the columns by their names there."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        if name == "dataverse":
            answer = requests.get(
                f"{self.url}/api/data/v9.2/new_integrationlogs?$top=100000", headers=headers, timeout=30
            )
            rows, key = list(answer.json()["value"]), "new_logkey"
        else:
            url = f"{self.url}/v1.0/sites/{SITE_ID}/lists/{LIST_ID}/items?$expand=fields&$top=100000"
            answer = requests.get(url, headers=headers, timeout=30)
            rows, key = [each["fields"] for each in answer.json()["value"]], "LogKey"
        made = self.made(name)
        return [row for row in rows if row[key] in made]

    def token(self) -> str:
        """A token for both APIs."""
        form = {
            "grant_type": "client_credentials",
            "scope": f"{self.url}/.default",
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
        }
        answer = requests.post(f"{self.url}/{DEFAULT_TENANT_ID}/oauth2/v2.0/token", data=form, timeout=30)
        return str(answer.json()["access_token"])


@contextmanager
def running_targets(folder: Path) -> Iterator[Targets]:
    """A sandbox on an empty folder."""
    command = [sys.executable, "-m", "sandbox", "d365", "--state", str(folder), "--port", "0", "--tls-port", "0"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    environment = {
        "D365_TENANT_ID": DEFAULT_TENANT_ID,
        "D365_CLIENT_ID": DEFAULT_CLIENT_ID,
        "D365_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
        "D365_AUTHORITY_URL": f"{ready['tls_url']}/{DEFAULT_TENANT_ID}",
        "DATAVERSE_URL": ready["url"],
        "SHAREPOINT_SITE_ID": SITE_ID,
        "SHAREPOINT_LIST_ID": LIST_ID,
        "SHAREPOINT_GRAPH_URL": ready["url"],
    }
    try:
        yield Targets(ready["url"], environment, Path(ready["ca"]))
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def sandbox_of_targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Targets]:
    """One sandbox for the session."""
    with running_targets(tmp_path_factory.mktemp("targets")) as running:
        yield running


@pytest.fixture
def targets(sandbox_of_targets: Targets) -> Iterator[Targets]:
    """The session's sandbox from where its journal is now; faults, switches, clock and what was asked lately are forgotten afterwards."""
    nothing = {"phase": "no such phase"}  # the answer names the last entry that there is
    url = sandbox_of_targets.url
    begin = int(requests.get(f"{url}/_sandbox/journal", params=nothing, timeout=30).json()["next"])
    yield replace(sandbox_of_targets, begin=begin)
    requests.delete(f"{url}/_sandbox/faults", timeout=30)
    defaults = requests.get(f"{url}/_sandbox/settings", timeout=30).json()
    sandbox_of_targets.post("settings", dict.fromkeys(defaults))
    sandbox_of_targets.post("clock", {"advance_s": 600})


@pytest.fixture(params=SINKS)
def name(request: pytest.FixtureRequest) -> SinkName:
    """Either sink: what is promised of one is promised of both."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def open_sink(targets: Targets) -> Iterator[Callable[[SinkName], Sink]]:
    """Opens sinks whose waits pass in the sandbox's clock, and not for real."""
    opened: list[Sink] = []

    def nap(seconds: float) -> None:
        targets.post("clock", {"advance_s": seconds})

    def make(name: SinkName, **changes: str) -> Sink:
        settings = settings_of(name, targets.environment | changes)
        kind: Any = DataverseTable if name == "dataverse" else SharePointList
        opened.append(kind(settings, ca_bundle=targets.ca, sleep=nap))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()


@pytest.fixture
def sink(open_sink: Callable[[SinkName], Sink], name: SinkName) -> Sink:
    """The sink of this test."""
    return open_sink(name)


_days = itertools.count(1)


@dataclass
class Log:
    """A ledger whose log a test writes, at a time of the test's own: the same numbers of another day are other rows."""

    ledger: Ledger
    now: datetime

    def attempts(self, count: int, *, reason: str = "", answered: bool = True, key: str = "0065g") -> list[int]:
        """Write attempts, with their results where they are answered; returns their ids."""
        ids = _begun(self.ledger, count, self.now, key)
        if answered:
            self.answer(ids, reason)
        return ids

    def answer(self, ids: list[int], reason: str = "") -> None:
        """Write how these attempts ended."""
        self.ledger.attempts.end(
            [AttemptResult(each, "confirmed", "confirmed", 120, Decimal("0.333333"), 204, reason) for each in ids],
            self.now + timedelta(seconds=1),
        )

    def clock(self) -> datetime:
        """The instant of this test."""
        return self.now


@pytest.fixture
def log(ledger: Ledger) -> Log:
    """An empty log."""
    return Log(ledger, FIRST_DAY + timedelta(days=next(_days)))


def _begun(ledger: Ledger, count: int, at: datetime, key: str) -> list[int]:
    new = [
        NewAttempt("sales_order", "create", f"{key}{number:06d}", "to_d365", company="usmf", d365_key=f"T-{number}")
        for number in range(count)
    ]
    return ledger.attempts.begin(new, "run", at)
