"""The faults that only D365 has: inside a batch, on update, and in the links of pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox_d365.environment import Caller, an_order, inner_message


def statuses(text: str) -> list[str]:
    return re.findall(r"^HTTP/1\.1 (\d+)", text, re.MULTILINE)


def created(d365: Caller, after: int) -> list[str]:
    """What the journal says was created: headers and lines by their order."""
    return [entry["order"] for entry in d365.journal(after, phase="effect", effect="created")]


def struck(d365: Caller, after: int) -> list[str]:
    return [entry["effect"] for entry in d365.journal(after, phase="fault")]


@pytest.fixture
def fault(d365: Caller) -> Callable[..., int]:
    """Orders a fault; gives the place in the journal."""

    def order(kind: str, **rule: Any) -> int:
        d365.control("faults", {"kind": kind, **rule})
        return d365.journal_end()

    return order


@pytest.mark.parametrize(("wait", "header"), [(7, "Retry-After: 7"), (None, None)])
def test_one_changeset_is_throttled_and_the_others_happen(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int], wait: int | None, header: str | None
) -> None:
    first, second, third = new_number(), new_number(), new_number()
    place = fault("throttle_part", after=1, retry_after_s=wait)

    answer = d365.batch(*(an_order(number, lines=1) for number in (first, second, third)))

    assert answer.status_code == 200
    assert statuses(answer.text) == ["201", "201", "429", "201", "201"]
    assert ("Retry-After" in answer.text) == (header is not None)
    assert header is None or header in answer.text
    assert created(d365, place) == [first, first, third, third]
    assert struck(d365, place) == ["throttle_part"]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_the_nth_operation_fails_and_takes_its_changeset_back(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int], nth: int
) -> None:
    poor, good = new_number(), new_number()
    place = fault("refuse_operation", nth=nth, message="No more of it.", status=500)

    answer = d365.batch(an_order(poor, lines=2), an_order(good, lines=2))

    assert statuses(answer.text) == ["500", "201", "201", "201"]
    assert f"Content-ID: {nth}\r\n\r\nHTTP/1.1 500" in answer.text
    assert '"message":"No more of it."' in answer.text
    assert created(d365, place) == [good] * 3
    assert struck(d365, place) == ["refuse_operation"]


def test_a_changeset_with_too_few_operations_is_not_counted(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int]
) -> None:
    short, long = new_number(), new_number()
    place = fault("refuse_operation", nth=3)

    answer = d365.batch(an_order(short, lines=1), an_order(long, lines=2))

    assert statuses(answer.text) == ["201", "201", "400"]
    assert created(d365, place) == [short] * 2


def test_a_poisoned_order_is_refused_each_time_and_no_other(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int]
) -> None:
    poor, good = new_number(), new_number()
    place = fault("refuse_operation", holds=poor, times=None)

    first = d365.batch(an_order(good, lines=1), an_order(poor, lines=1))
    second = d365.batch(an_order(poor, lines=1))

    assert statuses(first.text) == ["201", "201", "400"]
    assert statuses(second.text) == ["400"]
    assert created(d365, place) == [good] * 2


def test_an_update_meets_a_conflict_and_the_next_one_does_not(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int]
) -> None:
    number = new_number()
    d365.batch(an_order(number, lines=0))
    place = fault("update_conflict", path="SalesOrderHeadersV2")
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')"

    refused = d365.patch(key, {"CustomersOrderReference": "new"})
    accepted = d365.patch(key, {"CustomersOrderReference": "new"})

    assert refused.status_code == 400
    assert "An update conflict occurred due to another user process" in inner_message(refused)
    assert accepted.status_code == 204
    assert [entry["phase"] for entry in d365.journal(place)] == [
        "asked", "fault", "answered", "asked", "effect", "answered",
    ]  # fmt: skip


def test_a_conflict_inside_a_changeset_takes_it_back_and_is_told(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int]
) -> None:
    number, other = new_number(), new_number()
    d365.batch(an_order(number, lines=0))
    place = fault("update_conflict")
    key = f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{number}')"

    answer = d365.batch([*an_order(other, lines=0), ("PATCH", key, {"CustomersOrderReference": "new"})])

    assert statuses(answer.text) == ["400"]
    assert "An update conflict occurred" in answer.text
    assert (created(d365, place), struck(d365, place)) == ([], ["update_conflict"])


# --- pages -------------------------------------------------------------------------------------------------------


@pytest.fixture
def first_page(d365: Caller) -> Callable[[], dict[str, Any]]:
    """Reads the first of several pages of customers."""
    d365.control("settings", {"page_size": 2})
    return lambda: d365.get("CustomersV3", company="true").json()


def test_a_next_link_can_expire(
    d365: Caller, fault: Callable[..., int], first_page: Callable[[], dict[str, Any]]
) -> None:
    place = fault("expired_next_link", path="CustomersV3")
    link = first_page()["@odata.nextLink"]

    expired, again = d365.http.get(link), d365.http.get(link)

    assert (expired.status_code, inner_message(expired)) == (410, "The next link has expired.")
    assert again.status_code == 200
    assert struck(d365, place) == ["expired_next_link"]


def test_a_next_link_can_name_another_host(
    d365: Caller, fault: Callable[..., int], first_page: Callable[[], dict[str, Any]]
) -> None:
    d365.get("Companies")
    place = fault("foreign_next_link", host="elsewhere.example:1")

    link, ordinary = first_page()["@odata.nextLink"], first_page()["@odata.nextLink"]

    assert urlsplit(link).netloc == "elsewhere.example:1"
    assert urlsplit(link)._replace(netloc="") == urlsplit(ordinary)._replace(netloc="")
    assert struck(d365, place) == ["foreign_next_link"]
    [entry] = d365.journal(place, phase="fault")
    assert entry["values"] == {"host": "elsewhere.example:1"}


def test_a_last_page_has_no_link_to_strike(d365: Caller, fault: Callable[..., int]) -> None:
    place = fault("foreign_next_link")

    assert d365.get("Companies").status_code == 200
    assert struck(d365, place) == []


def test_a_system_fault_and_a_common_one_can_strike_the_same_request(
    d365: Caller, new_number: Callable[[], str], fault: Callable[..., int]
) -> None:
    poor, good = new_number(), new_number()
    fault("throttle_part")
    place = fault("lose_answer", path="/data/$batch")

    with pytest.raises(requests.ConnectionError):
        d365.batch(an_order(poor, lines=0), an_order(good, lines=0))

    assert struck(d365, place) == ["lose_answer", "throttle_part"]
    assert created(d365, place) == [good]
