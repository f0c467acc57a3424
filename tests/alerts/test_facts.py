"""What the rules ask the ledger, against a real Postgres."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from resources.alert_facts import observed
from resources.ledger import Ledger, alert_queries, connect
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.ledger.breaks import FoundBreak
from resources.ledger.watermarks import Sweep
from tests.alerts.samples import DAY, HOSTILE, HOUR, NOW, a_rule
from tests.ledger.writes import an_order
from tieout.alerting.facts import Attempts, Doubts, OldBreaks, OpenMoney, QuotaRead, RunFacts, TableRead

A_BREAK = FoundBreak("id", "sales_order", "usmf", "differs", currency="USD", amount=Decimal(100), cause="value_differs")


def breaks(ledger: Ledger, at: datetime, *changes: dict[str, Any]) -> None:
    """Open breaks that are first seen at `at`."""
    found = [replace(A_BREAK, **{"identity": f"{at:%d%H}-{number}", **each}) for number, each in enumerate(changes)]
    ledger.breaks.record(found, "run", at)


def test_breaks_are_old_beyond_the_days_of_the_rule_and_counted_by_company(ledger: Ledger) -> None:
    breaks(ledger, NOW - 6 * DAY, {}, {"currency": "EUR", "amount": Decimal(-5)}, {"company": "demf", "amount": None})
    breaks(ledger, NOW - 4 * DAY, {})

    found = ledger.alert_queries.old_breaks(a_rule("break_age", days=5), NOW)  # type: ignore[arg-type]

    assert sorted(found, key=lambda each: each.company) == [
        OldBreaks("demf", 1, NOW - 6 * DAY, {}),
        OldBreaks("usmf", 2, NOW - 6 * DAY, {"USD": Decimal(100), "EUR": Decimal(5)}),
    ]


@pytest.mark.parametrize(
    ("rule", "identities"),
    [
        ({}, {"plain", "other"}),
        ({"breaks": "open"}, {"plain", "other", "next_run", "accepted"}),
        ({"causes": ["duplicate"]}, {"other"}),
        ({"companies": ["usmf"]}, {"plain"}),
        ({"entities": ["customer"]}, {"other"}),
        ({"money_at_least": {"USD": "100"}}, {"plain"}),
        ({"money_at_least": {"USD": "100.01"}}, set()),
        ({"money_at_least": {"USD": "100.01", "*": 1}}, {"other"}),
    ],
)
def test_a_rule_of_breaks_narrows_by_its_filters(ledger: Ledger, rule: dict[str, Any], identities: set[str]) -> None:
    breaks(
        ledger,
        NOW - 6 * DAY,
        {"identity": "plain"},
        {"identity": "other", "company": "demf", "cause": "duplicate", "entity": "customer", "currency": "EUR"},
        {"identity": "next_run", "needs_a_person": False},
        {"identity": "accepted"},
    )
    ledger.breaks.accept("accepted", date(2026, 11, 27), "someone")

    found = ledger.alert_queries.old_breaks(a_rule("break_age", days=5, **rule), NOW)  # type: ignore[arg-type]

    assert sum(each.breaks for each in found) == len(identities)


def test_an_acceptance_ends_with_its_day(ledger: Ledger) -> None:
    breaks(ledger, NOW - 6 * DAY, {"identity": "accepted"})
    ledger.breaks.accept("accepted", date(2026, 11, 27), "someone")
    rule: Any = a_rule("break_age", days=5)

    counts = [len(ledger.alert_queries.old_breaks(rule, at)) for at in (NOW, NOW + DAY)]

    assert counts == [0, 1]


def test_money_is_added_without_signs_by_company_and_currency_and_never_over_currencies(ledger: Ledger) -> None:
    breaks(ledger, NOW, {}, {"amount": Decimal("-50.5")}, {"currency": "EUR"}, {"company": "demf"}, {"amount": None})

    found = ledger.alert_queries.open_money(a_rule("break_money", limits={"*": 1}), NOW)  # type: ignore[arg-type]

    assert {(each.company, each.currency): (each.breaks, each.money) for each in found} == {
        ("usmf", "USD"): (2, Decimal("150.5")),
        ("usmf", "EUR"): (1, Decimal(100)),
        ("demf", "USD"): (1, Decimal(100)),
    }
    assert all(isinstance(each, OpenMoney) for each in found)


def test_closed_breaks_are_no_matter(ledger: Ledger) -> None:
    breaks(ledger, NOW - 6 * DAY, {})
    ledger.breaks.record([], "run", NOW, whole_entities=["sales_order"])

    assert ledger.alert_queries.old_breaks(a_rule("break_age", days=1), NOW) == []  # type: ignore[arg-type]


def test_attempts_are_counted_as_the_circuit_breakers_count_them_within_the_time_of_the_rule(ledger: Ledger) -> None:
    ended = [
        ("create", "confirmed", 201, NOW), ("create", "rejected", 400, NOW), ("update", "in_doubt", None, NOW),
        ("create", "not_processed", 429, NOW), ("create", "not_processed", 503, NOW),
        ("look_up", "absent", 200, NOW), ("create", "rejected", 400, NOW - 7 * HOUR),
    ]  # fmt: skip
    for operation, outcome, status, at in ended:
        attempt = NewAttempt("sales_order", operation, "006", "to_d365", company="usmf")
        [number] = ledger.attempts.begin([attempt], "run", at)
        ledger.attempts.end([AttemptResult(number, outcome, "x", 1, Decimal(1), status)], at)
    ledger.attempts.begin([NewAttempt("sales_order", "create", "006", "to_d365", company="usmf")], "run", NOW)
    rule: Any = a_rule("error_rate", percent=20, within="6h")

    assert ledger.alert_queries.attempts(rule, NOW) == [Attempts("to_d365", "sales_order", "usmf", 4, 3)]


def test_doubts_beyond_their_bound_count_and_so_do_those_of_dead_runs(ledger: Ledger, ledger_url: str) -> None:
    ledger.deliveries.plan([an_order(letter) for letter in "ABCDE"], "run")
    changes = {
        "A": "state = 'in_doubt', doubt_since = '2026-11-27 09:00Z'",
        "B": "state = 'in_doubt', doubt_since = '2026-11-27 11:30Z'",
        "C": "state = 'sent', lease_until = '2026-11-27 08:00Z'",
        "D": "state = 'sent', lease_until = '2026-11-27 12:30Z'",
    }
    with connect(ledger_url).begin() as connection:
        for letter, change in changes.items():
            connection.execute(text(f"update tieout.delivery set {change} where business_key = '{letter * 18}'"))
    rule: Any = a_rule("in_doubt", longer_than="1h")

    assert ledger.alert_queries.doubts(rule, NOW) == [Doubts("sales_order", "usmf", 2, NOW - 4 * HOUR)]


def test_a_table_is_as_fresh_as_its_last_complete_read(ledger: Ledger) -> None:
    def read(table: str, ago: timedelta, *, complete: bool = True, mode: Any = "incremental") -> None:
        at = NOW - ago
        ledger.watermarks.record_sweep(Sweep("run", "salesforce", table, mode, at, at, 1, 1, complete))

    read("account", 3 * HOUR)
    read("account", 2 * HOUR)
    read("account", HOUR, complete=False)
    read("account", HOUR, mode="partition")
    read("product", 5 * HOUR, complete=False)
    tables = [("salesforce", name) for name in ("account", "product", "opportunity")]

    assert ledger.alert_queries.table_reads(tables) == [
        TableRead("salesforce", "account", NOW - 2 * HOUR, NOW - 3 * HOUR),
        TableRead("salesforce", "product", None, NOW - 5 * HOUR),
    ]


def test_the_newest_reading_of_a_quota_is_kept(ledger: Ledger) -> None:
    newest = QuotaRead("salesforce", 20, 100, NOW)

    for read in (QuotaRead("salesforce", 10, 100, NOW - HOUR), newest, QuotaRead("salesforce", 5, 100, NOW - DAY)):
        ledger.alert_queries.keep_quota(read)

    assert ledger.alert_queries.quotas() == [newest]


def test_an_empty_ledger_raises_nothing_and_says_what_is_not_known(ledger: Ledger) -> None:
    rules = {
        "age": a_rule("break_age", days=1),
        "money": a_rule("break_money", limits={"*": 1}),
        "rate": a_rule("error_rate", percent=1, within="1h"),
        "doubt": a_rule("in_doubt", longer_than="1h"),
        "quota": a_rule("quota", percent_left=1),
        "fresh": a_rule("freshness", longer_than="1h"),
        "missing": a_rule("run_missing", longer_than="1h"),
        "failed": a_rule(),
    }

    assert set(observed(ledger, rules, [("d365", "customer")], None, NOW)) == {"age", "money", "doubt", "fresh"}
    known = observed(ledger, rules, [("d365", "customer")], RunFacts(), NOW)
    assert (known["missing"], known["failed"]) == ([], ())


def test_a_freshness_rule_looks_at_its_own_tables(ledger: Ledger) -> None:
    for system, table in (("d365", "customer"), ("salesforce", "account")):
        ledger.watermarks.record_sweep(Sweep("run", system, table, "full", NOW, NOW, 1, 1, True))
    rules = {"fresh": a_rule("freshness", longer_than="1h", tables=["d365/customer"])}

    [read] = observed(ledger, rules, [("d365", "customer"), ("salesforce", "account")], None, NOW)["fresh"]

    assert read == TableRead("d365", "customer", NOW, NOW)


def test_a_question_that_takes_too_long_leaves_its_rule_out_and_asks_the_others(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_queries, "_MOST_TIME_MS", 200)
    rules = {"age": a_rule("break_age", days=1), "doubt": a_rule("in_doubt", longer_than="1h")}

    with connect(ledger_url).begin() as other:
        other.execute(text("lock table tieout.break in access exclusive mode"))
        found = observed(ledger, rules, [], None, NOW)

    assert set(found) == {"doubt"}


def test_a_company_with_a_hostile_name_is_counted_like_any_other(ledger: Ledger) -> None:
    breaks(ledger, NOW - 6 * DAY, {"company": HOSTILE, "currency": "'; --"})

    [found] = ledger.alert_queries.old_breaks(a_rule("break_age", days=1, companies=[HOSTILE]), NOW)  # type: ignore[arg-type]

    assert found.company == HOSTILE
