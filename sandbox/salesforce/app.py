"""The Salesforce sandbox as one ASGI application and as a process."""

import argparse
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.common.announcing import Announcer
from sandbox.common.connection import ConnectionLayer
from sandbox.common.control import control_routes, json_response, refusal
from sandbox.common.dated import DatedLayer
from sandbox.common.fault_routes import add_rules_of_file, fault_routes
from sandbox.common.recording import RecordingLayer
from sandbox.common.serve import serve
from sandbox.common.spelled import SERVED_BY, SpelledLayer
from sandbox.salesforce import oauth
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.event_routes import event_routes
from sandbox.salesforce.org import Org, open_org
from sandbox.salesforce.outbound_messages import OutboundMessages
from sandbox.salesforce.protocol import Answer, json_answer
from sandbox.salesforce.pubsub import PubSubServer, PubSubService
from sandbox.salesforce.records import Records
from sandbox.salesforce.rest import RestApi
from sandbox.salesforce.sessions import Sessions
from sandbox.salesforce.store import FILE_NAME

SYSTEM = "salesforce"
VERBS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
GZIP_FROM_BYTES = 1024
GZIP_LEVEL = 1  # loopback is quick; what counts is the time spent packing

_BULK_1_IS_OFF = {"exceptionCode": "FeatureNotEnabled", "exceptionMessage": "Async API not enabled"}


def main(arguments: argparse.Namespace) -> None:
    """Serves the org in `arguments.state` on `arguments.port` (http) and `arguments.tls_port` (TLS) until told to stop.

    The Pub/Sub API is on `arguments.pubsub_port`; where none is named, two above the port of http, which leaves a place for TLS, or on a free
    one where that is free, too. `arguments.faults` may be a file of rules to begin with.
    """
    state_dir = Path(arguments.state)
    host = getattr(arguments, "host", None) or "127.0.0.1"
    org = open_org(state_dir)
    add_rules_of_file(org.faults, getattr(arguments, "faults", None), SYSTEM)
    sessions = Sessions(org)
    pubsub_port = getattr(arguments, "pubsub_port", None)
    if pubsub_port is None:
        pubsub_port = arguments.port + 2 if arguments.port else 0
    pubsub = PubSubServer(org, sessions, host, pubsub_port)
    app = create_app(org, sessions, pubsub.service)
    serve(app, host, arguments.port, arguments.tls_port, state_dir, SYSTEM, spoken_by=SERVED_BY, beside=pubsub)


def create_app(org: Org, sessions: Sessions, pubsub: PubSubService) -> ASGIApp:
    """The application over an org."""
    door = _Door(org, RestApi(org, sessions), sessions)
    routes = control_routes(
        SYSTEM, journal=org.journal, clock=org.clock, switches=org.switches,
        counts=org.store.counts, expire_tokens=sessions.close_all,
    )  # fmt: skip
    routes += fault_routes(org.faults)
    routes += _recycle_bin_routes(org)
    routes += event_routes(org, pubsub)
    routes += Announcer(org.state_dir / FILE_NAME, org.clock, OutboundMessages).routes()
    routes += [
        Route("/services/oauth2/token", door.token, methods=["POST"]),
        Route("/services/oauth2/revoke", door.revoke, methods=["GET", "POST"]),
        Route("/services/oauth2/userinfo", door.identity, methods=["GET", "POST"]),
        Route("/id/{org}/{user}", door.identity, methods=["GET"]),
        Route("/services/async/{rest:path}", door.bulk_1, methods=VERBS),
        Route("/services/data", door.rest, methods=VERBS),
        Route("/services/data/{rest:path}", door.rest, methods=VERBS),
    ]
    application = Starlette(routes=routes)
    application.router.redirect_slashes = False
    faulty = org.faults.layer(
        application,
        expire_tokens=sessions.close_all,
        admitted=lambda scope: sessions.is_live(Headers(scope=scope).get("authorization", "")),
    )
    return ConnectionLayer(SpelledLayer(DatedLayer(RecordingLayer(faulty, org.journal), org.clock)))


class _Door:
    """From ASGI requests to calls, and from answers to ASGI responses."""

    def __init__(self, org: Org, api: RestApi, sessions: Sessions) -> None:
        self._org = org
        self._api = api
        self._sessions = sessions

    async def rest(self, request: Request) -> Response:
        raw_path = request.scope.get("raw_path") or request.scope["path"].encode()
        path = raw_path.partition(b"?")[0].decode("latin-1")
        body = await request.body()
        if request.headers.get("content-encoding", "").lower() == "gzip":
            body = gzip.decompress(body)
        answer = self._api.answer(
            request.method, path, _single(request.query_params.multi_items()), _lower(request), body,
            request_id=request.state.request_id, base_url=_base_url(request), uri_bytes=_uri_bytes(request), head_bytes=_head_bytes(request),
            admitted=getattr(request.state, "admitted", None),
        )  # fmt: skip
        return self._response(request, answer)

    async def token(self, request: Request) -> Response:
        answer = oauth.token(self._org, self._sessions, await request.body(), _lower(request), _base_url(request))
        return self._response(request, answer)

    async def revoke(self, request: Request) -> Response:
        given = (await request.body()).decode("utf-8", "replace") if request.method == "POST" else request.url.query
        self._sessions.close(dict(parse_qsl(given)).get("token", ""))
        return self._response(request, Answer())

    async def identity(self, request: Request) -> Response:
        if not self._sessions.is_live(request.headers.get("authorization", "")):
            return self._response(request, Answer(403, b"Bad_OAuth_Token", "text/plain"))
        return self._response(request, json_answer(oauth.identity(_base_url(request))))

    async def bulk_1(self, request: Request) -> Response:
        return self._response(request, json_answer(_BULK_1_IS_OFF, 400))

    def _response(self, request: Request, answer: Answer) -> Response:
        headers = dict(answer.headers)
        body = answer.body
        if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body, GZIP_LEVEL)
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        if request.method == "HEAD" or answer.status in (204, 304):
            body = b""
        response = Response(body, answer.status, headers)
        if answer.status not in (204, 304):
            response.headers["Content-Type"] = answer.content_type
        return response


def _recycle_bin_routes(org: Org) -> list[Route]:
    """What people do in the real user interface and no REST call can: undelete, merge, empty the recycle bin."""

    async def undelete(request: Request) -> Response:
        return await _done(request, lambda records, body: [records.undelete(str(each)) for each in body["ids"]])

    async def merge(request: Request) -> Response:
        return await _done(request, lambda records, body: records.merge(str(body["master"]), str(body["loser"])))

    async def purge(request: Request) -> Response:
        return await _done(request, lambda records, body: [records.purge(str(each)) for each in body["ids"]])

    async def _done(request: Request, change: Any) -> Response:
        try:
            change(Records(org, request.state.request_id), await request.json())
        except SalesforceError as problem:
            return refusal(problem.message)
        except (KeyError, TypeError, ValueError) as problem:
            return refusal(f"The body is not what this route takes: {problem}")
        return json_response({"done": True})

    return [
        Route("/_sandbox/undelete", undelete, methods=["POST"]),
        Route("/_sandbox/merge", merge, methods=["POST"]),
        Route("/_sandbox/purge", purge, methods=["POST"]),
    ]


def _single(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    return dict(pairs)


def _lower(request: Request) -> Mapping[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _base_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def _uri_bytes(request: Request) -> int:
    return len(request.scope.get("raw_path") or b"") + len(request.scope["query_string"])


def _head_bytes(request: Request) -> int:
    return _uri_bytes(request) + sum(len(name) + len(value) + 4 for name, value in request.scope["headers"])
