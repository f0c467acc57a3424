"""`$batch`: changesets that happen whole or not at all, each for itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from tests.sandbox_d365.environment import Caller, a_line, an_order, inner_message


def statuses(text: str) -> list[str]:
    return re.findall(r"^HTTP/1\.1 (\d+)", text, re.MULTILINE)


def orders_and_lines(d365: Caller) -> tuple[str, str]:
    return d365.get("SalesOrderHeadersV2/$count").text, d365.get("SalesOrderLines/$count").text


def test_a_changeset_answers_each_operation_with_its_content_id(d365: Caller, new_number: Callable[[], str]):
    answer = d365.batch(an_order(new_number(), lines=2))

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("multipart/mixed; boundary=batchresponse_")
    assert statuses(answer.text) == ["201", "201", "201"]
    assert re.findall(r"Content-ID: (\d)\r\n\r\nHTTP/1\.1 201 Created\r\n", answer.text) == ["1", "2", "3"]
    assert "boundary=changesetresponse_" in answer.text


def test_a_failed_changeset_leaves_nothing_and_one_part_stands_for_it(d365: Caller, new_number: Callable[[], str]):
    before = orders_and_lines(d365)
    number = new_number()

    answer = d365.batch([*an_order(number, lines=2), ("POST", "SalesOrderLines", a_line(number, ItemNumber="gone"))])

    assert answer.status_code == 200
    assert statuses(answer.text) == ["400"]
    assert "Content-ID: 4" in answer.text
    assert "The value 'gone' in field 'Item number'" in answer.text
    assert orders_and_lines(d365) == before


def test_changesets_of_one_batch_do_not_know_each_other(d365: Caller, new_number: Callable[[], str]):
    good, bad, other = new_number(), new_number(), new_number()

    answer = d365.batch(
        an_order(good, lines=1),
        an_order(bad, lines=1, CurrencyCode="ZZZ"),
        "CustomersV3?$top=1",
        an_order(other, lines=1),
    )

    assert statuses(answer.text) == ["201", "201", "400", "200", "201", "201"]
    found = d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber ge '{good}'", select="SalesOrderNumber")
    assert {row["SalesOrderNumber"] for row in found} >= {good, other}
    assert bad not in {row["SalesOrderNumber"] for row in found}


def test_a_changeset_sent_again_makes_no_second_order(d365: Caller, new_number: Callable[[], str]):
    order = an_order(new_number(), lines=3)
    d365.batch(order)
    before = orders_and_lines(d365)

    answer = d365.batch(order)

    assert statuses(answer.text) == ["400"]
    assert "The record already exists.." in answer.text
    assert orders_and_lines(d365) == before


def test_changes_and_deletions_travel_in_changesets_too(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    d365.batch(an_order(number, lines=1))
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')"

    answer = d365.batch([("PATCH", f"{key}?cross-company=true", {"SalesOrderName": "x"})], [("DELETE", key, {})])

    assert statuses(answer.text) == ["204", "204"]
    assert d365.get(key).status_code == 404


def test_a_read_in_a_changeset_fails_it(d365: Caller):
    assert statuses(d365.batch([("GET", "CustomersV3", {})]).text) == ["400"]


def test_addresses_may_be_relative_and_lines_may_end_in_a_bare_newline(d365: Caller, new_number: Callable[[], str]):
    number = new_number()
    body = (
        "--b\nContent-Type: multipart/mixed; boundary=c\n\n"
        "--c\nContent-Type: application/http\nContent-Transfer-Encoding: binary\nContent-ID: 7\n\n"
        "POST SalesOrderHeadersV2 HTTP/1.1\nContent-Type: application/json\n\n"
        f'{{"OrderingCustomerAccountNumber":"C-1","SalesOrderNumber":"{number}"}}\n--c--\n--b--\n'
    )

    answer = d365.http.post(f"{d365.data}/$batch", data=body, headers={"Content-Type": "multipart/mixed; boundary=b"})

    assert statuses(answer.text) == ["201"]
    assert "Content-ID: 7" in answer.text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("{}", "application/json"), ("--b\r\nContent-Type: application/http\r\n\r\nGET x", "multipart/mixed; boundary=b")],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(d365: Caller, body: str, content_type: str):
    answer = d365.http.post(f"{d365.data}/$batch", data=body, headers={"Content-Type": content_type})

    assert answer.status_code == 400


def test_more_than_5000_operations_are_refused(d365: Caller):
    answer = d365.batch(*["Companies?$top=1"] * 5001)

    assert "A maximum number of '5000'" in inner_message(answer)


def test_a_batch_needs_a_token(d365: Caller):
    d365.control("tokens/expire")

    assert d365.batch("Companies").status_code == 401


def test_a_part_can_be_throttled_while_the_rest_happens(d365: Caller, new_number: Callable[[], str]):
    d365.control("faults", {"kind": "throttle_part"})
    first, second = new_number(), new_number()

    answer = d365.batch(an_order(first, lines=1), an_order(second, lines=1))

    assert statuses(answer.text) == ["429", "201", "201"]
    assert "Retry-After: 1" in answer.text


def test_the_time_of_a_batch_grows_with_its_orders_and_no_faster(d365: Caller, new_number: Callable[[], str]):
    def seconds_for(count: int) -> float:
        orders = [an_order(new_number(), lines=16) for _ in range(count)]
        started = time.monotonic()
        answer = d365.batch(*orders)
        assert len(statuses(answer.text)) == count * 17
        return time.monotonic() - started

    few = min(seconds_for(15) for _ in range(3))

    assert seconds_for(60) < 4 * few * 5
