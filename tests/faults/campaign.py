"""Playing a schedule: win, break, run and kill, mend, run until it is quiet, and let the judges speak."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.conftest import PROJECT
from tests.faults import checkers
from tests.faults.history import History, history_of, strikes
from tests.faults.schedule import Schedule
from tests.faults.world import Won, World
from tests.faults.zygote import Zygote

MOST_ROUNDS = 10
"""Runs that a world may take to come to rest after its faults are mended."""
A_LONG_WHILE_S = 1000.0
"""What passes between two of them: longer than any settling time or cool-down of a circuit breaker."""


@dataclass
class Verdict:
    """What became of one schedule."""

    seed: int
    orders: int = 0
    kills: int = 0
    runs: int = 0
    struck: dict[str, int] = field(default_factory=dict)
    converged_s: float = 0.0
    is_quiet: bool = False
    violations: list[str] = field(default_factory=list)

    def of(self, property_name: str) -> int:
        """How many violations of one property."""
        return sum(each.startswith(f"{property_name}:") for each in self.violations)


@dataclass
class Campaign:
    """One world, one ledger and one parent of runs, for many schedules one after the other."""

    world: World
    zygote: Zygote
    database_url: str
    home: Path
    ahead_s: float = 0.0
    dead: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a run."""
        return self.world.environment | {
            "TIEOUT_HOME": str(self.home),
            "TIEOUT_DATABASE_URL": self.database_url,
            "TIEOUT_COMPANIES": "demf,usmf",
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "GX_ANALYTICS_ENABLED": "false",
        }

    def play(self, schedule: Schedule, *, sabotage: Sequence[str] = ()) -> Verdict:
        """One schedule from the first deal to the verdict."""
        verdict = Verdict(schedule.seed)
        rng = random.Random(schedule.seed)
        began = self.world.positions()
        won = self.world.win(schedule.tag, schedule.deals, rng, poison=schedule.poison)
        verdict.orders = len(won)
        self.world.break_with("d365", schedule.d365, schedule.seed)
        self.world.break_with("salesforce", schedule.salesforce, schedule.seed)
        order = self.order_for(schedule, sabotage)
        for turn in schedule.turns:
            self.turn(turn.kills, order, verdict)
        self.mend()
        started = time.monotonic()
        self.run_until_quiet(order, won, verdict)
        verdict.converged_s = round(time.monotonic() - started, 2)
        self.judge(verdict, began, won)
        return verdict

    def mend(self) -> None:
        """No more faults; what is still under way lands."""
        self.world.mend()
        deadline = time.monotonic() + 30
        while any(self.world.get(name, "faults")["under_way"] for name in ("salesforce", "d365")):
            assert time.monotonic() < deadline, "a slow commit never landed"
            time.sleep(0.05)

    def run_until_quiet(self, order: Mapping[str, Any], won: Sequence[Won], verdict: Verdict) -> None:
        """Runs, with the settling time passing between them, until no delivery is open any more."""
        for _ in range(MOST_ROUNDS):
            self.ahead_s += A_LONG_WHILE_S
            self.run(order)
            verdict.runs += 1
            if self._is_quiet(won):
                verdict.is_quiet = True
                return

    def run(self, order: Mapping[str, Any], **more: Any) -> tuple[int, dict[str, Any] | None]:
        """One run to its end."""
        dead, self.dead = self.dead, []
        return self.zygote.run(self.environment, **{**order, "ahead_s": self.ahead_s, "dead_runs": dead, **more})

    def judge(self, verdict: Verdict, began: Mapping[str, int], won: Sequence[Won]) -> History:
        """Let every judge speak about what happened behind `began`."""
        entries = self.world.journal("d365", began["d365"])
        history = history_of(entries)
        orders = self.world.orders()
        mine = {deal.opportunity for deal in won}
        orders = {reference: held for reference, held in orders.items() if reference in mine}
        verdict.violations += checkers.no_duplicate_order(history)
        verdict.violations += checkers.no_lost_order(won, orders, self.states())
        verdict.violations += checkers.never_guessed(history)
        verdict.violations += checkers.no_half_order(won, orders)
        if not verdict.kills:
            # A run that was killed before it could read the answer was told nothing.
            verdict.violations += checkers.nothing_before_retry_after(entries)
        for system in ("d365", "salesforce"):
            for kind, count in strikes(self.world.journal(system, began[system])).items():
                verdict.struck[kind] = verdict.struck.get(kind, 0) + count
        return history

    def states(self) -> dict[str, tuple[str, str]]:
        """Business key → state and reason of what was to be created: the only question that Tieout itself is asked."""
        rows = self.ask("select business_key, state, reason from tieout.delivery where operation = 'create'")
        return {key: (state, reason) for key, state, reason in rows}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """A question to the ledger's database."""
        with (
            closing(psycopg2.connect(self.database_url.replace("+psycopg2", ""))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            rows = cursor.fetchall() if cursor.description else []
            connection.commit()
            return list(rows)

    def turn(self, kills: Sequence[float | None], order: Mapping[str, Any], verdict: Verdict) -> None:
        """Start runs at once, and kill each after its seconds (None: it lives)."""
        dead, self.dead = self.dead, []
        started = [
            (self.zygote.start(self.environment, **{**order, "ahead_s": self.ahead_s, "dead_runs": dead}), after_s)
            for after_s in kills
        ]
        at = time.monotonic()
        for pid, after_s in sorted(started, key=lambda pair: pair[1] or 99):
            if after_s is not None:
                time.sleep(max(0.0, at + after_s - time.monotonic()))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pid, _ in started:
            code, _ = self.zygote.wait(pid)
            verdict.runs += 1
            if code == -signal.SIGKILL:
                verdict.kills += 1
                self.dead.append(f"{order['tag']}-{pid}")
        self.ahead_s += 1

    def order_for(self, schedule: Schedule, sabotage: Sequence[str]) -> dict[str, Any]:
        """What a run of this schedule is told to do."""
        order: dict[str, Any] = {
            "kind": "job" if schedule.job else "flow",
            "tag": schedule.tag,
            "sabotage": list(sabotage),
        }
        if schedule.given_by == "d365":
            order["contracts"] = str(contracts_with_d365_numbers(self.home))
        return order

    def _is_quiet(self, won: Sequence[Won]) -> bool:
        """Whether every deal has come to an end: an order, or a refusal of it or of its customer."""
        states = {key: state for key, (state, _) in self.states().items()}
        return all(
            states.get(deal.opportunity, states.get(deal.customer_key)) in {"confirmed", "rejected"}
            and not (deal.opportunity not in states and states.get(deal.customer_key) == "confirmed")
            for deal in won
        )


def contracts_with_d365_numbers(home: Path) -> Path:
    """The project's contracts, but for who gives the numbers of orders."""
    folder = home / "contracts-d365-numbers"
    if not folder.is_dir():
        shutil.copytree(PROJECT / "contracts", folder)
        path = folder / "sales_order.yaml"
        ours = 'number: {given_by: tieout, prefix: "T-"}'
        text = path.read_text()
        assert ours in text
        path.write_text(text.replace(ours, "number: {given_by: d365, settle_s: 60}"))
    return folder
