"""The faults of D365: the kinds that only it has, and how it words what strikes between it and its caller."""

from __future__ import annotations

import orjson

from sandbox.common import fault_rules as of
from sandbox.common.fault_kinds import Forms, retry_after
from sandbox.common.fault_rules import Kind, Parameter, Rule
from sandbox.d365.errors import JSON, ODATA_EXCEPTION, USELESS_MESSAGE, WRITE_EXCEPTION, Answer, envelope

THROTTLED = "This request could not be processed at this time due to system experiencing high resource utilization."
"""Microsoft: service protection API limits. The same words stand inside a batch."""

FORMS = Forms(
    error=lambda message: (envelope(message, WRITE_EXCEPTION), JSON),
    bare_error=(orjson.dumps({"Message": USELESS_MESSAGE}), "application/json; charset=utf-8"),
    throttled=(THROTTLED.encode(), "text/plain"),
)

THROTTLE_PART, REFUSE_OPERATION = "throttle_part", "refuse_operation"
UPDATE_CONFLICT = "update_conflict"
EXPIRED_NEXT_LINK, FOREIGN_NEXT_LINK = "expired_next_link", "foreign_next_link"

KINDS = (
    Kind(
        THROTTLE_PART,
        "answers 429 in the place of a changeset; strikes per changeset that holds the text",
        {"retry_after_s": Parameter(of.SECONDS_OR_NULL, 1)},
    ),
    Kind(
        REFUSE_OPERATION,
        "lets the `nth` operation of a changeset fail, which rolls it back; strikes per changeset that holds the text",
        {
            "nth": Parameter(of.COUNTED, 1),
            "status": Parameter(of.STATUS, 400),
            "message": Parameter(of.TEXT, "Write failed for table row. Infolog: Error: Update has been refused."),
        },
    ),
    Kind(UPDATE_CONFLICT, "lets a PATCH, alone or in a batch, meet somebody else's change of its row"),
    Kind(
        EXPIRED_NEXT_LINK,
        "refuses a page that a nextLink names",
        {"status": Parameter(of.STATUS, 410)},
    ),
    Kind(
        FOREIGN_NEXT_LINK,
        "names another host in the nextLink of a page",
        {"host": Parameter(of.TEXT, "another-host.example")},
    ),
)


def throttled_part(rule: Rule) -> Answer:
    """The answer in the place of a changeset that was not begun."""
    return Answer(429, THROTTLED.encode(), {"Content-Type": "text/plain", **retry_after(rule["retry_after_s"])})


def refused_operation(rule: Rule) -> Answer:
    """The answer of an operation that fails for no reason of its own."""
    return Answer(rule["status"], envelope(rule["message"], WRITE_EXCEPTION), {"Content-Type": JSON})


def expired_page(rule: Rule) -> Answer:
    """OData leaves it to services how long their links live; F&O's own refusal was never seen, so the status is open."""
    return Answer(rule["status"], envelope("The next link has expired.", ODATA_EXCEPTION), {"Content-Type": JSON})
