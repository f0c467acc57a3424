"""One engine in a process of its own: does the job, and writes what it took into a file.

python -m benchmarks.engine_process ENGINE FOLDER OUT REPORT [BUCKETS]
"""

import importlib
import json
import re
import sys
import time
from pathlib import Path

# Engine → its module below `engines/`, and the distribution whose version is told.
ENGINES = {
    "tieout": ("tieout", "duckdb"),
    "duckdb": ("duckdb_by_hand", "duckdb"),
    "floor": ("floor", "duckdb"),
    "pandas": ("pandas_merge", "pandas"),
    "polars": ("polars_lazy", "polars"),
    "datacompy": ("datacompy_polars", "datacompy"),
    "reladiff": ("reladiff_join", "reladiff"),
}


def main() -> None:
    """Run the engine that the arguments name."""
    name, folder, out, report, *buckets = sys.argv[1:]
    started = time.perf_counter()
    module_name, distribution = ENGINES[name]
    engine = importlib.import_module(f"benchmarks.engines.{module_name}")
    if buckets:
        engine.reconcile_buckets(Path(folder), Path(out), int(buckets[0]))
    else:
        engine.reconcile(Path(folder), Path(out))
    seconds = time.perf_counter() - started
    version = importlib.import_module("importlib.metadata").version(distribution)
    Path(report).write_text(
        json.dumps({"s": seconds, "cpu_s": time.process_time(), "peak_mib": _peak_mib(), "version": version})
    )


def _peak_mib() -> float:
    """The most memory that this process ever had resident. Not from `getrusage`, which remembers the parent's before the start."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    main()
