"""`tieout up` left alone while both systems are worked with: is every change carried over, and does nothing else wait for a person?

Everything runs as `tieout up` starts it, on generated orders: sandboxes, desk with the receiver of events, Dagster's daemon with schedule and
sensor. For some minutes opportunities are won, orders are confirmed, picked, delivered and invoiced, accounts renamed in Salesforce, and credit
limits set in D365. Then nothing is done but waiting for two scheduled runs. It is judged by what the two systems hold: one order for each won
opportunity, every status, name and limit on the other side; and by the work list, which may have grown by one planted break only, and the alerts,
by the one that this break must raise. `--json` prints one object and nothing else; the exit code is 1 where something is missing.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.running import Running, running

EVERY_S = 1.5
"""Seconds between two changes, on average."""
PATIENCE_S = 900.0
SHOWN = 5
"""Of what is missing, so many are named."""
STEPS = {"confirm": "Confirmed", "pick": "Picked", "deliver": "Delivered", "invoice": "Invoiced"}
"""What is done to an order in D365, in this order, and the status that Salesforce shall show for it."""
ENUMS = "Microsoft.Dynamics.DataEntities"
PLANTED_AMOUNT = Decimal(90_000_000)
RULES = """rules:
  run_failed: {kind: run_failed}
  source_not_read: {kind: freshness, longer_than: 1h}
  order_in_doubt: {kind: in_doubt, longer_than: 5m}
  attempts_failing: {kind: error_rate, percent: 20, within: 1h, at_least: 20}
  money_open: {kind: break_money, limits: {"*": 50000000}}
"""
OPEN = (
    "SELECT Id FROM Opportunity WHERE IsClosed = false AND Account.ERP_Number__c != null AND HasOpportunityLineItem = true "
    "AND Account.ERP_On_Hold__c = 'No'"
)
LINKED = "SELECT Id, ERP_Number__c FROM Account WHERE ERP_Number__c != null AND ERP_On_Hold__c = 'No'"
NOT_POSTED = "SELECT Id FROM Opportunity WHERE ERP_Order_Status__c = 'Open'"
_RUNS = """{ runsOrError(filter: {pipelineName: "main"}) { ... on Runs { results { runId status startTime } } } }"""


@dataclass
class Work:
    """What is done in the two systems, and what shall be on the other side afterwards."""

    running: Running
    chance: random.Random
    opportunities: list[str]
    orders: list[tuple[str, str, str]]
    accounts: list[tuple[str, str, str]]
    done: Counter[str] = field(default_factory=Counter)
    won: set[str] = field(default_factory=set)
    steps: dict[tuple[str, str, str], int] = field(default_factory=dict)
    names: dict[tuple[str, str, str], str] = field(default_factory=dict)
    limits: dict[tuple[str, str, str], Decimal] = field(default_factory=dict)

    def go_on(self, minutes: float) -> None:
        """Work for some minutes, one change after the other."""
        kinds: dict[str, Callable[[], None]] = {
            "opportunities won": self._win,
            "orders posted": self._post,
            "accounts renamed": self._rename,
            "credit limits set": self._limit,
        }
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            kind = self.chance.choice(list(kinds))
            kinds[kind]()
            self.done[kind] += 1
            time.sleep(self.chance.uniform(0, 2 * EVERY_S))

    def missing(self) -> dict[str, list[str]]:
        """What was done on one side and is not on the other, by kind."""
        made: Counter[str] = Counter()
        place, entries = 0, self.running.created_orders(0)
        while entries[0]:
            made.update(entry["values"]["CustomersOrderReference"] for entry in entries[0])
            place = entries[1]
            entries = self.running.created_orders(place)
        status = _by(self.running.query("SELECT Id, ERP_Order_Status__c FROM Opportunity"), "ERP_Order_Status__c")
        limit = _by(self.running.query("SELECT Id, Credit_Limit__c FROM Account"), "Credit_Limit__c")
        name = {
            (row["dataAreaId"].lower(), row["CustomerAccount"]): row["OrganizationName"]
            for row in self.running.rows("CustomersV3?$select=dataAreaId,CustomerAccount,OrganizationName")
        }
        wanted = list(STEPS.values())
        return {
            "orders missing": sorted(each for each in self.won if not made[each]),
            "orders twice": sorted(each for each, times in made.items() if times > 1),
            "statuses missing": [
                f"{key[0]} of {key[2]}: {wanted[step]}, not {status.get(key[0])}"
                for key, step in self.steps.items()
                if status.get(key[0]) != wanted[step]
            ],
            "names missing": [key[0] for key, text in self.names.items() if name.get(key[1:]) != text],
            "limits missing": [
                key[0] for key, amount in self.limits.items() if Decimal(str(limit.get(key[0]))) != amount
            ],
        }

    def _win(self) -> None:
        opportunity = self.opportunities.pop()
        self.running.sales(f"Opportunity/{opportunity}", StageName="Closed Won")
        self.won.add(opportunity)

    def _post(self) -> None:
        order = self.chance.choice(self.orders)
        step = self.steps.get(order, -1) + 1
        _, company, number = order
        self.running.post_order(company, number, list(STEPS)[step])
        self.steps[order] = step
        if step == len(STEPS) - 1:
            self.orders.remove(order)

    def _rename(self) -> None:
        account = self.chance.choice(self.accounts)
        self.names[account] = f"Renamed {self.done.total()} Ltd"
        self.running.sales(f"Account/{account[0]}", Name=self.names[account])

    def _limit(self) -> None:
        account = self.chance.choice(self.accounts)
        self.limits[account] = Decimal(self.chance.randint(1, 10**7)) / 100
        _, company, number = account
        self.running.erp(
            f"CustomersV3(dataAreaId='{company}',CustomerAccount='{number}')", CreditLimit=float(self.limits[account])
        )


def main() -> int:
    """Work, wait, judge, print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10, help="how long the two systems are worked with")
    arguments.add_argument("--seed", default="generated:5000", help="what the sandboxes hold")
    arguments.add_argument("--json", action="store_true", dest="as_json")
    asked = arguments.parse_args()
    with TemporaryDirectory() as folder:
        rules = Path(folder) / "alerts.yaml"
        rules.write_text(RULES)
        variables = {"TIEOUT_ALERTS": str(rules), "TIEOUT_MAIN_SCHEDULE": "*/2 * * * *"}
        with running(asked.seed, **variables) as all_of_it:
            told = leave_alone(all_of_it, asked.minutes)
    if asked.as_json:
        print(json.dumps(told))
    else:
        for what, figure in told.items():
            print(f"{what:28} {figure}")
    return 0 if told["is_carried"] else 1


def leave_alone(systems: Running, minutes: float) -> dict[str, Any]:
    """What was done, and what became of it."""
    # What the first run made agrees from the second on; what is open then was planted by the seed.
    for _ in range(2):
        systems.tieout("run")
    before = _breaks(systems)
    work = _work(systems, before)
    planted = _plant(systems, work)
    systems.follow_events()
    systems.start_schedule()
    began = time.time()
    work.go_on(minutes)
    ended = time.time()
    _wait_for_runs(systems, ended, 2)
    systems.tieout("alerts", "check")
    after, alerts = _breaks(systems), systems.tieout("alerts", "list", "--all")["alerts"]
    new = {key: row for key, row in after.items() if key not in before}
    runs = [run for run in systems.graphql(_RUNS)["runsOrError"]["results"] if (run["startTime"] or 0) > began]
    missing = work.missing()
    unplanned = [
        f"{row['entity']} {row['salesforce_key']} {row['field']}: {row['cause']}"
        for key, row in new.items()
        if key[2] != planted
    ]
    raised = sorted({f"{each['rule']} {each['subject']}" for each in alerts})
    return {
        "minutes": round((ended - began) / 60, 1),
        "changes": dict(work.done),
        "missing": {kind: len(found) for kind, found in missing.items()},
        "missing_first": {kind: found[:SHOWN] for kind, found in missing.items() if found},
        "breaks_before": len(before),
        "breaks_planted": len(new) - len(unplanned),
        "breaks_after": len(after),
        "breaks_unplanned": unplanned,
        "alerts": raised,
        "runs_of_the_schedule": len(runs),
        "runs_failed": sum(run["status"] == "FAILURE" for run in runs),
        "is_carried": not any(missing.values()) and not unplanned and len(raised) == 1 and len(new) > len(unplanned),
    }


def _breaks(systems: Running) -> dict[tuple[str, str, str, str], dict[str, Any]]:
    found = systems.tieout("breaks", "list", "--limit", "100000")["breaks"]
    return {(row["entity"], row["salesforce_key"], row["d365_key"], row["field"]): row for row in found}


def _work(systems: Running, breaks: dict[Any, dict[str, Any]]) -> Work:
    """Records with nothing open on them, in an order of chance."""
    chance = random.Random(1)
    taken = {row["salesforce_key"] for row in breaks.values()} | {row["d365_key"] for row in breaks.values()}
    linked = {
        (company, number): row["Id"]
        for row in systems.query(LINKED)
        for company, _, number in [row["ERP_Number__c"].lower().partition("/")]
    }
    not_posted = {row["Id"] for row in systems.query(NOT_POSTED)}
    columns = "dataAreaId,SalesOrderNumber,CustomersOrderReference,OrderingCustomerAccountNumber"
    where = f"SalesOrderStatus eq {ENUMS}.SalesStatus'Backorder'"
    orders = [
        (row["CustomersOrderReference"], row["dataAreaId"].lower(), row["SalesOrderNumber"])
        for row in systems.rows(f"SalesOrderHeadersV2?$select={columns}&$filter={where}")
        if row["CustomersOrderReference"] in not_posted
        and (row["dataAreaId"].lower(), row["OrderingCustomerAccountNumber"].lower()) in linked
        and not {row["CustomersOrderReference"], row["SalesOrderNumber"]} & taken
    ]
    numbers = {
        (row["dataAreaId"].lower(), row["CustomerAccount"].lower()): row["CustomerAccount"]
        for row in systems.rows(
            f"CustomersV3?$select=dataAreaId,CustomerAccount&$filter=OnHoldStatus eq {ENUMS}.CustVendorBlocked'No'"
        )
    }
    accounts = [
        (account, company, numbers[company, number])
        for (company, number), account in linked.items()
        if (company, number) in numbers and not {account, numbers[company, number]} & taken
    ]
    opportunities = [row["Id"] for row in systems.query(OPEN) if row["Id"] not in taken]
    for each in (orders, accounts, opportunities):
        chance.shuffle(each)
    return Work(systems, chance, opportunities, orders, accounts)


def _plant(systems: Running, work: Work) -> str:
    """A break of so much money that an alert has to be raised; returns the number of its order."""
    _, company, number = work.orders.pop()
    where = f"dataAreaId eq '{company}' and SalesOrderNumber eq '{number}'"
    line = systems.rows(f"SalesOrderLines?$select=InventoryLotId&$filter={where}")[0]
    systems.erp(
        f"SalesOrderLines(dataAreaId='{company}',InventoryLotId='{line['InventoryLotId']}')",
        LineAmount=float(PLANTED_AMOUNT),
    )
    return number


def _wait_for_runs(systems: Running, since: float, count: int) -> None:
    """Until so many scheduled runs that began after `since` have ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        runs = systems.graphql(_RUNS)["runsOrError"]["results"]
        ended = [run for run in runs if (run["startTime"] or 0) > since and run["status"] in ("SUCCESS", "FAILURE")]
        if len(ended) >= count:
            return
        time.sleep(2)
    raise SystemExit(f"There were no {count} runs of the schedule within {PATIENCE_S:.0f} s.")


def _by(rows: list[dict[str, Any]], column: str) -> dict[str, Any]:
    return {row["Id"]: row[column] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
