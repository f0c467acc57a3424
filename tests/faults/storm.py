"""The big one: ten thousand won opportunities, lost replies, slow commits, and a kill every ten seconds, until everything is delivered.

`python -m tests.faults.storm --orders 10000` runs whole Dagster jobs, one after the other; each is killed ten seconds after it began to
send (a job that reads ten thousand opportunities needs longer than that before it began to write, so a kill every ten seconds of its whole
life would never let it send). Afterwards the same number of orders is delivered in a calm twin world. The last line of standard output is
one JSON object.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
import uuid
from typing import Any

from sandbox.salesforce.ids import make_id
from tests.bad_input.books import PRICE_BOOK, PRODUCTS, product_id
from tests.faults.campaign import Campaign, Verdict
from tests.faults.history import strikes
from tests.faults.runs import SETTLE_S
from tests.faults.soak import campaign
from tests.faults.world import COMPANIES, CUSTOMERS, Won, company
from tests.writes import WRITES

KILL_AFTER_S = 10.0
LOST, SLOW = 0.05, 0.02
SLOW_COMMIT_S = 2.0
STAMP = "2026-01-05T08:00:00Z"
MOST_JOBS = 200


def main() -> int:
    """The storm, the calm, and what the judges say."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    told: dict[str, Any] = {"orders": asked.orders}
    for is_storm in (True, False):
        books, won = business(asked.orders, asked.seed)
        with campaign(books) as played:
            began = played.world.positions()
            if is_storm:
                rules = [
                    {"kind": "lose_answer", "rate": LOST, "times": None} | WRITES,
                    {"kind": "slow_commit", "rate": SLOW, "delay_s": SLOW_COMMIT_S, "times": None} | WRITES,
                ]
                played.world.break_with("d365", rules, asked.seed)
            started = time.monotonic()
            jobs, kills = deliver_all(played, won, is_storm=is_storm)
            duration_s = round(time.monotonic() - started, 1)
            verdict = Verdict(asked.seed)
            played.mend()
            played.judge(verdict, began, won)
            for words in verdict.violations[:20]:
                print(words, file=sys.stderr)
            if not is_storm:
                told |= {"duration_without_faults_s": duration_s, "violations_without_faults": len(verdict.violations)}
                continue
            told |= {
                "jobs": jobs,
                "kills": kills,
                "faults": strikes(played.world.journal("d365", began["d365"])),
                "duplicates": verdict.of("R1"),
                "lost": verdict.of("R2"),
                "half_orders": verdict.of("R4"),
                "violations": len(verdict.violations),
                "duration_s": duration_s,
            }
    print(json.dumps(told))
    return 1 if told["violations"] or told["violations_without_faults"] else 0


def deliver_all(played: Campaign, won: list[Won], *, is_storm: bool) -> tuple[int, int]:
    """Jobs until every deal has its order; returns how many there were and how many of them were killed."""
    kills = 0
    dead: list[str] = []
    for number in range(1, MOST_JOBS + 1):
        at = played.world.positions()["d365"]
        run_id = str(uuid.uuid4())
        order = {"kind": "job", "tag": "storm", "dead_runs": dead, "run_id": run_id, "settle_s": SETTLE_S}
        pid = played.zygote.start(played.environment, **order)
        if is_storm and killed(played, pid, at):
            kills += 1
            dead = [run_id]
        else:
            dead = []
        code, _ = played.zygote.wait(pid)
        if code not in {0, -signal.SIGKILL}:
            raise SystemExit(f"Job {number} ended with {code}; its log is {played.zygote.log}.")
        left = missing(played, won)
        print(
            f"job {number}: {len(won) - left:,} of {len(won):,} delivered, {kills} kills", file=sys.stderr, flush=True
        )
        if not left:
            return number, kills
    raise SystemExit(f"{left} deals have no order after {MOST_JOBS} jobs.")


def killed(played: Campaign, pid: int, at: int) -> bool:
    """Kill a job ten seconds after it began to write; False where it ended before."""
    batch_at: float | None = None
    while alive(pid):
        if batch_at is None and played.world.get("d365", f"journal?after={at}&limit=1&phase=effect")["entries"]:
            batch_at = time.monotonic()
        if batch_at is not None and time.monotonic() - batch_at >= KILL_AFTER_S:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        time.sleep(0.1)
    return False


def alive(pid: int) -> bool:
    """Whether a run is still running; one that has ended waits to be asked for its result."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1] != "Z"
    except FileNotFoundError:
        return False


def missing(played: Campaign, won: list[Won]) -> int:
    """How many deals have no order yet."""
    rows = played.world.ask("d365", "SELECT DISTINCT CustomersOrderReference AS reference FROM SalesOrderHeadersV2")
    found = {row["reference"] for row in rows}
    return sum(deal.opportunity not in found for deal in won)


def business(orders: int, seed: int) -> tuple[Any, list[Won]]:
    """A company that has won `orders` deals of one to five lines with customers that it knows."""
    rng = random.Random(seed)
    books = company()
    numbers = {row["AccountNumber"]: row["Id"] for row in books.tables["Account"] if row["AccountNumber"]}
    codes = list(PRODUCTS)
    won, line = [], 0
    for at in range(1, orders + 1):
        its_company = rng.choice(COMPANIES)
        account = str(numbers[f"C-{its_company}-{rng.randrange(CUSTOMERS)}"])
        opportunity, size = make_id("006", at), rng.randint(1, 5)
        common = {"CurrencyIsoCode": "USD", "CreatedDate": STAMP, "LastModifiedDate": STAMP, "SystemModstamp": STAMP}
        books.tables["Opportunity"].append(
            common
            | {
                "Id": opportunity,
                "Name": f"storm deal {at}",
                "AccountId": account,
                "StageName": "Closed Won",
                "CloseDate": "2026-01-04",
                "Amount": 100 * size,
                "Pricebook2Id": PRICE_BOOK,
                "ERP_Company__c": its_company,
            }
        )
        for position in range(1, size + 1):
            line += 1
            code = rng.choice(codes)
            books.tables["OpportunityLineItem"].append(
                common
                | {
                    "Id": make_id("00k", line),
                    "OpportunityId": opportunity,
                    "Product2Id": product_id(code),
                    "ProductCode": code,
                    "Quantity": 1,
                    "UnitPrice": 100,
                    "TotalPrice": 100,
                    "SortOrder": position,
                }
            )
        won.append(Won(opportunity, account, its_company, size))
    return books, won


if __name__ == "__main__":
    sys.exit(main())
