"""Salesforce's Pub/Sub API as a subscriber speaks it: gRPC, a session token with every call, events as bytes with the schema that wrote them.

Source: Salesforce, *Pub/Sub API Developer Guide*; `wire/pubsub_api.proto`.
"""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from resources.salesforce_session import Access
from tieout.errors import AuthenticationProblem, ConfigurationError, RequestRefused, SourceUnavailable, TieoutError
from tieout.pubsub import EventSchema, ReceivedEvent
from tieout.settings import is_loopback
from wire import pubsub_api_pb2 as pb
from wire.pubsub_api_pb2_grpc import PubSubStub

MOST_EVENTS = 100
"""Events that may be on their way to us. The API takes no larger number in one request."""
LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
ANSWER_WITHIN_S = 30.0
SCHEMAS_KEPT = 200

_PREFIX = "sfdc.platform.eventbus.grpc."
_LOST = ("subscription.fetch.replayid.", "subscription.fetch.replay.repeated")
_PASSING = frozenset({"service.protection.triggered", "concurrent.client.limit.exceeded"})
_LASTING = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT)


class PlaceLost(TieoutError):
    """Reading cannot go on where it broke off: the replay id is too old or none of this organisation's, or an answer cannot be taken."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that came together, none in a sign of life; `replay_id` is where to go on behind them."""

    events: tuple[ReceivedEvent, ...]
    replay_id: bytes


class PubSubClient:
    """One connection to the API, for several channels; may be used by several threads.

    Methods raise AuthenticationProblem where the session has died, RequestRefused with Salesforce's words, and SourceUnavailable.
    """

    def __init__(self, address: str, ca_bundle: Path | None = None) -> None:
        plain = address.startswith("http://")
        if plain and not is_loopback(address):
            raise ConfigurationError("SALESFORCE_PUBSUB_ADDRESS uses plain http. It is allowed for this machine only.")
        self._target = address.removeprefix("http://")
        options: list[tuple[str, int]] = [("grpc.max_receive_message_length", LARGEST_ANSWER_BYTES)]
        if is_loopback(f"//{self._target}"):
            # A proxy variable must not catch this machine's own addresses.
            options.append(("grpc.enable_http_proxy", 0))
        if plain:
            self._channel = grpc.insecure_channel(self._target, options)
        else:
            authorities = None if ca_bundle is None else ca_bundle.read_bytes()
            self._channel = grpc.secure_channel(self._target, grpc.ssl_channel_credentials(authorities), options)
        self._stub: Any = PubSubStub(self._channel)
        self._schemas: dict[str, EventSchema] = {}

    def close(self) -> None:
        """End everything that is under way, and close the connection."""
        self._channel.close()

    def check_topic(self, access: Access, topic: str) -> None:
        """Whether a channel is there and may be listened to: RequestRefused where not, with Salesforce's words."""
        try:
            told = self._stub.GetTopic(
                pb.TopicRequest(topic_name=topic), metadata=_metadata(access), timeout=ANSWER_WITHIN_S
            )
        except grpc.RpcError as error:
            raise self._told(error) from error
        if not told.can_subscribe:
            raise RequestRefused(f"Salesforce's Pub/Sub API does not let this user listen to {topic}.")

    def schema(self, access: Access, schema_id: str) -> EventSchema:
        """A schema, asked for once: what an id stands for never changes. Raises RecordError for one that cannot be used."""
        known = self._schemas.get(schema_id)
        if known is None:
            try:
                told = self._stub.GetSchema(
                    pb.SchemaRequest(schema_id=schema_id), metadata=_metadata(access), timeout=ANSWER_WITHIN_S
                )
            except grpc.RpcError as error:
                raise self._told(error) from error
            if len(self._schemas) >= SCHEMAS_KEPT:
                self._schemas.clear()
            known = self._schemas[schema_id] = EventSchema.of(told.schema_json)
        return known

    def subscribe(self, access: Access, topic: str, behind: bytes | None) -> "Subscription":
        """The events of a channel behind a replay id, or those that are published from now on."""
        asking: queue.SimpleQueue[Any] = queue.SimpleQueue()
        place = {"replay_preset": pb.LATEST} if behind is None else {"replay_preset": pb.CUSTOM, "replay_id": behind}
        asking.put(pb.FetchRequest(topic_name=topic, num_requested=MOST_EVENTS, **place))
        # The stream of requests stays open: where it ends, the service ends the subscription.
        call = self._stub.Subscribe(iter(asking.get, None), metadata=_metadata(access))
        return Subscription(self, call, asking)

    def _told(self, error: Any) -> TieoutError:
        """What a failed call means for whoever made it."""
        status, words = error.code(), " ".join(str(error.details() or "").split())
        code = _code_of(error)
        told = f"{code or status.name}: {words}"
        if status is grpc.StatusCode.UNAUTHENTICATED:
            return AuthenticationProblem(f"Salesforce's Pub/Sub API does not accept the session. {told}")
        if code.startswith(_LOST):
            return PlaceLost(f"Events can no longer be read from where reading broke off. {told}")
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED and not code:
            return PlaceLost(f"An answer was larger than {LARGEST_ANSWER_BYTES:,} bytes and was not taken. {told}")
        if code not in _PASSING and (status in _LASTING or status is grpc.StatusCode.RESOURCE_EXHAUSTED):
            return RequestRefused(f"Salesforce's Pub/Sub API refused. {told}", code=code or None)
        return SourceUnavailable(f"Salesforce's Pub/Sub API at {self._target} cannot be used at present. {told}")


class Subscription:
    """The events of one channel as they come. `silent_s()` tells how long nothing has come: the API gives a sign of life every 270 s."""

    def __init__(self, client: PubSubClient, call: Any, asking: "queue.SimpleQueue[Any]") -> None:
        self._client = client
        self._call = call
        self._asking = asking
        self._heard_at = time.monotonic()
        self._ended = threading.Event()

    def __iter__(self) -> Iterator[Batch]:
        """Batches until `end`. More events are asked for when a batch was dealt with, so that no more wait than can be kept."""
        try:
            for answer in self._call:
                self._heard_at = time.monotonic()
                events = tuple(
                    ReceivedEvent(each.event.id, each.replay_id, each.event.schema_id, each.event.payload)
                    for each in answer.events
                )
                yield Batch(events, events[-1].replay_id if events else answer.latest_replay_id)
                if events:
                    self._asking.put(pb.FetchRequest(num_requested=min(len(events), MOST_EVENTS)))
        except grpc.RpcError as error:
            if not self._ended.is_set():
                raise self._client._told(error) from error
        finally:
            self.end()

    def silent_s(self) -> float:
        """Seconds since something came."""
        return time.monotonic() - self._heard_at

    def end(self) -> None:
        """End it, from any thread; whoever iterates gets no further batch and no error."""
        self._ended.set()
        self._asking.put(None)
        self._call.cancel()


def _metadata(access: Access) -> tuple[tuple[str, str], ...]:
    return (
        ("accesstoken", access.token),
        ("instanceurl", access.instance_url),
        ("tenantid", access.organization_id),
    )


def _code_of(error: Any) -> str:
    """The API's own code, without its prefix; empty where the trouble is not the API's."""
    trailers = dict(error.trailing_metadata() or ())
    return str(trailers.get("error-code", "")).removeprefix(_PREFIX)
