"""`/services/data/…`: who may call, which resource is meant, and what every answer carries."""

import logging
import re
from collections.abc import Mapping

from sandbox.salesforce import describe, limits, query, record_routes, sobject_collections
from sandbox.salesforce.bulk import BulkRoutes
from sandbox.salesforce.catalogue import ORGANIZATION_ID, USER_ID
from sandbox.salesforce.change_events import origin_of
from sandbox.salesforce.composite import CompositeRoutes
from sandbox.salesforce.errors import SalesforceError, bad_request, not_found, session_expired, unknown_exception
from sandbox.salesforce.faults import LATE_ROWS, WRITES, asked_of_call
from sandbox.salesforce.org import NEWEST_VERSION, OLDEST_VERSION, Org
from sandbox.salesforce.protocol import Answer, Call, Resource, error_answer, json_answer, resource
from sandbox.salesforce.sessions import Sessions

LONGEST_HEAD = 16_384
_log = logging.getLogger(__name__)
_VERSION = re.compile(r"^/services/data/v(\d+\.\d)(?:/(.*))?$")
_SEASONS = ("Winter", "Spring", "Summer")
_FIRST_YEAR, _FIRST_OF_IT = 2021, 50  # version 50.0 was Winter '21


class RestApi:
    """All resources of the org, for calls from outside and for the subrequests of composite calls."""

    def __init__(self, org: Org, sessions: Sessions) -> None:
        self._org = org
        self._sessions = sessions
        self._resources: tuple[Resource, ...] = (
            resource(r"", GET=version_root),
            resource(r"tooling/query", GET=_tooling_query),
            *query.RESOURCES,
            *describe.RESOURCES,
            *sobject_collections.RESOURCES,
            *CompositeRoutes(self.dispatch).resources(),
            *BulkRoutes(org).resources(),
            *limits.RESOURCES,
            *record_routes.RESOURCES,
        )

    def answer(
        self, method: str, path: str, query_values: Mapping[str, str], headers: Mapping[str, str], body: bytes,
        *, request_id: str, base_url: str, uri_bytes: int, head_bytes: int, admitted: bool | None = None,
    ) -> Answer:  # fmt: skip
        """The answer to a call from outside; `path` is as sent, percent-encoded.

        `admitted` tells what was found when a call came that acts later; None lets its session be judged now.
        """
        method = query_values.get("_HttpMethod", method).upper() if method == "POST" else method
        if head_bytes > LONGEST_HEAD:
            return _too_long(uri_bytes)
        if path.rstrip("/") == "/services/data":
            return json_answer(versions()) if method in ("GET", "HEAD") else error_answer(_not_allowed(method, ["GET"]))
        used_up = False
        try:
            match = _VERSION.match(path)
            if match is None or not OLDEST_VERSION <= float(match[1]) <= NEWEST_VERSION:
                raise not_found()
            below = _without_last_slash(match[2] or "")
            answer = self._counted(
                Call(method, below, match[1], query_values, headers, body, request_id, base_url), admitted
            )
        except SalesforceError as refusal:
            answer = error_answer(refusal)
            used_up = refusal.code == limits.EXCEEDED
        except Exception:
            _log.exception("%s %s", method, path)
            answer = error_answer(unknown_exception(request_id))
        finally:
            self._org.changes.origin = ""
        answer.headers["Sforce-Limit-Info"] = limits.usage_header(self._org, used_up=used_up)
        return answer

    def _counted(self, call: Call, admitted: bool | None) -> Answer:
        if not (self._sessions.is_live(call.headers.get("authorization", "")) if admitted is None else admitted):
            raise session_expired()
        self._org.changes.origin = origin_of(call.version, _client_of(call))
        self._org.count_call()
        limits.refuse_beyond_limit(self._org, call)
        _check_media_type(call)
        if call.method in WRITES:
            late = self._org.faults.strike((LATE_ROWS,), asked_of_call(call))
            if late is not None:
                with self._org.late.writing(late["delay_s"]):
                    return self.dispatch(self._org, call)
        return self.dispatch(self._org, call)

    def dispatch(self, org: Org, call: Call) -> Answer:
        """The answer of the resource that is meant; refusals become error bodies here."""
        method = "GET" if call.method == "HEAD" else call.method
        try:
            for each in self._resources:
                match = each.pattern.fullmatch(call.path)
                if match is None:
                    continue
                handler = each.handlers.get(method)
                if handler is None:
                    raise _not_allowed(call.method, list(each.handlers))
                return handler(org, call, **match.groupdict())
            raise not_found()
        except SalesforceError as refusal:
            return error_answer(refusal)


def versions() -> list[dict[str, str]]:
    """`GET /services/data`, oldest first."""
    listed = []
    for number in range(OLDEST_VERSION, NEWEST_VERSION + 1):
        years, season = divmod(number - _FIRST_OF_IT, len(_SEASONS))
        label = f"{_SEASONS[season]} '{_FIRST_YEAR + years - 2000}"
        listed.append({"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"})
    return listed


def version_root(_org: Org, call: Call) -> Answer:
    """`GET /services/data/v62.0`: the resources, and who is calling."""
    names = ("tooling", "sobjects", "query", "queryAll", "composite", "limits", "jobs")
    identity = f"https://login.salesforce.com/id/{ORGANIZATION_ID}/{USER_ID}"
    return json_answer({"identity": identity, **{name: call.url(name) for name in names}})


def _tooling_query(_org: Org, _call: Call) -> Answer:
    raise bad_request("INVALID_TYPE", "sObject type is not supported by the tooling API of this org")


def _client_of(call: Call) -> str:
    """What the caller calls itself: `Sforce-Call-Options: client=NAME`."""
    options = (each.strip().partition("=") for each in call.headers.get("sforce-call-options", "").split(","))
    return next((value for name, _, value in options if name.lower() == "client"), "")


def _without_last_slash(path: str) -> str:
    # One slash at the end is forgiven; a doubled one never is, as on a real org.
    return path[:-1] if path.endswith("/") and not path.endswith("//") else path


def _check_media_type(call: Call) -> None:
    if call.method not in ("POST", "PATCH", "PUT") or not call.body:
        return
    kind = call.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise SalesforceError(415, "UNSUPPORTED_MEDIA_TYPE", f"Unsupported media type: {kind}")


def _not_allowed(method: str, allowed: list[str]) -> SalesforceError:
    shown = ["HEAD", *allowed] if "GET" in allowed else allowed
    return SalesforceError(
        405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {','.join(shown)}"
    )


def _too_long(uri_bytes: int) -> Answer:
    if uri_bytes > LONGEST_HEAD // 2:
        return Answer(414, b"<h1>URI Too Long</h1>", "text/html")
    return Answer(431, b"<h1>Request Header Fields Too Large</h1>", "text/html")
