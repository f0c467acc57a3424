"""Calls one function in this process, and writes what it took into a file. Runs in the environment of any client, so it needs nothing but Python.

python measured.py REPORT MODULE:FUNCTION [ARGUMENTS …]; the function finds its arguments in `sys.argv`. What it imports is part of the time,
the start of Python is not.
"""

import importlib
import json
import re
import sys
import time
from pathlib import Path


def main() -> None:
    """Call the function that the arguments name; ends with its exit code."""
    report, target = sys.argv[1:3]
    sys.argv = [target, *sys.argv[3:]]
    sys.path.pop(0)  # this folder: its modules are nobody's but ours
    module, _, function = target.partition(":")
    started = time.perf_counter()
    try:
        getattr(importlib.import_module(module), function)()
    finally:
        ended = time.perf_counter()
        sys.stdout.flush()
        Path(report).write_text(
            json.dumps({"s": ended - started, "cpu_s": time.process_time(), "peak_mib": _peak_mib()})
        )


def _peak_mib() -> float:
    """The most memory that this process ever had resident. Not from `getrusage`, which remembers the parent's before the start."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    main()
