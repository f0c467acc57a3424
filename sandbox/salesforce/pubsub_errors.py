"""What the Pub/Sub API says when it refuses: gRPC status, the trailer `error-code`, and words that end with the id of the call."""

from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import grpc

PREFIX = "sfdc.platform.eventbus.grpc."
CODE_HEADER = "error-code"

_STATUS = grpc.StatusCode
_KNOWN: dict[str, tuple[Any, str]] = {
    "service.auth.error": (_STATUS.UNAUTHENTICATED, "An authentication exception occurred. Provide valid authentication via metadata headers."),
    "service.auth.headers.invalid": (_STATUS.UNAUTHENTICATED, "Authentication headers are missing or invalid. Provide accesstoken, instanceurl and tenantid."),
    "service.unavailable": (_STATUS.UNAVAILABLE, "The service is temporarily unavailable. Try again later."),
    "subscription.internal.error": (_STATUS.INTERNAL, "An internal error occurred while the subscription was served."),
    "service.protection.triggered": (_STATUS.RESOURCE_EXHAUSTED, "The service protects itself from too many requests."),
    "topic.not.found": (_STATUS.NOT_FOUND, "The topic was not found. Provide an existing topic."),
    "topic.validation.empty": (_STATUS.INVALID_ARGUMENT, "Topic validation failed. The topic name can't be blank."),
    "schema.validation.failed": (_STATUS.INVALID_ARGUMENT, "Schema validation failed. The schema ID can't be blank."),
    "schema.not.found": (_STATUS.NOT_FOUND, "The schema was not found."),
    "subscription.fetch.replayid.corrupted": (_STATUS.INVALID_ARGUMENT, "The Replay ID validation failed. Ensure that the Replay ID is valid."),
    "subscription.fetch.replayid.validation.failed": (_STATUS.INVALID_ARGUMENT, "The Replay ID validation failed. Provide a Replay ID with the preset CUSTOM."),
    "subscription.fetch.requested.events.invalid": (_STATUS.INVALID_ARGUMENT, "The number of requested events must be above 0."),
    "subscription.fetch.topic.mismatch": (_STATUS.INVALID_ARGUMENT, "The topic differs from that of the first request."),
    "subscription.fetch.request.invalid": (_STATUS.INVALID_ARGUMENT, "The request is invalid."),
    "subscription.limit.exceeded": (_STATUS.RESOURCE_EXHAUSTED, "You have exceeded the event delivery limit for your org."),
    "subscription.topic.cannot.subscribe": (_STATUS.PERMISSION_DENIED, "You don't have permission to subscribe to the topic."),
    "publish.event.count.invalid": (_STATUS.INVALID_ARGUMENT, "A publish request holds 1 to 200 events."),
    "publish.topic.mismatch": (_STATUS.INVALID_ARGUMENT, "The topic differs from that of the first request."),
}  # fmt: skip


@dataclass
class PubSubError(Exception):
    """A refusal; `code` is the trailer without its prefix."""

    code: str

    def __post_init__(self) -> None:
        if self.code not in _KNOWN:
            raise ValueError(f"There is no code {self.code!r}. Known: {', '.join(_KNOWN)}.")

    async def end(self, context: Any) -> NoReturn:
        """End the call with this refusal."""
        status, words = _KNOWN[self.code]
        await context.abort(status, f"{words} rpcId: {uuid4()}", ((CODE_HEADER, PREFIX + self.code),))
        raise AssertionError("abort always raises")
