"""Where the systems say that a record has changed: `POST /events/d365` and `POST /events/salesforce`.

What a message means is in `tieout/events.py`. It is kept in the ledger before it is acknowledged, and whoever knows the secret can do no more
than have records read again. It stands in the desk's process where TIEOUT_EVENTS_SECRET is set, or alone with `tieout events`.
"""

import hmac
import logging
from collections.abc import Callable, Mapping

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from desk.settings import EventSettings
from resources.ledger import Ledger
from tieout.errors import RecordError, TieoutError
from tieout.events import ACKNOWLEDGEMENT, Handshake, d365_message, outbound_message

log = logging.getLogger(__name__)

LARGEST_BYTES = 1024 * 1024
"""Event Grid sends at most 1 MB at once; 100 notifications of Salesforce have some 100 KB."""

KEY_HEADER, KEY_PARAMETER = "x-tieout-key", "key"
"""Where the secret is given. Salesforce and the HTTPS endpoint of D365 can set no header of their own, only an address."""

PREFIX = "/events/"


class _RefusedError(Exception):
    """A message that is not taken, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def event_routes(ledger: Ledger, settings: EventSettings) -> list[Route]:
    """The routes of the receiver."""
    receiver = _Receiver(ledger, settings)
    return [
        Route(f"{PREFIX}d365", receiver.from_d365, methods=["POST"]),
        Route(f"{PREFIX}salesforce", receiver.from_salesforce, methods=["POST"]),
    ]


def create_events_app(ledger: Ledger, settings: EventSettings | None) -> Starlette:
    """The receiver alone; without a secret it takes no events over HTTP and says only that it lives."""

    async def healthz(_: Request) -> Response:
        return Response("ok", media_type="text/plain")

    receiving = [] if settings is None else event_routes(ledger, settings)
    return Starlette(routes=[Route("/healthz", healthz), *receiving])


class _Receiver:
    def __init__(self, ledger: Ledger, settings: EventSettings) -> None:
        self._ledger = ledger
        self._settings = settings

    async def from_d365(self, request: Request) -> Response:
        """One business event, or an array of Event Grid, whose handshake is answered."""
        return await self._answered(request, self._take_d365)

    async def from_salesforce(self, request: Request) -> Response:
        """An outbound message; only this very acknowledgement keeps Salesforce from sending it again."""
        return await self._answered(request, self._take_salesforce)

    async def _answered(self, request: Request, take: Callable[[bytes], Response]) -> Response:
        try:
            self._check_secret(request)
            return await run_in_threadpool(take, await _limited_body(request))
        except _RefusedError as refused:
            # What is left of the body is not waited for.
            return _json({"error": str(refused)}, refused.status, {"connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)
        except RecordError as problem:
            log.warning("events.malformed", extra={"path": request.url.path, "problem": str(problem)})
            return _json({"error": str(problem)}, 400)
        except TieoutError as problem:
            # The ledger is away: nothing is acknowledged, so the sender comes again.
            log.error("events.not_kept", extra={"path": request.url.path, "problem": str(problem)})
            return _json({"error": "The event could not be kept. Send it again."}, 503)

    def _take_d365(self, body: bytes) -> Response:
        message = d365_message(body)
        if isinstance(message, Handshake):
            log.info("events.handshake")
            return _json({"validationResponse": message.code})
        new = self._ledger.events.receive_hints(message)
        log.info("events.received", extra={"source": "d365", "hints": len(message), "new": new})
        return _json({"hints": len(message), "new": new})

    def _take_salesforce(self, body: bytes) -> Response:
        message = outbound_message(body)
        wanted = self._settings.organization_id
        if wanted and not message.is_from(wanted):
            log.warning("events.wrong_organization", extra={"organization_id": message.organization_id[:18]})
            raise _RefusedError(
                403, "The message is from another organisation. Check TIEOUT_SALESFORCE_ORGANIZATION_ID."
            )
        new = self._ledger.events.receive_hints(message.hints)
        log.info("events.received", extra={"source": "salesforce", "hints": len(message.hints), "new": new})
        return Response(ACKNOWLEDGEMENT, media_type="text/xml; charset=utf-8")

    def _check_secret(self, request: Request) -> None:
        given = request.headers.get(KEY_HEADER) or request.query_params.get(KEY_PARAMETER, "")
        # Compared in constant time, so that the time of a refusal tells nothing of the secret.
        if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self._settings.secret.encode()):
            raise _RefusedError(401, "The key is missing or wrong.")


async def _limited_body(request: Request) -> bytes:
    """The body; more than is allowed is refused as soon as it is announced or has come, not when all of it is here."""
    announced = request.headers.get("content-length", "0")
    too_large = _RefusedError(413, f"The message is larger than {LARGEST_BYTES} bytes.")
    if not announced.isdigit() or int(announced) > LARGEST_BYTES:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BYTES:
            raise too_large
    return bytes(body)


def _json(content: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")
