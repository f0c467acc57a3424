"""The Pub/Sub API: what subscribers and publishers of events speak over gRPC, in the event loop that serves REST, too.

Rules: facts of the API's own proto (the first request of a stream names topic and place, later ones ask for more), its error codes, and flow
control: never more events than were asked for, and a sign of life where there are none.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc

from sandbox.salesforce.avro_schemas import EventSchema, platform_event_schema
from sandbox.salesforce.catalogue import ORGANIZATION_ID
from sandbox.salesforce.change_events import topic_of as changes_of
from sandbox.salesforce.event_bus import ALL_CHANGES, BusEvent, place_of, replay_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.platform_events import PLATFORM_EVENTS
from sandbox.salesforce.platform_events import topic_of as event_topic
from sandbox.salesforce.pubsub_errors import PubSubError
from sandbox.salesforce.sessions import Sessions
from wire import pubsub_api_pb2 as pb
from wire.pubsub_api_pb2_grpc import PubSubServicer, add_PubSubServicer_to_server

LOOK_EVERY_S = 0.02
MOST_EVENTS = 100
"""Events that one request may ask for."""
MOST_PUBLISHED = 200
RESPONSE_BYTES = 3_000_000
GRACE_S = 0.2
_STREAM_TAKES_MESSAGES_OF = 4 * 1024 * 1024


class PubSubServer:
    """The service on a port of its own; `port` 0 takes a free one."""

    def __init__(self, org: Org, sessions: Sessions, host: str, port: int) -> None:
        self._service = PubSubService(org, sessions)
        self._host = host
        self._port = port
        self._server: Any = None

    async def start(self) -> Mapping[str, str]:
        """Serve; returns what the sandbox says of it when it is ready. An address that cannot be bound ends the process."""
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _STREAM_TAKES_MESSAGES_OF)]
        )
        add_PubSubServicer_to_server(self._service, self._server)
        try:
            port = self._server.add_insecure_port(f"{self._host}:{self._port}")
        except RuntimeError as problem:
            raise SystemExit(
                f"Cannot listen on {self._host}:{self._port} for the Pub/Sub API. Choose another port, or 0 for a free one."
            ) from problem
        await self._server.start()
        return {"pubsub": f"http://{self._host}:{port}"}

    async def stop(self) -> None:
        """End all calls."""
        if self._server is not None:
            await self._server.stop(GRACE_S)

    @property
    def service(self) -> "PubSubService":
        """What answers the calls."""
        return self._service


@dataclass
class _Stream:
    """One subscription: how many events are still asked for, and whether the caller has ended."""

    topic: str
    place: int
    pending: int = 0
    ended: bool = False
    problem: PubSubError | None = None
    answered_at: float = field(default_factory=time.monotonic)


class PubSubService(PubSubServicer):  # type: ignore[misc]  # made by the protocol compiler, without types
    """The methods of the API. `failures` are codes that the next calls or streams end with, one each.

    `streams` counts the subscriptions that are open, `opened` those that ever were.
    """

    def __init__(self, org: Org, sessions: Sessions) -> None:
        self._org = org
        self._sessions = sessions
        self.failures: list[str] = []
        self.streams = self.opened = 0

    async def GetTopic(self, request: Any, context: Any) -> Any:  # noqa: N802
        """What a channel is; ALL_CHANGES has no schema of its own."""
        try:
            self._admit(context)
            is_event = request.topic_name.startswith("/event/")
            return pb.TopicInfo(
                topic_name=self._known_topic(request.topic_name),
                tenant_guid=ORGANIZATION_ID,
                can_publish=is_event,
                can_subscribe=True,
                schema_id=self._schema_of(request.topic_name),
                rpc_id=str(uuid4()),
            )
        except PubSubError as refusal:
            await refusal.end(context)

    async def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The text of a schema that some event has."""
        try:
            self._admit(context)
            if not request.schema_id:
                raise PubSubError("schema.validation.failed")
            text = self._org.bus.schema(request.schema_id) or self._present_schemas().get(request.schema_id)
            if text is None:
                raise PubSubError("schema.not.found")
            return pb.SchemaInfo(schema_json=text, schema_id=request.schema_id, rpc_id=str(uuid4()))
        except PubSubError as refusal:
            await refusal.end(context)

    async def Subscribe(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Events of one channel behind a place, as many as are asked for, until the caller ends."""
        asking: asyncio.Task[None] | None = None
        try:
            self._admit(context)
            first = await anext(aiter(requests), None)
            if first is None:
                return
            stream = _Stream(self._known_topic(first.topic_name), self._place(first))
            self._ask(stream, first)
            asking = asyncio.create_task(self._take_requests(stream, requests))
            self.opened += 1
            self.streams += 1
            while not stream.ended:
                if stream.problem is not None:
                    raise stream.problem
                self._admit(context)
                response = self._next_response(stream)
                if response is None:
                    await asyncio.sleep(LOOK_EVERY_S)
                else:
                    yield response
        except PubSubError as refusal:
            await refusal.end(context)
        finally:
            if asking is not None:
                self.streams -= 1
                asking.cancel()

    async def Publish(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Publish platform events; each has a result of its own."""
        try:
            self._admit(context)
            return self._published(request)
        except PubSubError as refusal:
            await refusal.end(context)

    async def PublishStream(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """As Publish, for one request after another."""
        topic = ""
        try:
            async for request in requests:
                self._admit(context)
                if topic and request.topic_name not in ("", topic):
                    raise PubSubError("publish.topic.mismatch")
                topic = topic or request.topic_name
                request.topic_name = topic
                yield self._published(request)
        except PubSubError as refusal:
            await refusal.end(context)

    def schema_ids(self) -> dict[str, str]:
        """The present schema of every channel that has one of its own."""
        topics = [*map(event_topic, PLATFORM_EVENTS.values()), *map(changes_of, self._org.switches["change_events_of"])]
        return {topic: self._schema_of(topic) for topic in topics}

    def _admit(self, context: Any) -> None:
        """Refuse who gives no headers, another org, or a session that does not live; and everybody who meets a failure."""
        if self.failures:
            raise PubSubError(self.failures.pop(0))
        given = dict(context.invocation_metadata())
        if not all(given.get(name) for name in ("accesstoken", "instanceurl", "tenantid")):
            raise PubSubError("service.auth.headers.invalid")
        is_ours = str(given["tenantid"])[:15] == ORGANIZATION_ID[:15]
        if not is_ours or not self._sessions.is_live(f"Bearer {given['accesstoken']}"):
            raise PubSubError("service.auth.error")

    async def _take_requests(self, stream: _Stream, requests: Any) -> None:
        try:
            async for request in requests:
                if request.topic_name not in ("", stream.topic):
                    raise PubSubError("subscription.fetch.topic.mismatch")
                self._ask(stream, request)
        except PubSubError as problem:
            stream.problem = problem
            return
        stream.ended = True

    def _ask(self, stream: _Stream, request: Any) -> None:
        if not 0 < request.num_requested <= MOST_EVENTS:
            raise PubSubError("subscription.fetch.requested.events.invalid")
        stream.pending += request.num_requested

    def _place(self, first: Any) -> int:
        bus = self._org.bus
        if first.replay_preset == pb.LATEST:
            return bus.newest()
        if first.replay_preset == pb.EARLIEST:
            return bus.oldest()
        if not first.replay_id:
            raise PubSubError("subscription.fetch.replayid.validation.failed")
        place = place_of(first.replay_id)
        if place is None or not bus.is_kept(place):
            raise PubSubError("subscription.fetch.replayid.corrupted")
        return place

    def _next_response(self, stream: _Stream) -> Any:
        """Events that wait, or a sign of life when it is time for one; None where there is nothing to say."""
        if self._org.switches["event_silence"]:
            return None
        events = self._org.bus.after(stream.topic, stream.place, min(stream.pending, MOST_EVENTS))
        events = _first_bytes(events, RESPONSE_BYTES)
        is_due = time.monotonic() - stream.answered_at >= self._org.switches["event_keep_alive_s"]
        if not events and not is_due:
            return None
        stream.answered_at = time.monotonic()
        stream.pending -= len(events)
        if events:
            stream.place = events[-1].seq
        elif stream.pending:
            # There is nothing behind the place, so the newest one is as good, and is not forgotten as early.
            stream.place = self._org.bus.newest()
        return pb.FetchResponse(
            events=[_consumer_event(each) for each in events],
            latest_replay_id=replay_id(stream.place),
            rpc_id=str(uuid4()),
            pending_num_requested=stream.pending,
        )

    def _published(self, request: Any) -> Any:
        event = PLATFORM_EVENTS.get(request.topic_name.removeprefix("/event/"))
        if event is None or not request.topic_name.startswith("/event/"):
            raise PubSubError("topic.not.found" if request.topic_name else "topic.validation.empty")
        if not 0 < len(request.events) <= MOST_PUBLISHED:
            raise PubSubError("publish.event.count.invalid")
        schema = platform_event_schema(event)
        with self._org.store.transaction():
            results = [self._publish_one(request.topic_name, schema, each) for each in request.events]
        return pb.PublishResponse(results=results, schema_id=schema.id, rpc_id=str(uuid4()))

    def _publish_one(self, topic: str, schema: EventSchema, event: Any) -> Any:
        if event.schema_id != schema.id or not schema.is_readable(event.payload):
            error = pb.Error(code=pb.PUBLISH, msg="The payload doesn't fit the schema.")
            return pb.PublishResult(error=error, correlation_key=event.id)
        self._org.bus.publish(topic, schema, event.payload, event.id)
        return pb.PublishResult(replay_id=replay_id(self._org.bus.last()), correlation_key=event.id)

    def _known_topic(self, name: str) -> str:
        if not name:
            raise PubSubError("topic.validation.empty")
        captured = {changes_of(each): each for each in self._org.switches["change_events_of"]}
        if name != ALL_CHANGES and name not in captured and name not in map(event_topic, PLATFORM_EVENTS.values()):
            raise PubSubError("topic.not.found")
        if name in captured and captured[name].lower() not in self._org.objects:
            raise PubSubError("subscription.topic.cannot.subscribe")
        return name

    def _schema_of(self, topic: str) -> str:
        for event in PLATFORM_EVENTS.values():
            if event_topic(event) == topic:
                return platform_event_schema(event).id
        for name in self._org.switches["change_events_of"]:
            if changes_of(name) == topic:
                return self._org.changes.schema_of(self._org.objects[name.lower()]).id
        return ""

    def _present_schemas(self) -> dict[str, str]:
        schemas: list[EventSchema] = [platform_event_schema(event) for event in PLATFORM_EVENTS.values()]
        seen = (self._org.objects.get(name.lower()) for name in self._org.switches["change_events_of"])
        schemas += [self._org.changes.schema_of(each) for each in seen if each is not None]
        return {each.id: each.json for each in schemas}


def _consumer_event(event: BusEvent) -> Any:
    produced = pb.ProducerEvent(id=event.id, schema_id=event.schema_id, payload=event.payload)
    return pb.ConsumerEvent(event=produced, replay_id=replay_id(event.seq))


def _first_bytes(events: list[BusEvent], most: int) -> list[BusEvent]:
    """As many events as fit into `most` bytes, but at least one."""
    size = 0
    for number, event in enumerate(events):
        size += len(event.payload)
        if size > most and number:
            return events[:number]
    return events
