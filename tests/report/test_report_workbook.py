import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zipfile import ZipFile

import openpyxl
import pytest
from page_reader import amount_in, company_rows_of, read_page
from report_samples import AS_OF, a_break, a_busy_report, a_clean_report, a_delivery, an_empty_report

from tieout.report import Report, TieOut, write_html, write_xlsx
from tieout.report.tables import tables_of

FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", '=HYPERLINK("http://x","y")', "{=1+1}", "\t=1", "＝1+1")


@pytest.fixture
def workbook_of(tmp_path: Path):
    def workbook(report: Report, **options: int) -> openpyxl.Workbook:
        write_xlsx(report, tmp_path / "report.xlsx", **options)
        return openpyxl.load_workbook(tmp_path / "report.xlsx")

    return workbook


def column(sheet, title: str) -> list[object]:
    [at] = [cell.column for cell in sheet[1] if cell.value == title]
    return [sheet.cell(row, at).value for row in range(2, sheet.max_row + 1)]


def test_each_table_has_a_sheet_with_a_frozen_heading_and_a_filter(workbook_of):
    report = a_busy_report()

    workbook = workbook_of(report)

    assert workbook.sheetnames == ["Summary", *tables_of(report)]
    for name, table in tables_of(report).items():
        sheet = workbook[name]
        assert sheet.freeze_panes == "A2", name
        assert sheet.auto_filter.ref, name
        assert sheet.max_row == len(table.rows) + 1, name


def test_the_first_sheet_begins_with_the_headline(workbook_of):
    summary = workbook_of(a_busy_report())["Summary"]

    assert summary["A1"].value == "8 differences wait for a person"


def test_figures_are_the_same_in_page_and_workbook(tmp_path: Path, workbook_of):
    report = a_busy_report()
    workbook = workbook_of(report)
    write_html(report, tmp_path / "report.html")

    page = read_page(tmp_path / "report.html")
    on_page = {
        (row[0], row[1]): [amount_in(figure) for figure in row[2:]] for row in company_rows_of(page) if len(row) == 7
    }
    in_workbook = {
        (row[0], row[1]): [Decimal(str(figure)) for figure in row[2:]]
        for row in workbook["Tie-out"].iter_rows(min_row=2, values_only=True)
    }
    assert on_page == in_workbook
    assert {(row.currency, row.company): row.unexplained for row in report.tie_out} == {
        key: row[4] for key, row in on_page.items()
    }


def test_amounts_are_numbers_and_exact_to_the_last_decimal(workbook_of):
    sheet = workbook_of(a_clean_report(tie_out=[TieOut("usmf", "USD", Decimal("60316444.5680"), Decimal("-0.01"))]))[
        "Tie-out"
    ]

    assert column(sheet, "Salesforce") == [60316444.568]
    assert column(sheet, "D365") == [-0.01]
    assert sheet["C2"].number_format == "#,##0.00####"


def test_an_amount_with_more_digits_than_excel_keeps_is_written_as_text(workbook_of):
    sheet = workbook_of(a_clean_report(tie_out=[TieOut("usmf", "USD", Decimal("1234567890123456.78"), Decimal(0))]))[
        "Tie-out"
    ]

    assert column(sheet, "Salesforce") == ["1234567890123456.78"]


def test_instants_are_dates_of_excel_in_utc(workbook_of):
    first_seen = datetime.fromisoformat("2026-10-01T23:30:00-02:00")

    sheet = workbook_of(an_empty_report(breaks=[a_break(first_seen=first_seen)]))["Breaks"]

    assert column(sheet, "First seen (UTC)") == [datetime(2026, 10, 2, 1, 30)]


def test_an_instant_before_the_days_of_excel_is_text(workbook_of):
    sheet = workbook_of(an_empty_report(breaks=[a_break(first_seen=datetime(1900, 1, 1, tzinfo=UTC))]))["Breaks"]

    assert column(sheet, "First seen (UTC)") == ["1900-01-01 00:00:00 UTC"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_text_becomes_a_formula(tmp_path: Path, formula: str):
    path = tmp_path / "report.xlsx"
    write_xlsx(
        an_empty_report(run_id=formula, breaks=[a_break(label=formula, salesforce_stored=formula, comment=formula)]),
        path,
    )

    workbook = openpyxl.load_workbook(path)
    cells = [cell for sheet in workbook for row in sheet.iter_rows() for cell in row]
    assert [cell.value for cell in cells].count(formula) == 4
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    with ZipFile(path) as parts:
        sheets = [parts.read(name) for name in parts.namelist() if name.startswith("xl/worksheets/sheet")]
    assert not [sheet for sheet in sheets if b"<f>" in sheet or b"<hyperlink" in sheet]


@pytest.mark.parametrize("formula", FORMULAS[:4])
def test_editing_a_text_that_looks_like_a_formula_leaves_it_a_text(workbook_of, formula: str):
    sheet = workbook_of(an_empty_report(breaks=[a_break(label=formula)]))["Breaks"]

    assert sheet["C2"].value == formula
    assert sheet["C2"].quotePrefix


def test_characters_that_xml_forbids_are_shown_by_their_code(workbook_of):
    label = "a\x00b\x0bc\x81d\ufffee\ud800f"

    sheet = workbook_of(an_empty_report(breaks=[a_break(label=label)]))["Breaks"]

    assert column(sheet, "Record") == ["a⟨U+0000⟩b⟨U+000B⟩c⟨U+0081⟩d⟨U+FFFE⟩e⟨U+D800⟩f"]


def test_emoji_right_to_left_letters_and_escape_look_alikes_arrive_as_they_are(workbook_of):
    labels = ["Vélo 👩🏽‍🔧", "متجر الدراجات", "_x0041_ & <b>"]

    sheet = workbook_of(an_empty_report(breaks=[a_break(label=label) for label in labels]))["Breaks"]

    assert [str(each).replace("_x005F_", "_") for each in column(sheet, "Record")] == labels


@pytest.mark.parametrize("letter", ["x", "🚲"])
def test_a_text_longer_than_a_cell_is_cut_with_a_mark(workbook_of, letter: str):
    [text] = column(workbook_of(an_empty_report(breaks=[a_break(comment=letter * 40_000)]))["Breaks"], "Comment")

    assert isinstance(text, str)
    assert text.endswith("… (cut)")
    assert 32_760 < len(text.encode("utf-16-le")) // 2 <= 32_767


def test_a_table_with_more_rows_than_a_sheet_goes_on_in_a_further_one(workbook_of):
    breaks = [a_break(label=f"{number}", first_seen=AS_OF + timedelta(seconds=number)) for number in range(25)]

    workbook = workbook_of(an_empty_report(breaks=breaks), rows_per_sheet=11)

    names = [name for name in workbook.sheetnames if name.startswith("Breaks")]
    assert names == ["Breaks", "Breaks (2)", "Breaks (3)"]
    assert [workbook[name].max_row for name in names] == [11, 11, 6]
    assert [label for name in names for label in column(workbook[name], "Record")] == [
        str(number) for number in range(25)
    ]


def test_all_of_5000_breaks_are_in_the_workbook(workbook_of):
    breaks = [a_break(label=f"Cycles {number}", amount=Decimal(number) / 100, currency="USD") for number in range(5000)]

    sheet = workbook_of(an_empty_report(breaks=breaks))["Breaks"]

    assert sheet.max_row == 5001
    assert sum(Decimal(str(each)) for each in column(sheet, "Amount")) == Decimal("124975.00")


def test_an_empty_report_is_a_workbook_of_headings(workbook_of):
    workbook = workbook_of(an_empty_report())

    assert workbook["Summary"]["A1"].value == "Nothing was compared"
    assert workbook["Breaks"].max_row == 1


def test_refused_deliveries_are_in_the_workbook_with_the_words_of_d365(workbook_of):
    sheet = workbook_of(
        an_empty_report(deliveries=[a_delivery(), a_delivery(outcome="rejected", message="Customer is on hold.")])
    )["Deliveries"]

    assert column(sheet, "Outcome") == ["Rejected", "Confirmed"]
    assert column(sheet, "Words of D365") == ["Customer is on hold.", None]


def test_the_same_report_is_the_same_bytes_whoever_writes_it_and_when(tmp_path: Path):
    report = a_busy_report()
    write_xlsx(report, tmp_path / "one.xlsx")
    before = os.umask(0o077)
    try:
        time.sleep(2.1)  # the clock of a zip archive has steps of two seconds
        write_xlsx(report, tmp_path / "other.xlsx")
    finally:
        os.umask(before)

    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "other.xlsx").read_bytes()
