"""`composite` and `composite/batch`: several calls in one, with references between them and, if wanted, all or none."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from sandbox.salesforce.errors import SalesforceError, bad_request
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, error_answer, json_answer, resource

MAX_SUBREQUESTS = 25
MAX_HEAVY_SUBREQUESTS = 5

_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
_REFERENCE_ID = re.compile(r"^[A-Za-z0-9]\w*$", re.ASCII)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_HEAVY = re.compile(r"/(query(All)?|composite/sobjects)(/|\?|$)", re.IGNORECASE)
_FORBIDDEN_HEADERS = frozenset({"accept", "authorization", "content-type"})

Dispatch = Callable[[Org, Call], Answer]


class _Halted(Exception):
    """All or none, and one was not."""


class CompositeRoutes:
    """The handlers; `dispatch` runs one subrequest and never raises."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def resources(self) -> tuple[Resource, ...]:
        return (resource(r"composite", POST=self.composite), resource(r"composite/batch", POST=self.batch))

    def composite(self, org: Org, call: Call) -> Answer:
        body = call.json_object()
        requests = _subrequests(body, "compositeRequest")
        _check_references(requests)
        answers: list[dict[str, Any]] = []
        try:
            if body.get("allOrNone") is True:
                with org.store.transaction():
                    self._run(org, call, requests, answers)
                    if any(each["httpStatusCode"] >= 400 for each in answers):
                        raise _Halted
            else:
                self._run(org, call, requests, answers)
        except _Halted:
            answers = [each if each["httpStatusCode"] >= 400 else _halted(each["referenceId"]) for each in answers]
        return json_answer({"compositeResponse": answers})

    def batch(self, org: Org, call: Call) -> Answer:
        body = call.json_object()
        results: list[dict[str, Any]] = []
        for request in _subrequests(body, "batchRequests"):
            if body.get("haltOnError") is True and any(each["statusCode"] >= 400 for each in results):
                halted = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}]
                results.append({"statusCode": 412, "result": halted})
                continue
            org.count_call()
            answer = self._sub(org, call, request.get("method"), request.get("url"), request.get("richInput"))
            results.append({"statusCode": answer.status, "result": _content(answer)})
        return json_answer({"hasErrors": any(each["statusCode"] >= 400 for each in results), "results": results})

    def _run(self, org: Org, call: Call, requests: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
        known: dict[str, Any] = {}
        for request in requests:
            name = request["referenceId"]
            try:
                url, content = _resolved(request.get("url"), known), _resolved(request.get("body"), known)
            except LookupError as missing:
                answers.append(_halted(name, str(missing)))
                continue
            answer = self._sub(org, call, request.get("method"), url, content)
            known[name] = _content(answer)
            headers = {"Location": answer.headers["Location"]} if "Location" in answer.headers else {}
            answers.append(
                {"body": known[name], "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": name}
            )

    def _sub(self, org: Org, call: Call, method: object, url: object, content: object) -> Answer:
        split = urlsplit(str(url))
        match = re.match(r"^(?:/services/data/)?/?v(\d+\.\d)/(.*?)/?$", split.path)
        if match is None:
            return error_answer(SalesforceError(404, "NOT_FOUND", "The requested resource does not exist"))
        body = b"" if content is None else orjson.dumps(content)
        query = dict(parse_qsl(split.query, keep_blank_values=True))
        sub = Call(str(method).upper(), match[2], match[1], query, call.headers, body, call.request_id, call.base_url)
        return self._dispatch(org, sub)


def _subrequests(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    requests = body.get(key)
    if not isinstance(requests, list) or not all(isinstance(each, dict) for each in requests):
        raise bad_request("JSON_PARSER_ERROR", f"{key} is required at [line:1, column:1]")
    if len(requests) > MAX_SUBREQUESTS:
        raise bad_request("LIMIT_EXCEEDED", f"The request can't contain more than {MAX_SUBREQUESTS} operations.")
    return requests


def _check_references(requests: list[dict[str, Any]]) -> None:
    if sum(bool(_HEAVY.search(str(each.get("url")))) for each in requests) > MAX_HEAVY_SUBREQUESTS:
        raise bad_request(
            "LIMIT_EXCEEDED", f"at most {MAX_HEAVY_SUBREQUESTS} subrequests can be queries or collections"
        )
    for each in requests:
        name = str(each.get("referenceId"))
        if not _REFERENCE_ID.match(name):
            raise bad_request(
                "JSON_PARSER_ERROR",
                f"Provided referenceId ('{name}') must start with a letter or a number, and it can contain only letters, "
                "numbers and underscores ('_').",
            )
        if _FORBIDDEN_HEADERS & {header.lower() for header in each.get("httpHeaders") or {}}:
            raise bad_request("INVALID_HTTP_HEADER", "subrequests must not carry Accept, Authorization or Content-Type")


def _resolved(content: Any, known: dict[str, Any]) -> Any:
    """The content with every `@{reference.path}` replaced by what an earlier answer holds there."""
    if isinstance(content, dict):
        return {key: _resolved(value, known) for key, value in content.items()}
    if isinstance(content, list):
        return [_resolved(value, known) for value in content]
    if not isinstance(content, str):
        return content
    whole = _REFERENCE.fullmatch(content)
    if whole:
        return _looked_up(whole, known)
    return _REFERENCE.sub(lambda found: str(_looked_up(found, known)), content)


def _looked_up(found: re.Match[str], known: dict[str, Any]) -> Any:
    try:
        value = known[found[1]]
        for name, index in _STEP.findall(found[2]):
            value = value[int(index)] if index else value[name]
    except (KeyError, IndexError, TypeError):
        path = f"{found[1]}{found[2]}"
        raise LookupError(f"Invalid reference specified. No value for {path} found in {found[1]}.") from None
    return value


def _content(answer: Answer) -> Any:
    return orjson.loads(answer.body) if answer.body else None


def _halted(reference: str, message: str | None = None) -> dict[str, Any]:
    text = message or "The transaction was rolled back since another operation in the same transaction failed."
    return {
        "body": [{"errorCode": "PROCESSING_HALTED", "message": text}],
        "httpHeaders": {}, "httpStatusCode": 400, "referenceId": reference,
    }  # fmt: skip
