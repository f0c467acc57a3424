"""Seconds from a won opportunity to its order in D365, with nothing but an outbound message in between.

Everything runs as `tieout up` starts it: sandboxes, receiver in the desk's process, Dagster's daemon with the sensor. Opportunities are won one
at a time, after a pause of random length, so that each meets the daemon at another moment; then several at once. The clock starts when
Salesforce has answered, and ends with the order in the journal of the D365 sandbox. `--json` prints one object and nothing else.
"""

import argparse
import json
import os
import random
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pipelines.services import processes, sandboxes
from pipelines.services.home import Home

PROJECT = Path(__file__).resolve().parent.parent
WITHIN_S = 120.0
LONGEST_PAUSE_S = 6.0
API = "services/data/v62.0"
_START_SENSOR = """mutation { startSensor(sensorSelector: {
    repositoryName: "__repository__", repositoryLocationName: "tieout", sensorName: "events_wait"}) { __typename } }"""


@dataclass
class Running:
    """What `tieout up` has started in a home of its own."""

    home: Home
    secret: str
    _place: int = 0
    _made: dict[str, float] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a service is."""
        service = processes.running(self.home, name)
        assert service is not None, f"{name} does not run"
        return service.address

    def open_opportunities(self) -> list[str]:
        """The ids of the opportunities that are still open and whose account is a customer."""
        query = "SELECT Id FROM Opportunity WHERE IsClosed = false AND Account.ERP_Number__c != null AND HasOpportunityLineItem = true"
        answer = requests.get(
            f"{self.address('sandbox-salesforce')}/{API}/query",
            params={"q": query},
            headers=self._headers(),
            timeout=60,
        )
        answer.raise_for_status()
        return [str(record["Id"]) for record in answer.json()["records"]]

    def win(self, opportunity: str) -> float:
        """Win it; returns when Salesforce had answered, in seconds since 1970."""
        url = f"{self.address('sandbox-salesforce')}/{API}/sobjects/Opportunity/{opportunity}"
        requests.patch(url, json={"StageName": "Closed Won"}, headers=self._headers(), timeout=60).raise_for_status()
        return time.time()

    def ordered_at(self, opportunity: str) -> float:
        """Wait for its order; returns when the order was seen in D365, in seconds since 1970."""
        until = time.monotonic() + WITHIN_S
        while opportunity not in self._made:
            if time.monotonic() > until:
                raise SystemExit(f"{opportunity} has no order after {WITHIN_S:.0f} s.")
            query = {"phase": "effect", "entity": "SalesOrderHeadersV2", "effect": "created", "after": str(self._place)}
            page = requests.get(f"{self.address('sandbox-d365')}/_sandbox/journal", params=query, timeout=60).json()
            self._place = page["next"]
            for entry in page["entries"]:
                if entry["values"]["CustomersOrderReference"] in self._made:
                    raise SystemExit(f"{opportunity} has a second order.")
                self._made[entry["values"]["CustomersOrderReference"]] = time.time()
            time.sleep(0.05)
        return self._made[opportunity]

    def listen(self) -> None:
        """Switch the sensor on, and have Salesforce send its messages."""
        told = requests.post(
            f"{self.address('dagster-webserver')}/graphql", json={"query": _START_SENSOR}, timeout=60
        ).json()
        if told["data"]["startSensor"]["__typename"] != "Sensor":
            raise SystemExit(f"The sensor was not started: {told}")
        wanted = {"url": f"{self.address('desk')}/events/salesforce", "key": self.secret}
        requests.post(
            f"{self.address('sandbox-salesforce')}/_sandbox/subscriptions", json=wanted, timeout=60
        ).raise_for_status()

    def _headers(self) -> dict[str, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": sandboxes.CLIENT_ID,
            "client_secret": sandboxes.CLIENT_SECRET,
        }
        answer = requests.post(f"{self.address('sandbox-salesforce')}/services/oauth2/token", data=form, timeout=60)
        answer.raise_for_status()
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=10, help="opportunities that are won one at a time")
    arguments.add_argument("--at-once", type=int, default=20, help="opportunities that are won together afterwards")
    arguments.add_argument("--seed", default="generated:5000", help="what the sandboxes hold")
    arguments.add_argument("--json", action="store_true", dest="as_json")
    asked = arguments.parse_args()
    with _running(asked.seed) as running:
        measured = measure(running, asked.orders, asked.at_once)
    if asked.as_json:
        print(json.dumps(measured))
        return
    for name, figures in measured.items():
        print(f"{name:14}" + "".join(f"  {what} {value:6.2f} s" for what, value in figures.items()))


def measure(running: Running, orders: int, at_once: int) -> dict[str, dict[str, float]]:
    """Median and slowest seconds of opportunities won one at a time, and of several won together."""
    chance = random.Random(1)
    opportunities = iter(running.open_opportunities())
    running.listen()
    single = []
    for _ in range(orders):
        time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
        opportunity = next(opportunities)
        began = running.win(opportunity)
        single.append(running.ordered_at(opportunity) - began)
    won = {opportunity: running.win(opportunity) for _, opportunity in zip(range(at_once), opportunities, strict=False)}
    together = [running.ordered_at(opportunity) - began for opportunity, began in won.items()]
    return {"one at a time": _figures(single), "together": _figures(together)}


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "slowest": round(max(seconds), 2)} if seconds else {}


@contextmanager
def _running(seed: str) -> Iterator[Running]:
    folder, secret = Path(tempfile.mkdtemp(prefix="tieout-benchmark-")), secrets.token_urlsafe(32)
    # Without compiled bytecode every start of a run would compile Dagster anew, as the Makefile knows.
    ours = ("TIEOUT_", "SALESFORCE_", "D365_", "DAGSTER_", "SANDBOX_", "PYTHONDONTWRITEBYTECODE")
    environment: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"TIEOUT_HOME": str(folder), "TIEOUT_EVENTS_SECRET": secret, "PYTHONPATH": str(PROJECT)}
    tieout = [sys.executable, "-W", "ignore", "-m", "pipelines"]
    try:
        subprocess.run(
            [*tieout, "up", "--detach", "--seed", seed, "--run"], env=environment, check=True, stdout=sys.stderr
        )
        yield Running(Home(folder), secret)
    finally:
        subprocess.run([*tieout, "down"], env=environment, check=False, stdout=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
