"""Graph below `/v1.0/`: the list and its columns, reading and making items, and `$batch`, within SharePoint's limits."""

from __future__ import annotations

import json
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.clock import Clock, iso_ms
from sandbox.common.control import json_response
from sandbox.common.fault_kinds import retry_after
from sandbox.common.fault_rules import Rule
from sandbox.common.faults import Faults, asked_of
from sandbox.common.journal import EFFECT, Journal
from sandbox.common.switches import Switches
from sandbox.d365.store import Store
from sandbox.graph.faults import LOSE_ITEM, REFUSE_ITEM, THROTTLE_ITEM
from sandbox.graph.items import FIELDS, KEY, LIST_ID, SITE_ID, ItemRefusedError, Items, checked

ROOT = "/v1.0"
MOST_PARTS = 20
WINDOW_S = 60
UNITS = 2
"""What a list query and the making of an item cost; the sandbox has nothing cheaper."""
SWITCHES: Mapping[str, Any] = {
    "graph_units_per_minute": 1250,
    "graph_key_is_unique": True,
    "graph_duplicate_status": 400,
    "graph_site_is_granted": True,
}
"""SharePoint's budget of an application in a small tenant, how the list is made, and the status of a duplicate, which nobody promises."""

_LIST = re.compile(r"/sites/([^/]+)/lists/([^/]+)(?:/(columns|items))?")
_BY_FIELD = re.compile(r"fields/(\w+) eq '((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Part:
    """One request, alone or of a batch."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    request_id: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Its answer."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Graph:
    """One site with one list; its state is in the file of the D365 sandbox, so that an effect and its entry are one transaction."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        switches: Switches,
        faults: Faults,
        lets_in: Callable[[Request], bool],
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._switches = switches
        self._faults = faults
        self._lets_in = lets_in
        self._items = Items(store.connection)
        self._spent: deque[float] = deque()

    def routes(self) -> list[Route]:
        """The routes of Graph."""
        return [Route(f"{ROOT}/{{rest:path}}", self._serve, methods=["GET", "POST"])]

    def count(self) -> int:
        """Items of the list."""
        return self._items.count()

    async def _serve(self, request: Request) -> Response:
        if not self._lets_in(request):
            return _response(
                _error("InvalidAuthenticationToken", "Access token is empty, expired or not for Graph.", 401)
            )
        try:
            body = json.loads(await request.body() or b"null", parse_float=Decimal)
        except ValueError:
            return _response(_error("BadRequest", "Unable to read JSON request payload."))
        path = "/" + str(request.path_params["rest"])
        if path == "/$batch" and request.method == "POST":
            return self._batch(request, body)
        part = Part(request.method, path, dict(request.query_params), body, request.state.request_id)
        return _response(self._answer(part))

    def _batch(self, request: Request, body: Any) -> Response:
        asked = body.get("requests") if isinstance(body, dict) else None
        if not isinstance(asked, list) or not asked:
            return _response(_error("BadRequest", "Invalid batch payload format."))
        if len(asked) > MOST_PARTS:
            return _response(
                _error("BadRequest", f"Number of batch request steps exceeds the maximum value of {MOST_PARTS}.")
            )
        ids = [str(each.get("id", "")) for each in asked]
        if len(set(ids)) < len(ids) or not all(ids):
            return _response(_error("BadRequest", "Each batch request step needs an id of its own."))
        answers = [self._struck(request, each) for each in asked]
        told = [
            {"id": name, "status": answer.status, "headers": dict(answer.headers), "body": dict(answer.body)}
            for name, answer in zip(ids, answers, strict=True)
        ]
        # Graph answers the parts in any order.
        random.shuffle(told)
        return json_response({"responses": told})

    def _struck(self, request: Request, asked: Mapping[str, Any]) -> Reply:
        text = json.dumps(asked, default=str, ensure_ascii=False)

        def suits(rule: Rule) -> bool:
            return rule.holds in text

        rule = self._faults.strike((THROTTLE_ITEM, REFUSE_ITEM, LOSE_ITEM), asked_of(request.scope), suits)
        if rule is not None and rule.kind == THROTTLE_ITEM:
            return _throttled(rule["retry_after_s"])
        if rule is not None and rule.kind == REFUSE_ITEM:
            return _error("generalException", "General exception while processing")
        answer = self._part(asked, request.state.request_id)
        return answer if rule is None else _error("UnknownError", "", 504)

    def _part(self, asked: Mapping[str, Any], request_id: str) -> Reply:
        path, _, query = str(asked.get("url", "")).partition("?")
        headers = {str(name).lower() for name in asked.get("headers") or {}}
        if asked.get("body") is not None and "content-type" not in headers:
            return _error("BadRequest", "Content-Type header must be specified when the request has a body.")
        values = dict(parse_qsl(query, keep_blank_values=True))
        return self._answer(Part(str(asked.get("method")), unquote(path), values, asked.get("body"), request_id))

    # --- one request -------------------------------------------------------------------------------------------

    def _answer(self, part: Part) -> Reply:
        try:
            wait_s = self._wait_s()
            if wait_s:
                return _throttled(wait_s)
            found = _LIST.fullmatch(part.path)
            if found is None or found[1] != SITE_ID or found[2].lower() != LIST_ID:
                raise ItemRefusedError("itemNotFound", "The resource could not be found.", 404)
            if not self._switches["graph_site_is_granted"]:
                raise ItemRefusedError("accessDenied", "Access denied", 403)
            match part.method, found[3]:
                case "GET", None:
                    return Reply(200, {"id": LIST_ID, "displayName": "Integration log"}, _JSON)
                case "GET", "columns":
                    unique = bool(self._switches["graph_key_is_unique"])
                    return Reply(
                        200, {"value": [each.described(key_is_unique=unique) for each in FIELDS.values()]}, _JSON
                    )
                case "GET", "items":
                    return Reply(200, {"value": self._items.read(self._wanted(part.query), _top(part.query))}, _JSON)
                case "POST", "items":
                    return self._make(part)
            raise ItemRefusedError("BadRequest", "The method is not allowed here.", 405)
        except ItemRefusedError as refused:
            return _error(refused.code, str(refused), refused.status)

    def _wanted(self, query: Mapping[str, str]) -> str | None:
        condition = query.get("$filter")
        if condition is None:
            return None
        found = _BY_FIELD.fullmatch(condition.strip())
        if found is None:
            raise ItemRefusedError("invalidRequest", "The sandbox filters by one field only.")
        if found[1] != KEY or not self._switches["graph_key_is_unique"]:
            raise ItemRefusedError(
                "invalidRequest",
                f"Field '{found[1]}' cannot be referenced in filter or orderby as it is not indexed. Provide the 'Prefer: "
                "HonorNonIndexedQueriesWarningMayFailRandomly' header to allow this, but be warned that such queries may fail on large lists.",
            )
        return found[2].replace("''", "'")

    def _make(self, part: Part) -> Reply:
        given = part.body.get("fields") if isinstance(part.body, dict) else None
        if not isinstance(given, dict):
            raise ItemRefusedError("invalidRequest", "The item has no fields.")
        fields = checked(given)
        key = fields.get(KEY)
        with self._store.transaction() as connection:
            if self._switches["graph_key_is_unique"] and key is not None and self._items.read(key, 1):
                raise ItemRefusedError(
                    "invalidRequest",
                    "One or more fields with unique constraints already has the provided value.",
                    int(self._switches["graph_duplicate_status"]),
                )
            item = self._items.add(fields, iso_ms(self._clock.now()))
            entry = {
                "phase": EFFECT,
                "request_id": part.request_id,
                "effect": "created",
                "entity": "listItem",
                "key": key,
            }
            self._journal.record_many([entry], connection=connection)
        return Reply(201, {"id": str(item), "fields": fields}, _JSON)

    # --- limits ------------------------------------------------------------------------------------------------

    def _wait_s(self) -> int:
        """Seconds until the budget of a minute has room again; 0 where it has. A call that is refused does not count."""
        now = self._clock.timestamp()
        while self._spent and self._spent[0] <= now - WINDOW_S:
            self._spent.popleft()
        if (len(self._spent) + 1) * UNITS <= self._switches["graph_units_per_minute"]:
            self._spent.append(now)
            return 0
        return max(1, round(self._spent[0] + WINDOW_S - now + 0.5)) if self._spent else WINDOW_S


_JSON = {"Content-Type": "application/json"}


def _throttled(wait_s: float | None) -> Reply:
    inner = {"code": "throttledRequest"}
    error = {"code": "activityLimitReached", "message": "The request has been throttled", "innerError": inner}
    return Reply(429, {"error": error}, {**_JSON, **retry_after(wait_s)})


def _error(code: str, message: str, status: int = 400) -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}}, _JSON)


def _response(answer: Reply) -> Response:
    response = json_response(dict(answer.body), answer.status)
    response.headers.update({name: value for name, value in answer.headers.items() if name != "Content-Type"})
    return response


def _top(query: Mapping[str, str]) -> int:
    return int(query.get("$top", 200))
