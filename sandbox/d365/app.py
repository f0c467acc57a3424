"""The D365 sandbox as an application: OData under `/data`, Entra under the tenant, the test-only routes.

The same process and the same tenant have a Dataverse environment (`/api/data/v9.2`) and Graph (`/v1.0`), where a log may go.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from sandbox.common.announcing import Announcer
from sandbox.common.clock import Clock
from sandbox.common.connection import ConnectionLayer
from sandbox.common.control import control_routes
from sandbox.common.credentials import Credentials
from sandbox.common.dated import DatedLayer
from sandbox.common.fault_routes import add_rules_of_file, fault_routes
from sandbox.common.faults import Faults
from sandbox.common.journal import Journal
from sandbox.common.recording import RecordingLayer
from sandbox.common.serve import Listening, serve_made
from sandbox.common.switches import Switches
from sandbox.d365.addressing import ROOT, Target, address_of
from sandbox.d365.batch import answer_batch
from sandbox.d365.business_events import BusinessEvents
from sandbox.d365.data_management import ACTIONS, OUTCOMES, DataManagement
from sandbox.d365.entra import Entra
from sandbox.d365.errors import Answer, RequestRefusedError, unauthorized
from sandbox.d365.faults import FORMS, KINDS
from sandbox.d365.posting import Posting
from sandbox.d365.renaming import Renaming
from sandbox.d365.rules import CUT, REFUSE, Rulebook
from sandbox.d365.service import Operation, Service
from sandbox.d365.store import DEFAULT_COMPANY, Store
from sandbox.d365.tokens import Tokens
from sandbox.dataverse import service as dataverse
from sandbox.graph import service as graph
from sandbox.graph.faults import KINDS as GRAPH_KINDS

SYSTEM = "d365"
STATE_FILE = "d365.sqlite"
KEY_FILE = "d365-token.key"
PACKAGES = "d365-packages"
DEFAULT_URLS = ("http://127.0.0.1:8220", "https://127.0.0.1:8221")

SWITCHES = {
    "default_company": DEFAULT_COMPANY,
    "page_size": 10_000,
    "next_link_scheme": "",
    "string_functions": False,
    "if_match_is_honoured": False,
    "manual_sales_order_numbers": True,
    "manual_customer_accounts": True,
    "site_is_mandatory": True,
    "long_text": REFUSE,
    "write_error_status": 400,
    "token_lifetime_s": 0,
    "client_secret": "",
    "forbidden_sets": [],
    **dataverse.SWITCHES,
    **graph.SWITCHES,
    "hidden_companies": [],
    "package_progress": ["NotRun", "Executing"],
    "package_outcome": OUTCOMES[0],
    "package_url_lifetime_s": 3600,
}
"""Behaviours that vary between environments or are not known of the real system, with their defaults."""
CHOICES = {"long_text": (REFUSE, CUT), "next_link_scheme": ("", "http", "https"), "package_outcome": OUTCOMES}


class D365:
    """One environment: its state and what speaks for it."""

    def __init__(self, state_dir: Path, urls: Collection[str], credentials: Credentials) -> None:
        self.clock = Clock()
        self.switches = Switches(SWITCHES, CHOICES)
        self.store = Store(state_dir / STATE_FILE)
        # In the same file, so that an effect and its entry are one transaction.
        self.journal = Journal(state_dir / STATE_FILE, self.clock)
        self.tokens = Tokens(state_dir / KEY_FILE, self.clock, credentials, urls)
        self.faults = Faults(self.journal, FORMS, (*KINDS, *GRAPH_KINDS))
        book = Rulebook(self.store, self.clock, self.switches)
        self._service = Service(book, self.journal, self.faults)
        self._entra = Entra(self.tokens, credentials, self.clock, self.switches, state_dir)
        self._posting = Posting(book, self.journal)
        self._renaming = Renaming(book, self.journal)
        self._dataverse = dataverse.Dataverse(
            self.store, self.journal, self.clock, self.switches, self._lets_request_in
        )
        self._graph = graph.Graph(
            self.store, self.journal, self.clock, self.switches, self.faults, self._lets_request_in
        )
        self._packages = DataManagement(book, self.journal, state_dir / PACKAGES)
        self._announcer = Announcer(state_dir / STATE_FILE, self.clock, BusinessEvents)

    def application(self) -> ASGIApp:
        """The ASGI application with its layers."""
        routes = [
            *control_routes(
                SYSTEM,
                journal=self.journal,
                clock=self.clock,
                switches=self.switches,
                counts=self._counts,
                expire_tokens=self.tokens.expire_all,
            ),
            *fault_routes(self.faults),
            *self._posting.routes(),
            *self._renaming.routes(),
            *self._announcer.routes(),
            *self._packages.routes(),
            Route(f"{ACTIONS}{{action}}", self._package_action, methods=["POST"]),
            Route(ROOT, self._odata, methods=["GET"]),
            Route(f"{ROOT}/{{rest:path}}", self._odata, methods=["GET", "POST", "PATCH", "PUT", "DELETE"]),
            *self._dataverse.routes(),
            *self._graph.routes(),
            *self._entra.routes(),
        ]
        faulty = self.faults.layer(
            Starlette(routes=routes), expire_tokens=self.tokens.expire_all, admitted=self._is_admitted
        )
        return ConnectionLayer(DatedLayer(RecordingLayer(faulty, self.journal), self.clock))

    def close(self) -> None:
        """Close the state."""
        self.journal.close()
        self.store.close()

    async def _odata(self, request: Request) -> Response:
        operation = Operation(
            method=request.method,
            raw_path=request.scope["raw_path"].decode("utf-8", errors="replace").partition("?")[0],
            query=request.scope["query_string"].decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.body(),
            base=f"{request.url.scheme}://{request.headers.get('host', '')}",
            request_id=request.state.request_id,
        )
        answer = self._answer(operation, self._lets_request_in(request))
        headers = {"OData-Version": "4.0", **answer.headers}
        return Response(answer.body, answer.status, headers)

    def _counts(self) -> dict[str, int]:
        logs = {"new_integrationlogs": self._dataverse.count(), "listItems": self._graph.count()}
        return self.store.counts() | logs

    def _lets_request_in(self, request: Request) -> bool:
        admitted = getattr(request.state, "admitted", None)
        return self._lets_in(request.headers) if admitted is None else bool(admitted)

    async def _package_action(self, request: Request) -> Response:
        admitted = getattr(request.state, "admitted", None)
        base = f"{request.url.scheme}://{request.headers.get('host', '')}"
        try:
            if not (self._is_admitted(request.scope) if admitted is None else admitted):
                raise unauthorized()
            body, action = await request.body(), request.path_params["action"]
            answer = self._packages.act(action, body, base, request.state.request_id)
        except RequestRefusedError as refused:
            answer = refused.answer
        return Response(answer.body, answer.status, {"OData-Version": "4.0", **answer.headers})

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.tokens.is_live(token.strip())

    def _is_admitted(self, scope: Scope) -> bool:
        return self._lets_in(Headers(scope=scope))

    def _answer(self, operation: Operation, is_admitted: bool) -> Answer:
        try:
            if not is_admitted:
                raise unauthorized()
            if operation.method == "POST" and address_of(operation.raw_path, operation.uri).target is Target.BATCH:
                return answer_batch(self._service, operation)
        except RequestRefusedError as refused:
            return refused.answer
        return self._service.answer(self._service.meeting_conflicts(operation))


def create_app(
    state_dir: Path, urls: Collection[str] = DEFAULT_URLS, credentials: Credentials | None = None
) -> ASGIApp:
    """The application on the state in `state_dir`; `urls` are the addresses whose tokens it accepts."""
    return D365(state_dir, urls, credentials or Credentials.from_environment()).application()


def main(arguments: argparse.Namespace) -> None:
    """Serve until stopped; `arguments` has state, host, port and tls_port, and may have the file `faults`."""
    state_dir = Path(arguments.state)
    with contextlib.ExitStack() as open_state:

        def application(listening: Listening) -> ASGIApp:
            environment = D365(state_dir, (listening.url, listening.tls_url), Credentials.from_environment())
            open_state.callback(environment.close)
            add_rules_of_file(environment.faults, getattr(arguments, "faults", None), SYSTEM)
            return environment.application()

        serve_made(application, arguments.host, arguments.port, arguments.tls_port, state_dir, SYSTEM)
