"""Seconds from a won opportunity to its order in D365, with nothing but an event in between.

The event is an outbound message that Salesforce posts (`--by message`), or one of change data capture, read over the Pub/Sub API (`--by channel`).
Everything runs as `tieout up` starts it: sandboxes, receiver and listener in the desk's process, Dagster's daemon with the sensor. Opportunities are won one
at a time, after a pause of random length, so that each meets the daemon at another moment; then several at once. The clock starts when
Salesforce has answered, and ends with the order in the journal of the D365 sandbox. `--json` prints one object and nothing else.
"""

import argparse
import json
import random
import statistics
import time
from dataclasses import dataclass, field

from benchmarks.running import Running, running

WITHIN_S = 120.0
LONGEST_PAUSE_S = 6.0
OPEN_OPPORTUNITIES = "SELECT Id FROM Opportunity WHERE IsClosed = false AND Account.ERP_Number__c != null AND HasOpportunityLineItem = true"


@dataclass
class Orders:
    """The orders that D365 makes, seen in its journal."""

    running: Running
    _place: int = 0
    _made: dict[str, float] = field(default_factory=dict)

    def ordered_at(self, opportunity: str) -> float:
        """Wait for the order of an opportunity; returns when it was seen in D365, in seconds since 1970."""
        until = time.monotonic() + WITHIN_S
        while opportunity not in self._made:
            if time.monotonic() > until:
                raise SystemExit(f"{opportunity} has no order after {WITHIN_S:.0f} s.")
            entries, self._place = self.running.created_orders(self._place)
            for entry in entries:
                if entry["values"]["CustomersOrderReference"] in self._made:
                    raise SystemExit(f"{opportunity} has a second order.")
                self._made[entry["values"]["CustomersOrderReference"]] = time.time()
            time.sleep(0.05)
        return self._made[opportunity]


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=10, help="opportunities that are won one at a time")
    arguments.add_argument("--at-once", type=int, default=20, help="opportunities that are won together afterwards")
    arguments.add_argument("--by", choices=["message", "channel"], default="message", help="how Salesforce tells of it")
    arguments.add_argument("--seed", default="generated:5000", help="what the sandboxes hold")
    arguments.add_argument("--json", action="store_true", dest="as_json")
    asked = arguments.parse_args()
    by_message = asked.by == "message"
    only_messages = {"TIEOUT_SALESFORCE_TOPICS": "none"} if by_message else {}
    with running(asked.seed, **only_messages) as all_of_it:
        all_of_it.follow_events(["salesforce"] if by_message else [])
        measured = measure(all_of_it, asked.orders, asked.at_once)
    if asked.as_json:
        print(json.dumps(measured))
        return
    for name, figures in measured.items():
        print(f"{name:14}" + "".join(f"  {what} {value:6.2f} s" for what, value in figures.items()))


def measure(running: Running, orders: int, at_once: int) -> dict[str, dict[str, float]]:
    """Median and slowest seconds of opportunities won one at a time, and of several won together."""
    chance, orders_made = random.Random(1), Orders(running)
    opportunities = iter([row["Id"] for row in running.query(OPEN_OPPORTUNITIES)])
    single = []
    for _ in range(orders):
        time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
        opportunity = next(opportunities)
        began = _won_at(running, opportunity)
        single.append(orders_made.ordered_at(opportunity) - began)
    won = {each: _won_at(running, each) for _, each in zip(range(at_once), opportunities, strict=False)}
    together = [orders_made.ordered_at(opportunity) - began for opportunity, began in won.items()]
    return {"one at a time": _figures(single), "together": _figures(together)}


def _won_at(running: Running, opportunity: str) -> float:
    """Win it; returns when Salesforce had answered, in seconds since 1970."""
    running.sales(f"Opportunity/{opportunity}", StageName="Closed Won")
    return time.time()


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "slowest": round(max(seconds), 2)} if seconds else {}


if __name__ == "__main__":
    main()
