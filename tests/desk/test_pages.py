"""The desk's pages over HTTP, on a real ledger and a real lake."""

import csv
import io
import re
from decimal import Decimal

import openpyxl
import pytest

from resources.alerting import look
from tests.alerts.samples import a_file, a_rule, a_run
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
)
from tests.desk.refused import refused_order
from tests.matching.parties import CONTOSO
from tests.matching.test_matches_in_ledger import KINDS, NOW, a_proposal
from tieout.alerting.facts import LastRun, RunFacts

HOSTILE = {"script": SCRIPT, "formula": FORMULA, "right to left": RIGHT_TO_LEFT, "long": LONG}


def test_an_empty_desk_says_what_to_do(desk: Served) -> None:
    for path in ("/", "/breaks", "/records", "/periods"):
        assert desk.get(path).status_code == 200, path
    assert "tieout run" in desk.get("/").text


def test_the_overview_has_the_tie_out_and_its_pictures(desk: Served) -> None:
    keep_verdicts(desk.desk.lake, a_verdict(1), a_verdict(2, d365_amount=Decimal("60.00"), verdict="differs"))
    keep_breaks(desk.desk.ledger, a_break())

    page = desk.get("/").text

    assert "1 difference waits for a person" in page
    assert "+40.00 USD in usmf" in page
    for name in ("bridge", "ages", "trend"):
        picture = desk.get(f"/charts/{name}.svg?company=usmf&currency=USD")
        assert picture.headers["content-type"].startswith("image/svg+xml"), name
        assert picture.text.startswith("<svg")


def test_the_overview_shows_the_alerts_that_are_on_until_they_are_over(desk: Served) -> None:
    def looked(run: LastRun) -> str:
        look(desk.desk.ledger, a_file({"nightly_failed": a_rule(severity="critical")}), [], RunFacts(None, [run]), NOW)
        return desk.get("/").text

    shown, over = looked(a_run("full_reconciliation")), looked(a_run("full_reconciliation", succeeded=True))

    assert "<h2>Alerts</h2>" in shown
    assert "Nightly failed" in shown
    assert "full_reconciliation" in shown
    assert "critical" in shown
    assert "<h2>Alerts</h2>" not in over


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_names_stay_text_on_every_page(desk: Served, kind: str) -> None:
    name = HOSTILE[kind]
    keep_breaks(desk.desk.ledger, a_break("b1", label=name, salesforce_value=name, reason=name, company=name[:40]))
    desk.desk.ledger.breaks.comment("b1", name, "ann")
    keep_verdicts(desk.desk.lake, a_verdict(1, label=name))

    for path in (
        "/",
        "/breaks",
        "/breaks/b1",
        "/breaks?group=company",
        "/records?q=order",
        f"/records/sales_order?salesforce={a_verdict(1)['salesforce_key']}",
    ):
        answer = desk.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "\u202e" not in re.sub(r'="[^"]*"', "", answer.text), path


def test_a_list_shows_one_page_of_a_hundred_thousand(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, *(a_break(f"b{number:06d}", amount=Decimal(number)) for number in range(5_000)))

    first, last = desk.get("/breaks").text, desk.get("/breaks?page=999999").text

    assert first.count('name="identity"') == last.count('name="identity"') == 50
    assert "5,000 breaks" in first
    assert "Page 100 of 100" in last


def test_htmx_gets_the_list_alone(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, a_break())

    part = desk.get("/breaks?search=contoso", headers={"HX-Request": "true", "HX-Target": "list"}).text

    assert part.lstrip().startswith('<div id="list">')
    assert "<html" not in part


def test_the_filter_of_the_address_is_the_filter_of_the_export(desk: Served) -> None:
    keep_breaks(
        desk.desk.ledger,
        a_break("b1", label=FORMULA, amount=Decimal("1234567.891")),
        a_break("b2", label="other", company="demf"),
    )

    text = desk.get("/breaks/list.csv?company=usmf").content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    book = openpyxl.load_workbook(io.BytesIO(desk.get("/breaks/list.xlsx?company=usmf").content))
    sheet = book["Breaks"]
    headings = [cell.value for cell in sheet[1]]
    record, amount = sheet.cell(2, headings.index("Record") + 1), sheet.cell(2, headings.index("Amount") + 1)

    assert [row["Identity"] for row in rows] == ["b1"]
    assert rows[0]["Record"] == f"'{FORMULA}"
    assert rows[0]["Amount"] == "1234567.891000"
    assert sheet.max_row == 2
    assert (record.data_type, record.value, record.quotePrefix) == ("s", FORMULA, True)
    assert Decimal(str(amount.value)) == Decimal("1234567.891")


def test_a_decision_is_in_the_ledger_with_who_made_it(desk: Served) -> None:
    import getpass

    keep_breaks(desk.desk.ledger, a_break("b1"), a_break("b2"))
    answers = [
        desk.post("/breaks/act", {"identity": ["b1", "b2"], "action": "assign", "owner": "Order desk"}),
        desk.post("/breaks/act", {"identity": "b1", "action": "comment", "comment": "asked sales"}),
        desk.post(
            "/breaks/act", {"identity": "b1", "action": "accept", "until": str(in_days(10)), "comment": "agreed"}
        ),
    ]

    assert [answer.status_code for answer in answers] == [303, 303, 303]
    row = desk.desk.ledger.breaks.get("b1")
    assert (row.owner, row.comment, row.accepted_until) == ("Order desk", "asked sales", in_days(10))
    assert desk.desk.ledger.breaks.get("b2").owner == "Order desk"
    made = desk.desk.ledger.decisions.of("break", "b1")
    assert [each.action for each in made] == ["assign", "comment", "accept"]
    assert {each.who for each in made} == {getpass.getuser()}


def test_one_decision_can_be_about_all_that_fit_the_filter_and_no_others(desk: Served) -> None:
    keep_breaks(
        desk.desk.ledger, *(a_break(f"b{number}", company="usmf" if number % 2 else "demf") for number in range(130))
    )

    desk.post("/breaks/act", {"scope": "all", "filter": "company=demf", "action": "assign", "owner": "ann"})

    owners = {row.owner for row in desk.desk.ledger.breaks.find()}
    assert owners == {"ann", ""}
    assert {row.company for row in desk.desk.ledger.breaks.find(owner="ann")} == {"demf"}
    assert len(desk.desk.ledger.breaks.find(owner="ann")) == 65


def test_a_refused_delivery_is_sent_again_from_its_break(desk: Served) -> None:
    ledger = desk.desk.ledger
    order = refused_order(ledger)
    keep_breaks(ledger, a_break("b1", salesforce_key=order.business_key, cause="delivery_rejected"))

    answer = desk.post("/breaks/act", {"identity": "b1", "action": "resend", "comment": "customer is released"})

    assert answer.status_code == 303
    assert ledger.deliveries.counts("sales_order")["planned"] == 1
    again = desk.post("/breaks/act", {"identity": "b1", "action": "resend"})
    assert again.status_code == 422
    assert "nothing to send again" in again.text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"action": "assign", "owner": "ann"}, "No break is chosen"),
        ({"identity": "b1", "action": "explode"}, "There is no action"),
        ({"identity": "b1", "action": "assign", "owner": " "}, "No owner is named"),
        ({"identity": "b1", "action": "accept", "until": "soon"}, "Accept it until a day"),
        ({"identity": "b1", "action": "accept", "until": "2001-01-01"}, "Accept it until a day"),
        ({"identity": "b1", "action": "comment", "comment": ""}, "comment is empty"),
        ({"identity": "nobody knows it", "action": "assign", "owner": "ann"}, "There is no break"),
    ],
)
def test_a_form_that_cannot_be_obeyed_says_why_and_changes_nothing(
    desk: Served, form: dict[str, str], told: str
) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1"))

    answer = desk.post("/breaks/act", form)

    assert answer.status_code == 422
    assert told in answer.text
    assert desk.desk.ledger.decisions.of("break", "b1") == []


def test_a_record_has_both_sides_and_ways_into_both_systems(desk: Served) -> None:
    keep_verdicts(desk.desk.lake, a_verdict(1))
    key = a_verdict(1)["salesforce_key"]

    page = desk.get(f"/records/sales_order?company=usmf&d365=T-{key}").text

    assert f"https://example.my.salesforce.com/lightning/r/Opportunity/{key}/view" in page
    assert "https://example.operations.dynamics.com/?cmp=usmf&amp;mi=SalesTableListPage" in page


def test_an_owner_is_taken_away_only_when_somebody_says_so(desk: Served) -> None:
    keep_breaks(desk.desk.ledger, a_break("b1"))
    desk.post("/breaks/act", {"identity": "b1", "action": "assign", "owner": "ann"})

    assert desk.post("/breaks/act", {"identity": "b1", "action": "assign", "owner": ""}).status_code == 422
    assert desk.desk.ledger.breaks.get("b1").owner == "ann"
    assert desk.post("/breaks/act", {"identity": "b1", "action": "give_back"}).status_code == 303
    assert desk.desk.ledger.breaks.get("b1").owner == ""


@pytest.mark.parametrize("character", ["%00", "%01", "%1b", "%7f"])
def test_characters_that_nobody_can_type_are_refused_and_the_desk_goes_on(desk: Served, character: str) -> None:
    keep_verdicts(desk.desk.lake, a_verdict(1))
    keep_breaks(desk.desk.ledger, a_break("b1"))

    for path in (
        f"/charts/bridge.svg?currency={character}",
        f"/breaks?search={character}",
        f"/breaks/{character}",
        f"/breaks/list.xlsx?search=a{character}",
        f"/matches?search={character}",
    ):
        answer = desk.get(path)
        assert (answer.status_code, "control characters" in answer.text) == (400, True), path
        assert "content-security-policy" in answer.headers
    forms = (
        {"identity": "b\x00", "action": "give_back"},
        {"scope": "all", "filter": f"company=a{character}", "action": "give_back"},
    )
    assert [desk.post("/breaks/act", form).status_code for form in forms] == [400, 400]
    assert desk.get("/healthz").text == "ok"


def test_a_chart_of_what_is_not_in_the_tie_out_is_no_chart(desk: Served) -> None:
    keep_verdicts(desk.desk.lake, a_verdict(1))

    assert desk.get("/charts/bridge.svg?company=usmf&currency=USD").status_code == 200
    assert desk.get("/charts/bridge.svg?company=usmf&currency=XXX").status_code == 404


def test_several_proposals_are_decided_together_or_not_at_all(desk: Served) -> None:
    matches = desk.desk.ledger.matches
    matches.record([a_proposal(), a_proposal(left_key="001B")], KINDS, "run 1", NOW)
    rows, _ = matches.page()
    pairs = ["\n".join((row.kind, row.left_key, row.right_key)) for row in rows]

    answer = desk.post("/matches/decide", {"action": "refuse", "pair": [pairs[0], "link\nx\ny"]})

    assert answer.status_code == 422
    assert matches.counts()["refused"] == 0
    assert desk.post("/matches/decide", {"action": "refuse", "pair": pairs}).status_code == 303
    assert matches.counts()["refused"] == 2


def test_a_record_of_a_group_shows_what_it_is_judged_together_with(desk: Served) -> None:
    key = a_verdict(1)["salesforce_key"]
    together = {"group_key": key, "label": "Split", "reason": "delivered as 2 orders"}
    keep_verdicts(
        desk.desk.lake,
        a_verdict(1, d365_key="SO-60", d365_amount=Decimal("60.00"), **together),
        a_verdict(1, d365_key="SO-40", d365_amount=Decimal("40.00"), salesforce_amount=None, **together),
        a_verdict(2),
    )

    page = desk.get(f"/records/sales_order?salesforce={key}").text

    judged_together = page.partition("Judged together")[2].partition("</section>")[0]
    assert [text in judged_together for text in ("SO-60", "SO-40", "100.00", "60.00", "40.00")] == [True] * 5
    assert a_verdict(2)["salesforce_key"] not in judged_together
    assert "Judged together" not in desk.get(f"/records/sales_order?salesforce={a_verdict(2)['salesforce_key']}").text


@pytest.mark.parametrize(
    "path",
    [
        "/records/planet?salesforce=1",
        "/records/sales_order",
        "/records/sales_order?salesforce=nobody",
        "/nowhere",
        "/charts/pie.svg",
        "/breaks?state=odd",
        "/breaks/list.pdf",
    ],
)
def test_what_there_is_not_is_not_found(desk: Served, path: str) -> None:
    assert desk.get(path).status_code == 404


def test_a_month_is_signed_and_reopened_from_the_page(desk: Served) -> None:
    keep_verdicts(desk.desk.lake, a_verdict(1), a_verdict(2))
    version = str(desk.desk.lake.version(("reconciliation", "sales_order_verdict")))
    month = {"company": "usmf", "month": "2026-10"}

    assert desk.post("/periods/sign", month | {"version": version, "note": "checked"}).status_code == 303
    signed = desk.get("/periods/usmf/2026-10").text
    assert "checked" in signed
    assert desk.post("/periods/reopen", month | {"note": ""}).status_code == 422
    assert desk.post("/periods/reopen", month | {"note": "credit note"}).status_code == 303
    assert "credit note" in desk.get("/periods").text


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_proposal_is_shown_with_what_speaks_for_it_and_decided(desk: Served, kind: str) -> None:
    matches = desk.desk.ledger.matches
    found = [a_proposal(left={**CONTOSO, "name": HOSTILE[kind]}), a_proposal(left_key="001B")]
    matches.record(found, KINDS, "run 1", NOW)

    page = desk.get("/matches")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "the same name" in page.text
    assert "+9.7" in page.text
    accept = desk.post("/matches/decide", {"pair": "link\n001A\nusmf|c-1", "action": "accept", "note": "asked"})
    refuse = desk.post("/matches/decide", {"pair": "link\r\n001B\r\nusmf|c-1", "action": "refuse"})

    assert (accept.status_code, refuse.status_code) == (303, 303)
    assert matches.counts() == {"proposed": 0, "accepted": 1, "refused": 1, "withdrawn": 0}
    assert [link.d365_key for link in desk.desk.ledger.crosswalk.links("customer")] == ["C-1"]
    assert desk.post("/matches/decide", {"action": "accept"}).status_code == 422
