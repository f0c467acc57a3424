"""A merge writes what changed, once, and says what it did."""

import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from resources.lake import Lake, MergeCounts
from tieout.errors import ContractError

ACCOUNT = ("salesforce", "account")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "the lake")


def rows(*named: tuple[str, int], **columns: list[object]) -> pa.Table:
    """Rows of (key, hash), with more columns where the test is about them."""
    base = {"_key": [key for key, _ in named], "_row_hash": pa.array([number for _, number in named], pa.int64())}
    return pa.table(base | columns)


def content(lake: Lake, version: int | None = None) -> dict[str, int]:
    table = lake.dataset(ACCOUNT, version).to_table(columns=["_key", "_row_hash"])
    return dict(zip(table["_key"].to_pylist(), table["_row_hash"].to_pylist(), strict=True))


def test_the_first_merge_makes_the_table(lake: Lake) -> None:
    assert lake.version(ACCOUNT) is None
    assert not lake.exists(ACCOUNT)

    counts = lake.merge(ACCOUNT, rows(("a", 1), ("b", 2)))

    assert counts == MergeCounts(inserted=2, updated=0, deleted=0, unchanged=0)
    assert lake.version(ACCOUNT) == 0
    assert content(lake) == {"a": 1, "b": 2}


def test_the_same_rows_again_make_no_new_version(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1), ("b", 2)))

    counts = lake.merge(ACCOUNT, rows(("b", 2), ("a", 1)))

    assert counts == MergeCounts(inserted=0, updated=0, deleted=0, unchanged=2)
    assert lake.version(ACCOUNT) == 0


def test_new_rows_are_added_changed_rows_replaced_and_named_rows_leave_in_one_version(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1), ("b", 2), ("c", 3), ("d", 4)))

    counts = lake.merge(ACCOUNT, rows(("b", 20), ("c", 3), ("e", 5)), delete_keys=["a", "never there"])

    assert counts == MergeCounts(inserted=1, updated=1, deleted=1, unchanged=1)
    assert content(lake) == {"b": 20, "c": 3, "d": 4, "e": 5}
    assert lake.version(ACCOUNT) == 1


def test_rows_can_leave_without_others_coming_and_a_second_time_nothing_happens(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1), ("b", 2)))
    con = duckdb.connect()

    first = lake.merge(ACCOUNT, rows(), delete_keys=con.sql("SELECT 'a' AS whatever"))
    second = lake.merge(ACCOUNT, rows(), delete_keys=["a"])

    assert (first.deleted, second.deleted) == (1, 0)
    assert content(lake) == {"b": 2}
    assert lake.version(ACCOUNT) == 1


def test_a_row_that_comes_is_not_deleted_in_the_same_merge(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1)))

    lake.merge(ACCOUNT, rows(("a", 2)), delete_keys=["a"])

    assert content(lake) == {"a": 2}


def test_an_older_version_of_a_row_never_replaces_a_newer_one(lake: Lake) -> None:
    """History and the newest changes may be read in any order."""
    later = NOON.replace(hour=13)
    lake.merge(ACCOUNT, rows(("a", 1), ("b", 1), SystemModstamp=[NOON, NOON]), version_column="SystemModstamp")

    counts = lake.merge(
        ACCOUNT,
        rows(("a", 2), ("b", 2), SystemModstamp=[NOON.replace(hour=11), later]),
        version_column="SystemModstamp",
    )

    assert counts == MergeCounts(inserted=0, updated=1, deleted=0, unchanged=1)
    assert content(lake) == {"a": 1, "b": 2}


def test_an_equal_version_with_other_contents_is_taken(lake: Lake) -> None:
    """Salesforce stamps whole seconds: two changes of one second carry the same stamp."""
    lake.merge(ACCOUNT, rows(("a", 1), SystemModstamp=[NOON]), version_column="SystemModstamp")

    lake.merge(ACCOUNT, rows(("a", 2), SystemModstamp=[NOON]), version_column="SystemModstamp")

    assert content(lake) == {"a": 2}


@pytest.mark.parametrize("keys", [("a", "a"), ("a", None)])
def test_an_empty_or_repeated_key_is_refused_and_nothing_is_written(lake: Lake, keys: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="empty or repeated _key"):
        lake.merge(ACCOUNT, rows((keys[0], 1), (keys[1], 2)))

    assert not lake.exists(ACCOUNT)


def test_rows_without_a_hash_are_refused(lake: Lake) -> None:
    with pytest.raises(ValueError, match="no column _row_hash"):
        lake.merge(ACCOUNT, pa.table({"_key": ["a"]}))


def test_a_table_a_stream_and_a_query_are_merged_alike(lake: Lake) -> None:
    con = duckdb.connect()
    con.execute("CREATE TABLE good AS SELECT 'q' AS _key, 1::BIGINT AS _row_hash")
    stream = rows(("s", 1)).to_reader()

    counts = [lake.merge(ACCOUNT, data) for data in (rows(("t", 1)), stream, con.table("good"))]

    assert [count.inserted for count in counts] == [1, 1, 1]
    assert content(lake) == {"t": 1, "s": 1, "q": 1}
    # The connection that made the rows can go on.
    assert con.execute("SELECT count(*) FROM good").fetchall() == [(1,)]


def test_every_value_comes_back_as_it_was(lake: Lake) -> None:
    con = duckdb.connect()
    query = """SELECT 'a' AS _key, 1::BIGINT AS _row_hash, 2024.994000::DECIMAL(28,6) AS price,
        12345678901234567890.123456::DECIMAL(28,6) AS huge, TIMESTAMPTZ '2026-07-01 14:00:00+02' AS moment, DATE '1999-12-31' AS day,
        ['required', 'it''s'] AS rules, NULL AS nothing, NULL::DECIMAL(28,6) AS no_price, TRUE AS yes, 7::UBIGINT AS number"""

    lake.merge(ACCOUNT, con.sql(query))
    lake.register(con, "account", ACCOUNT)

    names = "price, huge, day, rules, nothing, no_price, yes, number"
    assert con.sql(f"SELECT {names} FROM account").fetchall() == [
        (Decimal("2024.994"), Decimal("12345678901234567890.123456"), date(1999, 12, 31), ["required", "it's"], None, None, True, 7)
    ]  # fmt: skip
    row = lake.dataset(ACCOUNT).to_table().to_pylist()[0]
    assert row["moment"] == NOON
    assert row["moment"].tzinfo is not None
    assert con.sql("SELECT typeof(price), typeof(moment), typeof(nothing) FROM account").fetchall() == [
        ("DECIMAL(28,6)", "TIMESTAMP WITH TIME ZONE", "VARCHAR")
    ]


def test_a_new_column_is_added_and_one_that_is_gone_stays(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1), ("b", 1), Phone=["1", "2"]))

    lake.merge(ACCOUNT, rows(("b", 2), ("c", 1), Fax=["22", "33"]))

    table = lake.dataset(ACCOUNT).to_table().sort_by("_key").to_pydict()
    assert table == {
        "_key": ["a", "b", "c"],
        "_row_hash": [1, 2, 1],
        "Phone": ["1", "2", None],
        "Fax": [None, "22", "33"],
    }


def test_a_new_column_can_be_read_even_when_no_row_came(lake: Lake) -> None:
    """A field is added to the contract at night: until a record changes, there is no row that has it."""
    con = duckdb.connect()
    lake.merge(ACCOUNT, rows(("a", 1)))

    counts = lake.merge(ACCOUNT, rows(Fax=pa.array([], pa.string())))
    lake.register(con, "account", ACCOUNT)

    assert counts.changed == 0
    assert con.sql("SELECT _key, Fax FROM account").fetchall() == [("a", None)]


def test_a_column_that_changed_its_type_is_refused_by_name(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("a", 1), Limit=["12"]))

    with pytest.raises(ContractError, match=r"Column Limit of lake table salesforce/account holds string, .* int64"):
        lake.merge(ACCOUNT, rows(("a", 2), Limit=[12]))


def test_writers_at_the_same_moment_lose_nothing_and_double_nothing(lake: Lake) -> None:
    lake.merge(ACCOUNT, rows(("start", 1)))
    problems: list[BaseException] = []

    def write(number: int) -> None:
        try:
            Lake(lake.url).merge(ACCOUNT, rows(("all want this", 1), (f"own {number}", 1), ("start", number + 2)))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []
    assert sorted(lake.dataset(ACCOUNT).to_table()["_key"].to_pylist()) == [
        "all want this", "own 0", "own 1", "own 2", "own 3", "start",
    ]  # fmt: skip


def test_writers_that_make_the_table_at_the_same_moment_both_arrive(lake: Lake) -> None:
    threads = [
        threading.Thread(target=lambda n=number: Lake(lake.url).merge(ACCOUNT, rows((f"own {n}", 1))))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(content(lake)) == {"own 0", "own 1", "own 2"}


def test_60000_rows_are_merged_in_seconds_and_found_unchanged_in_less(lake: Lake) -> None:
    con = duckdb.connect()
    columns = ", ".join(f"'value ' || (i % 97) || ' {n}' AS c{n}" for n in range(30))
    con.execute(
        f"CREATE TABLE good AS SELECT 'k' || i AS _key, (hash(i) >> 1)::BIGINT AS _row_hash, {columns} FROM range(60000) r(i)"
    )
    lake.merge(ACCOUNT, rows(("start", 1)))

    begun = time.monotonic()
    new = lake.merge(ACCOUNT, con.table("good"))
    between = time.monotonic()
    same = lake.merge(ACCOUNT, con.table("good"))

    assert (new.inserted, same.unchanged) == (60_000, 60_000)
    assert between - begun < 3
    assert time.monotonic() - between < 3
