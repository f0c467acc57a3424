"""Months that are signed off: what is frozen, and what a later change does. Real Postgres, a real lake."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resources.lake import Lake
from resources.ledger import Ledger
from resources.signing import changes_since, reopen_what_changed, sign_period, signed_rows
from tests.desk.books import a_verdict, keep_verdicts
from tieout.errors import RecordError


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def sign(lake: Lake, ledger: Ledger, **options: Any) -> Any:
    return sign_period(lake, ledger, "USMF", "2026-10", **({"who": "ann", "note": "month-end"} | options))


def test_a_signature_holds_the_figures_to_the_cent(lake: Lake, ledger: Ledger) -> None:
    keep_verdicts(
        lake,
        a_verdict(1, salesforce_amount=Decimal("0.10")),
        a_verdict(2, salesforce_amount=Decimal("0.20"), d365_amount=None, d365_key=None, verdict="only_in_salesforce"),
        a_verdict(3, month="2026-11"),
        a_verdict(4, company="demf"),
    )

    signed = sign(lake, ledger)

    assert signed.snapshot["verdicts"] == {"matched": 1, "only_in_salesforce": 1}
    assert signed.snapshot["totals"] == [
        {"currency": "USD", "salesforce": "0.30", "d365": "100.00", "difference": "-99.70"}
    ]
    assert [row["salesforce_key"] for row in signed_rows(lake, signed)] == [
        a_verdict(1)["salesforce_key"],
        a_verdict(2)["salesforce_key"],
    ]


def test_an_unchanged_month_stays_signed_although_others_change(lake: Lake, ledger: Ledger) -> None:
    keep_verdicts(lake, a_verdict(1), a_verdict(2))
    sign(lake, ledger)
    keep_verdicts(lake, a_verdict(2), a_verdict(1), a_verdict(3, month="2026-11"))

    assert reopen_what_changed(lake, ledger) == []
    assert len(ledger.periods.signed()) == 1


def test_an_order_that_is_delivered_after_the_signature_is_one_change_and_not_two(lake: Lake, ledger: Ledger) -> None:
    not_yet = a_verdict(2, d365_key=None, d365_amount=None, verdict="only_in_salesforce")
    keep_verdicts(lake, a_verdict(1), not_yet)
    signed = sign(lake, ledger)
    keep_verdicts(lake, a_verdict(1), a_verdict(2))

    [change] = changes_since(lake, signed)
    assert (change.salesforce_key, change.d365_key) == (a_verdict(2)["salesforce_key"], a_verdict(2)["d365_key"])
    assert change.signed is not None
    assert change.now is not None

    reopen_what_changed(lake, ledger)
    again = sign_period(lake, ledger, "usmf", "2026-10", who="ann", note="")
    keep_verdicts(lake, a_verdict(1), not_yet)
    assert len(changes_since(lake, again)) == 1


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (
            [a_verdict(1), a_verdict(2, d365_amount=Decimal("120.00"), verdict="differs", fields=["amount"])],
            "matched 100.000000 / 100.000000 USD → differs amount 100.000000 / 120.000000 USD",
        ),
        ([a_verdict(1)], "left the month"),
        ([a_verdict(1), a_verdict(2), a_verdict(3)], "came in"),
        ([a_verdict(1), a_verdict(2, month="2026-11")], "left the month"),
    ],
)
def test_a_later_change_shows_as_reopened_and_says_which_order(
    lake: Lake, ledger: Ledger, now: list[dict[str, Any]], told: str
) -> None:
    keep_verdicts(lake, a_verdict(1), a_verdict(2))
    signed = sign(lake, ledger)
    keep_verdicts(lake, *now)

    ((reopened, _),) = reopen_what_changed(lake, ledger)

    assert (reopened.company, reopened.month) == ("usmf", "2026-10")
    latest = ledger.periods.latest()["usmf", "2026-10"]
    assert (latest.state, latest.reopened_by) == ("reopened", "Tieout")
    assert told in latest.reopened_reason
    # What was signed can still be read, word for word.
    assert len(signed_rows(lake, signed)) == 2
    assert reopen_what_changed(lake, ledger) == []


def test_an_order_in_flight_reopens_nothing_until_it_is_judged(lake: Lake, ledger: Ledger) -> None:
    keep_verdicts(lake, a_verdict(1), a_verdict(2))
    signed = sign(lake, ledger)
    keep_verdicts(lake, a_verdict(1), a_verdict(2, verdict="in_flight", d365_amount=Decimal("7")))

    assert changes_since(lake, signed) == []
    assert reopen_what_changed(lake, ledger) == []


def test_a_month_is_signed_once_until_it_is_reopened(lake: Lake, ledger: Ledger) -> None:
    keep_verdicts(lake, a_verdict(1))
    sign(lake, ledger)

    with pytest.raises(RecordError, match="signed already"):
        sign(lake, ledger)
    ledger.periods.reopen("usmf", "2026-10", who="bob", reason="credit note to come")
    sign(lake, ledger, who="bob")

    assert [each.state for each in ledger.periods.history("usmf", "2026-10")] == ["signed", "reopened"]
    # The same rows were signed twice and are kept once.
    assert len(signed_rows(lake, ledger.periods.signed()[0])) == 1
    actions = [made.action for made in ledger.decisions.of("period", "usmf/2026-10")]
    assert actions == ["sign", "reopen", "sign"]


def test_figures_that_a_run_has_renewed_meanwhile_cannot_be_signed(lake: Lake, ledger: Ledger) -> None:
    keep_verdicts(lake, a_verdict(1))
    seen = lake.version(("reconciliation", "sales_order_verdict"))
    keep_verdicts(lake, a_verdict(1), a_verdict(2))

    with pytest.raises(RecordError, match="newer reconciliation"):
        sign(lake, ledger, seen_version=seen)
    assert ledger.periods.signed() == []


def test_a_month_without_orders_cannot_be_signed(lake: Lake, ledger: Ledger) -> None:
    with pytest.raises(RecordError, match="Nothing was reconciled"):
        sign(lake, ledger)
    keep_verdicts(lake, a_verdict(1, month="2026-11"))
    with pytest.raises(RecordError, match="No order of usmf is in 2026-10"):
        sign(lake, ledger)


def test_nobody_reopens_what_is_not_signed(ledger: Ledger) -> None:
    with pytest.raises(RecordError, match="not signed"):
        ledger.periods.reopen("usmf", "2026-10", who="bob", reason="?")
