"""The `/_sandbox/*` routes that both sandboxes share: health, journal, clock, settings, expiry of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.clock import Clock, iso_ms
from sandbox.common.journal import Journal
from sandbox.common.switches import Switches

FILTERS = ("phase", "entity", "effect", "key", "company", "order", "method", "path", "request_id")
DEFAULT_LIMIT = 1000


def control_routes(
    system: str,
    *,
    journal: Journal,
    clock: Clock,
    switches: Switches,
    counts: Callable[[], Mapping[str, int]],
    expire_tokens: Callable[[], int],
) -> list[Route]:
    """The shared routes of the sandbox named `system`.

    `counts` gives rows per table, `expire_tokens` makes every live token dead and says how many there were.
    """

    async def health(_request: Request) -> Response:
        return json_response({"status": "ok", "system": system, "now": iso_ms(clock.now()), "counts": dict(counts())})

    async def read_journal(request: Request) -> Response:
        query = request.query_params
        try:
            after, limit = int(query.get("after", 0)), int(query.get("limit", DEFAULT_LIMIT))
        except ValueError:
            return refusal("`after` and `limit` are whole numbers.")
        entries = journal.entries(
            after=after, limit=limit, equal_to={name: query[name] for name in FILTERS if name in query}
        )
        # With a full page the reader goes on behind its last entry, otherwise behind everything that it has seen.
        reached = entries[-1]["seq"] if entries and len(entries) == limit else max(after, journal.last())
        return json_response({"entries": entries, "next": reached})

    async def set_clock(request: Request) -> Response:
        wanted = await _json_object(request)
        if wanted is None:
            return refusal('Send {"now": "2026-07-30T10:00:00Z"}, {"advance_s": 60} or {"now": null}.')
        try:
            if "now" in wanted:
                if wanted["now"] is None:
                    clock.reset()
                else:
                    moment = datetime.fromisoformat(str(wanted["now"]))
                    clock.set(moment, frozen=bool(wanted.get("frozen", False)))
            if "advance_s" in wanted:
                clock.advance(float(wanted["advance_s"]))
        except (TypeError, ValueError) as problem:
            return refusal(str(problem))
        return json_response({"now": iso_ms(clock.now())})

    async def settings(request: Request) -> Response:
        if request.method == "POST":
            wanted = await _json_object(request)
            if wanted is None:
                return refusal("Send a JSON object of switches.")
            try:
                switches.change(wanted)
            except ValueError as problem:
                return refusal(str(problem))
        return json_response(switches.as_dict())

    async def expire(_request: Request) -> Response:
        return json_response({"expired": expire_tokens()})

    return [
        Route("/_sandbox/health", health, methods=["GET"]),
        Route("/_sandbox/journal", read_journal, methods=["GET"]),
        Route("/_sandbox/clock", set_clock, methods=["POST"]),
        Route("/_sandbox/settings", settings, methods=["GET", "POST"]),
        Route("/_sandbox/tokens/expire", expire, methods=["POST"]),
    ]


def json_response(content: Any, status: int = 200) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


def refusal(message: str) -> Response:
    """What the sandbox's own routes answer to a wrong call."""
    return json_response({"error": message}, 400)


async def _json_object(request: Request) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None
