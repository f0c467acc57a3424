"""A Salesforce sandbox as a process of its own, and the simplest client that can talk to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

PROJECT = Path(__file__).parents[2]
CLIENT = ("tieout-sandbox", "sandbox-secret")
VERSION = "62.0"
START = (
    "import argparse, sys; from sandbox.salesforce.app import main; "
    "main(argparse.Namespace(state=sys.argv[1], host='127.0.0.1', port=0, tls_port=0))"
)


@dataclass
class Sandbox:
    """A running sandbox: where it is, and calls in the name of the integration user."""

    process: subprocess.Popen[str]
    url: str
    tls_url: str
    ca: str
    pubsub: str
    http: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def log_in(self) -> None:
        answer = self.http.post(
            f"{self.url}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=CLIENT, timeout=10
        )
        answer.raise_for_status()
        self.token = answer.json()["access_token"]

    def call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """A REST call; `path` is below the version root, or a whole path that begins with a slash."""
        url = self.url + (path if path.startswith("/") else f"/services/data/v{VERSION}/{path}")
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return self.http.request(method, url, headers=sent, timeout=30, **options)

    def query(self, soql: str, *, deleted: bool = False, **headers: str) -> dict[str, Any]:
        answer = self.call("GET", "queryAll" if deleted else "query", params={"q": soql}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def column(self, soql: str, **options: Any) -> list[Any]:
        """The first selected field of every record."""
        return [list(record.values())[1] for record in self.query(soql, **options)["records"]]

    def refusal(self, soql: str) -> tuple[str, str]:
        """Code and message of a query that must be refused with 400."""
        answer = self.call("GET", "query", params={"q": soql})
        assert answer.status_code == 400, answer.text
        return answer.json()[0]["errorCode"], answer.json()[0]["message"]

    def create(self, sobject: str, **fields: Any) -> str:
        answer = self.call("POST", f"sobjects/{sobject}/", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def read(self, sobject: str, record_id: str) -> dict[str, Any]:
        return self.call("GET", f"sobjects/{sobject}/{record_id}").json()

    def control(self, path: str, /, **content: Any) -> dict[str, Any]:
        answer = self.http.post(f"{self.url}/_sandbox/{path}", json=content, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def journal(self, **filters: Any) -> list[dict[str, Any]]:
        return self.http.get(f"{self.url}/_sandbox/journal", params=filters, timeout=10).json()["entries"]

    def journal_end(self) -> int:
        return self.http.get(f"{self.url}/_sandbox/journal", params={"limit": 10**6}, timeout=10).json()["next"]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=15)


def start_sandbox(state: Path, environment: Mapping[str, str] | None = None) -> Sandbox:
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(state)], stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    sandbox = Sandbox(process, ready["url"], ready["tls_url"], ready["ca"], ready["pubsub"])
    sandbox.http.trust_env = False
    sandbox.log_in()
    return sandbox


def an_account(tag: str, **changes: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Account"}, "Name": f"Account {tag}", "AccountSource": tag, **changes}


def an_opportunity(**changes: Any) -> dict[str, Any]:
    return {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-10-31", **changes}
