"""How figures, instants and names are written, the same on the page and in messages.

Amounts are never rounded: at least two decimals, and as many more as the value has. The minus sign is U+2212, as wide as a digit.
"""

from datetime import UTC, datetime
from decimal import Decimal

MINUS = "\u2212"

_NAMES = {"d365": "D365", "salesforce": "Salesforce", "erp": "ERP"}
_WORDS = {"warn": "Warning"}


def money(amount: Decimal) -> str:
    """`1,234.50`; `2,024.994` where there is more than a cent; `−0.10` below zero."""
    exponent = amount.normalize().as_tuple().exponent
    decimals = max(2, -exponent if isinstance(exponent, int) else 2)
    text = f"{abs(amount):,.{decimals}f}"
    return f"{MINUS}{text}" if amount < 0 else text


def signed_money(amount: Decimal) -> str:
    """As `money`, with a plus sign above zero."""
    return f"+{money(amount)}" if amount > 0 else money(amount)


def count(number: int) -> str:
    """`12,345`."""
    return f"{number:,}".replace("-", MINUS)


def number_of(number: int, noun: str, plural: str | None = None) -> str:
    """`1 order`, `1,200 orders`."""
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def share(part: int, whole: int) -> str:
    """`97.4 %`. Only all of it is called 100 %, only none of it 0 %: 99.96 % is written as 99.9 %."""
    if whole == 0:
        return ""
    if part in (0, whole):
        return "0 %" if part == 0 else "100 %"
    per_mille = min(max(round(part * 1000 / whole), 1), 999)
    if part * 1000 < whole:
        return "< 0.1 %"
    return f"{per_mille // 10}.{per_mille % 10} %"


def instant(at: datetime) -> str:
    """`2026-10-05 14:03:22 UTC`."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(at: datetime) -> str:
    """`2026-10-05`, the day in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d")


def age_in_days(since: datetime, as_of: datetime) -> str:
    """`new`, `1 day`, `12 days` between two instants."""
    days = (as_of - since).days
    return "new" if days <= 0 else number_of(days, "day")


def seconds(duration_s: float) -> str:
    """`0.84 s`, `12.3 s`, `4 min 05 s`."""
    if duration_s < 1:
        return f"{duration_s:.2f} s"
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, rest = divmod(round(duration_s), 60)
    return f"{minutes} min {rest:02d} s"


def words(name: str) -> str:
    """A name of the code as a reader's word: `in_doubt` → `In doubt`, `sales_order` → `Sales order`, `line.amount` → `Line: amount`."""
    if name in _WORDS:
        return _WORDS[name]
    spaced = " ".join(_NAMES.get(word, word) for word in name.replace("_", " ").replace(".", ": ", 1).split())
    return spaced[:1].upper() + spaced[1:]
