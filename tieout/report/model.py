"""One run's report as one value, and the totals that follow from it.

The rows are in `rows.py`, what the first line says is decided in `headline.py`, and rendering is elsewhere (`html.py`, `xlsx.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tieout.report.headline import Headline, headline_of
from tieout.report.rows import (
    ZERO,
    Ambiguity,
    ApiCalls,
    Break,
    BridgePart,
    CurrencyTotal,
    Delivery,
    DeliveryCount,
    Duplicate,
    FieldCount,
    MonthTieOut,
    QuarantinedRow,
    Source,
    StepTime,
    TableVersion,
    TieOut,
    VerdictCount,
    WriteBack,
    require_zone,
)


@dataclass(frozen=True, slots=True)
class Report:
    """One run's reconciliation with everything that an analyst needs to judge and repeat it.

    Sequences may be lazy (only `len`, iteration and indexing are used). `duration_s` is the whole run.
    """

    run_id: str
    as_of: datetime
    sources: Sequence[Source] = ()
    tie_out: Sequence[TieOut] = ()
    months: Sequence[MonthTieOut] = ()
    bridge: Sequence[BridgePart] = ()
    verdicts: Sequence[VerdictCount] = ()
    field_counts: Sequence[FieldCount] = ()
    breaks: Sequence[Break] = ()
    duplicates: Sequence[Duplicate] = ()
    ambiguities: Sequence[Ambiguity] = ()
    quarantine: Sequence[QuarantinedRow] = ()
    deliveries: Sequence[Delivery] = ()
    delivery_counts: Sequence[DeliveryCount] = ()
    write_backs: Sequence[WriteBack] = ()
    api_calls: Sequence[ApiCalls] = ()
    steps: Sequence[StepTime] = ()
    versions: Sequence[TableVersion] = ()
    duration_s: float | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        require_zone(self, "as_of")

    def verdict_records(self, entity: str, verdict: str | None = None) -> int:
        """Records of `entity` with `verdict`, or with any."""
        return sum(
            row.records for row in self.verdicts if row.entity == entity and (verdict is None or row.verdict == verdict)
        )

    def verdict_total(self, verdict: str) -> int:
        """Records of all entities with `verdict`."""
        return sum(row.records for row in self.verdicts if row.verdict == verdict)

    def deliveries_in(self, outcome: str) -> int:
        """Deliveries of this run that were left in the state `outcome`."""
        return sum(1 for row in self.deliveries if row.outcome == outcome)

    @property
    def entities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.entity for row in self.verdicts))

    def currency_totals(self) -> tuple[CurrencyTotal, ...]:
        """Totals per currency, by the currency's code."""
        by_currency: dict[str, list[TieOut]] = defaultdict(list)
        for row in self.tie_out:
            by_currency[row.currency].append(row)
        return tuple(
            CurrencyTotal(
                currency=currency,
                companies=len({row.company for row in rows}),
                salesforce=add(row.salesforce for row in rows),
                d365=add(row.d365 for row in rows),
                explained=add(row.explained for row in rows),
            )
            for currency, rows in sorted(by_currency.items())
        )

    @property
    def headline(self) -> Headline:
        """The one sentence that the run comes down to."""
        return headline_of(self)

    @property
    def ties_out(self) -> bool:
        return self.headline.ties_out

    def as_dict(self) -> dict[str, Any]:
        """The whole report in JSON's own types: decimals as text (a JSON number would be read as a float), instants as ISO 8601 in UTC."""
        plain: dict[str, Any] = _plain(self)
        plain["headline"] = _plain(self.headline)
        plain["tie_out"] = [_plain(row) | _differences(row) for row in self.tie_out]
        plain["months"] = [_plain(row) | _differences(row) for row in self.months]
        plain["currencies"] = [_plain(row) | _differences(row) for row in self.currency_totals()]
        return plain


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Exact sum. (The bare `sum` answers the integer 0 for nothing.)"""
    return sum(amounts, ZERO)


def _differences(row: TieOut | MonthTieOut | CurrencyTotal) -> dict[str, str]:
    return {"difference": str(row.difference), "unexplained": str(row.unexplained)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
