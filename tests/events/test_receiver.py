"""The receiver over HTTP: who may speak to it, what it takes, and what it answers when."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn

from desk.app import create_app
from desk.events import LARGEST_BYTES, create_events_app
from desk.settings import EventSettings, event_settings
from resources.ledger import Ledger, connect
from tests.desk.books import SECRET, free_port, served
from tests.events.messages import (
    OPPORTUNITY,
    ORGANIZATION,
    a_business_event,
    a_handshake,
    a_notification,
    an_outbound_message,
    in_event_grid,
)
from tieout.contract import Contracts
from tieout.errors import ConfigurationError
from tieout.events import ACKNOWLEDGEMENT

KEY = "a key of the tests"
GOOD = {"X-Tieout-Key": KEY}


@contextlib.contextmanager
def listening(app: object) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=free_port(), log_level="warning", access_log=False)
    )  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.config.port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def receiver(ledger: Ledger) -> Iterator[str]:
    with listening(create_events_app(ledger, EventSettings(KEY))) as address:
        yield address


def posted(address: str, path: str = "d365", body: bytes | None = None, **options: object) -> requests.Response:
    body = in_event_grid(a_business_event()) if body is None else body
    return requests.post(f"{address}/events/{path}", data=body, timeout=30, **({"headers": GOOD} | options))  # type: ignore[arg-type]


def test_an_event_is_kept_and_then_acknowledged(receiver: str, ledger: Ledger) -> None:
    answer = posted(receiver)

    assert (answer.status_code, answer.json()) == (200, {"hints": 1, "new": 1})
    [waiting] = ledger.events.waiting_hints(10)
    assert (waiting.hint.entity, waiting.hint.company, waiting.hint.key) == ("sales_order", "usmf", "001234")


def test_the_handshake_of_event_grid_is_answered_with_its_code(receiver: str, ledger: Ledger) -> None:
    answer = posted(receiver, body=a_handshake("code-1"), headers=GOOD | {"aeg-event-type": "SubscriptionValidation"})

    assert (answer.status_code, answer.json()) == (200, {"validationResponse": "code-1"})
    assert ledger.events.waiting() == 0


def test_salesforce_is_told_exactly_what_it_waits_for(receiver: str, ledger: Ledger) -> None:
    answer = posted(receiver, "salesforce", an_outbound_message(), headers={}, params={"key": KEY})

    assert (answer.status_code, answer.content) == (200, ACKNOWLEDGEMENT)
    assert answer.headers["content-type"].startswith("text/xml")
    assert [each.hint.key for each in ledger.events.waiting_hints(10)] == [OPPORTUNITY]


@pytest.mark.parametrize("path", ["d365", "salesforce"])
@pytest.mark.parametrize(
    "given",
    [
        {"headers": {}},
        {"headers": {"X-Tieout-Key": ""}},
        {"headers": {"X-Tieout-Key": KEY + "x"}},
        {"headers": {}, "params": {"key": "wrong"}},
        {"headers": {"X-Tieout-Key": "ключ".encode()}},
    ],
)
def test_without_the_key_nothing_is_taken(receiver: str, ledger: Ledger, path: str, given: dict[str, object]) -> None:
    body = an_outbound_message() if path == "salesforce" else None

    answer = posted(receiver, path, body, **given)

    assert answer.status_code == 401
    assert KEY not in answer.text
    assert ledger.events.waiting() == 0


def test_repeats_and_disorder_are_kept_once(receiver: str, ledger: Ledger) -> None:
    events = [a_business_event(EventId=f"E-{number}", SalesId=f"T-{number}") for number in range(3)]

    answers = [
        posted(receiver, body=in_event_grid(*some)).json()["new"]
        for some in (events[2:], events, events[::-1], [events[0]] * 3)
    ]

    assert answers == [1, 2, 0, 0]
    assert sorted(each.hint.key for each in ledger.events.waiting_hints(10)) == ["T-0", "T-1", "T-2"]


def test_a_plain_event_and_the_same_through_event_grid_are_one(receiver: str, ledger: Ledger) -> None:
    posted(receiver, body=json.dumps(a_business_event()).encode())
    posted(receiver)

    assert ledger.events.waiting() == 1


def test_a_repeat_of_what_was_handled_does_not_wait_again(receiver: str, ledger: Ledger) -> None:
    posted(receiver)
    ledger.events.all_handled([each.id for each in ledger.events.waiting_hints(10)])

    posted(receiver)

    assert ledger.events.waiting_span() is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("d365", b"{"),
        ("d365", b'{"BusinessEventId": "x"}'),
        ("salesforce", b"<a"),
        ("salesforce", an_outbound_message(a_notification(fields=""))),
    ],
)
def test_what_is_malformed_is_refused_with_its_reason_and_not_acknowledged(
    receiver: str, ledger: Ledger, path: str, body: bytes
) -> None:
    answer = posted(receiver, path, body)

    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 20
    assert ledger.events.waiting() == 0


def test_a_message_that_says_that_it_is_too_large_is_not_read(receiver: str) -> None:
    with socket.create_connection(
        (urlsplit(receiver).hostname or "", urlsplit(receiver).port or 0), timeout=10
    ) as caller:
        head = f"POST /events/d365 HTTP/1.1\r\nHost: x\r\nX-Tieout-Key: {KEY}\r\nContent-Length: {LARGEST_BYTES + 1}\r\n\r\n"
        caller.sendall(head.encode())

        assert caller.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_message_that_grows_too_large_is_cut_off(receiver: str) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(500):
            sent += 1
            yield b" " * 64 * 1024

    with contextlib.suppress(requests.ConnectionError):
        answer = posted(receiver, body=endless())  # type: ignore[arg-type]
        assert answer.status_code == 413
    assert sent < 500


def test_a_message_of_another_organisation_is_refused(ledger: Ledger) -> None:
    with listening(create_events_app(ledger, EventSettings(KEY, ORGANIZATION))) as address:
        mine = posted(address, "salesforce", an_outbound_message())
        other = posted(address, "salesforce", an_outbound_message(organization="00D000000000001AAA"))

    assert (mine.status_code, other.status_code) == (200, 403)
    assert ledger.events.waiting() == 1


def test_nothing_is_acknowledged_that_could_not_be_kept() -> None:
    away = Ledger(connect("postgresql+psycopg2://me:secret@127.0.0.1:1/none"))
    with listening(create_events_app(away, EventSettings(KEY))) as address:
        answers = [posted(address), posted(address, "salesforce", an_outbound_message())]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert ACKNOWLEDGEMENT not in answers[1].content


def test_the_desk_receives_events_only_where_a_secret_is_set(
    tmp_path: Path, ledger: Ledger, contracts: Contracts
) -> None:
    with (
        served(tmp_path, ledger, contracts) as without,
        listening(create_app(without.desk, SECRET, EventSettings(KEY))) as address,
    ):
        answers = [
            posted(without.address).status_code,
            posted(address).status_code,
            posted(address, headers={}).status_code,
        ]

    assert answers == [404, 200, 401]


def test_a_secret_that_is_in_a_file_is_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("a-secret-of-the-platform-itself")
    monkeypatch.setenv("TIEOUT_EVENTS_SECRET", f"file:{tmp_path / 'secret'}")

    assert event_settings(None) == EventSettings("a-secret-of-the-platform-itself")


def test_a_secret_that_can_be_guessed_is_refused_at_the_start() -> None:
    assert EventSettings.from_environment({}) is None
    with pytest.raises(ConfigurationError, match="fewer than 16"):
        EventSettings.from_environment({"TIEOUT_EVENTS_SECRET": "short"})
    with pytest.raises(ConfigurationError, match="begins with 00D"):
        EventSettings.from_environment({"TIEOUT_EVENTS_SECRET": "x" * 32, "TIEOUT_SALESFORCE_ORGANIZATION_ID": "acme"})
    assert "canary" not in repr(EventSettings("canary-" * 4))
