"""The arithmetic of selling: what follows from a stage, what a line costs, what an opportunity amounts to."""

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from sandbox.salesforce.catalogue import STAGES

_CENT = Decimal("0.01")
_HUNDRED = Decimal(100)


def derived(sobject: str, row: Mapping[str, object]) -> dict[str, object]:
    """What follows from other fields of the same row; empty for objects without such rules."""
    if sobject == "Opportunity":
        return of_stage(row.get("StageName")) | expected_revenue(row) | fiscal_period(row.get("CloseDate"))
    if sobject == "OpportunityLineItem":
        return of_line(row)
    return {}


def of_stage(stage: object) -> dict[str, object]:
    """IsClosed, IsWon, Probability and the forecast category of a stage; empty for a stage that the org lacks."""
    known = STAGES.get(str(stage))
    if known is None:
        return {}
    probability, closed, won, category, category_name = known
    return {
        "IsClosed": closed, "IsWon": won, "Probability": probability,
        "ForecastCategory": category, "ForecastCategoryName": category_name,
    }  # fmt: skip


def expected_revenue(row: Mapping[str, object]) -> dict[str, object]:
    """Amount times probability."""
    amount = number_of(row.get("Amount"))
    probability = number_of(row.get("Probability"))
    if probability is None:
        probability = number_of(of_stage(row.get("StageName")).get("Probability"))
    if amount is None or probability is None:
        return {"ExpectedRevenue": None}
    return {"ExpectedRevenue": cents(amount * probability / _HUNDRED)}


def fiscal_period(close_date: object) -> dict[str, object]:
    """Quarter and year of the close date; the org's year starts in January."""
    year, _, rest = str(close_date).partition("-")
    month = rest[:2]
    if not (year.isdigit() and month.isdigit()):
        return {}
    quarter = (int(month) + 2) // 3
    return {"FiscalYear": int(year), "FiscalQuarter": quarter, "Fiscal": f"{year} {quarter}"}


def of_line(row: Mapping[str, object]) -> dict[str, object]:
    """Subtotal, TotalPrice and UnitPrice of a line: TotalPrice = UnitPrice * Quantity * (1 - Discount/100), half-up.

    Where TotalPrice is given and UnitPrice is not, the unit price is worked back from it.
    """
    quantity, unit_price, total = (number_of(row.get(name)) for name in ("Quantity", "UnitPrice", "TotalPrice"))
    share = 1 - (number_of(row.get("Discount")) or Decimal()) / _HUNDRED
    if unit_price is None and total is not None and quantity and share:
        unit_price = cents(total / (quantity * share))
        return {"UnitPrice": unit_price, "Subtotal": cents(unit_price * quantity)}
    if unit_price is None or quantity is None:
        return {}
    return {"TotalPrice": cents(unit_price * quantity * share), "Subtotal": cents(unit_price * quantity)}


def amount_of(totals: Iterable[object]) -> Decimal:
    """What the lines of an opportunity add up to."""
    return sum((number_of(total) or Decimal() for total in totals), Decimal())


def cents(value: Decimal) -> Decimal:
    """Half-up to two decimals."""
    return value.quantize(_CENT, ROUND_HALF_UP)


def number_of(value: object) -> Decimal | None:
    """A stored number as an exact one; None for nothing and for what is no number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
