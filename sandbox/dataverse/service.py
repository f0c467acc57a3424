"""The Dataverse Web API below `/api/data/v9.2/`: the table's definition, reading it, and `UpsertMultiple`, within its limits."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.clock import Clock, iso_ms
from sandbox.common.control import json_response
from sandbox.common.journal import EFFECT, Journal
from sandbox.common.switches import Switches
from sandbox.d365.store import Store
from sandbox.dataverse.table import ATTRIBUTES, ENTITY_SET, ID, KEY, TABLE, RowRefusedError, Rows, checked, key_of

ROOT = "/api/data/v9.2"
SWITCHES: Mapping[str, Any] = {
    "dataverse_rows_per_call": 1000,
    "dataverse_requests": 6000,
    "dataverse_window_s": 300,
    "dataverse_key_status": "Active",
    "dataverse_application_user": True,
}
"""Service protection as Microsoft publishes it (requests of a user in a sliding window), and how far the environment is set up."""

_UPSERT = "Microsoft.Dynamics.CRM.UpsertMultiple"
_DEFINITION = re.compile(r"EntityDefinitions\(LogicalName='([^']*)'\)(?:/Attributes/Microsoft\.Dynamics\.CRM\.(\w+))?")
_BY_KEY = re.compile(rf"{KEY} eq '((?:[^']|'')*)'")


class Dataverse:
    """One environment; its state is in the file of the D365 sandbox, so that an effect and its entry are one transaction."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        clock: Clock,
        switches: Switches,
        lets_in: Callable[[Request], bool],
    ) -> None:
        self._store = store
        self._journal = journal
        self._clock = clock
        self._switches = switches
        self._lets_in = lets_in
        self._rows = Rows(store.connection)
        self._asked: deque[float] = deque()

    def routes(self) -> list[Route]:
        """The routes of the Web API."""
        return [Route(f"{ROOT}/{{rest:path}}", self._serve, methods=["GET", "POST"])]

    def count(self) -> int:
        """Rows of the table."""
        return self._rows.count()

    async def _serve(self, request: Request) -> Response:
        try:
            if not self._lets_in(request):
                raise RowRefusedError(
                    "0x80040217", "The access token is missing, expired or for another resource.", 401
                )
            if not self._switches["dataverse_application_user"]:
                raise RowRefusedError("0x80072560", "The user is not a member of the organization.", 403)
            wait_s = self._wait_s()
            if wait_s:
                return self._throttled(wait_s)
            path = unquote(str(request.path_params["rest"]))
            if request.method == "POST":
                if path != f"{ENTITY_SET}/{_UPSERT}":
                    raise _no_resource(path)
                self._upsert(await request.body(), request.state.request_id)
                return Response(status_code=204, headers=self._headers())
            return json_response_of(self._read(path, request.query_params), self._headers())
        except RowRefusedError as refused:
            return _error(refused, self._headers())

    # --- writing -----------------------------------------------------------------------------------------------

    def _upsert(self, body: bytes, request_id: str) -> None:
        """All targets or none: a standard table."""
        try:
            told = json.loads(body, parse_float=Decimal)
            targets = told["Targets"]
        except (ValueError, KeyError, TypeError):
            raise RowRefusedError("0x80048d19", "The body has no Targets.") from None
        most = self._switches["dataverse_rows_per_call"]
        if not isinstance(targets, list) or not 0 < len(targets) <= most:
            raise RowRefusedError("0x80060888", f"Targets has to hold 1 to {most} rows.")
        if self._switches["dataverse_key_status"] != "Active":
            raise RowRefusedError("0x80060892", f"The alternate key {KEY} of {TABLE} is not active.")
        keys = [key_of(target) for target in targets]
        if len({key.lower() for key in keys}) < len(keys):
            raise RowRefusedError("0x80060893", "Targets has a key twice.")
        now = iso_ms(self._clock.now())
        with self._store.transaction() as connection:
            made = [self._rows.upsert(key, checked(target), now) for key, target in zip(keys, targets, strict=True)]
            self._journal.record_many(
                [
                    {
                        "phase": EFFECT,
                        "request_id": request_id,
                        "effect": "created" if is_new else "updated",
                        "entity": TABLE,
                        "key": key,
                    }
                    for key, is_new in zip(keys, made, strict=True)
                ],
                connection=connection,
            )

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        if path == "WhoAmI":
            return {
                "UserId": "b5a2f0a4-0000-4000-8000-000000000001",
                "OrganizationId": "b5a2f0a4-0000-4000-8000-000000000002",
            }
        definition = _DEFINITION.fullmatch(path)
        if definition is not None:
            return self._definition(definition[1], definition[2])
        if path != ENTITY_SET:
            raise _no_resource(path)
        key = None
        if "$filter" in query:
            found = _BY_KEY.fullmatch(query["$filter"].strip())
            if found is None:
                raise RowRefusedError("0x80060888", "The sandbox filters by the key only.")
            key = found[1].replace("''", "'")
        answer: dict[str, Any] = {"value": self._rows.read(key, int(query.get("$top", 5000)))}
        if query.get("$count") == "true":
            answer["@odata.count"] = self._rows.count()
        return answer

    def _definition(self, table: str, kind: str | None) -> dict[str, Any]:
        if table != TABLE:
            raise RowRefusedError("0x80060888", f"Could not find an entity with name '{table}'.", 404)
        if kind is not None:
            wanted = kind.removesuffix("AttributeMetadata")
            lengths = [each for each in ATTRIBUTES.values() if each.kind == wanted]
            return {"value": [{"LogicalName": each.name, "MaxLength": each.longest} for each in lengths]}
        return {
            "LogicalName": TABLE,
            "EntitySetName": ENTITY_SET,
            "PrimaryIdAttribute": ID,
            "Attributes": [{"LogicalName": each.name, "AttributeType": each.kind} for each in ATTRIBUTES.values()],
            "Keys": [{"KeyAttributes": [KEY], "EntityKeyIndexStatus": self._switches["dataverse_key_status"]}],
        }

    # --- limits ------------------------------------------------------------------------------------------------

    def _wait_s(self) -> int:
        """Seconds until the window has room again; 0 where it has. A call that is refused does not count."""
        now, window = self._clock.timestamp(), self._switches["dataverse_window_s"]
        while self._asked and self._asked[0] <= now - window:
            self._asked.popleft()
        if len(self._asked) < self._switches["dataverse_requests"]:
            self._asked.append(now)
            return 0
        return int(max(1, round(self._asked[0] + window - now + 0.5)))

    def _throttled(self, wait_s: int) -> Response:
        most, window = self._switches["dataverse_requests"], self._switches["dataverse_window_s"]
        message = f"Number of requests exceeded the limit of {most} over time window of {window} seconds."
        return _error(RowRefusedError("0x80072322", message, 429), {**self._headers(), "Retry-After": str(wait_s)})

    def _headers(self) -> dict[str, str]:
        left = max(0, self._switches["dataverse_requests"] - len(self._asked))
        return {"OData-Version": "4.0", "x-ms-ratelimit-burst-remaining-xrm-requests": str(left)}


def json_response_of(content: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """JSON with the headers that every answer has."""
    answer = json_response(content)
    answer.headers.update(headers)
    return answer


def _error(refused: RowRefusedError, headers: Mapping[str, str]) -> Response:
    answer = json_response({"error": {"code": refused.code, "message": str(refused)}}, refused.status)
    answer.headers.update(headers)
    return answer


def _no_resource(path: str) -> RowRefusedError:
    return RowRefusedError("0x80060888", f"Resource not found for the segment '{path}'.", 404)
