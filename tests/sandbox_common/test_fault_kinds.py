"""Every kind of fault that both sandboxes know: what the client sees, and what the journal says took effect."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.sandbox_common.conftest import Target

SHORT_S = 0.2
PATIENCE_S = 10


def until(holds: Callable[[], bool]) -> None:
    """Wait for what a sandbox does later."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "It never came."
        time.sleep(0.02)


def struck(system: Target, **rule: Any) -> int:
    """Order a fault for the write; gives the place in the journal."""
    system.fault({"method": "POST", "path": f"{system.write_path}$", **rule})
    return system.place()


def test_a_refused_request_is_answered_and_never_runs(system: Target, name: str) -> None:
    place = struck(system, kind="refuse", status=409, body={"why": "no"}, headers={"X-Why": "no"})

    answer = system.write(name)

    assert (answer.status_code, answer.json(), answer.headers["X-Why"]) == (409, {"why": "no"}, "no")
    assert answer.headers["Date"]
    assert system.story(place) == ["asked", "fault refuse", "answered 409"]
    assert system.count(name) == 0


def test_a_replaced_answer_hides_what_took_effect(system: Target, name: str) -> None:
    place = struck(system, kind="replace_answer", status=502, body="<html>Bad Gateway</html>")

    answer = system.write(name)

    assert (answer.status_code, answer.text) == (502, "<html>Bad Gateway</html>")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert system.story(place) == ["asked", "fault replace_answer", "effect created", "answered 502"]
    assert system.count(name) == 1


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("enveloped", [False, True])
def test_a_500_comes_with_or_without_the_error_body_before_or_after_the_commit(
    system: Target, name: str, enveloped: bool, committed: bool
) -> None:
    place = struck(system, kind="server_error", enveloped=enveloped, committed=committed, message="It broke.")

    answer = system.write(name)

    assert answer.status_code == 500
    assert ("It broke." in answer.text) == enveloped
    if enveloped:
        body = answer.json()
        words = body["error"]["innererror"]["message"] if system.name == "d365" else body[0]["message"]
        assert words == "It broke."
    effects = ["effect created"] if committed else []
    assert system.story(place) == ["asked", "fault server_error", *effects, "answered 500"]
    assert system.count(name) == committed


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_answers_with_a_web_page(system: Target, name: str, status: int, committed: bool) -> None:
    struck(system, kind="gateway_page", status=status, committed=committed)

    answer = system.write(name)

    assert answer.status_code == status
    assert answer.text.startswith("<html>")
    assert system.count(name) == committed


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
@pytest.mark.parametrize(("kind", "rows"), [("drop", 0), ("lose_answer", 1)])
def test_a_connection_is_reset_before_or_after_the_commit(
    system: Target, name: str, kind: str, rows: int, tls: bool
) -> None:
    place = struck(system, kind=kind)

    with pytest.raises(requests.ConnectionError):
        system.write(name, tls=tls)

    assert system.story(place) == ["asked", f"fault {kind}", *["effect created"] * rows, "answered"]
    assert system.count(name) == rows


def test_after_a_time_out_the_connection_closes_without_an_answer(system: Target, name: str) -> None:
    place = struck(system, kind="time_out", delay_s=SHORT_S)
    began = time.monotonic()

    with pytest.raises(requests.ConnectionError):
        system.write(name)

    assert time.monotonic() - began >= SHORT_S
    assert system.story(place) == ["asked", "fault time_out", "effect created", "answered"]
    assert system.count(name) == 1


def test_a_client_that_gives_up_on_a_silent_connection_leaves_the_row_behind(system: Target, name: str) -> None:
    struck(system, kind="time_out", delay_s=60)

    with pytest.raises(requests.Timeout):
        system.write(name, timeout=SHORT_S)

    assert system.count(name) == 1


@pytest.mark.parametrize("status", [None, 504])
def test_a_slow_commit_lands_after_its_client_was_told_otherwise(system: Target, name: str, status: int | None) -> None:
    place = struck(system, kind="slow_commit", delay_s=2 * SHORT_S, status=status)

    if status is None:
        with pytest.raises(requests.ConnectionError):
            system.write(name)
    else:
        assert system.write(name).status_code == status

    assert (system.count(name), system.faults()["under_way"]) == (0, 1)
    until(lambda: system.count(name) == 1)
    assert system.faults()["under_way"] == 0
    [effect] = system.entries(place, phase="effect")
    [asked] = system.entries(place, phase="asked", method="POST", path=system.write_path)
    assert effect["request_id"] == asked["request_id"]


def test_a_slow_commit_lands_although_its_token_has_died_and_the_rules_are_forgotten(system: Target, name: str) -> None:
    struck(system, kind="slow_commit", delay_s=SHORT_S)
    with pytest.raises(requests.ConnectionError):
        system.write(name)

    system.forget()
    system.http.post(f"{system.url}/_sandbox/tokens/expire", timeout=PATIENCE_S)
    system.sign_in()

    until(lambda: system.count(name) == 1)


def test_a_slow_commit_without_a_live_token_never_lands(system: Target, name: str) -> None:
    system.http.post(f"{system.url}/_sandbox/tokens/expire", timeout=PATIENCE_S)
    struck(system, kind="slow_commit", delay_s=0.05)
    with pytest.raises(requests.ConnectionError):
        system.write(name)

    until(lambda: system.faults()["under_way"] == 0)
    system.sign_in()

    assert system.count(name) == 0


def test_a_delay_comes_before_the_effect(system: Target, name: str) -> None:
    place = struck(system, kind="delay", delay_s=SHORT_S)
    began = time.monotonic()

    assert system.write(name).status_code == 201

    assert time.monotonic() - began >= SHORT_S
    assert system.story(place) == ["asked", "fault delay", "effect created", "answered 201"]


def test_requests_wait_out_their_delays_at_the_same_time(system: Target) -> None:
    """While one request waits for a minute, another one is answered: what imitates latency must not add it up."""
    system.fault({"kind": "delay", "delay_s": 60, "times": 1, "method": "GET"})
    with pytest.raises(requests.Timeout):
        requests.get(f"{system.url}/services/data", timeout=SHORT_S)

    assert requests.get(f"{system.url}/services/data", timeout=PATIENCE_S).status_code in (200, 404)


def test_a_slow_first_byte_comes_after_the_effect(system: Target, name: str) -> None:
    struck(system, kind="slow_first_byte", delay_s=2 * SHORT_S)

    with pytest.raises(requests.Timeout):
        system.write(name, timeout=SHORT_S)

    assert system.count(name) == 1
    assert system.write(name).status_code == 201


def test_a_cut_body_ends_in_the_middle(system: Target, name: str) -> None:
    place = struck(system, kind="cut_body")

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        system.write(name)

    assert system.story(place) == ["asked", "fault cut_body", "effect created", "answered 201"]
    assert system.count(name) == 1


@pytest.mark.parametrize("answer", ["first", "second"])
def test_a_duplicated_request_takes_effect_twice(system: Target, name: str, answer: str) -> None:
    place = struck(system, kind="duplicate", delay_s=SHORT_S, answer=answer)

    assert system.write(name).status_code == 201

    at_once = len(system.entries(place, phase="effect"))
    assert at_once == (1 if answer == "first" else 2)
    until(lambda: len(system.entries(place, phase="effect")) == 2)
    assert len({each["request_id"] for each in system.entries(place, phase="effect")}) == 1
    assert system.count(name) == 2


@pytest.mark.parametrize(("wait", "header"), [(17, "17"), (0.5, "0.5"), (None, None)])
def test_throttling_asks_for_a_pause_or_not(system: Target, name: str, wait: float | None, header: str | None) -> None:
    place = struck(system, kind="throttle", retry_after_s=wait)

    answer = system.write(name)

    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, header)
    assert system.story(place) == ["asked", "fault throttle", "answered 429"]
    [told] = system.entries(place, phase="fault")
    assert told["values"] == {"retry_after_s": wait}
    assert system.count(name) == 0


def test_tokens_expire_right_before_the_request_is_judged(system: Target, name: str) -> None:
    place = struck(system, kind="expire_tokens")

    refused = system.write(name)
    story = system.story(place)
    still_refused = system.write(name)
    system.sign_in()

    assert (refused.status_code, still_refused.status_code) == (401, 401)
    assert story == ["asked", "fault expire_tokens", "answered 401"]
    assert system.write(name).status_code == 201
