"""How a value is written on the desk's pages: the same figures, words and marks as in the report. Jinja escapes every text."""

from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

import tieout
from tieout.report import figures
from tieout.report.html import foreign_text
from tieout.report.visible import with_codes


@cache
def environment() -> Environment:
    """The templates, with everything that they need to write values."""
    made = Environment(
        loader=PackageLoader("desk"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(
        money=money,
        signed=lambda amount: figures.signed_money(Decimal(amount)),
        count=figures.count,
        instant=figures.instant,
        day=figures.day,
        words=words,
        foreign=foreign_text,
        plain=with_codes,
        ago=ago,
    )
    made.globals.update(query=query, number_of=figures.number_of, version=tieout.__version__)
    return made


def money(amount: Decimal | str | None) -> str:
    """An amount as the report writes it; a text is one that was kept exact in JSON."""
    return "" if amount is None else figures.money(Decimal(amount))


def words(name: str) -> str:
    """A name of the code in words; nothing for nothing."""
    return figures.words(name) if name else ""


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """`just now`, `12 min ago`, `3 h ago`, `5 days ago`."""
    if at is None:
        return "never"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 90:
        return "just now"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min ago"
    if seconds < 36 * 3600:
        return f"{seconds / 3600:.0f} h ago"
    return f"{seconds / 86400:.0f} days ago"


def has_control_characters(text: str) -> bool:
    """Whether it holds a character that nobody can type; line breaks and tabs are none of them."""
    return any((ord(character) < 32 and character not in "\t\r\n") or ord(character) == 127 for character in text)


def query(given: dict[str, Any], **changes: Any) -> str:
    """A query string of `given` with `changes`; what is empty falls away."""
    wanted = {**given, **changes}
    return urlencode({name: value for name, value in wanted.items() if value not in ("", None)})


def day_of(text: str) -> date | None:
    """The date in ISO form, None where it is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
