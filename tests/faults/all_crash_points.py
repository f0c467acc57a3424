"""`make crash-points`: the whole Dagster job, killed at every point that there is, each in a fresh process, and started again.

Takes about twelve seconds a point. `--every N` takes every N-th point from `--first` on, so that N machines can share the points. The last line of standard output is one JSON object.
"""

import argparse
import json
import signal
import sys
import time

from tests.faults.campaign import Verdict
from tests.faults.schedule import Schedule
from tests.faults.soak import campaign

POINTS_OF_A_WORLD = 25


def main() -> int:
    """Count the points, then die at each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--every", type=int, default=1)
    arguments.add_argument("--first", type=int, default=1)
    asked = arguments.parse_args()
    with campaign() as played:
        code, told = _job(played, 0, None)
        assert code == 0
        assert told is not None
        count, names = told["crash_points"], told["point_names"]
    points = list(range(asked.first, count + 1, asked.every))
    total = {
        "points": len(points),
        "of": count,
        "kills": 0,
        "duplicates": 0,
        "lost": 0,
        "half_orders": 0,
        "unsettled": 0,
    }
    started = time.monotonic()
    for first in range(0, len(points), POINTS_OF_A_WORLD):
        with campaign() as played:
            for at in points[first : first + POINTS_OF_A_WORLD]:
                verdict = Verdict(at)
                code, _ = _job(played, at, at, verdict)
                total["kills"] += code == -signal.SIGKILL
                total["duplicates"] += verdict.of("R1")
                total["lost"] += verdict.of("R2")
                total["half_orders"] += verdict.of("R4")
                total["unsettled"] += not verdict.is_quiet
                for words in verdict.violations:
                    print(f"point {at} ({names[at - 1]}): {words}", file=sys.stderr)
                print(f"point {at} of {count}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(json.dumps(total))
    return 1 if total["duplicates"] or total["lost"] or total["half_orders"] or total["unsettled"] else 0


def _job(played, number, crash_at, verdict=None):  # type: ignore[no-untyped-def]
    """Win two deals, run a job that dies at a point, and, with a verdict to fill, run on until it is quiet."""
    import random

    schedule = Schedule(number, 2, 0, (), (), (), job=True)
    began = played.world.positions()
    won = played.world.win(f"{schedule.tag}c", 2, random.Random(5))
    order = played.order_for(schedule, ())
    pid = played.zygote.start(played.environment, **order, crash_at=crash_at, ahead_s=played.ahead_s)
    code, told = played.zygote.wait(pid)
    if verdict is not None:
        played.dead.append(f"{schedule.tag}-{pid}")
        played.run_until_quiet(order, won, verdict)
        played.judge(verdict, began, won)
    return code, told


if __name__ == "__main__":
    sys.exit(main())
