"""The kinds of faults that both sandboxes know, and what each does to a request and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.common import fault_rules as of
from sandbox.common.connection import Connection
from sandbox.common.fault_rules import Kind, Parameter, Rule

GATEWAY_TITLES = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
DEFAULT_DELAY_S = 1.0


@dataclass(frozen=True, slots=True)
class Forms:
    """How a system words what the layer answers in its place: body and content type."""

    error: Callable[[str], tuple[bytes, str]]
    bare_error: tuple[bytes, str]
    throttled: tuple[bytes, str]


@dataclass(slots=True)
class Struck:
    """One request under one rule, with all that a fault needs to have its way."""

    rule: Rule
    forms: Forms
    app: ASGIApp
    scope: Scope
    body: bytes
    send: Send
    later: Callable[[Coroutine[Any, Any, None]], None]
    expire_tokens: Callable[[], int]
    admitted: Callable[[Scope], bool]

    @property
    def connection(self) -> Connection:
        """What the request came through."""
        found: Connection = self.scope["state"]["connection"]
        return found

    async def run(self, send: Send | None = None) -> list[Message]:
        """Let the system act; without `send` its answer is kept and given back."""
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        # A copy, because the application writes into the scope and a request may run twice.
        scope = {**self.scope, "state": dict(self.scope["state"])}
        await self.app(scope, _giving(self.body), send or keep)
        return kept

    async def give(self, messages: list[Message]) -> None:
        """Send an answer that was kept."""
        for message in messages:
            await self.send(message)

    async def answer(
        self, status: int, body: bytes, content_type: str | None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer of the fault's own."""
        named = dict(headers or {})
        if content_type is not None and not any(name.lower() == "content-type" for name in named):
            named["Content-Type"] = content_type
        await Response(body, status, named)(self.scope, _giving(b""), self.send)

    async def gateway_page(self, status: int) -> None:
        """Send the page of a gateway that got no answer from the system."""
        title = f"{status} {GATEWAY_TITLES[status]}"
        page = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
        await self.answer(status, page.encode(), "text/html")


def _giving(body: bytes) -> Receive:
    """A `receive` that gives the body, and then that the caller is gone."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


# --- what each does --------------------------------------------------------------------------------------------


async def refuse(struck: Struck) -> None:
    body, content_type = _given_body(struck.rule)
    await struck.answer(struck.rule["status"], body, content_type, struck.rule["headers"])


async def replace_answer(struck: Struck) -> None:
    await struck.run()
    await refuse(struck)


async def server_error(struck: Struck) -> None:
    if struck.rule["committed"]:
        await struck.run()
    forms = struck.forms
    await struck.answer(500, *(forms.error(struck.rule["message"]) if struck.rule["enveloped"] else forms.bare_error))


async def gateway_page(struck: Struck) -> None:
    if struck.rule["committed"]:
        await struck.run()
    await struck.gateway_page(struck.rule["status"])


async def drop(struck: Struck) -> None:
    await struck.connection.reset()


async def lose_answer(struck: Struck) -> None:
    await struck.run()
    await struck.connection.reset()


async def time_out(struck: Struck) -> None:
    await struck.run()
    await struck.connection.hold(struck.rule["delay_s"])


async def slow_commit(struck: Struck) -> None:
    # Judged when it came: tokens that die meanwhile do not undo what is under way.
    struck.scope["state"]["admitted"] = struck.admitted(struck.scope)

    async def act() -> None:
        await asyncio.sleep(struck.rule["delay_s"])
        await struck.run()

    struck.later(act())
    if struck.rule["status"] is None:
        await struck.connection.reset()
    else:
        await struck.gateway_page(struck.rule["status"])


async def delay(struck: Struck) -> None:
    await asyncio.sleep(struck.rule["delay_s"])
    await struck.run(struck.send)


async def slow_first_byte(struck: Struck) -> None:
    answer = await struck.run()
    await asyncio.sleep(struck.rule["delay_s"])
    await struck.give(answer)


async def cut_body(struck: Struck) -> None:
    start, *parts = await struck.run()
    body = b"".join(part.get("body", b"") for part in parts)
    # An answer without a body cannot be cut in the middle; its head stays away instead.
    if body:
        await struck.send(start)
        await struck.send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await struck.connection.close()


async def duplicate(struck: Struck) -> None:
    async def second(send: Send | None = None) -> None:
        await asyncio.sleep(struck.rule["delay_s"])
        await struck.run(send)

    first = await struck.run()
    if struck.rule["answer"] == "second":
        await second(struck.send)
        return
    struck.later(second())
    await struck.give(first)


async def throttle(struck: Struck) -> None:
    await struck.answer(429, *struck.forms.throttled, retry_after(struck.rule["retry_after_s"]))


async def expire_tokens(struck: Struck) -> None:
    struck.expire_tokens()
    await struck.run(struck.send)


def retry_after(seconds: float | None) -> dict[str, str]:
    """The header that asks for these seconds; none for None."""
    return {} if seconds is None else {"Retry-After": f"{seconds:g}"}


def _given_body(rule: Rule) -> tuple[bytes, str | None]:
    body = rule["body"]
    if not isinstance(body, str):
        return orjson.dumps(body), "application/json;charset=UTF-8"
    return body.encode(), "text/html; charset=utf-8" if body else None


# --- the list --------------------------------------------------------------------------------------------------

_DELAY = {"delay_s": Parameter(of.SECONDS, DEFAULT_DELAY_S)}
_COMMITTED = {"committed": Parameter(of.TRUTH, False)}
_ANSWER = {
    "status": Parameter(of.STATUS, 503),
    "body": Parameter(of.BODY, ""),
    "headers": Parameter(of.HEADERS, {}),
}

Act = Callable[[Struck], Awaitable[None]]
COMMON: tuple[tuple[Kind, Act], ...] = (
    (Kind("refuse", "answers; the system never sees the request", _ANSWER), refuse),
    (Kind("replace_answer", "lets the system act and then answers something else", _ANSWER), replace_answer),
    (
        Kind(
            "server_error",
            "answers 500, with the system's error body or a bare one, before or after it acts",
            {
                "enveloped": Parameter(of.TRUTH, True),
                "message": Parameter(of.TEXT, "The server could not save the row."),
                **_COMMITTED,
            },
        ),
        server_error,
    ),
    (
        Kind(
            "gateway_page",
            "answers a gateway's web page, before or after the system acts",
            {"status": Parameter(of.GATEWAY_STATUS, 502), **_COMMITTED},
        ),
        gateway_page,
    ),
    (Kind("drop", "resets the connection; the system never sees the request"), drop),
    (Kind("lose_answer", "lets the system act and then resets the connection"), lose_answer),
    (Kind("time_out", "lets the system act, says nothing for `delay_s` and closes the connection", _DELAY), time_out),
    (
        Kind(
            "slow_commit",
            "breaks off at once, by a reset or a gateway's page; the system acts `delay_s` later",
            {"status": Parameter(of.GATEWAY_STATUS_OR_NULL, None), **_DELAY},
        ),
        slow_commit,
    ),
    (Kind("delay", "waits `delay_s` before the system acts, whether or not the caller is still there", _DELAY), delay),
    (Kind("slow_first_byte", "lets the system act and answers `delay_s` later", _DELAY), slow_first_byte),
    (Kind("cut_body", "lets the system act, sends half of the answer's body and closes the connection"), cut_body),
    (
        Kind(
            "duplicate",
            "gives the system the request twice, the second time `delay_s` later",
            {"delay_s": Parameter(of.SECONDS, 0), "answer": Parameter(of.one_of("first", "second"), "first")},
        ),
        duplicate,
    ),
    (
        Kind(
            "throttle",
            "answers 429; the system never sees the request",
            {"retry_after_s": Parameter(of.SECONDS_OR_NULL, 1)},
        ),
        throttle,
    ),
    (Kind("expire_tokens", "ends all live tokens right before the request is judged"), expire_tokens),
)
