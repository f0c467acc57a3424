"""Both sandboxes as processes, seen alike: a write that leaves one row, what is there, and what the journal tells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox_d365.environment import Caller, Process, an_order, fill
from tests.sandbox_salesforce.running_org import Sandbox, start_sandbox

_names = itertools.count(1)
TIMEOUT_S = 10


@dataclass
class Target:
    """One sandbox: its addresses, a session with a token, and how a row is written and counted there."""

    name: str
    url: str
    tls_url: str
    ca: str
    http: requests.Session
    sign_in: Callable[[], None]
    token: Callable[[], str]
    write_path: str
    row: Callable[[str], dict[str, Any]]
    count: Callable[[str], int]
    token_path: str

    def write(self, name: str, *, tls: bool = False, timeout: float = TIMEOUT_S) -> requests.Response:
        """One POST of a row with this name."""
        return self.http.post(
            f"{self.tls_url if tls else self.url}{self.write_path}",
            json=self.row(name),
            headers={"Authorization": f"Bearer {self.token()}"},
            verify=self.ca,
            timeout=timeout,
        )

    def fault(self, *rules: dict[str, Any], seed: int | None = None) -> dict[str, Any]:
        """Add rules; gives all rules back."""
        wanted = {"rules": list(rules)} | ({} if seed is None else {"seed": seed})
        answer = self.http.post(self._faults, json=wanted, timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refusal(self, wanted: Any) -> str:
        """The sentence by which rules are refused."""
        answer = self.http.post(self._faults, json=wanted, timeout=TIMEOUT_S)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    def faults(self) -> dict[str, Any]:
        """The rules and their strikes."""
        return dict(self.http.get(self._faults, timeout=TIMEOUT_S).json())

    def forget(self) -> None:
        """Forget all rules."""
        self.http.delete(self._faults, timeout=TIMEOUT_S)

    def place(self) -> int:
        """The place in the journal that later entries come after."""
        return int(self._journal(phase="no such phase")["next"])

    def story(self, after: int) -> list[str]:
        """What the journal tells of the one request behind `after`: its phases, with effects and statuses."""
        entries = [each for each in self._journal(after=after)["entries"] if each.get("path") != "/_sandbox/faults"]
        assert len({each["request_id"] for each in entries}) == 1
        return [_told(each) for each in entries]

    def entries(self, after: int, **wanted: str) -> list[dict[str, Any]]:
        """Entries of the journal behind `after`."""
        return list(self._journal(after=after, **wanted)["entries"])

    def _journal(self, **wanted: Any) -> dict[str, Any]:
        return dict(self.http.get(f"{self.url}/_sandbox/journal", params=wanted, timeout=TIMEOUT_S).json())

    @property
    def _faults(self) -> str:
        return f"{self.url}/_sandbox/faults"


def _told(entry: dict[str, Any]) -> str:
    more = entry.get("effect") or entry.get("status")
    return f"{entry['phase']} {more}" if more else str(entry["phase"])


def of_d365(process: Process) -> Target:
    caller = Caller(process)

    def count(name: str) -> int:
        return len(caller.rows("SalesOrderHeadersV2", filter=f"CustomersOrderReference eq '{name}'"))

    def row(name: str) -> dict[str, Any]:
        # Without a number of ours, so that D365 makes one and nothing stops a second order.
        header = an_order(name, lines=0)[0][2]
        return {key: value for key, value in header.items() if key != "SalesOrderNumber"}

    return Target(
        "d365", process.url, process.tls_url, process.ca, caller.http, caller.sign_in,
        lambda: str(caller.http.headers["Authorization"]).removeprefix("Bearer "),
        "/data/SalesOrderHeadersV2", row, count, "oauth2/v2.0/token",
    )  # fmt: skip


def of_salesforce(org: Sandbox) -> Target:
    return Target(
        "salesforce", org.url, org.tls_url, org.ca, org.http, org.log_in, lambda: org.token,
        "/services/data/v62.0/sobjects/Account", lambda name: {"Name": name},
        lambda name: len(org.column(f"SELECT Id FROM Account WHERE Name = '{name}'")), "oauth2/token",
    )  # fmt: skip


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """Both sandboxes, running."""
    state: Path = tmp_path_factory.mktemp("d365")
    fill(state)
    process, org = Process.start(state), start_sandbox(tmp_path_factory.mktemp("salesforce"))
    yield {"d365": of_d365(process), "salesforce": of_salesforce(org)}
    process.stop()
    org.stop()


@pytest.fixture(params=["d365", "salesforce"])
def system(request: pytest.FixtureRequest, both: dict[str, Target]) -> Iterator[Target]:
    """Each of the two, signed in and without faults."""
    target = both[request.param]
    target.forget()
    target.sign_in()
    yield target
    target.forget()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"N-{next(_names):06d}"
