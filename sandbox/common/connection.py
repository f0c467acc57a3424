"""The connection under a request, in the hands of the layers above it: to be reset, closed, or held in silence."""

from __future__ import annotations

import asyncio
import socket
import struct

from starlette.types import ASGIApp, Receive, Scope, Send

NAME = "connection"
_NO_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 seconds: closing then sends a reset, and what was not sent yet is thrown away."""


class Connection:
    """What one request came through; of use as long as its answer is not complete."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        # uvicorn's `send` belongs to the request's cycle, which holds the connection.
        self._cycle = send.__self__  # type: ignore[attr-defined]

    async def reset(self) -> None:
        """Break it: the caller sees a reset. Returns when the server knows that it is gone."""
        transport = self._cycle.transport
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        transport.abort()
        await self._gone()

    async def close(self) -> None:
        """Close it once all that was written has left. Returns when the server knows that it is gone."""
        self._cycle.transport.close()
        await self._gone()

    async def hold(self, seconds: float) -> None:
        """Say nothing for `seconds`, or until the caller hangs up; then close it."""
        try:
            await asyncio.wait_for(self._gone(), seconds)
        except TimeoutError:
            await self.close()

    async def _gone(self) -> None:
        while not self._cycle.disconnected:
            await self._receive()


class ConnectionLayer:
    """The outermost ASGI layer: the layers within find the Connection in the scope's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})[NAME] = Connection(receive, send)
        await self._app(scope, receive, send)
