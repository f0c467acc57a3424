"""Random schedules of faults and kills, the same for the same seed: what goes wrong, when, and how often runs are started and killed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.writes import WRITES

Rule = dict[str, Any]
READS = {"method": "GET", "path": r"/data/"}
COLLECTION = {"method": "PATCH", "path": "composite/sobjects"}
QUERIES = {"method": "GET", "path": "/query"}


@dataclass(frozen=True)
class Turn:
    """One start of runs: how many at once, and after how many seconds each is killed (None: it lives)."""

    kills: Sequence[float | None]


@dataclass(frozen=True)
class Schedule:
    """One world's fate. `mode` is who gives the numbers, `job` whether the turns are whole Dagster jobs."""

    seed: int
    deals: int
    poison: int
    d365: Sequence[Rule]
    salesforce: Sequence[Rule]
    turns: Sequence[Turn]
    given_by: str = "tieout"
    job: bool = False

    @property
    def tag(self) -> str:
        """The word that the names of its deals begin with."""
        return f"S{self.seed}"


def schedule_of(seed: int, *, job: bool = False, d365_numbers: float = 0.25) -> Schedule:
    """The schedule of a seed."""
    rng = random.Random(seed)
    turns = [Turn([_kill(rng, job) for _ in range(2 if rng.random() < 0.3 else 1)]) for _ in range(rng.randint(1, 3))]
    given_by = "d365" if not job and rng.random() < d365_numbers else "tieout"
    # A header that the network delivers twice becomes two orders where D365 gives the numbers: docs/exactly-once.md says so.
    delivered_once = given_by == "d365"
    return Schedule(
        seed=seed,
        deals=rng.randint(4, 14),
        poison=rng.choice([0, 0, 0, 1, 2]),
        d365=[
            _as_lost(rule) if delivered_once and rule["kind"] == "duplicate" else rule
            for rule in (_d365_rule(rng) for _ in range(rng.randint(1, 4)))
        ],
        salesforce=[_salesforce_rule(rng) for _ in range(rng.choice([0, 0, 1, 2]))],
        turns=turns,
        given_by=given_by,
        job=job,
    )


def _kill(rng: random.Random, job: bool) -> float | None:
    return (
        rng.uniform(0.5, 7.0) if job and rng.random() < 0.5 else rng.uniform(0.02, 0.6) if rng.random() < 0.5 else None
    )


def _d365_rule(rng: random.Random) -> Rule:
    short = round(rng.uniform(0.02, 0.3), 3)
    write: list[Rule] = [
        {"kind": "lose_answer"},
        {"kind": "lose_answer"},
        {"kind": "drop"},
        {"kind": "time_out", "delay_s": short},
        {"kind": "slow_commit", "delay_s": round(rng.uniform(0.1, 0.8), 3), "status": rng.choice([None, 504])},
        {"kind": "slow_commit", "delay_s": round(rng.uniform(0.1, 0.8), 3)},
        {"kind": "server_error", "enveloped": rng.random() < 0.5, "committed": rng.random() < 0.5},
        {"kind": "gateway_page", "status": rng.choice([502, 503, 504]), "committed": rng.random() < 0.5},
        {"kind": "throttle", "retry_after_s": rng.choice([None, short, 1])},
        {"kind": "throttle_part", "retry_after_s": rng.choice([None, short])},
        {"kind": "refuse_operation", "nth": rng.randint(1, 4), "status": rng.choice([400, 500])},
        {"kind": "expire_tokens"},
        {"kind": "slow_first_byte", "delay_s": short},
        {"kind": "delay", "delay_s": short},
        {"kind": "cut_body"},
        {"kind": "duplicate", "delay_s": short, "answer": rng.choice(["first", "second"])},
        {"kind": "update_conflict", "method": "PATCH", "path": "", "holds": ""},
    ]
    read: list[Rule] = [
        {"kind": "lose_answer"},
        {"kind": "gateway_page", "status": 503},
        {"kind": "throttle", "retry_after_s": rng.choice([None, short])},
        {"kind": "expire_tokens"},
        {"kind": "cut_body"},
        {"kind": "server_error", "enveloped": False},
    ]
    if rng.random() < 0.75:
        return WRITES | rng.choice(write) | _when(rng)
    return rng.choice(read) | READS | _when(rng)


def _salesforce_rule(rng: random.Random) -> Rule:
    short = round(rng.uniform(0.02, 0.2), 3)
    write: list[Rule] = [
        {"kind": "row_lock", "share": 0.5},
        {"kind": "partial_success", "share": 0.5},
        {"kind": "daily_limit"},
        {"kind": "lose_answer"},
        {"kind": "gateway_page", "status": 503},
        {"kind": "expire_tokens"},
        {"kind": "throttle", "retry_after_s": short},
    ]
    read: list[Rule] = [
        {"kind": "gateway_page", "status": 502},
        {"kind": "lose_answer"},
        {"kind": "cut_body"},
        {"kind": "expire_tokens"},
        {"kind": "throttle", "retry_after_s": short},
    ]
    return (rng.choice(write) | COLLECTION if rng.random() < 0.6 else rng.choice(read) | QUERIES) | _when(rng)


def _as_lost(rule: Rule) -> Rule:
    return {name: value for name, value in rule.items() if name not in {"delay_s", "answer"}} | {"kind": "lose_answer"}


def _when(rng: random.Random) -> Rule:
    return {
        "after": rng.choice([0, 0, 0, 1, 2]),
        "times": rng.choice([1, 1, 1, 2, 3]),
        "rate": rng.choice([1.0, 1.0, 0.5]),
    }
