"""How OData is written and read."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pytest

from tieout.errors import RecordError
from tieout.odata import (
    any_of,
    cut_envelope,
    date_text,
    enum_literal,
    equals,
    in_key_lists,
    instant_literal,
    json_body,
    key_path,
    path_of_next_page,
    query_string,
)


def test_an_apostrophe_is_doubled_in_a_literal_and_doubled_and_encoded_in_a_key() -> None:
    assert equals("Name", "O'Neil") == "Name eq 'O''Neil'"
    assert key_path("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "O'Neil & Söhne/1"}) == (
        "CustomersV3(dataAreaId='usmf',CustomerAccount='O%27%27Neil%20%26%20S%C3%B6hne%2F1')"
    )


def test_blanks_at_the_ends_of_a_key_are_kept() -> None:
    assert key_path("ReleasedProductsV2", {"ItemNumber": " RFI-1 "}) == "ReleasedProductsV2(ItemNumber='%20RFI-1%20')"


def test_a_whole_number_in_a_key_is_bare() -> None:
    assert key_path("Invoices", {"Identifier": 5637144589}) == "Invoices(Identifier=5637144589)"


def test_a_star_is_refused_because_d365_would_match_by_pattern() -> None:
    with pytest.raises(RecordError, match="wildcard"):
        any_of("SalesOrderNumber", ["A", "B*"])


def test_many_keys_become_lists_of_at_most_twenty() -> None:
    lists = list(in_key_lists([str(number) for number in range(41)]))

    assert [len(each) for each in lists] == [20, 20, 1]
    assert any_of("K", lists[2]) == "(K eq '40')"


def test_enums_dates_and_instants_have_the_form_that_d365_reads() -> None:
    assert enum_literal("SalesStatus", "Backorder") == "Microsoft.Dynamics.DataEntities.SalesStatus'Backorder'"
    assert date_text(date(2026, 7, 30)) == "2026-07-30T12:00:00Z"
    assert instant_literal(datetime(2026, 7, 30, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-07-30T00:00:00Z"
    with pytest.raises(ValueError, match="time zone"):
        instant_literal(datetime(2026, 7, 30))


def test_a_query_is_encoded_once() -> None:
    assert query_string({"cross-company": "true", "$filter": "Name eq 'A&B=1+1'"}) == (
        "cross-company=true&$filter=Name%20eq%20%27A%26B%3D1%2B1%27"
    )


def test_a_decimal_keeps_every_digit_in_json() -> None:
    body = json_body(
        {"SalesPrice": Decimal("2024.9940"), "Big": Decimal("12345678901234567890.123456"), "Small": Decimal("1E-7")}
    )

    assert body == b'{"SalesPrice":2024.9940,"Big":12345678901234567890.123456,"Small":0.0000001}'


def test_a_float_never_becomes_an_amount() -> None:
    with pytest.raises(TypeError, match="SalesPrice: a float cannot hold money"):
        json_body({"SalesPrice": 0.1})


def test_text_of_any_kind_survives_json() -> None:
    name = 'He said "=1+1" & left\r\n--batch_1 😀 \u2028'

    assert orjson.loads(json_body({"Name": name})) == {"Name": name}


PAGE = (
    b'{"@odata.context":"https://x/data/$metadata#CustomersV3","@odata.count":2,"value":[\n'
    b'{"@odata.etag":"W/\\"1\\"","Name":"a ] b"},{"@odata.etag":"W/\\"2\\"","Name":"says \\"@odata.etag\\": and \\"@odata.nextLink\\":"}'
    b'],"@odata.nextLink":"http://elsewhere/data/CustomersV3?$skip=2&$top=2"}'
)


def test_an_envelope_is_cut_without_reading_the_rows() -> None:
    envelope = cut_envelope(PAGE)

    rows = orjson.loads(envelope.array)
    assert [row["Name"] for row in rows] == ["a ] b", 'says "@odata.etag": and "@odata.nextLink":']
    assert envelope.rows == 2
    assert envelope.next_link == "http://elsewhere/data/CustomersV3?$skip=2&$top=2"


def test_an_empty_page_is_an_empty_array() -> None:
    envelope = cut_envelope(b'{"@odata.context":"x","value":[]}')

    assert (bytes(envelope.array), envelope.rows, envelope.next_link) == (b"[]", 0, None)


def test_rows_without_versions_are_counted_all_the_same() -> None:
    assert cut_envelope(b'{"value":[{"a":1},{"a":2}]}').rows == 2


@pytest.mark.parametrize("end", [1, 60, 120, 150, 200, 210, len(PAGE) - 70, len(PAGE) - 1])
def test_a_page_that_was_cut_off_is_refused(end: int) -> None:
    with pytest.raises(RecordError, match="page"):
        cut_envelope(PAGE[:end])


def test_of_a_next_link_only_path_and_query_are_believed() -> None:
    assert path_of_next_page("http://elsewhere:81/data/X?$skip=1") == "/data/X?$skip=1"
    assert path_of_next_page("/data/X?$skip=1") == "/data/X?$skip=1"


def test_no_time_zone_moves_a_date() -> None:
    sent = datetime.fromisoformat(date_text(date(2026, 1, 1)))

    assert {sent.astimezone(timezone(timedelta(hours=hours))).date() for hours in (-11, 0, 11)} == {date(2026, 1, 1)}
    assert sent.tzinfo == UTC
