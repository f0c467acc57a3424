"""Two ways of doing one job, run in turn: their times, and the ratio that survives a noisy machine."""

import statistics
import time
from collections.abc import Callable


def compare(ours: Callable[[], object], other: Callable[[], object], *, names: tuple[str, str], rounds: int) -> float:
    """Run both in turn `rounds` times, print medians in seconds and the ratio other ÷ ours (above 1: ours is faster); returns the ratio."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for job, kept in zip((ours, other), times, strict=True):
            started = time.perf_counter()
            job()
            kept.append(time.perf_counter() - started)
    ratio = statistics.median(there / here for here, there in zip(*times, strict=True))
    for name, kept in zip(names, times, strict=True):
        print(f"{name:28} {statistics.median(kept):8.2f} s")
    print(f"{'ratio':28} {ratio:8.2f}")
    return ratio
