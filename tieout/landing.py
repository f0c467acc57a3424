"""From raw pages to typed, comparable, checked rows: the SQL of every step, and `land`, which runs it on a DuckDB connection.

    pages ─ staged (text as received) ─ arrived (typed, canonical, hashed) ─┬─ good        to the lake
                                                                            ├─ bad         to quarantine, with the row as received
                                                                            └─ violations  one row for each rule that a row breaks

No row becomes a Python object. What the rules are is in `quality.py`.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tieout import countries, phone_numbers
from tieout.canonical import MONEY_TYPE, canonical, canonical_column
from tieout.contract.model import ColumnType, System
from tieout.contract.tables import Column, Field, Table
from tieout.page_files import PageFiles, PageFormat
from tieout.quality import AS_RECEIVED, KEY_UNIQUE, counted_rules, violations_sql
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    import duckdb

SQL_TYPE: dict[ColumnType, str] = {
    "text": "VARCHAR",
    "decimal": MONEY_TYPE,
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "instant": "TIMESTAMPTZ",
}

# Up to this length the shortest form of a binary double still names every one of the six stored decimals.
_SAFE_DOUBLE_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of one extraction.

    `counts` is the one-row frame for the quality suite: `rows`, then for every rule of the table how many rows break it, zeros included.
    `repeated` rows came more than once and were dropped.
    """

    rows: int
    good: int
    bad: int
    repeated: int
    counts: dict[str, int]


def stage_sql(table: Table, files: Sequence[Path], format: PageFormat) -> str:
    """SELECT that gives every source column as text, exactly as received; a key that is missing from a page is NULL.

    `json`: arrays of objects; `csv`: one header line a file. No file, or only empty ones, gives no row.
    """
    filled = [path for path in files if path.stat().st_size > 0]
    if not filled:
        columns = ", ".join(f"NULL::VARCHAR AS {quoted(column.name)}" for column in table.columns)
        return f"SELECT {columns} WHERE FALSE"
    return _stage_json(table, filled) if format == "json" else _stage_csv(table, filled)


def _stage_json(table: Table, files: Sequence[Path]) -> str:
    structure = orjson.dumps({column.name: "VARCHAR" for column in table.columns}).decode()
    columns = ",\n       ".join(f"{_exact(column)} AS {quoted(column.name)}" for column in table.columns)
    return f"""SELECT {columns}
FROM (
    SELECT json::VARCHAR AS _object, json_transform(json, {literal(structure)}) AS _values
    FROM read_json_objects([{_paths(files)}], format = 'array')
)"""


def _exact(column: Column) -> str:
    """The text of a JSON value; of a decimal the very digits that were sent.

    DuckDB's JSON reader takes numbers with a point through binary doubles, which hold 15 digits. Longer ones are cut out of the object's
    own text: `name": 12.50` cannot stand inside a string, where the quote would have a backslash.
    """
    value = f"_values.{quoted(column.name)}"
    if column.type != "decimal":
        return value
    pattern = literal(rf'"{column.name}"\s*:\s*(-?[0-9][0-9.eE+-]*)')
    digits = f"coalesce(nullif(regexp_extract(_object, {pattern}, 1), ''), {value})"
    return f"CASE WHEN length({value}) > {_SAFE_DOUBLE_LENGTH} OR contains(lower({value}), 'e') THEN {digits} ELSE {value} END"


def _stage_csv(table: Table, files: Sequence[Path]) -> str:
    return "\nUNION ALL BY NAME\n".join(
        _stage_one_header(table, header, group) for header, group in _by_header(files).items()
    )


def _by_header(files: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Files by their header line, because the columns of a page come in the order of its query."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        with path.open(encoding="utf-8-sig", newline="") as page:
            groups.setdefault(tuple(next(csv.reader(page), [])), []).append(path)
    return groups


def _stage_one_header(table: Table, header: tuple[str, ...], files: Sequence[Path]) -> str:
    columns = ",\n       ".join(
        f"nullif({quoted(column.name)}, '') AS {quoted(column.name)}"
        if column.name in header
        else f"NULL::VARCHAR AS {quoted(column.name)}"
        for column in table.columns
    )
    declared = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    return f"""SELECT {columns}
FROM read_csv([{_paths(files)}], auto_detect = false, header = true, delim = ',', quote = '"', escape = '"', columns = {{{declared}}})"""


def _paths(files: Sequence[Path]) -> str:
    return ", ".join(literal(str(path)) for path in files)


def typed_sql(table: Table, relation: str) -> str:
    """SELECT that gives `relation` (staged text) typed, canonical and hashed.

    Columns: the source columns; `cmp_<field>`; `_key`; `_parent_key` (lines only); `_row_hash`; `_compare_hash`; and `as_received`, a
    struct of the staged text, for the rules and for quarantine. A text that is not what its column's type asks for becomes NULL.
    """
    names = [quoted(column.name) for column in table.columns]
    received = ", ".join(f"{literal(column.name)}: {quoted(column.name)}" for column in table.columns)
    compared = [f"{_canonical_of(field, table)} AS {quoted(canonical_column(field))}" for field in table.fields]
    keys = [f"{lake_key(table)} AS _key", *([f"{parent_key(table)} AS _parent_key"] if table.parent else [])]
    hashed = ", ".join(quoted(canonical_column(field)) for field in table.hashed_fields) or "0"
    # The canonical values are in the hash of the row: where a contract compares otherwise than before, the row is another one.
    canonical = [quoted(canonical_column(field)) for field in table.fields]
    return f"""WITH stored AS (
    SELECT {{{received}}} AS {AS_RECEIVED},
           {_listed(f"{stored_text(column, table.system)} AS {quoted(column.name)}" for column in table.columns)}
    FROM {relation}
),
typed AS (
    SELECT {AS_RECEIVED},
           {_listed(f"{typed_value(column)} AS {quoted(column.name)}" for column in table.columns)}
    FROM stored
),
comparable AS (
    SELECT {_listed([*names, AS_RECEIVED, *compared, *keys])}
    FROM typed
)
SELECT *,
       {_hash(", ".join([*names, *canonical]))} AS _row_hash,
       {_hash(hashed)} AS _compare_hash
FROM comparable"""


def landing_rules(table: Table) -> str:
    """A digest of how rows of `table` land: it moves with any column, canonical form or quality rule.

    Rows that were landed by other rules have to be read again: a column that is new to the contract is empty in them, which must not pass
    for an empty value of the system.
    """
    return sha256("\n".join((typed_sql(table, "staged"), violations_sql(table, "arrived"))).encode()).hexdigest()[:32]


def _listed(expressions: Iterable[str]) -> str:
    return ",\n           ".join(expressions)


def stored_text(column: Column, system: System) -> str:
    """The expression for the text that counts: NULL where the system's way of saying "nothing" stands.

    D365 has no nulls: an empty string or 1 January 1900 stands for nothing. NUL characters occur in Salesforce texts, and Postgres refuses them.
    """
    name = quoted(column.name)
    if column.type == "text":
        return f"nullif(replace({name}, chr(0), ''), '')"
    if system == "d365" and column.type in ("date", "instant"):
        return f"CASE WHEN NOT starts_with({name}, '1900-01-01') THEN nullif({name}, '') END"
    return f"nullif({name}, '')"


def typed_value(column: Column) -> str:
    """The expression that gives a stored text its type; NULL where the text is not of that type."""
    name = quoted(column.name)
    match column.type:
        case "decimal":
            return _decimal(name)
        case "integer":
            return f"CASE WHEN {_decimal(name)} = trunc({_decimal(name)}) THEN {_decimal(name)}::BIGINT END"
        case "boolean":
            return f"CASE lower({name}) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
        case "date":
            # A date of D365 travels as noon UTC of that day, so the day is what stands in front, whatever the zone.
            return f"TRY_CAST(left({name}, 10) AS DATE)"
        case "instant":
            zone = (
                f"ends_with({name}, 'Z') OR substr({name}, -5, 1) IN ('+', '-') OR substr({name}, -6, 1) IN ('+', '-')"
            )
            return f"CASE WHEN length({name}) > 16 AND ({zone}) THEN TRY_CAST({name} AS TIMESTAMPTZ) END"
    return name


def _decimal(name: str) -> str:
    # The cast would take 1_000 for a thousand; no system writes numbers so.
    return f"CASE WHEN NOT contains({name}, '_') THEN TRY_CAST({name} AS {MONEY_TYPE}) END"


def _canonical_of(field: Field, table: Table) -> str:
    columns = [quoted(name) for name in field.sources(table.system)]
    if field.compare == "reference" and table.has_company:
        columns.insert(0, quoted("dataAreaId"))
    return canonical(field, table.system, columns)


def lake_key(table: Table) -> str:
    """The expression of `_key`: the Salesforce id, or company|key in small letters (D365 compares keys without regard to capitals)."""
    if table.system == "salesforce":
        return quoted(table.key[0])
    return " || '|' || ".join(f"lower({quoted(name)})" for name in table.key)


def parent_key(table: Table) -> str:
    """The expression of a line's `_parent_key`, which is the `_key` of its header."""
    if table.parent is None:
        return "NULL::VARCHAR"
    if table.system == "salesforce":
        return quoted(table.parent)
    return f"lower({quoted('dataAreaId')}) || '|' || lower({quoted(table.parent)})"


def _hash(columns: str) -> str:
    # 63 of the 64 bits, because the lake's integers have a sign.
    return f"CAST(hash({columns}) >> 1 AS BIGINT)"


def land(
    con: "duckdb.DuckDBPyConnection",
    table: Table,
    page_files: PageFiles,
    *,
    run_id: str,
    extracted_at: datetime,
    products: str | None = None,
) -> Landed:
    """Land one extraction: make the tables `good`, `bad` and `violations` on `con`, replacing those of an earlier call.

    `good`: what `typed_sql` gives without `as_received`, plus `_extracted_at` and `_run_id`. `bad`: `_key`, `_parent_key`, `row` (JSON text
    as received), `rules` and `reasons` (lists), `_row_hash`, `_extracted_at`, `_run_id`. `violations`: `_key`, `parent_key`, `rule`, `field`,
    `severity`, `value`, `reason`. `products` names a relation with a `ProductCode` column, in which the lines' products should be found.
    """
    register_functions(con, table)
    con.execute(f"CREATE OR REPLACE TEMP TABLE staged AS {stage_sql(table, page_files.files, page_files.format)}")
    con.execute(f"CREATE OR REPLACE TEMP VIEW arrived AS {typed_sql(table, 'staged')}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE repeated_key AS {_repeated_keys_sql()}")
    rows = _number(con, "SELECT count(*) FROM staged")
    one_each = "arrived"
    if _number(con, "SELECT count(*) FROM repeated_key"):
        con.execute(f"CREATE OR REPLACE TEMP VIEW arrived_once AS {_newest_sql(table)}")
        one_each = "arrived_once"
    con.execute(f"CREATE OR REPLACE TEMP TABLE violations AS {violations_sql(table, one_each, products=products)}")
    drifted = _drifted_sql(table)
    con.execute(f"INSERT INTO violations BY NAME {drifted}")
    stamp = f"{literal(extracted_at)} AS _extracted_at, {literal(run_id)} AS _run_id"
    con.execute(f"CREATE OR REPLACE TEMP TABLE bad AS {_bad_sql(table, one_each, stamp)}")
    con.execute(f"CREATE OR REPLACE TEMP TABLE good AS {_good_sql(one_each, stamp)}")
    counts = _counts(con, table, rows)
    good, bad = _number(con, "SELECT count(*) FROM good"), _number(con, "SELECT count(*) FROM bad")
    for view in ("arrived_once", "arrived"):
        con.execute(f"DROP VIEW IF EXISTS {view}")
    for leftover in ("staged", "repeated_key"):
        con.execute(f"DROP TABLE {leftover}")
    return Landed(rows=rows, good=good, bad=bad, repeated=rows - good - bad, counts=counts)


def register_functions(con: "duckdb.DuckDBPyConnection", table: Table) -> None:
    """Make on `con` what the expressions of canonical values need besides DuckDB itself."""
    countries.register(con)
    if any(field.region or field.region_columns for field in table.fields):
        phone_numbers.register(con)


def _repeated_keys_sql() -> str:
    # Counting hashes is quicker than counting long keys; a collision only sends two innocent keys through the exact step.
    return """SELECT DISTINCT _key, hash(_key) AS _hash FROM arrived
WHERE hash(_key) IN (SELECT hash(_key) FROM arrived WHERE _key IS NOT NULL GROUP BY hash(_key) HAVING count(*) > 1)"""


def _newest_sql(table: Table) -> str:
    """One row a key: the highest version; between equal versions the same one whatever the order of the pages."""
    version = f"{quoted(table.version)} DESC NULLS LAST, " if table.version else ""
    return f"""SELECT * FROM arrived WHERE _key IS NULL OR _key NOT IN (SELECT _key FROM repeated_key)
UNION ALL
SELECT * FROM arrived WHERE _key IN (SELECT _key FROM repeated_key)
QUALIFY row_number() OVER (PARTITION BY _key ORDER BY {version}_row_hash) = 1"""


def _drifted_sql(table: Table) -> str:
    """Keys that one read of D365 gave with different contents: the pages moved while they were read."""
    versioned = f", {quoted(table.version)}" if table.version else ""
    reason = literal(
        "came more than once with different contents, because rows moved between pages; one was kept. The next run reads it again."
    )
    return f"""SELECT _key, NULL::VARCHAR AS parent_key, {literal(KEY_UNIQUE)} AS rule, NULL::VARCHAR AS field, 'warn' AS severity,
       _key AS value, _key || ' ' || {reason} AS reason
FROM (
    SELECT _key FROM arrived WHERE _key IN (SELECT _key FROM repeated_key)
    GROUP BY _key{versioned} HAVING count(DISTINCT _row_hash) > 1
) GROUP BY _key"""


def _bad_sql(table: Table, relation: str, stamp: str) -> str:
    parent = "_parent_key" if table.parent else "NULL::VARCHAR AS _parent_key"
    return f"""SELECT coalesce(_key, {_nameless()}) AS _key, {parent}, to_json({AS_RECEIVED})::VARCHAR AS row,
       broken.rules, broken.reasons, {_hash(f"{AS_RECEIVED}, broken.rules")} AS _row_hash, {stamp}
FROM {relation}
JOIN (
    SELECT _key AS _broken_key, list(rule ORDER BY rule, reason) AS rules, list(reason ORDER BY rule, reason) AS reasons
    FROM violations WHERE severity = 'error' GROUP BY _key
) AS broken ON coalesce({relation}._key, {_nameless()}) = broken._broken_key"""


def _good_sql(relation: str, stamp: str) -> str:
    return f"""SELECT * EXCLUDE ({AS_RECEIVED}), {stamp}
FROM {relation}
WHERE coalesce(_key, {_nameless()}) NOT IN (SELECT _key FROM violations WHERE severity = 'error')"""


def _nameless() -> str:
    """What a row without key is called in quarantine."""
    return f"'without key ' || hash({AS_RECEIVED})"


def _counts(con: "duckdb.DuckDBPyConnection", table: Table, rows: int) -> dict[str, int]:
    broken = dict(con.execute("SELECT rule, count(*) FROM violations GROUP BY rule").fetchall())
    return {"rows": rows, **{name: int(broken.get(name, 0)) for name in counted_rules(table)}}


def _number(con: "duckdb.DuckDBPyConnection", query: str) -> int:
    row = con.execute(query).fetchone()
    return int(row[0]) if row else 0
