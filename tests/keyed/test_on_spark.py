"""The SQL of the keyed comparison, translated by sqlglot, gives the same answer on Spark: the way onto more machines than one."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import planted, planted_orders
from benchmarks.truth import Score, scores
from tieout.keyed import compare, comparison_steps, result_steps

sqlglot = pytest.importorskip("sqlglot", reason="sqlglot is not installed: `make spark` installs it and runs this")
pyspark = pytest.importorskip("pyspark", reason="pyspark is not installed: `make spark` installs it and runs this")

JAVA = shutil.which("java") or (os.environ.get("JAVA_HOME") and f"{os.environ['JAVA_HOME']}/bin/java")

pytestmark = [
    pytest.mark.skipif(
        not JAVA, reason="Spark needs Java 17, and there is no `java`: apt-get install openjdk-17-jre-headless"
    ),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Spark of two threads that listens on this machine only."""
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .appName("tieout")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def on_spark(spark: Any, planted_folder: Path) -> dict[str, Any]:
    """Step → its result on Spark."""
    for side, file in zip(planted_orders.SIDES, planted_orders.canonical_files(planted_folder), strict=True):
        spark.read.parquet(str(file)).createOrReplaceTempView(f"keyed_{side}")
    comparison, made = planted_orders.comparison(), {}
    for step in (*comparison_steps(comparison), *result_steps(comparison)):
        text = sqlglot.transpile(step.select, read="duckdb", write="spark")[0]
        made[step.name] = spark.sql(text).cache()
        made[step.name].createOrReplaceTempView(step.name)
    return made


def test_spark_finds_every_planted_difference_and_nothing_else(
    con: duckdb.DuckDBPyConnection, on_spark: dict[str, Any], planted_folder: Path, tmp_path: Path
) -> None:
    answer = tmp_path / "verdicts"
    on_spark["keyed_verdict"].write.parquet(str(answer))

    found = scores(con, planted_folder / "truth.parquet", answer)

    assert set(found) == set(planted.CLASSES)
    assert set(found.values()) == {Score(1.0, 1.0)}


def test_totals_and_counts_are_those_of_duckdb(
    con: duckdb.DuckDBPyConnection, on_spark: dict[str, Any], planted_folder: Path
) -> None:
    salesforce, d365 = (f"read_parquet('{file}')" for file in planted_orders.canonical_files(planted_folder))
    here = compare(con, planted_orders.comparison(), salesforce, d365)

    totals = {
        (row["side"], row["currency"]): (row["row_count"], row["cmp_amount"])
        for row in on_spark["keyed_total"].collect()
    }
    counts = on_spark["keyed_field_count"].collect()[0].asDict()

    assert totals == {key: (total.rows, total.amounts["amount"]) for key, total in here.totals.items()}
    assert {name.removeprefix("cmp_"): count for name, count in counts.items()} == dict(here.fields)
