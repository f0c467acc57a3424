"""Faults on order: lost answers, gateway pages, throttling, delays, for the next requests that match."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.common.body import replayed, whole_body
from sandbox.common.control import json_response, refusal
from sandbox.common.journal import Journal

REFUSE, REPLACE, LOSE, DELAY = "refuse", "replace_answer", "lose_answer", "delay"
KINDS = {
    REFUSE: "answers instead of the system, which never sees the request",
    REPLACE: "lets the system act and then answers something else",
    LOSE: "lets the system act and then closes the connection without an answer",
    DELAY: "waits `delay_s` before the system acts, whether or not the caller is still there",
}
FAULT = "fault"
CLOSING_TURNS = 3
"""Turns of the event loop after which the server knows that the connection is closed."""


@dataclass(slots=True)
class Fault:
    """One kind of fault for the next `times` matching requests, after letting `after` of them through."""

    kind: str
    times: int = 1
    after: int = 0
    method: str = ""
    path: str = ""
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    delay_s: float = 0

    def matches(self, method: str, path: str) -> bool:
        """Whether this request is meant: `path` is a part of its path."""
        return self.times > 0 and self.method in ("", method) and self.path in path

    def is_due(self) -> bool:
        """Count one matching request; true when the fault strikes."""
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


class Faults:
    """The faults that wait for their request."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, wanted: dict[str, Any]) -> None:
        """Order a fault; raises ValueError or TypeError when it is not one."""
        fault = Fault(**wanted)
        if fault.kind not in KINDS:
            raise ValueError(f"There is no fault {fault.kind!r}. Known: {', '.join(KINDS)}.")
        self._waiting.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        self._waiting.clear()

    def striking(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if one is due; the sandbox's own routes are never meant."""
        if path.startswith("/_sandbox/"):
            return None
        for fault in self._waiting:
            if fault.matches(method, path):
                return fault if fault.is_due() else None
        return None

    def routes(self) -> list[Route]:
        """`POST /_sandbox/faults` orders one, `DELETE` forgets all."""
        return [Route("/_sandbox/faults", self._change, methods=["POST", "DELETE"])]

    async def _change(self, request: Request) -> Response:
        if request.method == "DELETE":
            self.clear()
            return json_response({"waiting": 0})
        try:
            self.add(orjson.loads(await request.body()))
        except (TypeError, ValueError) as problem:
            return refusal(str(problem))
        return json_response({"waiting": len(self._waiting)})


class FaultLayer:
    """The outermost ASGI layer: what it does to an answer, the application never learns."""

    def __init__(self, app: ASGIApp, faults: Faults, journal: Journal) -> None:
        self._app = app
        self._faults = faults
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._faults.striking(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if fault is None:
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        self._journal.record(
            FAULT, request_id=request_id, method=scope["method"], path=scope["path"], effect=fault.kind
        )
        if fault.kind == DELAY:
            # Read before the wait: a caller who hangs up meanwhile takes an unread body along.
            body = await whole_body(receive)
            await asyncio.sleep(fault.delay_s)
            await self._app(scope, replayed(body, receive), send)
            return
        if fault.kind != REFUSE:
            await self._app(scope, receive, _into_nothing)
        await asyncio.sleep(fault.delay_s)
        if fault.kind == LOSE:
            await _close(send)
            return
        await Response(fault.body, fault.status, fault.headers)(scope, receive, send)


async def _into_nothing(_message: Message) -> None:
    """An answer that goes nowhere."""


async def _close(send: Send) -> None:
    # uvicorn's `send` belongs to the request's cycle, which holds the connection.
    send.__self__.transport.close()  # type: ignore[attr-defined]
    for _ in range(CLOSING_TURNS):
        await asyncio.sleep(0)
