"""The report as a browser shows it: opened from a folder, with names that try to be more than text."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.browser.conftest import Watched
from tests.report.report_samples import a_break, a_busy_report, a_delivery
from tieout.report import Report, write_html

SCRIPT = '<script>alert("taken over")</script>'
IMAGE = '"><img src=x onerror=alert(1)>'
FORMULA = "=cmd|'/C calc'!A0"
RIGHT_TO_LEFT = "شركة الدراجات \u202egnp.eciovni"
LONG = "Vereinigte Fahrradwerke" + "-und-Zubehörhandelsgesellschaft" * 9
HOSTILE = (SCRIPT, IMAGE, FORMULA, RIGHT_TO_LEFT, LONG)
AMOUNTS = (Decimal("9.50"), Decimal("1200.00"), Decimal("-3.00"), None, Decimal("88.10"))

Open = Callable[..., Watched]


def a_hostile_report() -> Report:
    breaks = [
        a_break(
            label=name, salesforce_stored=name, d365_stored=name[::-1], amount=amount, currency="EUR", identity=name
        )
        for name, amount in zip(HOSTILE, AMOUNTS, strict=True)
    ]
    quiet = [a_break(label=f"Quiet customer {number}", identity=str(number)) for number in range(10)]
    deliveries = [a_delivery(label=name, message=name, outcome="rejected") for name in HOSTILE]
    return a_busy_report(breaks=[*breaks, *quiet], deliveries=deliveries)


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    path = tmp_path / "report with blanks & ünicode.html"
    write_html(a_hostile_report(), path)
    return path


@pytest.fixture
def report(open_page: Open, report_file: Path) -> Watched:
    return open_page(report_file.as_uri())


def shown_records(report: Watched) -> list[str]:
    return report.page.locator("#breaks tbody tr:visible td:first-child strong").all_inner_texts()


def test_the_page_opens_from_a_folder_and_asks_for_nothing_else(report: Watched, report_file: Path) -> None:
    assert report.page.locator("h1").inner_text() == "15 differences wait for a person"
    assert report.requests == [report_file.as_uri()]
    assert report.errors == []


def test_hostile_names_are_shown_as_text_and_run_nothing(report: Watched) -> None:
    text = report.page.locator("#breaks").inner_text() + report.page.locator("#deliveries").inner_text()

    for name in (SCRIPT, IMAGE, FORMULA, LONG):
        assert text.count(name) >= 2
    assert "شركة الدراجات" in text
    assert (report.dialogs, report.errors) == ([], [])
    assert report.page.locator("#breaks script, #breaks img, #deliveries script, #deliveries img").count() == 0


def test_a_name_cannot_turn_the_direction_of_what_follows_it(report: Watched) -> None:
    name = report.page.locator("#breaks strong", has_text="شركة")

    assert "U+202E" in name.inner_text()
    assert "\u202e" not in report.page.content()
    assert name.locator("bdi").count() == 1


@pytest.mark.parametrize("width", [1400, 420], ids=["desk", "phone"])
def test_the_longest_name_does_not_push_the_page_apart(open_page: Open, report_file: Path, width: int) -> None:
    page = open_page(report_file.as_uri(), width=width).page

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_breaks_are_sorted_by_amount_and_the_empty_ones_stay_last(report: Watched) -> None:
    amount = report.page.locator("#breaks thead").get_by_role("button", name="Amount")

    amount.click()
    upwards = shown_records(report)
    amount.click()
    downwards = shown_records(report)

    assert upwards[:4] == [FORMULA, SCRIPT, LONG, IMAGE]
    assert downwards[:4] == [IMAGE, LONG, SCRIPT, FORMULA]
    assert set(upwards[4:]) == set(downwards[4:])
    assert report.page.locator("#breaks thead th[aria-sort]").inner_text().startswith("Amount")


def test_the_filter_leaves_the_rows_that_say_it_and_tells_how_many(report: Watched) -> None:
    field = report.page.locator("#breaks").get_by_label("Filter")

    field.fill("quiet customer")
    found = shown_records(report)
    told = report.page.locator("#breaks output").inner_text()
    field.fill("<SCRIPT>")
    hostile = shown_records(report)
    field.fill("")

    assert (len(found), told) == (10, "10 of 15 rows shown here")
    assert hostile == [SCRIPT]
    assert len(shown_records(report)) == 15


def test_the_page_is_dark_where_the_reader_wants_it_dark(open_page: Open, report_file: Path) -> None:
    def brightness(scheme: str) -> int:
        page = open_page(report_file.as_uri(), color_scheme=scheme).page
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in paper.removeprefix("rgb(").removesuffix(")").split(","))

    assert brightness("dark") < 150 < 600 < brightness("light")
