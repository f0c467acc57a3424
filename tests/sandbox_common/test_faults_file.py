"""`--faults FILE`: a sandbox that starts with rules, and one that says why it does not start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox_d365.environment import PROJECT, Process

RULE = {"kind": "gateway_page", "path": "/"}


def a_command(system: str, folder: Path, content: Any) -> list[str]:
    file = folder / "faults.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    ports = ["--port", "0", "--tls-port", "0", "--state", str(folder / "state")]
    return [sys.executable, "-m", "sandbox", system, *ports, "--faults", str(file)]


@pytest.mark.parametrize("content", [RULE, [RULE], {"seed": 3, "rules": [RULE]}, {"salesforce": [RULE], "d365": RULE}])
@pytest.mark.parametrize("system", ["d365", "salesforce"])
def test_a_sandbox_starts_with_the_rules_of_a_file(system: str, content: Any, tmp_path: Path) -> None:
    popen = subprocess.Popen(a_command(system, tmp_path, content), stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    assert popen.stdout is not None
    ready = json.loads(popen.stdout.readline())
    running = Process(popen, ready["url"], ready["tls_url"], ready["ca"])

    answers = [requests.get(f"{running.url}/services/data", timeout=10).status_code for _ in range(2)]

    running.stop()
    assert answers[0] == 502
    assert answers[1] != 502


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"kind": "earthquake"}, "are not right: There is no fault 'earthquake' here."),
        ("{", "are not JSON"),
        ({"d365": {"kind": "row_lock"}}, "There is no fault 'row_lock' here."),
    ],
)
def test_a_wrong_file_ends_with_one_sentence(content: Any, says: str, tmp_path: Path) -> None:
    done = subprocess.run(
        a_command("d365", tmp_path, content), capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False
    )

    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_file_that_is_not_there_ends_with_one_sentence(tmp_path: Path) -> None:
    command = a_command("salesforce", tmp_path, "")
    (tmp_path / "faults.json").unlink()

    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Cannot read the faults in ")
