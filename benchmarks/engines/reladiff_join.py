"""reladiff's join of two DuckDB tables. It knows equality only: no tolerance, no other case or blanks, one row a side and key.

Its best chance is the canonical files, where texts are equal already; orders that are there twice are called duplicates before, because
it stops at them. About splits it says nothing, and what lies inside a tolerance it reports as different.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import reladiff


def reconcile(folder: Path, out: Path) -> None:
    """Load both tables, join them, turn its plus and minus rows into verdicts."""
    fields = [field["name"] for field in json.loads((folder / "fields.json").read_text())]
    columns = [f"cmp_{name}" for name in fields]
    with tempfile.TemporaryDirectory(prefix="tieout-benchmark-") as scratch:
        database = f"{scratch}/both.duckdb"
        settled = _load(folder, database, columns)
        tables = [
            reladiff.connect_to_table({"driver": "duckdb", "filepath": database}, side, "key", thread_count=2)
            for side in ("salesforce", "d365")
        ]
        rows: dict[str, dict[str, tuple[Any, ...]]] = {}
        for sign, row in reladiff.diff_tables(
            *tables, algorithm=reladiff.Algorithm.JOINDIFF, extra_columns=tuple(columns), skip_sort_results=True
        ):
            rows.setdefault(row[0], {})[sign] = row[1:]
    judged = [_judged(key, signs, fields) for key, signs in rows.items()]
    judged += [(key, verdict, None) for key, verdict in settled if key not in rows]
    keys, verdicts, names = zip(*judged, strict=True)
    pq.write_table(pa.table({"key": keys, "verdict": verdicts, "fields": pa.array(names, pa.string())}), out)


def _load(folder: Path, database: str, columns: list[str]) -> list[tuple[str, str]]:
    """Make both tables; returns every key with the verdict that it has where reladiff says nothing about it."""
    con = duckdb.connect(database, config={"threads": 2, "memory_limit": "2GiB"})
    con.execute("SET TimeZone = 'UTC'")
    for side in ("salesforce", "d365"):
        con.execute(f"CREATE VIEW every_{side} AS SELECT * FROM read_parquet('{folder / f'{side}.canonical.parquet'}')")
    con.execute(
        """CREATE TABLE several AS
        SELECT _group_key AS key FROM every_salesforce GROUP BY key HAVING count(*) > 1
        UNION SELECT _group_key FROM every_d365 GROUP BY ALL HAVING count(*) > 1"""
    )
    for side in ("salesforce", "d365"):
        con.execute(
            f"CREATE TABLE {side} AS SELECT _group_key AS key, {', '.join(columns)} FROM every_{side} "
            "WHERE _group_key NOT IN (SELECT key FROM several)"
        )
    settled = con.execute(
        """SELECT DISTINCT _group_key, 'duplicate' FROM (FROM every_salesforce UNION ALL FROM every_d365)
        GROUP BY _group_key, _key HAVING count(*) > 1
        UNION ALL SELECT key, 'matched' FROM salesforce"""
    ).fetchall()
    con.execute("DROP TABLE several")
    con.close()
    return settled


def _judged(key: str, signs: dict[str, tuple[Any, ...]], fields: list[str]) -> tuple[str, str, str | None]:
    if len(signs) == 1:
        return key, "only_in_salesforce" if "-" in signs else "only_in_d365", None
    names = [name for name, here, there in zip(fields, signs["-"], signs["+"], strict=True) if here != there]
    return key, "differs", ",".join(names)
