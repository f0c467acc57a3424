"""Questions about breaks, answered by a real Postgres."""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest

from resources.ledger import Ledger
from resources.ledger.break_queries import BreakFilter
from tests.desk.books import NOW, a_break, in_days, keep_breaks
from tieout.errors import RecordError


def identities(ledger: Ledger, wanted: BreakFilter, **options: object) -> list[str]:
    return [row.identity for row in ledger.break_queries.page(wanted, **options)]  # type: ignore[arg-type]


def test_pages_follow_one_another_without_gap_or_repetition(ledger: Ledger) -> None:
    keep_breaks(ledger, *(a_break(f"b{number:03d}", amount=Decimal(number % 5)) for number in range(60)))

    pages = [identities(ledger, BreakFilter(), offset=start, limit=25) for start in (0, 25, 50)]

    assert [len(page) for page in pages] == [25, 25, 10]
    assert sorted(itertools.chain(*pages)) == [f"b{number:03d}" for number in range(60)]
    assert ledger.break_queries.count(BreakFilter()) == 60


def test_breaks_without_an_amount_come_last_in_both_directions(ledger: Ledger) -> None:
    keep_breaks(
        ledger, a_break("none", amount=None), a_break("small", amount=Decimal(1)), a_break("big", amount=Decimal(9))
    )

    assert identities(ledger, BreakFilter()) == ["big", "small", "none"]
    assert identities(ledger, BreakFilter(), descending=False) == ["small", "big", "none"]


def test_search_takes_percent_signs_and_quotes_as_they_are(ledger: Ledger) -> None:
    keep_breaks(
        ledger,
        a_break("percent", label="100 % wool"),
        a_break("quote", label="O'Neil"),
        a_break("other", label="100 wool"),
    )

    assert identities(ledger, BreakFilter(search="100 %")) == ["percent"]
    assert identities(ledger, BreakFilter(search="o'neil")) == ["quote"]
    assert identities(ledger, BreakFilter(search="'; drop table tieout.break; --")) == []


def test_an_accepted_break_waits_for_nobody_through_its_last_day(ledger: Ledger) -> None:
    keep_breaks(ledger, a_break("b1"))
    ledger.breaks.accept("b1", in_days(3), "ann", "known rounding")

    assert identities(ledger, BreakFilter("waiting")) == []
    assert identities(ledger, BreakFilter("accepted")) == ["b1"]
    assert identities(ledger, BreakFilter("waiting"), today=in_days(3)) == []
    assert identities(ledger, BreakFilter("waiting"), today=in_days(4)) == ["b1"]
    decisions = ledger.decisions.of("break", "b1")
    assert [(made.action, made.who, made.note) for made in decisions] == [("accept", "ann", "known rounding")]


def test_a_break_that_settles_by_itself_does_not_wait(ledger: Ledger) -> None:
    keep_breaks(ledger, a_break("b1", needs_a_person=False))

    assert identities(ledger, BreakFilter("waiting")) == []
    assert identities(ledger, BreakFilter("open")) == ["b1"]


def test_money_of_a_group_is_never_added_over_currencies(ledger: Ledger) -> None:
    keep_breaks(
        ledger,
        a_break("b1", currency="USD", amount=Decimal("0.1")),
        a_break("b2", currency="USD", amount=Decimal("0.2")),
        a_break("b3", currency="EUR", amount=Decimal("5")),
        a_break("b4", cause="rounding", amount=None),
    )

    first, second = ledger.break_queries.groups(BreakFilter(), "cause")

    assert (first.value, first.breaks, first.money) == ("value_differs", 3, {"EUR": Decimal(5), "USD": Decimal("0.3")})
    assert (second.value, second.breaks, second.money) == ("rounding", 1, {})


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        (0, "today"),
        (1, "2-7 days"),
        (6, "2-7 days"),
        (7, "8-30 days"),
        (29, "8-30 days"),
        (30, "31-90 days"),
        (90, "over 90 days"),
    ],
)
def test_a_break_is_as_old_as_the_days_since_it_was_first_seen(ledger: Ledger, days: int, bucket: str) -> None:
    keep_breaks(ledger, a_break("b1"), at=NOW - timedelta(days=days))

    assert ledger.break_queries.ages_by_cause() == [(bucket, "value_differs", 1)]
    assert identities(ledger, BreakFilter(age=bucket)) == ["b1"]


def test_the_life_of_a_break_is_told(ledger: Ledger) -> None:
    def life() -> str:
        return ledger.breaks.get("b1").life

    keep_breaks(ledger, a_break("b1"), at=NOW)
    lives = [life()]
    keep_breaks(ledger, a_break("b1"), at=NOW + timedelta(hours=1))
    lives.append(life())
    keep_breaks(ledger, at=NOW + timedelta(hours=2))
    lives.append(life())
    keep_breaks(ledger, a_break("b1"), at=NOW + timedelta(hours=3))
    lives.append(life())

    assert lives == ["opened", "still_open", "closed", "reopened"]


def test_every_row_is_read_in_the_order_of_the_pages(ledger: Ledger) -> None:
    keep_breaks(ledger, *(a_break(f"b{number:04d}", amount=Decimal(number)) for number in range(2_500)))

    assert [row.identity for row in ledger.break_queries.every(BreakFilter())] == [
        f"b{number:04d}" for number in reversed(range(2_500))
    ]


@pytest.mark.parametrize("values", [{"state": "opened"}, {"age": "old"}])
def test_a_filter_that_does_not_exist_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(RecordError):
        BreakFilter(**values)  # type: ignore[arg-type]
