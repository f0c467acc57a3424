"""Exchange rates that stand beside the contracts: `exchange_rates.csv`, one period of one pair of currencies a line."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from tieout.compared_field import RATE_TYPE, does_not_fit

FILE_NAME = "exchange_rates.csv"
_COLUMNS = ["from_currency", "to_currency", "from_date", "to_date", "rate"]
_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One unit of `from_currency` is `rate` of `to_currency`, on all days from `from_date` to `to_date`."""

    from_currency: str
    to_currency: str
    from_date: date
    to_date: date
    rate: Decimal


def read_rates(folder: Path) -> tuple[tuple[ExchangeRate, ...], list[str]]:
    """The rates of `folder`, none without the file; and what is wrong with it, one sentence a mistake with file and line."""
    path = folder / FILE_NAME
    if not path.exists():
        return (), []
    name = f"{folder.name}/{FILE_NAME}"
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        if next(rows, []) != _COLUMNS:
            return (), [f"{name}:1: the first line names other columns. Write: {','.join(_COLUMNS)}"]
        rates: list[ExchangeRate] = []
        problems: list[str] = []
        for number, row in enumerate(rows, start=2):
            if not row:
                continue
            told = list(_mistakes(row))
            problems += [f"{name}:{number}: {text}" for text in told]
            if not told:
                first, second, begin, end, rate = row
                made = ExchangeRate(first, second, date.fromisoformat(begin), date.fromisoformat(end), Decimal(rate))
                again = next((each for each in rates if _meet(each, made)), None)
                if again is not None:
                    problems.append(
                        f"{name}:{number}: {first} to {second} has a rate for {max(begin, again.from_date.isoformat())} already. Let periods not overlap."
                    )
                rates.append(made)
    return tuple(rates), problems


def _mistakes(row: list[str]) -> Iterator[str]:
    if len(row) != len(_COLUMNS):
        yield f"{len(row)} values instead of {len(_COLUMNS)}. Write: {','.join(_COLUMNS)}"
        return
    first, second, begin, end, rate = row
    for currency in (first, second):
        if not _CURRENCY.fullmatch(currency):
            yield f"{currency!r} is no currency. Write three capital letters, such as EUR."
    try:
        if date.fromisoformat(begin) > date.fromisoformat(end):
            yield f"the period ends on {end}, before it begins. Exchange the two days."
    except ValueError:
        yield f"{begin!r} or {end!r} is no day. Write days as 2026-01-31."
    try:
        if not Decimal(rate) > 0 or not Decimal(rate).is_finite():
            yield f"the rate {rate} is not above 0. Correct it."
        elif too_long := does_not_fit(Decimal(rate), RATE_TYPE):
            yield f"the rate {too_long}. Correct it."
    except InvalidOperation:
        yield f"{rate!r} is no number. Write it with a point: 1.0825."


def _meet(one: ExchangeRate, other: ExchangeRate) -> bool:
    same = (one.from_currency, one.to_currency) == (other.from_currency, other.to_currency)
    return same and one.from_date <= other.to_date and other.from_date <= one.to_date
