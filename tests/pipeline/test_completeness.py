"""The proof of each read of Salesforce: it holds while people work, and what it misses is found by its key, or told."""

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from pipelines.definitions import defs
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from tests.pipeline.installation import Installation

TABLES = ("product", "account", "opportunity", "opportunity_line")


@pytest.fixture(scope="module")
def run(installation: Installation) -> Callable[[], None]:  # noqa: ARG001 what is read
    """Reads Salesforce; the first read is made already."""
    reading = dg.define_asset_job("reading", selection=dg.AssetSelection.groups("salesforce").without_checks())
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[reading])).resolve_job_def("reading")

    def once() -> None:
        with dg.DagsterInstance.get() as instance:
            assert job.execute_in_process(instance=instance).success

    once()
    return once


@pytest.fixture
def lake(installation: Installation) -> Lake:
    return Lake(installation.home / "lake")


def sweep_of(installation: Installation, table: str) -> Sweep:
    with Ledger.opened(installation.database_url or "") as ledger:
        found = ledger.watermarks.latest_sweep("salesforce", table)
    assert found is not None
    return found


def proof_of(installation: Installation, table: str) -> dict[str, Any]:
    proof = sweep_of(installation, table).proof
    assert proof is not None
    return dict(proof)


def in_salesforce(installation: Installation, statement: str, *values: object) -> None:
    """Change a row behind the API, as nobody can: the way in which rows get lost."""
    with sqlite3.connect(installation.salesforce.file) as connection:
        assert connection.execute(statement, values).rowcount == 1


def rows(lake: Lake, table: str) -> dict[str, dict[str, Any]]:
    return {row["_key"]: row for row in lake.dataset(("salesforce", table)).to_table().to_pylist()}


def test_every_read_is_proven_by_count_and_sums_of_both_sides(
    installation: Installation, run: Callable[[], None]
) -> None:
    run()

    for table in TABLES:
        sweep = sweep_of(installation, table)
        assert (sweep.mode, sweep.complete, sweep.problem) == ("incremental", True, "")
        proof = proof_of(installation, table)
        assert proof["source"].keys() == proof["stored"].keys() != set()
        assert {c: each["rows"] for c, each in proof["source"].items()} == {
            c: each["rows"] for c, each in proof["stored"].items()
        }
        assert (proof["missed"], proof["gone"]) == (0, 0)
    of_orders = proof_of(installation, "opportunity")["source"]
    [counted] = installation.books().salesforce(
        "SELECT count(*) AS n, sum(Amount) AS amount FROM Opportunity WHERE NOT IsDeleted AND CurrencyIsoCode = 'EUR'"
    )
    assert of_orders["EUR"]["rows"] == counted["n"] > 0
    assert abs(Decimal(of_orders["EUR"]["sums"]["Amount"]) - Decimal(str(counted["amount"]))) < 1


def test_a_row_that_the_lake_lost_is_found_by_the_sweep_of_keys_and_read_again(
    installation: Installation, run: Callable[[], None], lake: Lake
) -> None:
    before = rows(lake, "opportunity")
    lost = min(before)
    lake.merge(
        ("salesforce", "opportunity"),
        lake.dataset(("salesforce", "opportunity")).to_table().slice(0, 0),
        delete_keys=[lost],
    )
    assert lost not in rows(lake, "opportunity")

    run()

    assert rows(lake, "opportunity")[lost]["_row_hash"] == before[lost]["_row_hash"]
    assert (proof_of(installation, "opportunity")["missed"], sweep_of(installation, "opportunity").complete) == (
        1,
        True,
    )


def test_a_row_that_became_visible_long_after_its_stamp_is_found(
    installation: Installation, run: Callable[[], None], lake: Lake
) -> None:
    """The watermark and its overlap are past it."""
    run()
    key = max(rows(lake, "opportunity"))
    old = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    in_salesforce(installation, "UPDATE Opportunity SET Name = 'Late', SystemModstamp = ? WHERE Id = ?", old, key)
    lake.merge(
        ("salesforce", "opportunity"),
        lake.dataset(("salesforce", "opportunity")).to_table().slice(0, 0),
        delete_keys=[key],
    )

    run()

    assert rows(lake, "opportunity")[key]["Name"] == "Late"
    assert proof_of(installation, "opportunity")["missed"] == 1


def test_a_row_that_was_purged_leaves_the_lake(installation: Installation, run: Callable[[], None], lake: Lake) -> None:
    run()
    key = min(rows(lake, "opportunity_line"))
    in_salesforce(installation, "DELETE FROM OpportunityLineItem WHERE Id = ?", key)

    run()

    assert key not in rows(lake, "opportunity_line")
    assert (
        proof_of(installation, "opportunity_line")["gone"],
        sweep_of(installation, "opportunity_line").complete,
    ) == (1, True)


def test_an_amount_that_does_not_agree_is_told_and_the_read_is_not_complete(
    installation: Installation, run: Callable[[], None], lake: Lake
) -> None:
    run()
    table = lake.dataset(("salesforce", "opportunity")).to_table()
    live = [row["_key"] for row in table.to_pylist() if row["CurrencyIsoCode"] == "EUR" and not row["IsDeleted"]]
    wrong = pc.if_else(pc.equal(table["_key"], live[0]), pc.add(table["Amount"], 1), table["Amount"])
    place = table.schema.get_field_index("Amount")
    lake.replace(
        ("salesforce", "opportunity"),
        table.set_column(place, table.schema.field(place), wrong.cast(table.schema.field(place).type)),
    )

    run()

    sweep = sweep_of(installation, "opportunity")
    assert not sweep.complete
    assert sweep.problem.startswith("Opportunity: Salesforce has Amount of ")
    assert " in EUR and " in sweep.problem
    lake.replace(("salesforce", "opportunity"), table)


def test_changes_while_the_proof_is_made_do_not_fail_it(
    installation: Installation, run: Callable[[], None], lake: Lake
) -> None:
    """A record changes after it was counted as untouched, before it is named as changed."""
    key = min(rows(lake, "opportunity"))
    installation.salesforce.post(
        "faults", {"kind": "delay", "delay_s": 2, "path": r"SELECT Id FROM Opportunity WHERE SystemModstamp"}
    )
    place = installation.salesforce.position()

    def change() -> None:
        deadline = time.monotonic() + 60
        while not installation.salesforce.struck(place) and time.monotonic() < deadline:
            time.sleep(0.05)
        installation.changed_in_salesforce("Opportunity", key, Name="Changed meanwhile")

    changing = threading.Thread(target=change)
    changing.start()
    run()
    changing.join()

    assert sweep_of(installation, "opportunity").complete
    assert proof_of(installation, "opportunity")["changed_since"] >= 1
    assert proof_of(installation, "opportunity")["missed"] == 0
