"""What a look makes of rules, facts and open alerts; no clock, no ledger."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.alerts.samples import DAY, HOSTILE, HOUR, NOW, a_rule, a_run
from tieout.alerting import OpenAlert, due_notice, evaluate
from tieout.alerting.facts import (
    Attempts,
    Doubts,
    Fact,
    OldBreaks,
    OpenMoney,
    QuotaRead,
    TableRead,
    WholeRuns,
)
from tieout.alerting.judge import in_words, judge
from tieout.alerting.model import Rule

FAILED = {"failed": a_rule(severity="critical")}


def test_a_rule_that_begins_to_hold_is_raised_once_and_then_still_on() -> None:
    facts = {"failed": [a_run()]}

    first = evaluate(FAILED, facts, [], NOW)
    second = evaluate(FAILED, facts, [OpenAlert(7, "failed", "main")], NOW)

    assert [(each.key, each.severity) for each in first.raised] == [("failed main", "critical")]
    assert (second.raised, [each.id for each in second.still_on], second.recovered) == ([], [7], [])


def test_an_alert_recovers_when_its_rule_holds_no_longer_or_its_subject_is_gone() -> None:
    open_alerts = [OpenAlert(1, "failed", "main"), OpenAlert(2, "failed", "backfill")]

    found = evaluate(FAILED, {"failed": [a_run(succeeded=True)]}, open_alerts, NOW)

    assert [(each.id, each.words) for each in found.recovered] == [
        (1, "run 0df978db succeeded at 2026-11-27 12:00 UTC"),
        (2, "nothing left"),
    ]


def test_what_could_not_be_looked_at_neither_raises_nor_recovers() -> None:
    found = evaluate(FAILED, {}, [OpenAlert(1, "failed", "main")], NOW)

    assert (found.raised, found.still_on, found.recovered) == ([], [], [])


def test_a_rule_that_left_the_file_ends_its_alerts() -> None:
    found = evaluate({}, {}, [OpenAlert(1, "failed", "main")], NOW)

    assert [(each.id, each.words) for each in found.recovered] == [(1, "the rule was taken out of the file")]


def test_too_little_to_say_leaves_an_alert_as_it_is() -> None:
    rules: dict[str, Rule] = {"rate": a_rule("error_rate", percent=10, within="1h", at_least=5)}

    found = evaluate(rules, {"rate": [Attempts("to_d365", "sales_order", "usmf", 4, 4)]}, [OpenAlert(1, "rate", "to_d365/sales_order usmf")], NOW)  # fmt: skip

    assert (found.raised, found.still_on, found.recovered) == ([], [], [])


JUDGED: list[tuple[Rule, Fact, str, bool | None, str]] = [
    (a_rule("break_age", days=5), OldBreaks("usmf", 2, NOW - 6 * DAY, {"USD": Decimal("10.5")}), "usmf", True,
     "2 breaks wait for a person for more than 5 days, the oldest since 2026-11-21 12:00 UTC (6 d); 10.50 USD"),
    (a_rule("break_age", days=5, breaks="open"), OldBreaks("usmf", 1, NOW - 6 * DAY), "usmf", True, "1 break stay"),
    (a_rule("break_money", limits={"USD": 1000}), OpenMoney("usmf", "USD", 3, Decimal("1000.01")), "usmf USD", True,
     "1,000.01 USD in 3 open breaks; limit 1,000.00 USD"),
    (a_rule("break_money", limits={"USD": 1000}), OpenMoney("usmf", "USD", 3, Decimal(1000)), "usmf USD", False, "limit"),
    (a_rule("break_money", limits={"USD": 1}), OpenMoney("usmf", "EUR", 3, Decimal(9999)), "usmf EUR", False, "no limit"),
    (a_rule("break_money", limits={"USD": 1, "*": 5}), OpenMoney("usmf", "EUR", 3, Decimal(6)), "usmf EUR", True, "limit 5.00 EUR"),
    (a_rule("error_rate", percent=20, within="6h"), Attempts("to_d365", "sales_order", "usmf", 100, 21),
     "to_d365/sales_order usmf", True, "21 of 100 attempts of the last 6 h failed; limit 20%"),
    (a_rule("error_rate", percent=20, within="6h"), Attempts("to_salesforce", "account", "", 100, 20), "to_salesforce/account", False, ""),
    (a_rule("error_rate", percent=20, within="6h", at_least=3), Attempts("to_d365", "customer", "usmf", 2, 2),
     "to_d365/customer usmf", None, "2 of 2"),
    (a_rule("in_doubt", longer_than="1h"), Doubts("sales_order", "usmf", 1, NOW - 2 * HOUR), "delivery/sales_order usmf", True,
     "1 delivery in doubt, the oldest since 2026-11-27 10:00 UTC (2 h); bound 1 h"),
    (a_rule("in_doubt", longer_than="1h"), Doubts("sales_order", "usmf", 1, NOW - HOUR), "delivery/sales_order usmf", False, ""),
    (a_rule("quota", percent_left=20), QuotaRead("salesforce", 81_000, 100_000, NOW), "salesforce", True,
     "19,000 of 100,000 calls of 24 hours left"),
    (a_rule("quota", percent_left=20), QuotaRead("salesforce", 80_000, 100_000, NOW), "salesforce", False, ""),
    (a_rule("quota", percent_left=20), QuotaRead("salesforce", 99_000, 100_000, NOW - 25 * HOUR), "salesforce", None, ""),
    (a_rule("quota", percent_left=20), QuotaRead("salesforce", 0, 0, NOW), "salesforce", None, ""),
    (a_rule("freshness", longer_than="1d"), TableRead("d365", "customer", NOW - 25 * HOUR, NOW - 9 * DAY), "d365/customer", True,
     "last read completely since"),
    (a_rule("freshness", longer_than="1d"), TableRead("d365", "customer", NOW - 24 * HOUR, NOW - 9 * DAY), "d365/customer", False, ""),
    (a_rule("freshness", longer_than="1d"), TableRead("d365", "customer", None, NOW - 2 * DAY), "d365/customer", True,
     "never read completely, tried since"),
    (a_rule("run_missing", longer_than="1d"), WholeRuns(NOW - 25 * HOUR, NOW - 9 * DAY), "main", True, "the last good run ended"),
    (a_rule("run_missing", longer_than="1d"), WholeRuns(NOW - HOUR, NOW - 9 * DAY), "main", False, ""),
    (a_rule("run_missing", longer_than="1d"), WholeRuns(None, NOW - 2 * DAY), "main", True, "no run succeeded since the first one"),
    (a_rule("run_failed"), a_run("full_reconciliation"), "full_reconciliation", True, "run 0df978db failed"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "fact", "subject", "on", "words"), JUDGED)
def test_a_rule_holds_beyond_its_bound_and_not_at_it(
    rule: Rule, fact: Fact, subject: str, on: bool | None, words: str
) -> None:
    finding = judge(rule, fact, NOW)

    assert (finding.subject, finding.on) == (subject, on)
    assert words in finding.words


def test_a_fact_of_another_kind_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="run_failed"):
        judge(a_rule(), Attempts("to_d365", "customer", "usmf", 1, 1), NOW)


def test_a_subject_is_one_short_line_whatever_its_name_is() -> None:
    rule = a_rule("break_age", days=1)

    hostile = judge(rule, OldBreaks(HOSTILE, 1, NOW - 2 * DAY), NOW).subject
    long = judge(rule, OldBreaks("x" * 5000, 1, NOW - 2 * DAY), NOW).subject
    empty = judge(rule, OldBreaks("", 1, NOW - 2 * DAY), NOW).subject

    assert hostile.isprintable()
    assert "\n" not in hostile
    assert len(long) == 200
    assert empty == "without company"


def test_two_companies_with_one_problem_are_two_alerts() -> None:
    rules: dict[str, Rule] = {"old": a_rule("break_age", days=1)}
    facts = {"old": [OldBreaks(company, 1, NOW - 2 * DAY) for company in ("usmf", "demf")]}

    assert [each.key for each in evaluate(rules, facts, [], NOW).raised] == ["old usmf", "old demf"]


@pytest.mark.parametrize(
    ("recovered", "noticed", "recovery_noticed", "again_after", "due"),
    [
        (None, None, None, DAY, "raised"),
        (None, NOW - DAY + timedelta(minutes=1), None, DAY, None),
        (None, NOW - DAY, None, DAY, "again"),
        (None, NOW - 900 * DAY, None, None, None),
        (NOW, NOW - HOUR, None, DAY, "recovered"),
        (NOW, None, None, DAY, "recovered"),
        (NOW, NOW - HOUR, NOW, DAY, None),
    ],
)
def test_a_sink_is_told_once_again_after_its_time_and_once_that_it_is_over(
    recovered: object, noticed: object, recovery_noticed: object, again_after: timedelta | None, due: str | None
) -> None:
    given = {"recovered_at": recovered, "last_noticed_at": noticed, "recovery_noticed_at": recovery_noticed}

    assert due_notice(**given, again_after=again_after, now=NOW) == due  # type: ignore[arg-type]


def test_a_time_is_told_in_its_two_largest_units() -> None:
    times = [
        timedelta(seconds=5),
        timedelta(minutes=90),
        timedelta(days=2, minutes=3),
        timedelta(days=3, hours=4, minutes=5),
        -DAY,
    ]

    assert [in_words(each) for each in times] == [
        "less than 1 min",
        "1 h 30 min",
        "2 d 3 min",
        "3 d 4 h",
        "less than 1 min",
    ]
