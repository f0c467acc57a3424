"""Every version of every table can be read again, and a missing table says so."""

import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from resources.lake import Lake
from tieout.errors import ConfigurationError, SourceUnavailable

VERDICTS = ("reconciliation", "customer")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def rows(**keys: int) -> pa.Table:
    return pa.table({"_key": list(keys), "_row_hash": pa.array(list(keys.values()), pa.int64())})


def test_an_old_version_reads_the_same_after_later_merges(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.merge(VERDICTS, rows(a=1, b=1))
    lake.merge(VERDICTS, rows(a=2, c=1), delete_keys=["b"])
    lake.merge(VERDICTS, pa.table({"_key": ["a"], "_row_hash": [3], "note": ["new column"]}))

    versions = [sorted(lake.dataset(VERDICTS, version).to_table()["_key"].to_pylist()) for version in range(3)]
    assert versions == [["a", "b"], ["a", "c"], ["a", "c"]]

    assert lake.register(con, "then", VERDICTS, version=0) == 0
    assert con.sql('SELECT * FROM "then" ORDER BY _key').fetchall() == [("a", 1), ("b", 1)]
    assert lake.row_count(VERDICTS, version=0) == lake.row_count(VERDICTS) == 2


def test_files_of_a_folder_are_read_without_python(lake: Lake) -> None:
    """A worker thread that lets go of a Python file while the interpreter ends aborts the process: `tieout report` ended so now and then."""
    lake.merge(VERDICTS, rows(a=1))

    files = lake.dataset(VERDICTS).filesystem

    assert isinstance(files, SubTreeFileSystem)
    assert isinstance(files.base_fs, LocalFileSystem)


def test_a_view_shows_the_version_of_its_making_whatever_is_written_later(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    lake.merge(VERDICTS, rows(a=1))
    lake.register(con, "verdicts", VERDICTS)

    lake.merge(VERDICTS, rows(a=2, b=2))

    assert con.sql("SELECT * FROM verdicts").fetchall() == [("a", 1)]


def test_the_log_is_kept_for_years_so_that_a_reconciliation_can_be_repeated(lake: Lake) -> None:
    lake.replace(VERDICTS, rows(a=1))

    first = (Path(lake.path(VERDICTS)) / "_delta_log" / "00000000000000000000.json").read_text().splitlines()
    settings = next(entry["metaData"]["configuration"] for entry in map(json.loads, first) if "metaData" in entry)
    assert settings["delta.logRetentionDuration"] == "interval 3650 days"


def test_replace_gives_new_content_and_new_columns_and_keeps_the_old_version(lake: Lake) -> None:
    assert lake.replace(VERDICTS, rows(a=1)) == 0
    assert lake.replace(VERDICTS, pa.table({"verdict": ["matched"], "amount": [1]})) == 1

    assert lake.schema(VERDICTS).names == ["verdict", "amount"]
    assert lake.schema(VERDICTS, version=0).names == ["_key", "_row_hash"]
    assert lake.dataset(VERDICTS, 0).to_table().num_rows == 1


def test_replace_by_nothing_leaves_a_table_without_rows(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.replace(VERDICTS, rows(a=1))
    lake.replace(VERDICTS, con.sql("SELECT 'x' AS _key, 1::DECIMAL(28,6) AS amount WHERE FALSE"))

    lake.register(con, "verdicts", VERDICTS)

    assert lake.row_count(VERDICTS) == 0
    assert con.sql("SELECT count(*), sum(amount) FROM verdicts").fetchall() == [(0, None)]


def test_append_adds_rows_and_new_columns(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.append(VERDICTS, rows(a=1))
    lake.append(VERDICTS, pa.table({"_key": ["b"], "note": ["x"]}))

    lake.register(con, "log", VERDICTS)

    assert con.sql("SELECT _key, _row_hash, note FROM log ORDER BY _key").fetchall() == [
        ("a", 1, None),
        ("b", None, "x"),
    ]


def test_a_table_that_was_never_made_is_an_empty_view_with_the_columns_asked_for(
    lake: Lake, con: duckdb.DuckDBPyConnection
) -> None:
    version = lake.register(con, "quarantine", VERDICTS, empty={"_key": "VARCHAR", "rules": "VARCHAR[]"})

    assert version is None
    assert con.sql("SELECT * FROM quarantine").fetchall() == []
    assert con.sql("SELECT * FROM quarantine").columns == ["_key", "rules"]
    assert lake.row_count(VERDICTS) == 0


def test_columns_asked_for_that_an_old_table_has_not_are_empty(lake: Lake, con: duckdb.DuckDBPyConnection) -> None:
    lake.replace(VERDICTS, rows(a=1))

    lake.register(con, "verdicts", VERDICTS, empty={"_key": "VARCHAR", "amount": "DECIMAL(28,6)"})

    assert con.sql("SELECT _key, amount FROM verdicts").fetchall() == [("a", None)]


def test_a_missing_table_or_version_says_which_and_what_to_do(lake: Lake) -> None:
    with pytest.raises(SourceUnavailable, match=r"has no table reconciliation/customer yet\. Run the job"):
        lake.dataset(VERDICTS)

    lake.replace(VERDICTS, rows(a=1))
    with pytest.raises(SourceUnavailable, match="Version 7 of reconciliation/customer cannot be read"):
        lake.dataset(VERDICTS, version=7)


@pytest.mark.parametrize("key", ["salesforce", (), ("..", "etc"), ("a/b",), ("",)])
def test_a_key_that_could_lead_elsewhere_is_refused(lake: Lake, key: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="no key of a table"):
        lake.path(key)


def test_a_folder_that_delta_cannot_address_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"take \[ \] out of the folder's name, or set TIEOUT_LAKE_URL"):
        Lake(tmp_path / "lake[1]")


def test_a_folder_with_blanks_and_umlauts_is_as_good_as_any(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    lake = Lake(tmp_path / "Größe 1 # 'x'")
    lake.merge(VERDICTS, rows(a=1))

    lake.register(con, "verdicts", VERDICTS)

    assert con.sql("SELECT * FROM verdicts").fetchall() == [("a", 1)]
    assert (tmp_path / "Größe 1 # 'x'" / "reconciliation" / "customer" / "_delta_log").is_dir()


def test_a_file_url_is_a_folder_and_an_object_store_keeps_its_address(tmp_path: Path) -> None:
    assert Lake(f"file://{tmp_path}/lake").path(VERDICTS) == f"{tmp_path}/lake/reconciliation/customer"
    assert Lake("abfss://lake@acme.dfs.core.windows.net/tieout/").path(VERDICTS) == (
        "abfss://lake@acme.dfs.core.windows.net/tieout/reconciliation/customer"
    )
