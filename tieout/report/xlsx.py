"""A report as a workbook: the page's tables, whole, one sheet each.

Texts of the systems are written as text cells, never as formulas, links or numbers; the ones that begin like a formula carry Excel's own
"this is text" mark as well, so that editing the cell does not turn them into one. Rows are written as they are read, in constant memory.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import xlsxwriter

from tieout.report.figures import count, instant, seconds, words
from tieout.report.model import Report
from tieout.report.tables import Column, Kind, tables_of
from tieout.report.visible import with_codes
from tieout.report.whole_file import whole_file

EXCEL_ROWS = 1_048_576
EXCEL_TEXT_LENGTH = 32_767  # in UTF-16 units, as Excel counts
EXCEL_EXACT_DIGITS = 15
# The wide forms count where Excel is Japanese.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_CUT_MARK = " … (cut)"
_PLAIN_FILE = 0o600 << 16
_FIRST_EXCEL_YEAR = 1901  # Excel believes in a 29 February 1900, so the days before March 1900 are off by one

_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}
_NUMBER_FORMATS: dict[Kind, str] = {
    "money": "#,##0.00####",
    "count": "#,##0",
    "instant": "yyyy-mm-dd hh:mm:ss",
    "seconds": "#,##0.00",
}


def write_xlsx(report: Report, path: Path, *, rows_per_sheet: int = EXCEL_ROWS) -> None:
    """Write the workbook to `path`, whole or not at all. A table with more rows than a sheet holds goes on in a further sheet."""
    with whole_file(path) as unfinished:
        with xlsxwriter.Workbook(str(unfinished), _OPTIONS) as workbook:
            workbook.set_properties(
                {"title": f"Tie-out {report.run_id}", "author": "Tieout", "created": _excel_instant(report.as_of)}
            )
            formats = _Formats(workbook)
            _write_summary(workbook, formats, report)
            for table in tables_of(report).values():
                _write_table(workbook, formats, table.name, table.columns, table.rows, rows_per_sheet)
        _forget_the_machine(unfinished)


def write_list(name: str, columns: tuple[Column, ...], rows: Iterable[Any], path: Path, created: datetime) -> None:
    """Write one table as a workbook of its own to `path`, whole or not at all; its rows may be more than a sheet holds."""
    with whole_file(path) as unfinished, xlsxwriter.Workbook(str(unfinished), _OPTIONS) as workbook:
        workbook.set_properties({"title": name, "author": "Tieout", "created": _excel_instant(created)})
        _write_table(workbook, _Formats(workbook), name, columns, rows, EXCEL_ROWS)


def cell_text(text: str) -> str:
    """`text` as a cell can hold it: characters that XML forbids as `⟨U+0001⟩`, and cut with a mark where Excel's limit is passed."""
    visible = with_codes(text)
    units = visible.encode("utf-16-le", "surrogatepass")
    if len(units) <= EXCEL_TEXT_LENGTH * 2:
        return visible
    kept = units[: (EXCEL_TEXT_LENGTH - len(_CUT_MARK)) * 2].decode("utf-16-le", "ignore")
    return kept + _CUT_MARK


def _forget_the_machine(workbook: Path) -> None:
    """Take what depends on user and machine out of the archive: the same report is the same bytes. (Times are fixed by the writer.)"""
    with ZipFile(workbook, "a") as archive:
        for entry in archive.infolist():
            entry.external_attr = _PLAIN_FILE
        # Any comment makes the directory of the archive be written anew; its contents stay where they are.
        archive.comment = b""


class _Formats:
    """The workbook's cell formats, made once each."""

    def __init__(self, workbook: Any) -> None:
        base = {"font_name": "Calibri", "font_size": 10, "valign": "top"}
        self.title = workbook.add_format(base | {"bold": True, "font_size": 16})
        self.header = workbook.add_format(base | {"bold": True, "bottom": 1, "bg_color": "#EEF0EC", "text_wrap": True})
        self.header_right = workbook.add_format(
            base | {"bold": True, "bottom": 1, "bg_color": "#EEF0EC", "text_wrap": True, "align": "right"}
        )
        self.text = workbook.add_format(base)
        self.guarded = workbook.add_format(base | {"num_format": "@", "quote_prefix": True})
        self.figures = {
            kind: workbook.add_format(base | {"num_format": code}) for kind, code in _NUMBER_FORMATS.items()
        }


def _write_summary(workbook: Any, formats: _Formats, report: Report) -> None:
    sheet = workbook.add_worksheet("Summary")
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, report.headline.title, formats.title)
    for number, (label, text) in enumerate(_summary(report), start=2):
        sheet.write_string(number, 0, label, formats.text)
        _write_cell(sheet, number, 1, "text", text, formats)


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    headline = report.headline
    yield "Money", headline.money
    for note in headline.notes:
        yield "Note", note
    yield "As of", instant(report.as_of)
    yield "Run", report.run_id
    if report.duration_s is not None:
        yield "Duration", seconds(report.duration_s)
    for source in report.sources:
        yield words(source.system), source.address + (" (sandbox)" if source.sandbox else "")
    yield "Open breaks", count(headline.open_breaks)
    yield "Waiting for a person", count(headline.waiting_for_person)
    yield "Times", "All times are UTC. Difference is Salesforce minus D365."


def _write_table(
    workbook: Any,
    formats: _Formats,
    table: str,
    columns: tuple[Column, ...],
    all_rows: Iterable[Any],
    rows_per_sheet: int,
) -> None:
    rows = iter(all_rows)
    part = 0
    while True:
        first = next(rows, None)
        if first is None and part:
            return
        part += 1
        name = table if part == 1 else f"{table} ({part})"
        in_this_sheet = chain([first], islice(rows, rows_per_sheet - 2)) if first is not None else ()
        _write_sheet(workbook.add_worksheet(name), formats, columns, in_this_sheet)
        if first is None:
            return


def _write_sheet(sheet: Any, formats: _Formats, columns: tuple[Column, ...], rows: Iterable[Any]) -> None:
    for number, column in enumerate(columns):
        sheet.set_column(number, number, column.width)
    sheet.freeze_panes(1, 0)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)
    sheet.set_footer("&L&A&RPage &P of &N")
    for number, column in enumerate(columns):
        header = formats.header_right if column.kind in ("money", "count", "seconds") else formats.header
        sheet.write_string(0, number, f"{column.title} (UTC)" if column.kind == "instant" else column.title, header)
    last = 0
    for last, row in enumerate(rows, start=1):
        for number, column in enumerate(columns):
            _write_cell(sheet, last, number, column.kind, column.value(row), formats)
    sheet.autofilter(0, 0, last, len(columns) - 1)


def _write_cell(sheet: Any, row: int, column: int, kind: Kind, value: object, formats: _Formats) -> None:
    if value is None or value == "":
        return
    if isinstance(value, datetime) and value.astimezone(UTC).year >= _FIRST_EXCEL_YEAR:
        sheet.write_datetime(row, column, _excel_instant(value), formats.figures["instant"])
    elif isinstance(value, int | float) or (isinstance(value, Decimal) and _is_exact_in_excel(value)):
        sheet.write_number(row, column, value, formats.figures[kind])
    else:
        text = cell_text(instant(value) if isinstance(value, datetime) else str(value))
        sheet.write_string(row, column, text, formats.guarded if text.startswith(FORMULA_STARTS) else formats.text)


def _is_exact_in_excel(value: Decimal) -> bool:
    return len(value.normalize().as_tuple().digits) <= EXCEL_EXACT_DIGITS


def _excel_instant(at: datetime) -> datetime:
    """Excel knows no time zones; the headings say that the times are UTC."""
    return at.astimezone(UTC).replace(tzinfo=None)
