"""The desk as an analyst uses it: a real browser, a real ledger and lake, and names that try to take the page over."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect

from resources.ledger import Ledger
from tests.browser.conftest import Watched
from tests.desk.books import (
    FORMULA,
    LONG,
    RIGHT_TO_LEFT,
    SCRIPT,
    Served,
    a_break,
    a_verdict,
    in_days,
    keep_breaks,
    keep_verdicts,
    served,
)
from tieout.contract import Contracts

Open = Callable[..., Watched]


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Served]:
    """Sixty breaks, four of them with hostile names; one month of orders."""
    hostile = (SCRIPT, FORMULA, RIGHT_TO_LEFT, LONG)
    keep_breaks(
        ledger,
        *(
            a_break(
                f"b{number:02d}",
                amount=Decimal(1000 - number),
                company="usmf" if number % 2 else "demf",
                cause="value_differs" if number % 3 else "entered_in_d365",
                label=hostile[number] if number < len(hostile) else f"Order {number}",
                salesforce_value=hostile[number] if number < len(hostile) else "100.00",
                salesforce_key=f"006{number:012d}AAA",
                d365_key=f"T-006{number:012d}AAA",
            )
            for number in range(60)
        ),
    )
    with served(tmp_path / "lake", ledger, contracts) as running:
        rows = [
            a_verdict(number, label=hostile[number] if number < len(hostile) else f"Order {number}")
            for number in range(6)
        ]
        keep_verdicts(running.desk.lake, *rows, a_verdict(9, d365_amount=Decimal("60"), verdict="differs"))
        running.desk.lake.replace(("reconciliation", "breaks"), pa.table({"identity": ["b00"]}))
        yield running


def clean(seen: Watched) -> None:
    assert seen.dialogs == []
    assert seen.errors == []


def rows(page: Page) -> list[str]:
    return page.locator("table.breaks tbody [name=identity]").evaluate_all("boxes => boxes.map(box => box.value)")


def test_the_overview_shows_figures_and_drawn_pictures(desk: Served, open_page: Open) -> None:
    seen = open_page(desk.address)

    expect(seen.page.get_by_role("heading", level=1)).to_have_text("60 differences wait for a person")
    widths = seen.page.locator("img.chart").evaluate_all(
        "images => images.map(image => image.complete && image.naturalWidth)"
    )
    assert len(widths) == 3
    assert all(width > 100 for width in widths)
    clean(seen)
    assert {re.match(r"https?://[^/]+", request).group() for request in seen.requests} == {desk.address}  # type: ignore[union-attr]


def test_the_list_is_filtered_while_it_is_typed_and_the_address_says_so(desk: Served, open_page: Open) -> None:
    seen = open_page(f"{desk.address}/breaks")
    page = seen.page

    page.get_by_label("Search").first.fill("Order 17")
    expect(page.locator("table.breaks tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"search=Order(\+|%20)17"))
    page.get_by_label("Search").first.fill("")
    page.locator("select[name=company]").select_option("demf")
    expect(page.locator(".listed strong")).to_have_text("30 breaks")
    page.reload()
    expect(page.locator(".listed strong")).to_have_text("30 breaks")
    clean(seen)


def test_lists_are_sorted_and_turned_page_by_page(desk: Served, open_page: Open) -> None:
    page = open_page(f"{desk.address}/breaks").page

    assert rows(page)[:2] == ["b00", "b01"]
    page.get_by_role("link", name="Amount").click()
    assert rows(page)[:2] == ["b59", "b58"]
    page.get_by_role("link", name="Next").click()
    assert len(rows(page)) == 10
    assert rows(page)[-1] == "b00"


def test_breaks_are_grouped_and_a_group_opens(desk: Served, open_page: Open) -> None:
    page = open_page(f"{desk.address}/breaks").page

    page.get_by_label("Group by").select_option("cause")
    page.locator("table.groups").get_by_role("link", name="Entered in D365").click()

    expect(page.locator(".listed strong")).to_have_text("20 breaks")


def test_hostile_names_are_shown_and_never_run(desk: Served, open_page: Open) -> None:
    seen = open_page(f"{desk.address}/breaks")
    page = seen.page

    expect(page.locator("table.breaks tbody tr").nth(0)).to_contain_text(SCRIPT)
    expect(page.locator("table.breaks tbody tr").nth(1)).to_contain_text(FORMULA)
    expect(page.locator("table.breaks tbody tr").nth(2)).to_contain_text("שלום עולם")
    # A name of 300 characters breaks its own cell, not the page.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for number in range(4):
        page.goto(f"{desk.address}/breaks/b{number:02d}")
        page.goto(f"{desk.address}/records/sales_order?salesforce=006{number:012d}AAA")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    clean(seen)


def test_an_analyst_assigns_comments_and_accepts(desk: Served, open_page: Open) -> None:
    seen = open_page(f"{desk.address}/breaks?sort=amount")
    page = seen.page

    page.get_by_label("Choose this break").nth(4).check()
    page.get_by_label("Choose this break").nth(5).check()
    page.get_by_label("Owner", exact=True).last.fill("Order desk")
    page.get_by_role("button", name="Assign").click()
    expect(page.get_by_role("status")).to_have_text("2 breaks assigned to Order desk.")
    page.get_by_role("link", name="Order 4", exact=True).click()
    page.get_by_label("Comment, or why").fill("Asked sales")
    page.get_by_role("button", name="Comment").click()
    page.get_by_label("Accept until").fill(str(in_days(20)))
    page.get_by_role("button", name="Accept", exact=True).click()

    expect(page.locator(".lead")).to_contain_text(f"accepted until {in_days(20)}")
    row = desk.desk.ledger.breaks.get("b04")
    assert (row.owner, row.comment, row.accepted_until) == ("Order desk", "Asked sales", in_days(20))
    expect(page.locator(".timeline li")).to_have_count(3)
    clean(seen)


def test_the_list_works_by_keyboard_alone(desk: Served, open_page: Open) -> None:
    page = open_page(f"{desk.address}/breaks").page

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.locator("[name=identity]:checked").evaluate_all("boxes => boxes.map(box => box.value)") == ["b01"]
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/breaks/b00$"))
    page.go_back()
    page.keyboard.press("/")
    page.keyboard.type("Order 20")
    expect(page.locator("table.breaks tbody tr")).to_have_count(1)


def test_enter_in_a_field_decides_nothing(desk: Served, open_page: Open) -> None:
    """The first button of a form would be pressed, whichever field somebody types in."""
    page = open_page(f"{desk.address}/breaks").page
    for key in ("j", "x", "c"):
        page.keyboard.press(key)
    page.keyboard.type("Asked sales")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)

    assert page.get_by_label("Comment").first.input_value() == "Asked sales"
    breaks = desk.desk.ledger.breaks.find()
    assert [made for row in breaks for made in desk.desk.ledger.decisions.of("break", row.identity)] == []


def test_the_exports_hold_what_the_list_shows(desk: Served, open_page: Open) -> None:
    page = open_page(f"{desk.address}/breaks?company=demf").page

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    with page.expect_download() as workbook:
        page.get_by_role("link", name="XLSX").click()

    assert len(list(csv.reader(io.StringIO(text)))) == 1 + 30
    assert workbook.value.suggested_filename.endswith(".xlsx")


def test_a_record_is_found_by_its_number(desk: Served, open_page: Open) -> None:
    seen = open_page(desk.address)
    page = seen.page

    page.get_by_label("Find a record").fill("T-006000000000009")
    page.keyboard.press("Enter")
    page.locator("tbody a").first.click()

    expect(page.locator(".lead")).to_contain_text("Differs")
    clean(seen)


def test_a_month_is_signed_and_reopened(desk: Served, open_page: Open) -> None:
    seen = open_page(f"{desk.address}/periods")
    page = seen.page

    page.locator("details.decide summary").click()
    page.get_by_label("Note").fill(SCRIPT)
    page.get_by_role("button", name="Sign off 2026-10 of usmf").click()
    expect(page.get_by_role("status")).to_have_text("2026-10 of usmf is signed off.")
    page.get_by_role("link", name="Signed").click()
    expect(page.locator(".lead")).to_contain_text(SCRIPT)
    page.goto(f"{desk.address}/periods")
    page.locator("details.decide summary").click()
    page.get_by_label("Why").fill("Credit note to come")
    page.get_by_role("button", name="Reopen 2026-10 of usmf").click()

    expect(page.locator("table.periods")).to_contain_text("Credit note to come")
    clean(seen)


def test_it_can_be_read_on_a_narrow_dark_screen(desk: Served, open_page: Open) -> None:
    for path in ("/", "/breaks", "/periods"):
        seen = open_page(f"{desk.address}{path}", width=420, color_scheme="dark")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 25, 26)"
        assert seen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
        clean(seen)
