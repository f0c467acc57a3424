"""The faults of Salesforce: the kinds that only it has, and how it words what strikes between it and its caller."""

from collections.abc import Collection

import orjson

from sandbox.common import fault_rules as of
from sandbox.common.fault_kinds import DEFAULT_DELAY_S, Forms
from sandbox.common.fault_rules import Asked, Kind, Parameter, Rule
from sandbox.common.faults import Faults
from sandbox.salesforce.errors import SalesforceError, refused
from sandbox.salesforce.protocol import JSON, Call

ROW_LOCK, PARTIAL_SUCCESS = "row_lock", "partial_success"
DAILY_LIMIT, EXPIRED_LOCATOR, LATE_ROWS = "daily_limit", "expired_locator", "late_rows"
WRITES = frozenset({"POST", "PATCH", "PUT", "DELETE"})

KINDS = (
    Kind(
        ROW_LOCK,
        "answers UNABLE_TO_LOCK_ROW for a share of a collection's rows, or for the one record of another write",
        {"share": Parameter(of.SHARE, 1.0)},
    ),
    Kind(
        PARTIAL_SUCCESS,
        "refuses a share of a collection's rows, or the one record of another write",
        {
            "share": Parameter(of.SHARE, 0.5),
            "code": Parameter(of.TEXT, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
            "message": Parameter(of.TEXT, "A validation rule refuses this record."),
        },
    ),
    Kind(DAILY_LIMIT, "answers 403 REQUEST_LIMIT_EXCEEDED, and Sforce-Limit-Info shows the limit as used up"),
    Kind(EXPIRED_LOCATOR, "lets the locator of a next page expire: 400 INVALID_QUERY_LOCATOR from then on"),
    Kind(
        LATE_ROWS,
        "lets queries see what the request writes only `delay_s` after it is written and stamped",
        {"delay_s": Parameter(of.SECONDS, DEFAULT_DELAY_S)},
    ),
)


# A 429 comes from the edge and has no body; a bare 500 is a page.
FORMS = Forms(
    error=lambda message: (orjson.dumps(SalesforceError(500, "UNKNOWN_EXCEPTION", message).body()), JSON),
    bare_error=(b"<html><body><h1>500 Internal Server Error</h1></body></html>", "text/html"),
    throttled=(b"", "text/plain"),
)


def asked_of_call(call: Call) -> Asked:
    """A call as rules see it; a subrequest of a composite call counts with its own method and path."""
    path = call.url(call.path)
    query = "&".join(f"{name}={value}" for name, value in call.query.items())
    return Asked(call.request_id, call.method, path, f"{path}?{query}" if query else path, call.body)


def struck_rows(faults: Faults, call: Call, ids: Collection[str]) -> dict[int, SalesforceError]:
    """The places of the records that a fault refuses in a write of `len(ids)` records, with their refusals.

    `ids` are the records' ids as far as the caller named them.
    """
    if not ids:
        return {}
    rule = faults.strike((ROW_LOCK, PARTIAL_SUCCESS), asked_of_call(call))
    if rule is None:
        return {}
    named = list(ids)
    count = max(1, round(rule["share"] * len(named)))
    places = faults.rules.generator.sample(range(len(named)), count)
    return {place: _row_refusal(rule, named[place]) for place in places}


def _row_refusal(rule: Rule, record_id: str) -> SalesforceError:
    if rule.kind == PARTIAL_SUCCESS:
        return refused(rule["code"], rule["message"])
    return unable_to_lock(record_id)


def unable_to_lock(record_id: str) -> SalesforceError:
    """Another transaction holds the record, or one that has to be held together with it."""
    return refused(
        "UNABLE_TO_LOCK_ROW",
        f"unable to obtain exclusive access to this record or 1 records: {record_id[:15]}".rstrip(": "),
    )
