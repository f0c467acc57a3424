"""The ASGI layer that writes every request and its answer into the journal."""

from __future__ import annotations

import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.common.body import replayed, whole_body
from sandbox.common.journal import ANSWERED, ASKED, Journal, body_text, without_secrets

REFUSED_FROM = 400
"""Bodies of answers are kept from this status on: what was given is in the effects, what was refused only here."""


class RecordingLayer:
    """Records asked before the application runs and answered after; `request.state.request_id` joins the effects.

    The sandbox's own reading routes (`GET /_sandbox/…`) are not traffic of the system and leave no entry.
    """

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app = app
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope.setdefault("state", {}).setdefault("request_id", uuid.uuid4().hex)
        if scope["type"] != "http" or (scope["method"] == "GET" and scope["path"].startswith("/_sandbox/")):
            await self._app(scope, receive, send)
            return
        body = await whole_body(receive)
        named = {"request_id": request_id, "method": scope["method"], "path": scope["path"]}
        self._journal.record(
            ASKED,
            **named,
            query=without_secrets(scope["query_string"].decode("latin-1")) or None,
            bytes=len(body),
            body=body_text(body, _content_type(scope)),
        )
        answer = _Answer(send)
        try:
            await self._app(scope, replayed(body, receive), answer.send)
        finally:
            self._journal.record(
                ANSWERED,
                **named,
                status=answer.status,
                bytes=answer.bytes,
                body=body_text(answer.refusal) if answer.refusal else None,
            )


class _Answer:
    """Counts what goes out."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.bytes = 0
        self.refusal = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            part = message.get("body", b"")
            self.bytes += len(part)
            if self.status is not None and self.status >= REFUSED_FROM:
                self.refusal += part
        await self._send(message)


def _content_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return str(value.decode("latin-1"))
    return ""
