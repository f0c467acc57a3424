"""Facts of the ledger read back from the lake exactly as they were, and a run is found by what is unique of its id."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resources import evidence
from resources.evidence import CauseFact, Facts, SentFact
from resources.lake import Lake
from resources.ledger.breaks import BreakRow
from resources.ledger.crosswalk import Link
from resources.workbench import Inputs
from tieout.delivery import State
from tieout.errors import RecordError
from tieout.reconciliation import ReadTimes

NOON = datetime(2026, 11, 27, 12, 0, 0, 123456, tzinfo=UTC)
HOSTILE = ["=cmd()", "", " ", "é\u202e<script>", "'; DROP TABLE", "null", "None", "\ud83d half a pair", "line\nbreak\t"]
BREAK = BreakRow(
    identity="a" * 32,
    entity="sales_order",
    company="usmf",
    verdict="differs",
    salesforce_value=None,
    amount=Decimal("1234567890123456.123450"),
    first_seen=NOON,
    accepted_until=date(2026, 12, 31),
    times_opened=3,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def keep(lake: Lake, run_id: str, facts: Facts, at: datetime = NOON, links: tuple[Link, ...] = ()) -> evidence.Manifest:
    inputs = Inputs({}, links, ReadTimes(NOON, NOON))
    return evidence.keep(
        lake,
        inputs,
        facts,
        run_id=run_id,
        as_of=at,
        started=1.5,
        dry_run=False,
        addresses={"salesforce": "", "d365": ""},
        steps={"a/b": {"created": 1, "text": "é", "columns": object()}},
        tieout="0",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [BREAK],
        [CauseFact(None, "T-1", "usmf", "value_differs", False), CauseFact("006", None, "", "x", True)],
        [SentFact("customer", "create", "usmf", text, text, State.REJECTED, text) for text in HOSTILE],
        [],
    ],
    ids=["break", "cause", "hostile", "none"],
)
def test_facts_read_back_as_they_were_in_their_order(lake: Lake, rows: list[Any]) -> None:
    kind = type(rows[0]) if rows else BreakRow
    lake.replace(("evidence", "some"), evidence.as_texts(rows, kind))

    back = evidence.from_texts(lake.dataset(("evidence", "some")).to_table(), kind)

    assert back == rows
    assert [str(getattr(row, "amount", "")) for row in back] == [str(getattr(row, "amount", "")) for row in rows]


def test_a_manifest_gives_back_what_was_kept_though_later_runs_kept_other_facts(lake: Lake) -> None:
    links = (Link("customer", "001", "usmf", "C-1", "stored_link"),)
    first = Facts(breaks=[BREAK])
    keep(lake, "aaaa-1", first, links=links)
    keep(lake, "bbbb-2", Facts(), NOON.replace(hour=13))

    manifest = evidence.find(lake, "aaaa")
    inputs, facts = evidence.restore(lake, manifest)

    assert manifest.steps == {"a/b": {"created": 1, "text": "é"}}
    assert (list(inputs.links), list(facts.breaks)) == (list(links), [BREAK])
    assert inputs.reads == ReadTimes(NOON, NOON)


def test_facts_that_have_not_changed_are_not_written_again(lake: Lake) -> None:
    one = keep(lake, "aaaa-1", Facts(breaks=[BREAK]))
    other = keep(lake, "bbbb-2", Facts(breaks=[BREAK]))

    assert one.facts == other.facts


def test_a_beginning_that_two_runs_share_is_refused_with_their_ids(lake: Lake) -> None:
    keep(lake, "aaaa-1", Facts())
    keep(lake, "aaaa-2", Facts())

    with pytest.raises(RecordError, match=r"2 runs begin with 'aaaa': aaaa-1, aaaa-2"):
        evidence.find(lake, "aaaa")


def test_a_lake_without_any_manifest_says_how_one_is_made(lake: Lake) -> None:
    with pytest.raises(RecordError, match="tieout run"):
        evidence.find(lake, "aaaa")
