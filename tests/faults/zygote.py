"""Fresh processes at a tenth of the price: one parent imports everything once and forks a child for each run.

`python -m tests.faults.zygote` reads one JSON request a line and answers each with one: `{"start": {…}}` → `{"pid": n}`,
`{"wait": pid}` → `{"code": n, "result": {…} | null}`, each with the `id` of its request. A child lives and dies on its own; the parent has no connection and no thread.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT


def serve() -> None:
    """Import, then fork on demand until standard input ends."""
    import deltalake  # noqa: F401
    import duckdb  # noqa: F401
    import great_expectations  # noqa: F401
    import pandas  # noqa: F401

    import pipelines.definitions  # noqa: F401
    from tests.faults import runs

    results: dict[int, Path] = {}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            result = Path(asked["start"]["result"])
            pid = os.fork()
            if pid == 0:
                _live(runs.carry_out, asked["start"], result)
            results[pid] = result
            print(json.dumps({"id": asked["id"], "pid": pid}), flush=True)
        else:
            pid = int(asked["wait"])
            _, status = os.waitpid(pid, 0)
            told, code = results.pop(pid), os.waitstatus_to_exitcode(status)
            # Who was killed may have written half of it.
            result_of = json.loads(told.read_text()) if code == 0 else None
            told.unlink(missing_ok=True)
            ended = {"id": asked["id"], "code": code, "result": result_of}
            print(json.dumps(ended), flush=True)


def _live(carry_out: Any, order: Mapping[str, Any], result: Path) -> None:
    """A child from here to its end; it never returns."""
    code = 1
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(order["environment"])
        told = carry_out(order)
        result.write_text(json.dumps(told, default=str))
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Zygote:
    """The parent as tests see it."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.log = logs / "runs.log"
        """What all runs have printed and logged."""
        self._folder = Path(tempfile.mkdtemp(prefix="tieout-runs-"))
        self._count = self._asked_so_far = 0
        self._results: dict[int, Path] = {}
        # Should it end, its last words are in the log of the runs.
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.faults.zygote"],
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._answer()

    def start(self, environment: Mapping[str, str], **order: Any) -> int:
        """Fork a run; returns its process id."""
        self._count += 1
        result = self._folder / f"{self._count}.json"
        order |= {"environment": dict(environment), "result": str(result), "log": str(self.log)}
        pid = int(self._asked({"start": order})["pid"])
        self._results[pid] = result
        return pid

    def result_of(self, pid: int) -> Path:
        """Where a run writes what it tells."""
        return self._results[pid]

    def wait(self, pid: int) -> tuple[int, dict[str, Any] | None]:
        """The end of a run: its exit code (negative: the signal that killed it) and what it told, if it lived that long."""
        ended = self._asked({"wait": pid})
        return int(ended["code"]), ended["result"]

    def run(self, environment: Mapping[str, str], **order: Any) -> tuple[int, dict[str, Any] | None]:
        """Start and wait."""
        return self.wait(self.start(environment, **order))

    def close(self) -> None:
        """End the parent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def ask(self, request: Mapping[str, Any]) -> int:
        """Send a request; returns its `id`, by which its answer is known."""
        assert self._process.stdin is not None
        self._asked_so_far += 1
        self._process.stdin.write(json.dumps({"id": self._asked_so_far, **request}) + "\n")
        self._process.stdin.flush()
        return self._asked_so_far

    def _asked(self, request: Mapping[str, Any]) -> Any:
        wanted = self.ask(request)
        # The answer to a test that was broken off comes late; it is not that of the next one.
        while (answer := self._answer())["id"] != wanted:
            pass
        return answer

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the parent of all runs has ended")
        return json.loads(line)


if __name__ == "__main__":
    serve()
