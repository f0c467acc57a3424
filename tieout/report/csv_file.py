"""A table as CSV, for programs and for people who open it in a spreadsheet.

UTF-8 with a byte order mark (Excel reads it as text of another code otherwise), RFC 4180 quotes and line ends. A text that a spreadsheet would
take for a formula gets an apostrophe in front: what is written is then shown and never run.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

from tieout.report.tables import Column
from tieout.report.visible import with_codes
from tieout.report.xlsx import FORMULA_STARTS

_ROWS_AT_ONCE = 500


def csv_lines(columns: tuple[Column, ...], rows: Iterable[object]) -> Iterator[bytes]:
    """The file in pieces; never all rows at once."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow([csv_cell(column.title) for column in columns])
    for number, row in enumerate(rows, start=1):
        writer.writerow([csv_cell(column.value(row)) for column in columns])
        if number % _ROWS_AT_ONCE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def csv_cell(value: object) -> str:
    """One cell: exact decimals, instants in UTC, texts that cannot act."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool | int):
        return str(value).lower()
    text = with_codes(str(value))
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _taken(buffer: io.StringIO) -> bytes:
    # A lone surrogate has no UTF-8 form; `with_codes` has named those that it saw.
    piece = buffer.getvalue().encode("utf-8", "backslashreplace")
    buffer.seek(0)
    buffer.truncate()
    return piece
