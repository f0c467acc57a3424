"""Relative dates of SOQL (`TODAY`, `LAST_N_DAYS:30`, …) as whole days, in UTC, the running user's time zone here."""

import re
from datetime import date, timedelta

_FIXED = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
_PERIOD = re.compile(r"^(LAST|THIS|NEXT)_(?:FISCAL_)?(WEEK|MONTH|QUARTER|YEAR)$")
_COUNTED = re.compile(r"^(LAST|NEXT)_N_(?:FISCAL_)?(DAY|WEEK|MONTH|QUARTER|YEAR)S:(\d+)$")
_AGO = re.compile(r"^N_(?:FISCAL_)?(DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO:(\d+)$")
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_LONG = {"LAST_90_DAYS": "LAST_N_DAYS:90", "NEXT_90_DAYS": "NEXT_N_DAYS:90"}


def days_of(literal: str, today: date) -> tuple[date, date]:
    """First day, and the first day after, of a relative date; ValueError when there is no such literal.

    The fiscal forms equal the plain ones: the org's fiscal year starts in January.
    """
    literal = _LONG.get(literal, literal)
    if literal in _FIXED:
        first = today + timedelta(days=_FIXED[literal])
        return first, first + timedelta(days=1)
    if match := _PERIOD.match(literal):
        step = {"LAST": -1, "THIS": 0, "NEXT": 1}[match[1]]
        return _start(match[2], today, step), _start(match[2], today, step + 1)
    if match := _COUNTED.match(literal):
        return _counted(match[1], match[2], int(match[3]), today)
    if match := _AGO.match(literal):
        count = int(match[2])
        return _start(match[1], today, -count), _start(match[1], today, 1 - count)
    raise ValueError(literal)


def _counted(side: str, unit: str, count: int, today: date) -> tuple[date, date]:
    if side == "NEXT":
        return _start(unit, today, 1), _start(unit, today, count + 1)
    # LAST_N_DAYS runs up to now; the other LAST_N forms leave the present week, month, … out.
    return _start(unit, today, -count), _start(unit, today, 1 if unit == "DAY" else 0)


def _start(unit: str, today: date, step: int) -> date:
    """First day of the unit that lies `step` units away from the one of today."""
    if unit == "DAY":
        return today + timedelta(days=step)
    if unit == "WEEK":
        sunday = today - timedelta(days=(today.weekday() + 1) % 7)
        return sunday + timedelta(weeks=step)
    length = _MONTHS[unit]
    month = (today.year * 12 + today.month - 1) // length * length + step * length
    return date(month // 12, month % 12 + 1, 1)
