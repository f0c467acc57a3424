"""The ASGI layer that dates every answer by the sandbox's own clock.

A server's own `Date` header may be a second old when it is busy. Readers take it for the time of their read, so it has to be exact.
"""

from __future__ import annotations

from email.utils import format_datetime

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.common.clock import Clock


class DatedLayer:
    """Sends `Date` with every answer: the moment at which it begins, in whole seconds."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Date", format_datetime(self._clock.now(), usegmt=True))
            await send(message)

        await self._app(scope, receive, dated)
