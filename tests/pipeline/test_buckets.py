"""The comparison in hash buckets: each partition alone, and together what the whole comparison says of the headers."""

from collections import Counter
from typing import Any

import dagster as dg
import pytest

from pipelines.launch import JobOutcome, run_job
from pipelines.partitions import buckets
from resources.lake import Lake
from tests.pipeline.installation import Installation

NAMES = buckets.get_partition_keys()
OPTIONS = {"options": {"config": {"dry_run": True, "full": False}}}
COMPARED = {"matched", "differs", "only_in_salesforce", "only_in_d365"}
"""What both ways can say of an order; duplicates, quarantine and what is in flight are told by other rules."""


def run(job: str, partition: str | None = None) -> JobOutcome:
    return run_job(job, say=lambda _: None, resource_config=OPTIONS if job == "main" else {}, partition_key=partition)


@pytest.fixture(scope="module")
def whole(installation: Installation) -> dict[str, tuple[str, set[str]]]:
    """Key → verdict and the fields of the header that differ, as the main job finds them; orders by themselves only."""
    installation.run(dry_run=True)
    rows = Lake(installation.home / "lake").dataset(["reconciliation", "sales_order_verdict"]).to_table().to_pylist()
    return {
        row["salesforce_key"] or row["d365_lake_key"]: told(row["verdict"], row["fields"] or [])
        for row in rows
        if row["verdict"] in COMPARED and row["group_key"] is None
    }


@pytest.fixture(scope="module")
def in_buckets(installation: Installation, whole: Any) -> dict[str, list[dict[str, Any]]]:  # noqa: ARG001 the order
    """Bucket → its verdicts, after every partition has run."""
    assert run("bucket_sales_orders").success
    for name in reversed(NAMES):
        assert run("reconcile_buckets", name).success
    lake = Lake(installation.home / "lake")
    return {name: verdicts(lake, name) for name in NAMES}


def verdicts(lake: Lake, bucket: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = lake.dataset(["buckets", "sales_order_verdict", bucket]).to_table().to_pylist()
    return rows


def told(verdict: str, fields: list[str]) -> tuple[str, set[str]]:
    """The verdict on the header alone."""
    of_header = {field for field in fields if not field.startswith("line.")}
    return ("matched" if verdict == "differs" and not of_header else verdict), of_header


def test_the_buckets_together_say_what_the_whole_comparison_says_of_the_headers(
    whole: dict[str, tuple[str, set[str]]], in_buckets: dict[str, list[dict[str, Any]]]
) -> None:
    found = {
        row["key"]: told(row["verdict"], (row["fields"] or "").split(",") if row["fields"] else [])
        for rows in in_buckets.values()
        for row in rows
    }

    assert {key: found.get(key) for key in whole} == whole
    assert any(fields for _, fields in whole.values())
    assert {verdict for verdict, _ in whole.values()} >= {"matched", "differs", "only_in_salesforce"}


def test_an_opportunity_and_its_orders_are_in_one_bucket_and_the_buckets_are_used(
    in_buckets: dict[str, list[dict[str, Any]]],
) -> None:
    where = Counter(row["key"] for rows in in_buckets.values() for row in rows)

    assert set(where.values()) == {1}
    assert sum(bool(rows) for rows in in_buckets.values()) > len(NAMES) / 2


def test_a_bucket_that_runs_again_touches_no_other(
    installation: Installation, in_buckets: dict[str, list[dict[str, Any]]]
) -> None:
    lake = Lake(installation.home / "lake")
    versions = {name: lake.version(["buckets", "sales_order_verdict", name]) for name in NAMES}

    assert run("reconcile_buckets", NAMES[3]).success

    assert verdicts(lake, NAMES[3]) == in_buckets[NAMES[3]]
    again = {name: lake.version(["buckets", "sales_order_verdict", name]) for name in NAMES}
    assert {name for name in NAMES if again[name] != versions[name]} <= {NAMES[3]}


def test_dagster_knows_every_bucket_as_a_partition(in_buckets: Any) -> None:  # noqa: ARG001 the order
    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey(["buckets", "sales_order_verdict"]))

    assert done == set(NAMES)


def test_sides_of_different_runs_are_not_compared(installation: Installation, in_buckets: Any) -> None:  # noqa: ARG001 the order
    lake = Lake(installation.home / "lake")
    key = ["buckets", "sales_order_d365", NAMES[0]]
    rows = lake.dataset(key).to_table()
    lake.replace(key, rows.set_column(rows.schema.get_field_index("_run_id"), "_run_id", [["another"] * rows.num_rows]))

    done = run("reconcile_buckets", NAMES[0])

    assert not done.success
    assert "written by different runs. Materialize buckets/sales_order again." in str(done)
