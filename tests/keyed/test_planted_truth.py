"""20,000 planted orders: the whole comparison, the comparison in buckets, and every engine of the benchmark that is installed."""

from pathlib import Path

import duckdb
import pytest

from benchmarks import planted, planted_orders
from benchmarks.truth import Score, scores
from tests.keyed.conftest import BUCKETS
from tieout.keyed import KeyedResult, compare, compare_buckets
from tieout.reconciliation.fields import compared_field


@pytest.fixture
def whole(con: duckdb.DuckDBPyConnection, planted_folder: Path, tmp_path: Path) -> tuple[Path, KeyedResult]:
    """The verdicts and the result of the unbucketed comparison."""
    salesforce, d365 = (f"read_parquet('{file}')" for file in planted_orders.canonical_files(planted_folder))
    verdicts = tmp_path / "whole.parquet"
    return verdicts, compare(con, planted_orders.comparison(), salesforce, d365, verdicts)


def test_every_planted_difference_is_found_and_nothing_else(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, whole: tuple[Path, KeyedResult]
) -> None:
    found = scores(con, planted_folder / "truth.parquet", whole[0])

    assert set(found) == set(planted.CLASSES)
    assert set(found.values()) == {Score(1.0, 1.0)}


def test_counts_are_those_of_the_truth(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, whole: tuple[Path, KeyedResult]
) -> None:
    truth = f"read_parquet('{planted_folder / 'truth.parquet'}')"
    verdicts = dict(con.execute(f"SELECT verdict, count(*) FROM {truth} GROUP BY verdict").fetchall())
    fields = dict(
        con.execute(
            f"SELECT field, count(*) FROM (SELECT unnest(string_split(fields, ',')) AS field FROM {truth} WHERE fields <> '') GROUP BY field"
        ).fetchall()
    )
    assert whole[1].verdicts == verdicts
    assert whole[1].fields == fields


def test_buckets_together_are_the_whole(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, whole: tuple[Path, KeyedResult], tmp_path: Path
) -> None:
    folders = planted_orders.bucket_folders(planted_folder, BUCKETS)
    verdicts = tmp_path / "buckets"

    result = compare_buckets(con, planted_orders.comparison(), *folders, reversed(range(BUCKETS)), verdicts)

    both = f"read_parquet('{whole[0]}')", f"read_parquet('{verdicts}/*.parquet')"
    apart = con.execute(
        f"SELECT count(*) FROM ((FROM {both[0]} EXCEPT ALL FROM {both[1]}) UNION ALL (FROM {both[1]} EXCEPT ALL FROM {both[0]}))"
    ).fetchone()
    assert apart == (0,)
    assert result == whole[1]
    assert len(list(verdicts.glob("*.parquet"))) == BUCKETS


def test_a_bucket_that_one_side_or_both_lack_is_compared_all_the_same(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, tmp_path: Path
) -> None:
    salesforce, d365 = planted_orders.bucket_folders(planted_folder, BUCKETS)

    missing = compare_buckets(
        con, planted_orders.comparison(), salesforce, _only(d365, 0, tmp_path / "d365"), [1], tmp_path / "one"
    )
    nothing = compare_buckets(con, planted_orders.comparison(), salesforce, d365, [BUCKETS], tmp_path / "none")

    assert set(missing.verdicts) == {"only_in_salesforce", "duplicate"}
    assert nothing == KeyedResult()


def _only(folder: Path, bucket: int, copy: Path) -> Path:
    copy.mkdir()
    (copy / f"_bucket={bucket}").symlink_to(folder / f"_bucket={bucket}", target_is_directory=True)
    return copy


@pytest.mark.parametrize("engine", ["duckdb_by_hand", "pandas_merge", "polars_lazy"])
def test_what_the_benchmark_compares_with_gets_the_answer_right_too(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, tmp_path: Path, engine: str
) -> None:
    """A rival that computes something else would be no rival."""
    if engine == "polars_lazy":
        pytest.importorskip("polars", reason="Polars is not installed: `make peers` installs it")
    module = pytest.importorskip(f"benchmarks.engines.{engine}")

    module.reconcile(planted_folder, tmp_path / "answer.parquet")

    found = scores(con, planted_folder / "truth.parquet", tmp_path / "answer.parquet")
    assert set(found.values()) == {Score(1.0, 1.0)}


def test_a_wrong_answer_is_seen(
    con: duckdb.DuckDBPyConnection, planted_folder: Path, whole: tuple[Path, KeyedResult], tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt.parquet"
    con.execute(
        f"COPY (SELECT key, CASE WHEN verdict = 'duplicate' THEN 'matched' ELSE verdict END AS verdict, fields FROM read_parquet('{whole[0]}')) "
        f"TO '{spoilt}' (FORMAT parquet)"
    )
    found = scores(con, planted_folder / "truth.parquet", spoilt)

    assert found["duplicate"] == Score(0.0, 0.0)
    assert found["same"].recall == 1.0
    assert 0.99 < found["same"].precision < 1.0


def test_the_planted_fields_are_compared_as_a_contract_would_have_them_compared() -> None:
    by_contract = tuple(compared_field(planted.contract_field(field)) for field in planted_orders.FIELDS)

    assert planted_orders.comparison().fields == by_contract
