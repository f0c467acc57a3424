"""Two sides of sales orders in which every difference is known, because it was planted.

Both sides are Parquet files of 25 columns, as the systems would give them; a third file says what a right comparison answers. Which class
an order belongs to, and what is changed in it, follows from a hash of its number: the same rows for the same size, in another order on
each side.

| class | share | in the files | right answer |
|---|---|---|---|
| `same` | 74.8 % | equal to the letter | matched |
| `noise` | 10 % | other case, more blanks, empty text for no text, amounts and times exactly at the tolerance | matched |
| `changed` | 4 % | one to three fields different, just outside the tolerance or a value against none | differs, with these fields |
| `split` | 4 % | two or three D365 orders that add up (some of them exactly at the tolerance) | matched |
| `split_off` | 1 % | the same, but the sum or one part is wrong | differs, with the field |
| `only_in_salesforce`, `only_in_d365` | 3 % each | missing on the other side; half of the latter name no Salesforce order | the same word |
| `duplicate` | 0.2 % | the same order twice on one side | duplicate |
"""

import json
from pathlib import Path

import duckdb

from benchmarks.planted_orders import (
    FIELDS,
    KEY,
    REFERENCE,
    SIDES,
    PlantedField,
    bucket_folders,
    canonical_files,
    comparison,
)
from tieout.canonical import canonical
from tieout.compared_field import Tolerance
from tieout.contract.tables import Field
from tieout.keyed import SideColumns, canonical_select, write_buckets, write_canonical
from tieout.sql import literal, quoted

CLASSES = (
    "same",
    "noise",
    "changed",
    "split",
    "split_off",
    "only_in_salesforce",
    "only_in_d365",
    "duplicate",
)


# An order's number times this, modulo the number of orders, is another order of the same rows.
_STRIDES = (7_368_787, 15_485_863, 32_452_843)


def plant(con: duckdb.DuckDBPyConnection, folder: Path, orders: int) -> None:
    """Write `salesforce.parquet`, `d365.parquet` and `truth.parquet`, and `fields.json` for engines that cannot import this module.

    `truth` has `key`, `class`, `verdict` and `fields` (commas between them). Files that are there already are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fields.json").write_text(json.dumps([_described(field) for field in FIELDS]))
    stride = next(stride for stride in _STRIDES if orders % stride)
    straight, shuffled = "range", f"(range * {stride}) % {orders}"
    for name, number, select in (
        ("salesforce", straight, _salesforce),
        ("d365", shuffled, _d365),
        ("truth", straight, _truth),
    ):
        path = folder / f"{name}.parquet"
        if not path.exists():
            _write(con, select(f"SELECT {number} AS i FROM range({orders})"), path)


def land(con: duckdb.DuckDBPyConnection, folder: Path, buckets: int | None = None) -> None:
    """Write both sides in canonical form, where they are not yet: whole, and in `buckets` if they are asked for."""
    for side, whole, parts in zip(SIDES, canonical_files(folder), bucket_folders(folder, buckets or 0), strict=True):
        columns = side_columns(is_salesforce=side == "salesforce")
        select = canonical_select(comparison(), columns, f"read_parquet({literal(str(folder / f'{side}.parquet'))})")
        if not whole.exists():
            unfinished = whole.with_suffix(".unfinished")
            write_canonical(con, select, unfinished)
            unfinished.rename(whole)
        if buckets and not parts.exists():
            unfinished = parts.with_suffix(".unfinished")
            write_buckets(con, f"SELECT * FROM read_parquet({literal(str(whole))})", unfinished, buckets)
            unfinished.rename(parts)


def _write(con: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    # Under another name first: an interrupted run must not leave half a file that the next one trusts.
    unfinished = path.with_suffix(".unfinished")
    con.execute(f"COPY ({select}) TO {literal(str(unfinished))} (FORMAT parquet)")
    unfinished.rename(path)


def _described(field: PlantedField) -> dict[str, str | bool | None]:
    tolerance = None if field.tolerance is None else str(field.tolerance)
    return {"name": field.name, "kind": field.kind, "tolerance": tolerance, "is_additive": field.is_additive}


def side_columns(*, is_salesforce: bool) -> SideColumns:
    """What a landed row of one side is made of."""
    return SideColumns(
        key=quoted(KEY),
        group_key=quoted(KEY) if is_salesforce else f"coalesce({quoted(REFERENCE)}, {quoted(KEY)})",
        values={field.name: _canonical(field) for field in FIELDS},
    )


def contract_field(field: PlantedField) -> Field:
    """The field as a contract would have it."""
    return Field(
        name=field.name,
        label=field.name,
        owner="salesforce",
        compare=field.kind,
        salesforce=field.name,
        d365_columns=(field.name,),
        tolerance=None if field.tolerance is None else Tolerance(absolute=field.tolerance),
    )


def _canonical(field: PlantedField) -> str:
    value = canonical(contract_field(field), "salesforce", [quoted(field.name)])
    # A tolerance is a number, so instants are compared as microseconds.
    return f"epoch_us({value})" if field.kind == "instant" else value


def _orders(numbers: str) -> str:
    """Every order with its class, its plan of changes and its true values."""
    values = ",\n        ".join(f"{field.value} AS {quoted(field.name)}" for field in FIELDS)
    return f"""SELECT i, CASE
            WHEN lot < 30 THEN 'only_in_salesforce' WHEN lot < 60 THEN 'only_in_d365' WHEN lot < 100 THEN 'changed'
            WHEN lot < 102 THEN 'duplicate' WHEN lot < 202 THEN 'noise' WHEN lot < 242 THEN 'split' WHEN lot < 252 THEN 'split_off'
            ELSE 'same' END AS class,
        (hash(i, 'first') % {len(FIELDS)})::INTEGER AS first, 1 + (hash(i, 'changes') % 3)::INTEGER AS changes,
        hash(i, 'to null') % 5 = 0 AS to_null,
        '006A' || lpad(i::VARCHAR, 11, '0') || 'AAA' AS salesforce_key, 'SO' || lpad(i::VARCHAR, 10, '0') AS d365_key,
        {values}
    FROM (SELECT i, (hash(i, 'class') % 1000)::INTEGER AS lot FROM ({numbers}))"""


def _salesforce(numbers: str) -> str:
    values = ", ".join(quoted(field.name) for field in FIELDS)
    return f"""SELECT salesforce_key AS {KEY}, NULL::VARCHAR AS {REFERENCE}, {values}
FROM (
    SELECT *, unnest(range(CASE WHEN class = 'only_in_d365' THEN 0 WHEN class = 'duplicate' AND i % 2 = 0 THEN 2 ELSE 1 END)) AS copy
    FROM ({_orders(numbers)})
)"""


def _d365(numbers: str) -> str:
    values = ",\n    ".join(
        f"{_d365_value(position, field)} AS {quoted(field.name)}" for position, field in enumerate(FIELDS)
    )
    number = "CASE WHEN class = 'duplicate' THEN d365_key ELSE d365_key || '-' || part END"
    # Half of the orders that D365 alone has were entered there and name no Salesforce order.
    return f"""SELECT {number} AS {KEY}, CASE WHEN class <> 'only_in_d365' OR i % 2 = 1 THEN salesforce_key END AS {REFERENCE},
    {values}
FROM (
    SELECT *, unnest(range(1, parts + 1)) AS part
    FROM (
        SELECT *, CASE WHEN class = 'only_in_salesforce' THEN 0 WHEN class = 'duplicate' THEN 1 + i % 2
            WHEN class IN ('split', 'split_off') THEN 2 + i % 2 ELSE 1 END AS parts
        FROM ({_orders(numbers)})
    )
)"""


def _d365_value(position: int, field: PlantedField) -> str:
    value = quoted(field.name)
    otherwise, noise = (expression.replace("value", value) for expression in (field.otherwise, field.noise))
    whens = [
        f"WHEN class = 'changed' AND {_is_changed(position)} THEN CASE WHEN to_null AND {value} IS NOT NULL THEN NULL ELSE {otherwise} END"
    ]
    if noise != value:
        whens.append(f"WHEN class = 'noise' THEN {noise}")
    if field.is_additive:
        whens.append(f"WHEN class IN ('split', 'split_off') THEN {_part_of(field, value)}")
    if field.name == "payment_terms":
        whens.append("WHEN class = 'split_off' AND i % 3 = 0 AND part = parts THEN 'Prepaid'")
    return f"CASE {' '.join(whens)} ELSE {value} END"


def _is_changed(position: int) -> str:
    distance = f"({position} - first + {len(FIELDS)}) % {len(FIELDS)}"
    return f"({distance} = 0 OR (changes > 1 AND {distance} = 7) OR (changes > 2 AND {distance} = 15))"


def _part_of(field: PlantedField, value: str) -> str:
    """60 + 40, or 50 + 30 + 20, to the cent; of the amount a cent more where the class is forgiven one, two where it is not."""
    share = (
        f"(({value} * CASE WHEN parts = 2 THEN 0.6 WHEN part = 1 OR part = parts THEN 0.5 ELSE 0.3 END)::DECIMAL(18,2))"
    )
    half, third = f"(({value} * 0.5)::DECIMAL(18,2))", f"(({value} * 0.3)::DECIMAL(18,2))"
    rest = f"CASE WHEN parts = 2 THEN {value} - {share} ELSE {value} - {half} - {third} END"
    if field.name == "amount":
        rest = f"{rest} + CASE WHEN class = 'split_off' AND i % 3 > 0 THEN 0.02 WHEN class = 'split' AND i % 4 = 0 THEN 0.01 ELSE 0 END"
    return f"(CASE WHEN part < parts THEN {share} ELSE {rest} END)::DECIMAL(18,2)"


def _truth(numbers: str) -> str:
    changed = ", ".join(
        f"CASE WHEN class = 'changed' AND {_is_changed(position)} THEN {literal(field.name)} END"
        for position, field in sorted(enumerate(FIELDS), key=lambda numbered: numbered[1].name)
    )
    return f"""SELECT CASE WHEN class = 'only_in_d365' AND i % 2 = 0 THEN d365_key || '-1' ELSE salesforce_key END AS key, class,
    CASE WHEN class IN ('same', 'noise', 'split') THEN 'matched' WHEN class IN ('changed', 'split_off') THEN 'differs' ELSE class END AS verdict,
    CASE WHEN class = 'split_off' THEN CASE WHEN i % 3 = 0 THEN 'payment_terms' ELSE 'amount' END
        ELSE concat_ws(',', {changed}) END AS fields
FROM ({_orders(numbers)})"""
