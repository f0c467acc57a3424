"""Announcing what took effect to those who have subscribed: a thread that follows the journal and posts.

The journal knows only what was committed, so nothing is announced that did not happen. What an announcement looks like, and what is done when
nobody listens, differs between the systems: each has a subscriber of its own. Subscriptions live as long as the process.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson
import requests
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.clock import Clock
from sandbox.common.control import json_response, refusal
from sandbox.common.journal import EFFECT, Journal

LOOK_EVERY_S = 0.05
ANSWER_WITHIN_S = 10.0
EFFECTS_AT_ONCE = 500

Effect = Mapping[str, Any]


class SubscriptionRefusedError(Exception):
    """A subscription that cannot be made; the message says why."""


@dataclass
class Mishaps:
    """What goes wrong on the way, as shares from 0 to 1: `gaps` are never sent, `repeats` are sent twice, `disorder` after the next one.

    The same `seed` makes the same mishaps.
    """

    repeats: float = 0.0
    disorder: float = 0.0
    gaps: float = 0.0
    seed: int = 0
    _chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("repeats", "disorder", "gaps"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise SubscriptionRefusedError(f"`{name}` is a share from 0 to 1.")
        self._chance = random.Random(self.seed)

    def strikes(self, name: str) -> bool:
        """Whether the mishap `name` meets the next announcement."""
        return self._chance.random() < float(getattr(self, name))


class Subscriber(Protocol):
    """One address that is told of effects."""

    def take(self, effect: Effect) -> None:
        """Hear of one effect; what it makes of it is sent later."""

    def send(self, now_s: float) -> None:
        """Send what is due at `now_s` (monotonic seconds)."""

    def as_json(self) -> dict[str, Any]:
        """What it is and how far it is; `waiting` counts what is not sent yet."""


class Announcer:
    """The subscribers of one system, and the thread that serves them from the first subscription on."""

    def __init__(self, journal_file: Path, clock: Clock, subscribe: Callable[[Mapping[str, Any]], Subscriber]) -> None:
        self._file = journal_file
        self._clock = clock
        self._subscribe = subscribe
        self._subscribers: list[Subscriber] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._followed = 0

    def routes(self) -> list[Route]:
        """`/_sandbox/subscriptions`: POST adds one, GET lists them, DELETE removes all."""
        return [Route("/_sandbox/subscriptions", self._answer, methods=["GET", "POST", "DELETE"])]

    async def _answer(self, request: Request) -> Response:
        if request.method == "POST":
            try:
                wanted = orjson.loads(await request.body())
                if not isinstance(wanted, dict):
                    raise SubscriptionRefusedError("Send a JSON object with `url`.")
                await run_in_threadpool(self._add, wanted)
            except (SubscriptionRefusedError, orjson.JSONDecodeError, TypeError) as problem:
                return refusal(str(problem))
        with self._lock:
            if request.method == "DELETE":
                self._subscribers.clear()
            return json_response({"subscriptions": [each.as_json() for each in self._subscribers]})

    def _add(self, wanted: Mapping[str, Any]) -> None:
        subscriber = self._subscribe(wanted)
        with self._lock:
            if not self._subscribers:
                journal = Journal(self._file, self._clock)
                self._followed = journal.last()
                journal.close()
            self._subscribers.append(subscriber)
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="announcer", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        journal = Journal(self._file, self._clock)
        while True:
            with self._lock:
                subscribers = list(self._subscribers)
                effects = journal.entries(after=self._followed, limit=EFFECTS_AT_ONCE, equal_to={"phase": EFFECT})
                if effects:
                    self._followed = effects[-1]["seq"]
                for subscriber in subscribers:
                    for effect in effects:
                        subscriber.take(effect)
            for subscriber in subscribers:
                subscriber.send(time.monotonic())
            time.sleep(LOOK_EVERY_S)


def address_of(wanted: Mapping[str, Any]) -> str:
    """The `url` of a subscription, with `key` as its parameter where one is given."""
    url, key = wanted.get("url"), wanted.get("key", "")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or not isinstance(key, str):
        raise SubscriptionRefusedError(
            "A subscription has a `url` that begins with http:// or https://, and may have a `key`."
        )
    prepared = requests.Request("POST", url, params={"key": key} if key else None).prepare()
    return str(prepared.url)


def posted(address: str, body: bytes, headers: Mapping[str, str]) -> requests.Response | None:
    """What an address answers; None where nobody does."""
    try:
        return requests.post(address, data=body, headers=dict(headers), timeout=ANSWER_WITHIN_S)
    except requests.RequestException:
        return None
