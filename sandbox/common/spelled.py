"""The ASGI layer that spells the names of headers as systems do that do not speak HTTP/2: `Content-Type`, `Sforce-Locator`.

Names mean the same in any case, but not every client knows: Airbyte's looks for `content-type` in a plain dict of the answer's headers, and
reads it in a way that fails, which nobody noticed because Salesforce writes `Content-Type`.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SERVED_BY = "h11"
"""The one of uvicorn's two ways to speak HTTP/1.1 that leaves the spelling as it is."""


class SpelledLayer:
    """Sends the names of headers with capitals."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def spelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [(name.title(), value) for name, value in message.get("headers", [])]
            await send(message)

        # uvicorn's `send` belongs to a cycle that layers within look for, so it stays within their reach.
        await self._app(scope, receive, spelled)
