"""The pure parts: ids, stamps, relative dates."""

from datetime import UTC, date, datetime

import pytest

from sandbox.salesforce.date_literals import days_of
from sandbox.salesforce.ids import id18, make_id
from sandbox.salesforce.stamps import instant_of, written


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("001000000000001", "001000000000001AAA"),
        ("001D000000IRFma", "001D000000IRFmaIAH"),
        ("0018d00000XyZaB", "0018d00000XyZaBAAV"),
        ("750R0000000zlh9", "750R0000000zlh9IAA"),
    ],
)
def test_the_long_id_is_the_short_one_with_its_documented_check_characters(short: str, long: str) -> None:
    assert id18(short) == long
    assert id18(long) == long


@pytest.mark.parametrize("wrong", ["", "001", "0018d00000XyZa!", "0018d00000XyZaBAA"])
def test_what_is_no_id_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong or "^$"):
        id18(wrong)


def test_later_ids_sort_behind_earlier_ones() -> None:
    made = [make_id("001", number) for number in (1, 61, 62, 63, 3843, 3844, 10**9)]
    assert made == sorted(made)
    assert all(len(each) == 18 and each == id18(each[:15]) for each in made)


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-01T12:34:56Z", "2026-10-01T12:34:56.000Z", "2026-10-01T14:34:56+02:00", "2026-10-01T07:34:56-0500",
        "2026-10-01T12:34:56.999+00:00",
    ],
)  # fmt: skip
def test_every_form_of_an_instant_is_read_and_written_in_whole_seconds(text: str) -> None:
    assert written(instant_of(text)) == "2026-10-01T12:34:56.000+0000"
    assert instant_of(text) == datetime(2026, 10, 1, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("literal", "first", "after"),
    [
        ("TODAY", "2026-05-20", "2026-05-21"),
        ("LAST_N_DAYS:3", "2026-05-17", "2026-05-21"),
        ("THIS_WEEK", "2026-05-17", "2026-05-24"),
        ("LAST_MONTH", "2026-04-01", "2026-05-01"),
        ("LAST_N_MONTHS:2", "2026-03-01", "2026-05-01"),
        ("THIS_QUARTER", "2026-04-01", "2026-07-01"),
        ("NEXT_N_QUARTERS:3", "2026-07-01", "2027-04-01"),
        ("LAST_YEAR", "2025-01-01", "2026-01-01"),
        ("N_DAYS_AGO:20", "2026-04-30", "2026-05-01"),
        ("NEXT_90_DAYS", "2026-05-21", "2026-08-19"),
    ],
)
def test_relative_dates_are_whole_days(literal: str, first: str, after: str) -> None:
    assert days_of(literal, date(2026, 5, 20)) == (date.fromisoformat(first), date.fromisoformat(after))
