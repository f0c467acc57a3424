"""Both sandboxes as processes, and what people do in them: look, correct, release; a test also orders faults and reads the journals."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from tests.conftest import PROJECT

API = "/services/data/v62.0"
PATIENCE_S = 30.0


@dataclass
class System:
    """One running sandbox, reached over HTTP."""

    name: str
    process: subprocess.Popen[str]
    url: str
    tls_url: str
    ca: str
    http: requests.Session = field(default_factory=requests.Session)

    def post(self, route: str, **body: Any) -> Any:
        """Call one of the sandbox's own routes."""
        answer = self.http.post(f"{self.url}/_sandbox/{route}", json=body, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self, **wanted: str) -> list[dict[str, Any]]:
        """All entries that fit, oldest first."""
        query = {"limit": "100000", **wanted}
        entries: list[dict[str, Any]] = self.http.get(
            f"{self.url}/_sandbox/journal", params=query, timeout=PATIENCE_S
        ).json()["entries"]
        return entries

    def effects(self, effect: str, entity: str) -> list[dict[str, Any]]:
        """What took effect in one entity set or object."""
        return self.journal(phase="effect", effect=effect, entity=entity)

    def fault(self, kind: str, **details: Any) -> None:
        """What goes wrong with the next matching call."""
        self.post("faults", kind=kind, **details)

    def mend(self) -> None:
        """Nothing goes wrong any more."""
        self.http.delete(f"{self.url}/_sandbox/faults", timeout=PATIENCE_S).raise_for_status()

    def stop(self) -> None:
        """Tell the process to end; an open connection would keep it waiting."""
        self.http.close()
        self.process.terminate()


class Salesforce(System):
    """The sandbox of Salesforce, with the calls of a person who looks after records."""

    def token(self) -> str:
        answer = self.http.post(
            f"{self.url}/services/oauth2/token",
            data={"grant_type": "client_credentials"},
            auth=(DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET),
            timeout=PATIENCE_S,
        )
        return str(answer.json()["access_token"])

    def call(self, method: str, path: str, **fields: Any) -> Any:
        answer = self.http.request(
            method,
            f"{self.url}{API}/sobjects/{path}",
            json=fields or None,
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def read(self, sobject: str, record_id: str) -> dict[str, Any]:
        record: dict[str, Any] = self.call("GET", f"{sobject}/{record_id}")
        return record

    def update(self, sobject: str, record_id: str, **fields: Any) -> None:
        self.call("PATCH", f"{sobject}/{record_id}", **fields)

    def create(self, sobject: str, **fields: Any) -> str:
        return str(self.call("POST", f"{sobject}/", **fields)["id"])

    def delete(self, sobject: str, record_id: str) -> None:
        self.call("DELETE", f"{sobject}/{record_id}")


class D365(System):
    """The sandbox of D365, with the calls of a person who looks after customers."""

    def token(self) -> str:
        answer = self.http.post(
            f"{self.tls_url}/{DEFAULT_TENANT_ID}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": DEFAULT_CLIENT_ID,
                "client_secret": DEFAULT_CLIENT_SECRET,
                "scope": f"{self.url}/.default",
            },
            verify=self.ca,
            timeout=PATIENCE_S,
        )
        return str(answer.json()["access_token"])

    def rows(self, entity_set: str) -> list[dict[str, Any]]:
        """All rows of an entity set, as its OData service gives them."""
        answer = self.http.get(
            f"{self.url}/data/{entity_set}?cross-company=true",
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()["value"]
        return rows

    def update(self, path: str, **properties: Any) -> None:
        answer = self.http.patch(
            f"{self.url}/data/{path}?cross-company=true",
            json=properties,
            headers={"Authorization": f"Bearer {self.token()}"},
            timeout=PATIENCE_S,
        )
        assert answer.status_code < 300, answer.text

    def orders_made(self) -> list[str]:
        """The numbers of the orders that were created, one for each creation."""
        return [entry["key"] for entry in self.effects("created", "SalesOrderHeadersV2")]


@dataclass(frozen=True)
class Systems:
    """The two sides."""

    salesforce: Salesforce
    d365: D365

    def environment(self) -> dict[str, str]:
        """What points Tieout at them, as the README says it for a tenant."""
        return {
            "SALESFORCE_INSTANCE_URL": self.salesforce.url,
            "SALESFORCE_CLIENT_ID": DEFAULT_CLIENT_ID,
            "SALESFORCE_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
            "D365_URL": self.d365.url,
            "D365_TENANT_ID": DEFAULT_TENANT_ID,
            "D365_CLIENT_ID": DEFAULT_CLIENT_ID,
            "D365_CLIENT_SECRET": DEFAULT_CLIENT_SECRET,
            "D365_AUTHORITY_URL": f"{self.d365.tls_url}/{DEFAULT_TENANT_ID}",
            "TIEOUT_CA_BUNDLE": self.d365.ca,
        }


@contextmanager
def running_systems(state: Path) -> Iterator[Systems]:
    """Both sandboxes over the files in `state`, until the end of the block."""
    command = [sys.executable, "-m", "sandbox"]
    where = ["--state", str(state), "--port", "0", "--tls-port", "0"]
    processes = [
        subprocess.Popen([*command, name, *where], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        for name in ("salesforce", "d365")
    ]
    addresses = [_ready(process) for process in processes]
    systems = Systems(Salesforce("salesforce", processes[0], *addresses[0]), D365("d365", processes[1], *addresses[1]))
    try:
        yield systems
    finally:
        systems.salesforce.stop()
        systems.d365.stop()
        for process in processes:
            process.wait(PATIENCE_S)


def _ready(process: subprocess.Popen[str]) -> tuple[str, str, str]:
    assert process.stdout is not None
    said: Mapping[str, str] = json.loads(process.stdout.readline())
    return said["url"], said["tls_url"], said["ca"]


@contextmanager
def tokens_die_at(system: System, nth: int = 1, **entry: str) -> Iterator[list[int]]:
    """Kill the system's tokens when its journal gets the `nth` such entry from now on; the list then says how many died."""
    died: list[int] = []
    stop = threading.Event()
    before = len(system.journal(**entry))

    def watch() -> None:
        while not stop.wait(0.02) and not died:
            if len(system.journal(**entry)) >= before + nth:
                died.append(int(system.post("tokens/expire")["expired"]))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield died
    finally:
        stop.set()
        watcher.join()
