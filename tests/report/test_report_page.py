from decimal import Decimal
from pathlib import Path

import pytest
from page_reader import Element, amount_in, company_rows_of, read_page, rows_of
from report_samples import a_break, a_busy_report, a_clean_report, a_delivery, an_empty_report

from tieout.report import Ambiguity, BridgePart, MonthTieOut, QuarantinedRow, Report, TieOut, write_html

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


@pytest.fixture
def page_of(tmp_path: Path):
    def page(report: Report, **options: int) -> Element:
        write_html(report, tmp_path / "report.html", **options)
        return read_page(tmp_path / "report.html")

    return page


def breaks_of(page: Element) -> list[list[str]]:
    return rows_of(page.with_id("breaks"))


def test_the_page_needs_nothing_but_itself(page_of):
    page = page_of(a_busy_report())

    assert not [each for each in page.everything() if each.tag in ("link", "img", "iframe", "object", "use")]
    assert not [each for each in page.everything() if each.attributes.get("src") or each.attributes.get("xlink:href")]
    outgoing = [
        each.attributes["href"] for each in page.all("a") if not (each.attributes["href"] or "").startswith("#")
    ]
    assert outgoing == []
    [style] = page.all("style")
    assert "url(" not in style.raw_text
    assert "@import" not in style.raw_text


def test_the_headline_comes_first_and_is_the_title(page_of):
    page = page_of(a_busy_report())

    [heading] = page.all("h1")
    assert heading.text == "8 differences wait for a person"
    assert page.all("title")[0].text.startswith(heading.text)
    main = page.all("main")[0]
    assert main.everything()[1] is heading


def test_a_report_that_ties_out_says_so(page_of):
    page = page_of(a_clean_report())

    assert page.all("h1")[0].text == "Ties out"
    assert "Order amounts agree to the cent in both currencies." in page.all("main")[0].text


def test_every_picture_speaks_or_is_silent_for_a_screen_reader(page_of):
    pictures = page_of(a_busy_report()).all("svg")

    assert pictures
    assert all(each.attributes.get("aria-hidden") == "true" or each.attributes.get("aria-label") for each in pictures)


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(page_of):
    page = page_of(a_busy_report())

    assert all(table.all("caption") for table in page.all("table"))
    assert all(cell.attributes.get("scope") in ("row", "col") for cell in page.all("th"))


def test_headings_of_the_contents_lead_somewhere(page_of):
    page = page_of(a_busy_report())

    links = [each.attributes["href"] for each in page.all("nav")[0].all("a")]
    assert all(page.with_id((link or "")[1:]) for link in links)


def test_amounts_have_separators_and_all_their_decimals(page_of):
    page = page_of(a_clean_report(tie_out=[TieOut("usmf", "USD", Decimal("60316444.5680"), Decimal("60248512.44"))]))

    [row] = company_rows_of(page)
    assert row == ["USD", "usmf", "60,316,444.568", "60,248,512.44", "67,932.128", "0.00", "67,932.128"]


def test_months_are_listed_beside_the_totals_and_money_without_a_date_is_named_so(page_of):
    page = page_of(
        a_clean_report(
            months=[
                MonthTieOut("usmf", "USD", "2026-02", Decimal("10.00"), Decimal("7.50"), Decimal("1.00")),
                MonthTieOut("usmf", "USD", "", Decimal("5.00"), Decimal("5.00")),
            ]
        )
    )

    rows = [row for row in rows_of(page.with_id("tie-out")) if len(row) == 8]
    assert rows == [
        ["USD", "usmf", "No date", "5.00", "5.00", "0.00", "0.00", "0.00"],
        ["USD", "usmf", "2026-02", "10.00", "7.50", "2.50", "1.00", "1.50"],
    ]


def test_companies_of_one_currency_are_totalled_and_currencies_are_not(page_of):
    page = page_of(a_busy_report())

    totals = [row for row in company_rows_of(page) if row[0].endswith("all companies")]
    assert [row[0] for row in totals] == ["USD, all companies", "EUR, all companies"]
    assert totals[0][1:] == ["60,316,444.568", "60,248,512.442", "67,932.126", "71,332.126", "−3,400.00"]


def test_the_steps_of_a_currency_add_up_to_its_difference(page_of):
    page = page_of(a_busy_report())

    for table in [each for each in page.with_id("tie-out").all("table") if each.attributes.get("class") == "bridge"]:
        rows = rows_of(Element("section", {}, [table]))
        amounts = [amount_in(row[1]) for row in rows]
        assert amounts[0] - amounts[1] == amounts[2]
        assert sum(amounts[3:], Decimal(0)) == amounts[2]


def test_a_bridge_shows_six_causes_and_adds_up_the_others(page_of):
    bridge = [BridgePart("usmf", "USD", f"cause_{number}", Decimal(number), 1) for number in range(1, 10)]

    page = page_of(
        an_empty_report(tie_out=[TieOut("usmf", "USD", Decimal(45), Decimal(0), Decimal(45))], bridge=bridge)
    )

    rows = rows_of(page.with_id("tie-out"))
    assert [row[0] for row in rows[3:10]] == [
        *(f"Cause {number} 1 record" for number in (9, 8, 7, 6, 5, 4)),
        "3 other causes 3 records",
    ]
    assert rows[9][1] == "+6.00"


def test_a_cause_that_explains_nothing_is_shown_as_unexplained(page_of):
    report = an_empty_report(
        tie_out=[TieOut("usmf", "USD", Decimal(10), Decimal(7))],
        bridge=[BridgePart("usmf", "USD", "entered_in_d365", Decimal("-2"), 1, is_explained=False)],
    )

    steps = [
        row for row in page_of(report).with_id("tie-out").all("tr") if "step" in (row.attributes.get("class") or "")
    ]

    assert [step.attributes["class"] for step in steps] == ["step unexplained", "step unexplained"]
    assert [step.text for step in steps] == ["Entered in D365 1 record−2.00", "Unexplained+5.00"]


def test_a_dry_run_says_that_nothing_was_written(page_of):
    page = page_of(a_clean_report(dry_run=True, deliveries=[a_delivery(outcome="planned")]))

    assert "Dry run: nothing was written to either system." in page.all("main")[0].text
    assert "Would be sent1" in page.all("dl")[0].text
    assert "nothing was sent" in page.with_id("deliveries").text


def test_markup_in_any_text_of_a_system_stays_text(page_of):
    report = an_empty_report(
        run_id=HOSTILE,
        breaks=[
            a_break(
                company=HOSTILE,
                label=HOSTILE,
                field=HOSTILE,
                salesforce_key=HOSTILE,
                d365_key=HOSTILE,
                line_key=HOSTILE,
                salesforce_stored=HOSTILE,
                salesforce_compared="other",
                d365_stored=HOSTILE,
                d365_compared=HOSTILE,
                owner=HOSTILE,
                cause=HOSTILE,
                proposed_fix=HOSTILE,
                assigned_to=HOSTILE,
                comment=HOSTILE,
                state=HOSTILE,
                currency=HOSTILE,
            )
        ],
        quarantine=[QuarantinedRow("salesforce", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)],
        ambiguities=[Ambiguity(HOSTILE, "d365", HOSTILE, (HOSTILE, HOSTILE), HOSTILE)],
        deliveries=[
            a_delivery(label=HOSTILE, message=HOSTILE, outcome=HOSTILE, business_key=HOSTILE, operation=HOSTILE)
        ],
        tie_out=[TieOut(HOSTILE, HOSTILE, Decimal(1), Decimal(2))],
    )

    page = page_of(report)

    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [name for each in page.everything() for name in each.attributes if name.startswith("on")]
    assert HOSTILE in page.with_id("breaks").raw_text


def test_a_foreign_text_keeps_its_direction_to_itself(page_of):
    page = page_of(an_empty_report(breaks=[a_break(label="متجر الدراجات في الخليج")]))

    isolated = [each.raw_text for each in page.with_id("breaks").all("bdi")]
    assert "متجر الدراجات في الخليج" in isolated


def test_emoji_and_joined_characters_are_not_cut_apart(page_of):
    page = page_of(
        an_empty_report(breaks=[a_break(salesforce_stored="Vélo 👩🏽‍🔧 Café", d365_stored="Vélo 👩🏻‍🔧 Café")])
    )

    marked = [each.raw_text for each in page.with_id("breaks").all("mark")]
    assert marked == ["Vélo 👩🏽‍🔧 Café", "Vélo 👩🏻‍🔧 Café"]


def test_only_what_differs_is_marked(page_of):
    page = page_of(an_empty_report(breaks=[a_break()]))

    assert [each.raw_text for each in page.with_id("breaks").all("mark")] == ["é", "‚"]


def test_trailing_blanks_and_control_characters_are_made_visible(page_of):
    page = page_of(
        an_empty_report(breaks=[a_break(salesforce_stored="Zur Linde  ", d365_stored="Zur Lind\u0081e\u202e")])
    )

    shown = page.with_id("breaks").everything()
    assert [each.raw_text for each in shown if each.attributes.get("class") == "blank"] == [" ", " "]
    assert [each.raw_text for each in shown if each.attributes.get("class") == "code"] == ["U+0081", "U+202E"]
    assert "\u202e" not in page.raw_text


def test_a_missing_value_a_missing_record_and_an_empty_text_differ(page_of):
    page = page_of(
        an_empty_report(
            breaks=[
                a_break(field="only_in_salesforce", d365_stored=None, d365_compared=None),
                a_break(field="phone", d365_stored=None, d365_compared=None),
            ]
        )
    )

    assert [row[3] for row in breaks_of(page)] == ["no record", "empty"]


def test_a_name_of_300_letters_can_be_broken_over_lines(page_of):
    page = page_of(an_empty_report(breaks=[a_break(label="W" * 300, cause="x" * 300)]))

    assert "W" * 300 in breaks_of(page)[0][0]
    assert "overflow-wrap: break-word" in page.all("style")[0].raw_text


def test_breaks_for_a_person_come_first_and_then_the_largest_amount(page_of):
    page = page_of(
        an_empty_report(
            breaks=[
                a_break(label="closed", state="closed", amount=Decimal(900), currency="USD"),
                a_break(label="settles", needs_person=False, amount=Decimal(800), currency="USD"),
                a_break(label="small", amount=Decimal("-3"), currency="USD"),
                a_break(label="no money"),
                a_break(label="large", amount=Decimal("-70"), currency="USD"),
            ]
        )
    )

    assert [row[0].split(" Customer")[0] for row in breaks_of(page)] == [
        "large",
        "small",
        "no money",
        "settles",
        "closed",
    ]


def test_refused_deliveries_come_first_with_the_words_of_d365(page_of):
    page = page_of(a_busy_report())

    rows = rows_of(page.with_id("deliveries"))
    assert [row[3] for row in rows[:3]] == ["Rejected", "Rejected", "In doubt"]
    assert "Customer AW00000412 is on hold for All" in rows[0][4]


def test_a_long_list_is_cut_with_a_sentence_that_says_where_the_rest_is(page_of):
    page = page_of(an_empty_report(breaks=[a_break(label=f"Cycles {number}") for number in range(5000)]))

    section = page.with_id("breaks")
    assert len(breaks_of(page)) == 500
    assert (
        "The first 500 of 5,000 are shown. All of them are in the workbook beside this page, report.xlsx, sheet “Breaks”."
        in section.text
    )
    assert page.all("h1")[0].text == "5,000 differences wait for a person"


def test_an_empty_report_claims_nothing(page_of):
    page = page_of(an_empty_report())

    assert page.all("h1")[0].text == "Nothing was compared"
    assert not page.all("table")
    assert "Nothing was sent in this run." in page.with_id("deliveries").text


def test_a_lone_surrogate_does_not_stop_the_page(page_of):
    page = page_of(an_empty_report(run_id="a\ud800b", breaks=[a_break(label="x\udfffy")]))

    assert "U+DFFF" in breaks_of(page)[0][0]


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "report.html"
    write_html(a_clean_report(), path)
    before = path.read_text()

    with pytest.raises(AttributeError):
        write_html(a_clean_report(breaks=["no break"]), path)

    assert path.read_text() == before
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
