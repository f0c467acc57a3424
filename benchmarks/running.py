"""All that `tieout up` starts, in a home of its own, and the two sandboxes as their users see them: over HTTP, with sign-in."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import requests

from pipelines.services import processes, sandboxes
from pipelines.services.home import Home

PROJECT = Path(__file__).resolve().parent.parent
API = "services/data/v62.0"
SENSOR, SCHEDULE = "events_wait", "throughout_the_day"
_SELECTOR = 'repositoryName: "__repository__", repositoryLocationName: "tieout"'
_START_SENSOR = (
    f'mutation {{ startSensor(sensorSelector: {{ {_SELECTOR}, sensorName: "{SENSOR}" }}) {{ __typename }} }}'
)
_START_SCHEDULE = (
    f'mutation {{ startSchedule(scheduleSelector: {{ {_SELECTOR}, scheduleName: "{SCHEDULE}" }}) {{ __typename }} }}'
)


@dataclass
class Running:
    """What `tieout up` has started, and the environment that leads to it."""

    home: Home
    secret: str
    environment: Mapping[str, str]
    _http: requests.Session = field(default_factory=requests.Session)
    _tokens: dict[str, str] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a service is."""
        service = processes.running(self.home, name)
        if service is None:
            raise SystemExit(f"{name} does not run.")
        return service.address

    def tieout(self, *arguments: str) -> Any:
        """What a command prints with `--json`; SystemExit where it could not run."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "pipelines", *arguments, "--json"],
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise SystemExit(f"tieout {' '.join(arguments)} ended with {done.returncode}.")
        return orjson.loads(done.stdout)

    def follow_events(self, senders: Collection[str] = tuple(sandboxes.PORTS)) -> None:
        """Switch the sensor on, and have `senders` (salesforce, d365) post events to the desk; Salesforce's channels are listened to anyway."""
        self.graphql(_START_SENSOR)
        for system in senders:
            wanted = {"url": f"{self.address('desk')}/events/{system}", "key": self.secret}
            address = f"{self.address(f'sandbox-{system}')}/_sandbox/subscriptions"
            self._http.post(address, json=wanted, timeout=60).raise_for_status()

    def start_schedule(self) -> None:
        """Switch the schedule of the main job on."""
        self.graphql(_START_SCHEDULE)

    def graphql(self, query: str) -> Any:
        """What Dagster's web server answers; SystemExit where it refuses."""
        told = self._http.post(f"{self.address('dagster-webserver')}/graphql", json={"query": query}, timeout=60).json()
        if told.get("errors") or any("Error" in part.get("__typename", "") for part in told["data"].values()):
            raise SystemExit(f"Dagster refused: {told}")
        return told["data"]

    def query(self, statement: str) -> list[dict[str, Any]]:
        """All records of a SOQL query."""
        found: list[dict[str, Any]] = []
        path = f"/{API}/query?{urlencode({'q': statement})}"
        while path:
            page = self._sent("salesforce", "GET", path.lstrip("/"), None)
            found += page["records"]
            path = page.get("nextRecordsUrl", "")
        return found

    def rows(self, path: str) -> list[dict[str, Any]]:
        """All rows of a D365 query over all companies; `path` has its other options."""
        page = self._sent("d365", "GET", f"data/{path}{'&' if '?' in path else '?'}cross-company=true", None)
        found = list(page["value"])
        while "@odata.nextLink" in page:
            rest = page["@odata.nextLink"].partition("/data/")[2]
            page = self._sent("d365", "GET", f"data/{rest}", None)
            found += page["value"]
        return found

    def sales(self, path: str, **fields: object) -> None:
        """Change a record of Salesforce, as its users do."""
        self._sent("salesforce", "PATCH", f"{API}/sobjects/{path}", fields)

    def erp(self, path: str, **fields: object) -> None:
        """Change a record of D365, as its users do."""
        self._sent("d365", "PATCH", f"data/{path}?cross-company=true", fields)

    def post_order(self, company: str, number: str, step: str) -> None:
        """Confirm, pick, deliver or invoice an order."""
        self._sent("d365", "POST", f"_sandbox/orders/{company}/{number}/{step}", None)

    def created_orders(self, after: int) -> tuple[list[dict[str, Any]], int]:
        """What D365's journal says of orders that were created behind a place, and the place of its end."""
        query = f"phase=effect&entity=SalesOrderHeadersV2&effect=created&after={after}"
        page = self._sent("d365", "GET", f"_sandbox/journal?{query}", None)
        return list(page["entries"]), int(page["next"])

    def _sent(self, system: str, method: str, path: str, fields: Mapping[str, object] | None) -> Any:
        url = f"{self.address(f'sandbox-{system}')}/{path}"
        send = partial(self._http.request, method, url, json=fields or None, timeout=60)
        answer = send(headers=self._signed_in(system))
        if answer.status_code == requests.codes.unauthorized:
            answer = send(headers=self._signed_in(system, anew=True))
        if not answer.ok:
            raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def _signed_in(self, system: str, *, anew: bool = False) -> Mapping[str, str]:
        if anew or system not in self._tokens:
            address = self.address(f"sandbox-{system}")
            token_path = {
                "salesforce": "services/oauth2/token",
                "d365": f"{sandboxes.TENANT_ID}/oauth2/v2.0/token",
            }[system]
            form = {
                "grant_type": "client_credentials",
                "client_id": sandboxes.CLIENT_ID,
                "client_secret": sandboxes.CLIENT_SECRET,
                "scope": f"{address}/.default",
            }
            answer = self._http.post(f"{address}/{token_path}", data=form, timeout=60)
            answer.raise_for_status()
            self._tokens[system] = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._tokens[system]}"}


@contextmanager
def running(seed: str, **variables: str) -> Iterator[Running]:
    """Everything up and filled, after its first run; afterwards all of it is stopped and removed."""
    folder, secret = Path(tempfile.mkdtemp(prefix="tieout-benchmark-")), secrets.token_urlsafe(32)
    # Without compiled bytecode every start of a run would compile Dagster anew, as the Makefile knows.
    ours = ("TIEOUT_", "SALESFORCE_", "D365_", "DAGSTER_", "SANDBOX_", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"TIEOUT_HOME": str(folder), "TIEOUT_EVENTS_SECRET": secret, "PYTHONPATH": str(PROJECT), **variables}
    tieout = [sys.executable, "-W", "ignore", "-m", "pipelines"]
    try:
        subprocess.run(
            [*tieout, "up", "--detach", "--seed", seed, "--run"], env=environment, check=True, stdout=sys.stderr
        )
        yield Running(Home(folder), secret, environment)
    finally:
        subprocess.run([*tieout, "down"], env=environment, check=False, stdout=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
