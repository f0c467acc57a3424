"""What a row becomes in a target, and what the targets' answers mean, without a network."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
import pytest

from tieout.answer import Answer, NoAnswer
from tieout.log_sinks import COLUMNS, LogRow
from tieout.log_sinks.dataverse import table_problems, upsert_body
from tieout.log_sinks.outcome import Again, Refused, Taken, meaning_of
from tieout.log_sinks.row import shown
from tieout.log_sinks.sharepoint import list_problems, parts_of

ROW = LogRow(
    17,
    datetime(2026, 11, 23, 15, 16, 12, 123, tzinfo=UTC),
    "run",
    "to_salesforce",
    "sales_order",
    "update",
    "usmf",
    "0065g",
    "T-1",
    "confirmed",
    "confirmed",
    "",
    None,
    None,
    Decimal("0.333333"),
)


def test_a_key_is_the_instant_and_the_number_and_needs_no_escaping() -> None:
    assert ROW.log_key == "20261123T151612.000123Z-17"
    assert replace(ROW, at=ROW.at + timedelta(microseconds=1)).log_key != ROW.log_key
    # What Dataverse takes in no key.
    assert not set("/<>*%&:\\?+'") & set(ROW.log_key)


def test_an_upsert_names_its_row_by_the_key_and_does_not_repeat_it() -> None:
    (target,) = orjson.loads(upsert_body("new_integrationlog", "new_integrationlogs", [ROW]))["Targets"]

    assert target["@odata.id"] == "new_integrationlogs(new_logkey='20261123T151612.000123Z-17')"
    assert "new_logkey" not in target
    assert (target["new_direction"], target["new_at"]) == (100_000_001, "2026-11-23T15:16:12Z")
    assert target["new_reason"] is None


def test_a_decimal_keeps_every_digit() -> None:
    body = upsert_body("new_integrationlog", "new_integrationlogs", [replace(ROW, api_calls=Decimal("123456.100000"))])

    assert b'"new_apicalls":123456.100000' in body


@pytest.mark.parametrize("longest", [40, 41, 100])
def test_a_cut_text_is_never_longer_than_its_column_and_never_half_an_emoji(longest: int) -> None:
    cut = shown("🚀" * 60, longest)

    assert len(cut.encode("utf-16-le")) // 2 <= longest
    assert cut.endswith(" … [cut, 60 characters]")
    assert set(cut.removesuffix(" … [cut, 60 characters]")) == {"🚀"}


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (Answer(204), Taken),
        (Answer(201), Taken),
        (Answer(429, retry_after_s=3), Again),
        (Answer(503), Again),
        (Answer(502), Again),
        (Answer(302), Refused),
        (NoAnswer("lost"), Again),
        (Answer(412), Again),
        (Answer(400), Refused),
        (Answer(404), Refused),
    ],
)
def test_only_what_is_said_to_be_there_is_taken(answer: Answer | NoAnswer, meaning: type) -> None:
    assert isinstance(meaning_of(answer), meaning)


def test_parts_come_in_any_order_and_one_that_is_missing_is_no_answer() -> None:
    told = {"responses": [{"id": "2", "status": 201}, {"id": "0", "status": 429, "headers": {"retry-after": "7"}}]}

    first, second, third = parts_of(orjson.dumps(told), 3)

    assert isinstance(first, Answer)
    assert (first.status, first.retry_after_s) == (429, 7)
    assert isinstance(second, NoAnswer)
    assert isinstance(third, Answer)
    assert third.status == 201


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"responses": 3}', b"[]", b'{"responses": [3, {"id": "x"}, {"id": "9"}]}']
)
def test_a_batch_that_cannot_be_read_answers_nothing(body: bytes) -> None:
    assert all(isinstance(each, NoAnswer) for each in parts_of(body, 2))


def test_a_table_that_lacks_columns_or_is_too_narrow_is_told_column_by_column() -> None:
    attributes = [
        {"LogicalName": "new_logkey", "AttributeType": "String", "MaxLength": 50},
        {"LogicalName": "new_at", "AttributeType": "String"},
    ]

    problems = table_problems("new_integrationlog", {"Attributes": attributes, "Keys": []})

    assert "new_logkey holds 50 characters, it has to hold 100." in problems
    assert "new_at is String, it has to be DateTime." in problems
    assert "There is no alternate key of new_logkey alone." in problems
    assert len(problems) == len(COLUMNS) + 1


def test_rich_text_and_a_key_that_is_not_unique_are_told() -> None:
    columns = [
        {"name": "Reason", "text": {"allowMultipleLines": True, "textType": "richText"}},
        {"name": "LogKey", "text": {}, "indexed": True, "enforceUniqueValues": False},
    ]

    problems = list_problems(columns)

    assert any("rich text" in each for each in problems)
    assert "LogKey has to be indexed and to enforce unique values." in problems
