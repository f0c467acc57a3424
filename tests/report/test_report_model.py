import json
from dataclasses import FrozenInstanceError
from datetime import datetime
from decimal import Decimal

import pytest
from report_samples import AS_OF, a_break, a_busy_report, a_clean_report, an_empty_report

from tieout.report import Report, Source, TableRead, TieOut, VerdictCount
from tieout.report.figures import age_in_days, money, seconds, share, signed_money, words

THREE_CURRENCIES = (
    TieOut("usmf", "USD", Decimal("10.00"), Decimal("10.00")),
    TieOut("demf", "EUR", Decimal("10.00"), Decimal("7.00"), explained=Decimal("3.00")),
    TieOut("gbsi", "GBP", Decimal("5.00"), Decimal("5.00")),
)


def test_difference_and_unexplained_follow_from_the_totals():
    row = TieOut("usmf", "USD", Decimal("100.10"), Decimal("99.00"), explained=Decimal("1.00"))

    assert (row.difference, row.unexplained) == (Decimal("1.10"), Decimal("0.10"))


def test_companies_of_one_currency_add_up_exactly():
    rows = [TieOut(f"c{number}", "EUR", Decimal("0.10"), Decimal("0.00")) for number in range(1000)]

    [total] = an_empty_report(tie_out=rows).currency_totals()

    assert (total.companies, total.salesforce, total.unexplained) == (1000, Decimal("100.00"), Decimal("100.00"))


@pytest.mark.parametrize("amount", [1.5, 1, "1.50", Decimal("NaN"), Decimal("Infinity")])
def test_an_amount_that_is_not_a_finite_decimal_is_refused(amount: object):
    with pytest.raises(TypeError, match=r"TieOut\.salesforce is .* money is never float"):
        TieOut("usmf", "USD", amount, Decimal(0))


def test_an_instant_without_a_time_zone_is_refused():
    with pytest.raises(ValueError, match=r"Report\.as_of is .* Give an instant in UTC"):
        Report(run_id="r", as_of=datetime(2026, 10, 5))


def test_a_verdict_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'same' is no verdict"):
        VerdictCount("customer", "same", 1)


def test_a_report_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        a_clean_report().run_id = "other"


def test_it_ties_out_when_nothing_is_open_and_no_cent_is_unexplained():
    headline = a_clean_report(tie_out=THREE_CURRENCIES).headline

    assert headline.ties_out
    assert headline.title == "Ties out"
    assert (
        headline.money
        == "Order amounts agree to the cent in 2 of 3 currencies; every remaining difference is explained to the cent."
    )
    assert headline.difference == {"EUR": Decimal("3.00"), "GBP": Decimal("0.00"), "USD": Decimal("0.00")}


def test_a_cent_without_explanation_keeps_it_from_tying_out():
    headline = a_clean_report(tie_out=[TieOut("usmf", "USD", Decimal("1.01"), Decimal("1.00"))]).headline

    assert not headline.ties_out
    assert headline.title == "USD 0.01 is unexplained"


def test_an_explanation_larger_than_the_difference_is_not_a_tie_out():
    headline = a_clean_report(
        tie_out=[TieOut("usmf", "USD", Decimal("1.00"), Decimal("1.00"), explained=Decimal("5.00"))]
    ).headline

    assert headline.title == "USD −5.00 is unexplained"


def test_one_open_break_keeps_it_from_tying_out():
    headline = a_clean_report(breaks=[a_break()]).headline

    assert not headline.ties_out
    assert headline.title == "1 difference waits for a person"


def test_breaks_that_the_next_run_settles_do_not_call_a_person():
    headline = a_clean_report(breaks=[a_break(needs_person=False), a_break(needs_person=False)]).headline

    assert headline.title == "2 differences settle in the next run"
    assert not headline.ties_out


def test_a_closed_break_is_settled():
    assert a_clean_report(breaks=[a_break(state="closed")]).ties_out


def test_a_table_that_was_not_read_completely_proves_nothing():
    source = Source("d365", "https://erp.example", [TableRead("sales_order", 10, AS_OF, AS_OF, complete=False)])

    headline = a_clean_report(sources=[source]).headline

    assert not headline.ties_out
    assert headline.title == "Not proven: a table was not read completely"
    assert "d365/sales_order" in headline.notes[0]


def test_nothing_compared_is_not_a_tie_out():
    assert not an_empty_report().ties_out


def test_figures_of_a_sandbox_are_called_so():
    sources = [
        Source("salesforce", "http://127.0.0.1:8210", sandbox=True),
        Source("d365", "http://127.0.0.1:8220", sandbox=True),
    ]

    assert "The figures come from the sandbox, not from a tenant." in a_clean_report(sources=sources).headline.notes


def test_the_report_as_a_dict_is_json_with_exact_amounts():
    plain = json.loads(json.dumps(a_busy_report().as_dict()))

    assert plain["as_of"] == "2026-10-05T14:03:22Z"
    assert plain["tie_out"][0]["salesforce"] == "59112034.5680"
    assert plain["currencies"][-1]["difference"] == "67932.1260"
    assert plain["headline"]["open_breaks"] == 10
    assert plain["breaks"][0]["first_seen"].endswith("Z")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"), ("-0.00", "0.00"), ("1234567.5", "1,234,567.50"), ("-0.1", "−0.10"), ("2024.9940", "2,024.994"), ("1E+3", "1,000.00"),
        ("12345678901234567890.12", "12,345,678,901,234,567,890.12"),
    ],
)  # fmt: skip
def test_money_is_written_whole(amount: str, text: str):
    assert money(Decimal(amount)) == text


def test_a_step_shows_its_sign():
    assert [signed_money(Decimal(each)) for each in ("5", "-5", "0")] == ["+5.00", "−5.00", "0.00"]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, ""), (0, 5, "0 %"), (5, 5, "100 %"), (9999, 10000, "99.9 %"), (1, 60000, "< 0.1 %"), (677, 1336, "50.7 %")],
)
def test_only_all_of_it_is_called_100_per_cent(part: int, whole: int, text: str):
    assert share(part, whole) == text


def test_names_durations_and_ages_read_as_words():
    assert [words(each) for each in ("only_in_d365", "sales_order", "in_doubt")] == [
        "Only in D365",
        "Sales order",
        "In doubt",
    ]
    assert [seconds(each) for each in (0.31, 12.34, 245.0)] == ["0.31 s", "12.3 s", "4 min 05 s"]
    assert age_in_days(AS_OF, AS_OF) == "new"
