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
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from tieout.canonical import canonical
from tieout.contract.model import CompareKind
from tieout.contract.tables import Field, Tolerance
from tieout.keyed import KeyedComparison, SideColumns, canonical_select, write_buckets, write_canonical
from tieout.reconciliation.fields import compared_field
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


@dataclass(frozen=True, slots=True)
class PlantedField:
    """A field: how it is compared, the SQL of its value for order `i`, and the SQL of another value for `value`."""

    name: str
    kind: CompareKind
    value: str
    otherwise: str
    noise: str = "value"
    tolerance: Decimal | None = None
    is_additive: bool = False


def _text(name: str, value: str, noise: str = "value") -> PlantedField:
    return PlantedField(name, "text", value, "coalesce(value, '') || ' X'", noise)


def _code(name: str, value: str) -> PlantedField:
    return PlantedField(name, "code", value, "coalesce(value, '') || 'X'")


def _money(name: str, value: str) -> PlantedField:
    # Exactly at the tolerance is noise, a cent more is a difference.
    return PlantedField(
        name,
        "money",
        f"({value})::DECIMAL(18,2)",
        "(coalesce(value, 1) + 0.02)::DECIMAL(18,2)",
        "(value + 0.01)::DECIMAL(18,2)",
        Decimal("0.01"),
        is_additive=True,
    )


def _pick(salt: str, choices: int) -> str:
    return f"(hash(i, {literal(salt)}) % {choices})::INTEGER"


def _one_of(salt: str, *choices: str) -> str:
    listed = ", ".join(literal(choice) for choice in choices)
    return f"[{listed}][{_pick(salt, len(choices))} + 1]"


_SPACED = "CASE WHEN i % 2 = 0 THEN upper(value) ELSE ' ' || replace(value, ' ', '  ') || ' ' END"
_EMPTY = "coalesce(value, '')"

FIELDS = (
    _text(
        "customer_name",
        f"'Company ' || {_pick('name', 200_000)} || ' of ' || {_one_of('of', 'Zürich', 'Århus', 'Lyon', 'Austin', 'Leeds')}",
        _SPACED,
    ),
    _text("purchase_order", "'PO ' || lpad(i::VARCHAR, 10, '0')", _SPACED),
    _text("sales_rep", f"'Rep ' || {_pick('rep', 400)}", "upper(value)"),
    _code("customer_account", f"'C-' || {_pick('account', 200_000)}"),
    PlantedField(
        "email",
        "email",
        f"'buyer' || {_pick('mail', 150_000)} || '@example.com'",
        "'x' || coalesce(value, '')",
        "upper(value)",
    ),
    _text(
        "phone",
        f"CASE WHEN {_pick('phone?', 10)} > 0 THEN '+49 30 ' || (100000 + {_pick('phone', 800_000)}) END",
        _EMPTY,
    ),
    _text("street", f"'Street ' || {_pick('street', 50_000)} || ' No ' || {_pick('no', 200)}", _SPACED),
    _text(
        "city", _one_of("city", "Zürich", "Århus", "Lyon", "Austin", "Leeds", "New York", "São Paulo"), "lower(value)"
    ),
    _code("postal_code", f"lpad({_pick('zip', 99_999)}::VARCHAR, 5, '0')"),
    _code("country", _one_of("country", "CH", "DK", "FR", "US", "GB", "BR")),
    _text("payment_terms", _one_of("terms", "Net 30", "Net 60", "Cash on delivery"), "upper(value)"),
    _text("status", _one_of("status", "open", "delivered", "invoiced")),
    PlantedField(
        "currency",
        "code",
        _one_of("currency", "EUR", "USD", "CHF", "DKK"),
        "CASE WHEN value = 'EUR' THEN 'USD' ELSE 'EUR' END",
    ),
    _money("amount", f"({_pick('amount', 9_000_000)} + 100) / 100.0"),
    _money("tax", f"({_pick('tax', 900_000)} + 100) / 100.0"),
    _money("freight", f"({_pick('freight', 50_000)} + 100) / 100.0"),
    _money("discount", f"CASE WHEN {_pick('discount?', 4)} > 0 THEN ({_pick('discount', 50_000)} + 100) / 100.0 END"),
    PlantedField(
        "quantity",
        "quantity",
        f"({_pick('quantity', 100_000)} + 100)::DECIMAL(18,2)",
        "(coalesce(value, 1) + 0.01)::DECIMAL(18,2)",
        is_additive=True,
    ),
    PlantedField(
        "exchange_rate",
        "quantity",
        f"(({_pick('rate', 20_000)} + 1000) / 10000.0)::DECIMAL(9,4)",
        "(value + 0.0002)::DECIMAL(9,4)",
        "(value - 0.0001)::DECIMAL(9,4)",
        Decimal("0.0001"),
    ),
    PlantedField("order_date", "date", f"DATE '2024-01-01' + {_pick('date', 700)}", "value + 1"),
    PlantedField(
        "requested_ship_date",
        "date",
        f"CASE WHEN {_pick('ship?', 5)} > 0 THEN DATE '2024-02-01' + {_pick('ship', 700)} END",
        "coalesce(value, DATE '2026-01-01') + 1",
    ),
    PlantedField(
        "modified_at",
        "instant",
        f"TIMESTAMPTZ '2026-01-01 00:00:00Z' + to_seconds({_pick('at', 5_000_000)})",
        "value + INTERVAL 2 SECOND",
        "value - INTERVAL 1 SECOND",
        Decimal(1_000_000),
    ),
    PlantedField("is_rush", "exact", f"{_pick('rush', 2)} = 1", "NOT value"),
)

SIDES = ("salesforce", "d365")
KEY, REFERENCE = "order_key", "reference"
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


def canonical_files(folder: Path) -> tuple[Path, Path]:
    """The canonical files of Salesforce and D365."""
    return folder / "salesforce.canonical.parquet", folder / "d365.canonical.parquet"


def bucket_folders(folder: Path, buckets: int) -> tuple[Path, Path]:
    """The folders of Salesforce and D365 that hold the canonical rows in so many buckets."""
    return folder / f"salesforce-{buckets}-buckets", folder / f"d365-{buckets}-buckets"


def _write(con: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    # Under another name first: an interrupted run must not leave half a file that the next one trusts.
    unfinished = path.with_suffix(".unfinished")
    con.execute(f"COPY ({select}) TO {literal(str(unfinished))} (FORMAT parquet)")
    unfinished.rename(path)


def _described(field: PlantedField) -> dict[str, str | bool | None]:
    tolerance = None if field.tolerance is None else str(field.tolerance)
    return {"name": field.name, "kind": field.kind, "tolerance": tolerance, "is_additive": field.is_additive}


def comparison() -> KeyedComparison:
    """The planted fields as Tieout compares them."""
    return KeyedComparison(
        fields=tuple(compared_field(_contract_field(field)) for field in FIELDS),
        additive=frozenset(field.name for field in FIELDS if field.is_additive),
        currency="currency",
    )


def side_columns(*, is_salesforce: bool) -> SideColumns:
    """What a landed row of one side is made of."""
    return SideColumns(
        key=quoted(KEY),
        group_key=quoted(KEY) if is_salesforce else f"coalesce({quoted(REFERENCE)}, {quoted(KEY)})",
        values={field.name: _canonical(field) for field in FIELDS},
    )


def _contract_field(field: PlantedField) -> Field:
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
    value = canonical(_contract_field(field), "salesforce", [quoted(field.name)])
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
