"""Filling both sandboxes: all or nothing, once, with a line of counts and a note of what was planted."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.__main__ import main
from sandbox.d365.store import Store as D365Store
from sandbox.salesforce.store import Store as SalesforceStore
from sandbox.seeds.filling import fill, seed_of
from sandbox.seeds.seed import SeedError

PROJECT = Path(__file__).resolve().parents[2]
QUIET = Console(quiet=True)


def test_the_command_fills_both_files_and_prints_one_line_of_counts(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "seed", "generated:60", "--state", str(tmp_path / "state")],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    (line,) = done.stdout.splitlines()
    counts = json.loads(line)
    assert counts["salesforce"]["Opportunity"] == 60
    assert counts["planted"]["order_only_in_salesforce"] == 10
    assert "SalesOrderLines" in done.stderr
    note = json.loads((tmp_path / "state" / "seed.json").read_text(encoding="utf-8"))
    assert note["seed"] == "generated:60"
    assert note["rows"] == {"salesforce": counts["salesforce"], "d365": counts["d365"]}
    assert {kind: planted["count"] for kind, planted in note["planted"].items()} == counts["planted"]
    assert all(planted["count"] == len(planted["keys"]) for planted in note["planted"].values())


def test_the_stores_hold_what_was_counted(tmp_path: Path) -> None:
    filled = fill("generated:40", tmp_path, QUIET)
    salesforce, d365 = SalesforceStore(tmp_path / "salesforce.sqlite"), D365Store(tmp_path / "d365.sqlite")
    assert {table: count for table, count in salesforce.counts().items() if count} == filled.salesforce
    assert {table: count for table, count in d365.counts().items() if count} == filled.d365
    salesforce.close()
    d365.close()


def test_new_numbers_of_d365_go_on_behind_the_seeded_ones(tmp_path: Path) -> None:
    fill("generated:40", tmp_path, QUIET)
    d365 = D365Store(tmp_path / "d365.sqlite")
    for entity_set in ("SalesOrderHeadersV2", "SalesOrderLines"):
        assert d365.next_number(entity_set, "usmf") > "USMF-000001"
    d365.close()


def test_adventureworks_arrives_in_both_files_with_exact_prices(tmp_path: Path, adventureworks_folder: Path) -> None:
    filled = fill(f"adventureworks:{adventureworks_folder}", tmp_path, QUIET)

    assert filled.salesforce["OpportunityLineItem"] == 60_855
    assert (filled.d365["SalesOrderHeadersV2"], filled.d365["SalesOrderLines"]) == (3437, 55_004)
    d365 = D365Store(tmp_path / "d365.sqlite")
    line = next(d365.rows("SalesOrderLines", {"SalesOrderNumber": "SO43659", "CustomersLineNumber": 1}))
    assert (line["SalesPrice"], line["LineAmount"]) == ("2024.994", "2024.99")
    d365.close()


def test_an_amount_that_is_no_number_reaches_salesforce(tmp_path: Path) -> None:
    source = tmp_path / "csv"
    source.mkdir()
    (source / "Opportunity.csv").write_text("Name,StageName,Amount\nDirty,Closed Won,n/a\n", encoding="utf-8")

    fill(f"csv:{source}", tmp_path / "state", QUIET)

    with sqlite3.connect(tmp_path / "state" / "salesforce.sqlite") as connection:
        assert connection.execute('SELECT "Name", "Amount", "IsWon" FROM "Opportunity"').fetchall() == [
            ("Dirty", "n/a", 1)
        ]


def test_a_second_seeding_is_refused_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["seed", "generated:40", "--state", str(tmp_path)]) == 0
    before = (tmp_path / "seed.json").read_text(encoding="utf-8")
    capsys.readouterr()

    assert main(["seed", "generated:60", "--state", str(tmp_path)]) == 2

    answer = capsys.readouterr()
    assert answer.out == ""
    assert "hold data already: 24 Account" in answer.err
    assert (tmp_path / "seed.json").read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SalesOrderHeadersV2", "dataAreaId,SalesOrderNumber,RequestedShippingDate\nusmf,S1,soon\n", "is no Edm.DateTimeOffset"),
        ("CustomersV3", "dataAreaId,CustomerAccount\nusmf,C1\nusmf,c1\n", "CustomersV3: a key is there twice"),
    ],
)  # fmt: skip
def test_a_seed_that_breaks_off_leaves_both_files_empty(tmp_path: Path, name: str, text: str, message: str) -> None:
    source = tmp_path / "csv"
    source.mkdir()
    (source / "Account.csv").write_text("Name\nGood\n", encoding="utf-8")
    (source / f"{name}.csv").write_text(text, encoding="utf-8")

    with pytest.raises(SeedError, match=message):
        fill(f"csv:{source}", tmp_path / "state", QUIET)

    salesforce = SalesforceStore(tmp_path / "state" / "salesforce.sqlite")
    assert not any(salesforce.counts().values())
    salesforce.close()
    assert not (tmp_path / "state" / "seed.json").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("generated:many", "'many' is no number of opportunities"),
        ("generated:3", "Ask for 40 opportunities or more"),
        ("adventureworks", "Known are generated"),
        ("adventureworks:/nowhere", "/nowhere lacks"),
        ("northwind:x", "'northwind:x' is no seed. Known are generated"),
    ],
)
def test_an_unknown_seed_is_refused_with_the_known_ones(spec: str, message: str) -> None:
    with pytest.raises(SeedError, match=message):
        seed_of(spec)


@pytest.mark.parametrize("arguments", [["salesforce"], ["d365", "--state", "x", "--port", "99999"], ["seed"], []])
def test_a_wrong_command_line_ends_with_2_and_a_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m sandbox" in capsys.readouterr().err
