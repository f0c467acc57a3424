"""How the command line speaks: results on standard output, progress and complaints on standard error."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

# What is piped is read by programs or scrolled in a log, where a line that is broken at 80 characters helps nobody.
_PIPED_WIDTH = 200
console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
progress = Console(stderr=True, width=None if sys.stderr.isatty() else _PIPED_WIDTH)


def say(text: str) -> None:
    """One line of progress."""
    progress.print(f"[dim]·[/dim] {_escaped(text)}", highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on standard output; amounts as text, so that no reader makes a float of them."""
    json.dump(value, sys.stdout, default=_plain, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()
) -> None:
    """A title and a table for people; the columns named in `numbers` are set flush right."""
    console.print(_escaped(title), style="italic", soft_wrap=True, highlight=False)
    table = Table(header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        right = column in numbers
        # A key or an amount that is cut in the middle is worse than a wide table; the last column takes what is left.
        table.add_column(column, justify="right" if right else "left", no_wrap=right or position == 0, overflow="fold")
    for row in rows:
        table.add_row(*(_escaped("" if cell is None else str(cell)) for cell in row))
    console.print(table)


def print_places(places: Iterable[tuple[str, str]]) -> None:
    """Where things are: a name and an address or path a line, never broken, so that it can be copied."""
    for name, place in places:
        console.print(f"{name:<20}{_escaped(place)}", soft_wrap=True, highlight=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return format(value, "f")
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)
