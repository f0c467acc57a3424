"""The benchmark of the extraction: it runs, and it notices every kind of loss."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.extraction import clients, connectors, disk, org
from benchmarks.extraction.check import Losses, losses
from benchmarks.extraction.clients import CLIENTS, Client, Road
from benchmarks.extraction.org import Opportunity
from benchmarks.extraction.tunnel import environment, tunnel
from tests.conftest import PROJECT

ROWS = 2_000
PATIENCE_S = 840
THERE = {
    "1": Opportunity("One", 100, deleted=False),
    "2": Opportunity("Two", None, deleted=False),
    "3": Opportunity("Three", 300, deleted=True),
}


@pytest.mark.timeout(900)
def test_tieout_and_simple_salesforce_are_measured_and_their_history_is_told() -> None:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.extract",
        "--rows",
        str(ROWS),
        "--history-rows",
        "600",
        "--json",
    ]
    command += ["--busy-reads", "1", "--minutes-between-reads", "21", "--clients", "tieout", "simple_salesforce"]

    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    assert printed["rows"] == ROWS
    assert list(printed["results"]) == ["tieout", "simple_salesforce"]
    for figures in printed["results"].values():
        assert "problem" not in figures
        assert figures["rows_per_s"] > 0
        assert figures["peak_mib"] > 20
        assert 0 < figures["calls_per_1000"] < 10
        assert (figures["reads"], figures["reads_given_up"]) == (3, 0)
    tieout, simple = printed["results"].values()
    assert (tieout["lost_when_late"], tieout["deletes_not_noticed"]) == (0, 0)
    assert simple["lost_when_late"] > 0, "a cursor without a window has to lose the late rows"
    assert simple["reads_failed"] > 0, "the 429s have to reach the clients"


@pytest.mark.parametrize(
    ("disk_has", "found"),
    [
        (THERE, ((), (), ())),
        ({"1": THERE["1"], "2": THERE["2"]}, ((), (), ())),
        ({"1": THERE["1"]}, (("2",), (), ())),
        (THERE | {"2": replace(THERE["2"], deleted=True)}, (("2",), (), ())),
        (THERE | {"1": replace(THERE["1"], amount=101)}, ((), ("1",), ())),
        (THERE | {"1": replace(THERE["1"], name="Won")}, ((), ("1",), ())),
        (THERE | {"3": replace(THERE["3"], deleted=False)}, ((), (), ("3",))),
        (THERE | {"4": THERE["1"]}, ((), (), ("4",))),
    ],
)
def test_every_kind_of_loss_is_found(
    disk_has: dict[str, Opportunity], found: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
) -> None:
    assert losses(THERE, disk_has) == Losses(*map(frozenset, found))


def test_a_client_that_loses_a_row_on_the_way_is_caught(tmp_path: Path) -> None:
    """simple-salesforce with the last record of its file cut off, as a process that died would leave it."""
    whole = CLIENTS["simple_salesforce"]

    def without_the_last(folder: Path) -> dict[str, Opportunity]:
        file = folder / "0001.json"
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
        return whole.rows(folder)

    truth, kept = _read(tmp_path, whole)
    assert not losses(truth, kept)
    _, kept = _read(tmp_path / "again", replace(whole, rows=without_the_last))

    assert len(losses(truth, kept).missing) == 1


def test_states_and_records_of_connectors_are_read_as_targets_do(tmp_path: Path) -> None:
    record: dict[str, Any] = {"Id": "1", "Name": "One", "Amount": 1, "IsDeleted": False}
    first = [
        {"type": "RECORD", "record": record},
        {"type": "STATE", "value": {"at": 1}},
        {"type": "RECORD", "record": record | {"Amount": 1.005e2}},
        {"type": "STATE", "value": {"at": 2}},
    ]
    connectors.next_output(tmp_path).write_text("\n".join(map(json.dumps, first)) + '\n{"type": "STA')

    arguments = connectors.tap_arguments(tmp_path)

    assert json.loads(Path(arguments[-1]).read_text()) == {"at": 2}
    assert disk.of_singer(tmp_path) == {"1": Opportunity("One", 10_050, deleted=False)}


def _read(folder: Path, client: Client) -> tuple[dict[str, Opportunity], dict[str, Opportunity]]:
    org.seed(folder / "org", 50)
    with org.running(folder / "org") as salesforce, tunnel(salesforce.tls_port) as proxy:
        target = folder / client.name
        target.mkdir()
        reading = clients.read(client, target, Road(environment(proxy, salesforce.ca)))
        assert not reading.problem
        return salesforce.opportunities(), client.rows(target)
