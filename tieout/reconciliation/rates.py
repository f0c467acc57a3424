"""The exchange rates of the contracts as a relation, for the amounts that are compared in one currency."""

from collections.abc import Iterator, Sequence

from tieout.compared_field import RATE_TYPE, ComparedField
from tieout.contract import Contracts
from tieout.sql import literal


def rate_statements(contracts: Contracts, fields: Sequence[ComparedField]) -> Iterator[str]:
    """Make `exchange_rate(from_currency, to_currency, from_date, to_date, rate)`, where one of the fields needs it."""
    if not any(field.exchange for field in fields):
        return
    rows = ", ".join(
        f"({', '.join(literal(value) for value in (rate.from_currency, rate.to_currency, rate.from_date, rate.to_date, rate.rate))})"
        for rate in contracts.rates
    )
    columns = f"from_currency VARCHAR, to_currency VARCHAR, from_date DATE, to_date DATE, rate {RATE_TYPE}"
    yield f"CREATE OR REPLACE TEMP TABLE exchange_rate ({columns})"
    if rows:
        yield f"INSERT INTO exchange_rate VALUES {rows}"
