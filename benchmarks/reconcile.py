"""How fast two books of orders are compared, by Tieout and by others, on one machine, in one run, in turn.

The orders are planted (see `planted.py`), so every answer is checked before its time counts. Each engine runs in a fresh process, measured from
its start to its end; rounds are interleaved, and what counts are the ratios within a round, because they survive a noisy machine. Standard
output ends with one line of JSON when `--json` is given; tables for people go to standard error.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import planted, planted_orders
from benchmarks.engine_process import ENGINES
from benchmarks.truth import Score, scores

PROJECT = Path(__file__).resolve().parent.parent
# datacompy refuses the pandas and Polars that the others use, so it lives in an environment of its own (`make peers`).
PEERS_PYTHON = PROJECT / ".venv-peers" / "bin" / "python"
PEERS = ("pandas", "polars", "datacompy", "reladiff")
IN_OWN_ENVIRONMENT = frozenset({"datacompy"})
NEEDS = {"polars": "polars", "datacompy": "datacompy", "reladiff": "reladiff", "pandas": "pandas", "pyarrow": "pyarrow"}


@dataclass
class Measured:
    """What one engine did. `problem`: why it has no time, in words."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    version: str | None = None
    scores: dict[str, Score] | None = None
    problem: str | None = None

    @property
    def is_right(self) -> bool:
        """Whether every class has precision and recall 1."""
        return bool(self.scores) and all(score == Score(1.0, 1.0) for score in (self.scores or {}).values())


def main() -> None:
    """Plant, measure, check, tell."""
    asked = _arguments()
    folder = Path(asked.data) / str(asked.rows)
    result = measure(
        folder,
        asked.rows,
        engines=asked.engines.split(","),
        rounds=asked.rounds,
        limit_s=asked.limit,
        buckets=asked.buckets,
        peers_python=Path(asked.peers_python),
    )
    if asked.scale:
        result["scale"] = _scale(asked, result)
    if not asked.keep:
        shutil.rmtree(folder)
    if asked.json:
        print(json.dumps(result))


def measure(
    folder: Path,
    rows: int,
    *,
    engines: list[str],
    rounds: int,
    limit_s: float,
    buckets: int | None,
    peers_python: Path,
) -> dict[str, Any]:
    """Measure the engines on `rows` planted orders a side; returns what `--json` prints."""
    landing_s = _prepare(folder, rows, buckets)
    measured = {name: Measured() for name in engines}
    with tempfile.TemporaryDirectory(prefix="tieout-benchmark-") as scratch:
        for number in range(rounds):
            for name, kept in measured.items():
                if kept.problem is None:
                    _run(
                        name, kept, folder, Path(scratch), limit_s, buckets if name == "tieout" else None, peers_python
                    )
                    _tell(f"round {number + 1}: {name:10} {_spoken(kept)}")
    result = {
        "rows": rows,
        "buckets": buckets,
        "rounds": rounds,
        "landing_s": landing_s,
        "results": {name: _figures(name, kept) for name, kept in measured.items()},
        "ratios": _ratios(measured),
    }
    _tell_table(result)
    return result


def _prepare(folder: Path, rows: int, buckets: int | None) -> float | None:
    """Plant and land; returns the seconds that the landing of both sides took, None where it was done before."""
    con = duckdb.connect(config={"threads": 2, "memory_limit": "2GiB", "temp_directory": str(folder / "spill")})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET preserve_insertion_order = false")
    _tell(f"planting {rows:,} orders in {folder}")
    planted.plant(con, folder, rows)
    is_landed = all(path.exists() for path in planted_orders.canonical_files(folder))
    started = time.perf_counter()
    planted.land(con, folder)
    landing_s = None if is_landed else round(time.perf_counter() - started, 2)
    if buckets:
        planted.land(con, folder, buckets)
    con.close()
    return landing_s


def _run(
    name: str,
    kept: Measured,
    folder: Path,
    scratch: Path,
    limit_s: float,
    buckets: int | None,
    peers_python: Path,
) -> None:
    """Run an engine once and check its answer; what goes wrong becomes its problem."""
    python = peers_python if name in IN_OWN_ENVIRONMENT else Path(sys.executable)
    if not python.exists():
        kept.problem = f"not installed: there is no {python.name} in its own environment; `make peers` makes it"
        return
    out, report = scratch / f"{name}.parquet", scratch / f"{name}.json"
    for leftover in (out, report):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    command = [str(python), "-m", "benchmarks.engine_process", name, str(folder), str(out), str(report)]
    command += [str(buckets)] if buckets else []
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    # Every engine may keep its compiled bytecode, as it would where it is installed.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.perf_counter()
    try:
        done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        kept.problem = f"not done after {limit_s:g} s"
        return
    seconds = time.perf_counter() - started
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        missing = f"No module named '{NEEDS.get(name, name)}'" in done.stderr
        kept.problem = (
            "not installed: install the extra `benchmarks`" if missing else (lines[-1] if lines else "it died")
        )
        return
    told = json.loads(report.read_text())
    kept.peak_mib.append(told["peak_mib"])
    kept.cpu_seconds.append(told["cpu_s"])
    kept.version = told["version"]
    if name != "floor":
        con = duckdb.connect(config={"threads": 2, "memory_limit": "4GiB", "temp_directory": str(scratch / "spill")})
        kept.scores = scores(con, folder / "truth.parquet", out)
        con.close()
    kept.seconds.append(seconds)


def _figures(name: str, kept: Measured) -> dict[str, Any]:
    if not kept.seconds:
        return {"s": None, "peak_mib": None, "precision": None, "recall": None, "reason": kept.problem}
    figures: dict[str, Any] = {
        "s": round(statistics.median(kept.seconds), 3),
        "cpu_s": round(statistics.median(kept.cpu_seconds), 3),
        "peak_mib": round(max(kept.peak_mib)),
        "precision": None,
        "recall": None,
        "version": kept.version,
        "all_s": [round(seconds, 3) for seconds in kept.seconds],
    }
    if kept.scores is not None:
        figures["precision"] = min(score.precision for score in kept.scores.values())
        figures["recall"] = min(score.recall for score in kept.scores.values())
        figures["classes"] = {label: asdict(score) for label, score in kept.scores.items()}
    if kept.problem is not None:
        figures["reason"] = kept.problem
    if name == "floor":
        figures["reason"] = "a count of raw differences: the cost of reading and joining, no answer that could be right"
    return figures


def _ratios(measured: dict[str, Measured]) -> dict[str, float | str | None]:
    """Each engine ÷ Tieout, Tieout ÷ hand-written SQL and floor, and the fastest peer with the right answer: medians of pairs of a round."""
    if "tieout" not in measured or not measured["tieout"].seconds:
        return {}
    ratios: dict[str, float | str | None] = {}
    for other in ("duckdb", "floor"):
        if other in measured:
            ratios[f"tieout_to_{other}"] = _ratio(measured["tieout"], measured[other])
    right = {}
    for peer in PEERS:
        if peer in measured:
            ratios[f"{peer}_to_tieout"] = _ratio(measured[peer], measured["tieout"])
            if measured[peer].is_right:
                right[peer] = ratios[f"{peer}_to_tieout"] or math.inf
    ratios["fastest_right_peer"] = min(right, key=lambda peer: right[peer]) if right else None
    ratios["fastest_right_peer_to_tieout"] = min(right.values()) if right else None
    return ratios


def _ratio(of: Measured, to: Measured) -> float | None:
    pairs = [above / below for above, below in zip(of.seconds, to.seconds, strict=False)]
    return round(statistics.median(pairs), 3) if pairs else None


def _scale(asked: argparse.Namespace, small: dict[str, Any]) -> dict[str, Any]:
    """Tieout's time on ten times the rows ÷ its time here: 10 is linear."""
    rows = 10 * asked.rows
    folder = Path(asked.data) / str(rows)
    large = measure(
        folder,
        rows,
        engines=["tieout"],
        rounds=asked.rounds,
        limit_s=asked.limit,
        buckets=asked.buckets,
        peers_python=Path(asked.peers_python),
    )
    if not asked.keep:
        shutil.rmtree(folder)
    ours, theirs = small["results"]["tieout"], large["results"]["tieout"]
    ratio = round(theirs["s"] / ours["s"], 2) if ours["s"] and theirs["s"] else None
    _tell(f"{rows:,} orders take {ratio} times as long as {asked.rows:,}")
    return {"rows": rows, "tieout": theirs, "ratio": ratio}


def _tell_table(result: dict[str, Any]) -> None:
    _tell(f"\n{'engine':12}{'s':>9}{'CPU s':>9}{'MiB':>8}{'precision':>11}{'recall':>9}")
    for name, figures in result["results"].items():
        if figures["s"] is None:
            _tell(f"{name:12}{figures['reason']:>9}")
            continue
        share = "".join(
            f"{figures[key]:>{width}.4f}" if figures[key] is not None else f"{'–':>{width}}"
            for key, width in (("precision", 11), ("recall", 9))
        )
        _tell(f"{name:12}{figures['s']:>9.2f}{figures['cpu_s']:>9.2f}{figures['peak_mib']:>8,}{share}")
    for name, ratio in result["ratios"].items():
        _tell(f"{name:32}{ratio}")


def _spoken(kept: Measured) -> str:
    return (
        kept.problem
        or f"{kept.seconds[-1]:.2f} s{'' if kept.is_right or kept.scores is None else ', not the right answer'}"
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000, help="orders a side")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--engines", default=",".join(ENGINES), help="commas between them; default: all")
    arguments.add_argument(
        "--buckets", type=int, help="let Tieout compare in so many hash buckets, one after the other"
    )
    arguments.add_argument(
        "--limit", type=float, default=300, metavar="S", help="seconds that one run of one engine may take"
    )
    arguments.add_argument(
        "--scale", action="store_true", help="measure Tieout on ten times the rows, too, and print the ratio"
    )
    arguments.add_argument(
        "--data", default=str(Path(tempfile.gettempdir()) / "tieout-benchmark"), help="where the planted files are made"
    )
    arguments.add_argument("--keep", action="store_true", help="keep the planted files for the next run")
    arguments.add_argument(
        "--peers-python", default=str(PEERS_PYTHON), help="the Python of the environment with datacompy"
    )
    arguments.add_argument(
        "--json", action="store_true", help="print one JSON object as the last line of standard output"
    )
    return arguments.parse_args()


if __name__ == "__main__":
    main()
