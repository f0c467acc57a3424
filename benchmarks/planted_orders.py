"""The planted orders as they are compared: their fields, and where the canonical files are.

Apart from `planted.py`, which makes them: who compares files needs no contracts.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from tieout.compared_field import ComparedField, Tolerance
from tieout.keyed import KeyedComparison
from tieout.sql import literal

if TYPE_CHECKING:
    from tieout.contract.model import CompareKind


@dataclass(frozen=True, slots=True)
class PlantedField:
    """A field: how it is compared, the SQL of its value for order `i`, and the SQL of another value for `value`."""

    name: str
    kind: "CompareKind"
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


def comparison() -> KeyedComparison:
    """The planted fields as Tieout compares them."""
    return KeyedComparison(
        fields=tuple(_compared(field) for field in FIELDS),
        additive=frozenset(field.name for field in FIELDS if field.is_additive),
        currency="currency",
    )


def _compared(field: PlantedField) -> ComparedField:
    return ComparedField(
        name=field.name,
        shown_as=field.name,
        owner="salesforce",
        on_difference="report",
        tolerance=None if field.tolerance is None else Tolerance(absolute=field.tolerance),
        is_hashed=field.tolerance is None and field.kind not in ("money", "quantity"),
        is_number=field.kind in ("money", "quantity"),
        is_money=field.kind == "money",
        is_free_text=field.kind in ("text", "email", "phone"),
        can_be_damaged=field.kind == "text",
    )


def canonical_files(folder: Path) -> tuple[Path, Path]:
    """The canonical files of Salesforce and D365."""
    return folder / "salesforce.canonical.parquet", folder / "d365.canonical.parquet"


def bucket_folders(folder: Path, buckets: int) -> tuple[Path, Path]:
    """The folders of Salesforce and D365 that hold the canonical rows in so many buckets."""
    return folder / f"salesforce-{buckets}-buckets", folder / f"d365-{buckets}-buckets"
