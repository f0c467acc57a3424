"""The sandbox's Pub/Sub API as any client meets it: who may call, how much is sent, what is refused with which code."""

import json
import queue
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import fastavro
import grpc
import pytest

from sandbox.salesforce.catalogue import ORGANIZATION_ID
from tests.pubsub.hearing import ACCOUNTS, ORDER_STATUS, an_account_of, changed
from tests.sandbox_salesforce.running_org import Sandbox
from wire import pubsub_api_pb2 as pb
from wire.pubsub_api_pb2_grpc import PubSubStub

PATIENCE_S = 30


@pytest.fixture
def stub(org: Sandbox) -> Iterator[Any]:
    channel = grpc.insecure_channel(org.pubsub.removeprefix("http://"), [("grpc.enable_http_proxy", 0)])
    yield PubSubStub(channel)
    channel.close()


@pytest.fixture
def metadata(org: Sandbox) -> dict[str, str]:
    return {"accesstoken": org.token, "instanceurl": org.url, "tenantid": ORGANIZATION_ID}


class Asking:
    """A subscription by hand."""

    def __init__(self, stub: Any, metadata: dict[str, str], *first: Any) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in first:
            self._requests.put(request)
        self.call = stub.Subscribe(iter(self._requests.get, None), metadata=tuple(metadata.items()), timeout=PATIENCE_S)

    def ask(self, number: int) -> None:
        self._requests.put(pb.FetchRequest(num_requested=number))

    def end(self) -> None:
        self._requests.put(None)
        self.call.cancel()


@pytest.fixture
def subscribe(stub: Any, metadata: dict[str, str]) -> Iterator[Callable[..., Asking]]:
    made: list[Asking] = []

    def start(*first: Any, **changes: str) -> Asking:
        made.append(Asking(stub, metadata | changes, *first))
        return made[-1]

    yield start
    for each in made:
        each.end()


def refusal_of(call: Callable[[], Any]) -> tuple[str, str]:
    """gRPC status and the API's code of a call that must be refused."""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    error: Any = refused.value
    assert "rpcId: " in error.details()
    return error.code().name, dict(error.trailing_metadata())["error-code"].removeprefix("sfdc.platform.eventbus.grpc.")


def read(stub: Any, metadata: dict[str, str], event: Any) -> dict[str, Any]:
    told = stub.GetSchema(pb.SchemaRequest(schema_id=event.schema_id), metadata=tuple(metadata.items()))
    schema = fastavro.parse_schema(json.loads(told.schema_json))
    record: Any = fastavro.schemaless_reader(BytesIO(event.payload), schema, None)
    return dict(record)


def test_no_more_is_sent_than_was_asked_for(org: Sandbox, subscribe: Callable[..., Asking], stub: Any) -> None:
    del stub
    org.control("settings", event_keep_alive_s=1)
    stream = subscribe(pb.FetchRequest(topic_name=ACCOUNTS, num_requested=2))
    next(stream.call)  # a sign of life: the place is taken
    made = [an_account_of(org, f"A {number}") for number in range(5)]

    came, pending = [], []
    while len(came) < 2:
        answer = next(stream.call)
        came += list(answer.events)
        pending.append(answer.pending_num_requested)
    quiet = next(stream.call)
    stream.ask(3)
    while len(came) < 5:
        came += list(next(stream.call).events)

    assert (list(quiet.events), quiet.pending_num_requested, pending[-1]) == ([], 0, 0)
    assert quiet.latest_replay_id == came[1].replay_id
    assert len(made) == len(came)
    assert [each.replay_id for each in came] == sorted({each.replay_id for each in came})


def test_a_subscription_goes_on_behind_a_replay_id(
    org: Sandbox, subscribe: Callable[..., Asking], stub: Any, metadata: dict[str, str]
) -> None:
    org.control("events/forget")
    made = [an_account_of(org, f"B {number}") for number in range(3)]
    whole = next(subscribe(pb.FetchRequest(topic_name=ACCOUNTS, replay_preset=pb.EARLIEST, num_requested=100)).call)
    behind = pb.FetchRequest(
        topic_name="/data/ChangeEvents", replay_preset=pb.CUSTOM, replay_id=whole.events[0].replay_id, num_requested=9
    )

    rest = next(subscribe(behind).call)

    ids = [read(stub, metadata, each.event)["ChangeEventHeader"]["recordIds"] for each in (*whole.events, *rest.events)]
    assert ids == [[each] for each in (*made, *made[1:])]


def test_an_update_holds_what_changed_and_says_so_in_bitmaps(
    org: Sandbox, subscribe: Callable[..., Asking], stub: Any, metadata: dict[str, str]
) -> None:
    account = org.create("Account", Name="Acme", Phone="1", BillingCity="Berlin", BillingStreet="Weg 1")
    org.control("events/forget")
    changed(org, "Account", account, client="erp-sync", Phone="2", BillingCity=None, AnnualRevenue=12.0)

    [event] = next(
        subscribe(pb.FetchRequest(topic_name=ACCOUNTS, replay_preset=pb.EARLIEST, num_requested=1)).call
    ).events

    record = read(stub, metadata, event.event)
    header = record.pop("ChangeEventHeader")
    schema = json.loads(
        stub.GetSchema(pb.SchemaRequest(schema_id=event.event.schema_id), metadata=tuple(metadata.items())).schema_json
    )
    names = [each["name"] for each in schema["fields"]]
    top = sum(1 << names.index(name) for name in ("Phone", "AnnualRevenue", "LastModifiedDate"))
    city = f"{names.index('BillingAddress')}-0x02"
    assert {name: value for name, value in record.items() if value is not None and name != "LastModifiedDate"} == {
        "Phone": "2",
        "AnnualRevenue": 12.0,
    }
    assert [int(header["changedFields"][0], 16), *header["changedFields"][1:]] == [top, city]
    assert header["nulledFields"] == [city]
    assert header["changeOrigin"] == "com/salesforce/api/rest/62.0;client=erp-sync"


def test_what_is_rolled_back_is_not_told(org: Sandbox, subscribe: Callable[..., Asking]) -> None:
    org.control("events/forget")
    rows = [{"attributes": {"type": "Account"}, "Name": name} for name in ("good", "x" * 300)]
    refused = org.call("POST", "composite/sobjects", json={"allOrNone": True, "records": rows})
    org.control("settings", event_keep_alive_s=1)

    answer = next(subscribe(pb.FetchRequest(topic_name=ACCOUNTS, replay_preset=pb.EARLIEST, num_requested=9)).call)

    assert [each["success"] for each in refused.json()] == [False, False]
    assert list(answer.events) == []


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        ({"topic_name": "", "num_requested": 1}, ("INVALID_ARGUMENT", "topic.validation.empty")),
        ({"topic_name": "/data/NopeChangeEvent", "num_requested": 1}, ("NOT_FOUND", "topic.not.found")),
        ({"num_requested": 0}, ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")),
        ({"num_requested": 101}, ("INVALID_ARGUMENT", "subscription.fetch.requested.events.invalid")),
        (
            {"num_requested": 1, "replay_preset": pb.CUSTOM},
            ("INVALID_ARGUMENT", "subscription.fetch.replayid.validation.failed"),
        ),
        (
            {"num_requested": 1, "replay_preset": pb.CUSTOM, "replay_id": b"x"},
            ("INVALID_ARGUMENT", "subscription.fetch.replayid.corrupted"),
        ),
    ],
)
def test_a_wrong_first_request_is_refused(
    subscribe: Callable[..., Asking], request_: dict[str, Any], refused: tuple[str, str]
) -> None:
    stream = subscribe(pb.FetchRequest(**({"topic_name": ACCOUNTS} | request_)))

    assert refusal_of(lambda: next(stream.call)) == refused


def test_a_stream_keeps_to_its_topic(subscribe: Callable[..., Asking]) -> None:
    stream = subscribe(
        pb.FetchRequest(topic_name=ACCOUNTS, num_requested=1), pb.FetchRequest(topic_name=ORDER_STATUS, num_requested=1)
    )

    assert refusal_of(lambda: next(stream.call)) == ("INVALID_ARGUMENT", "subscription.fetch.topic.mismatch")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accesstoken": "nobody"}, "service.auth.error"),
        ({"tenantid": "00D8d0000000009AAA"}, "service.auth.error"),
        ({"instanceurl": ""}, "service.auth.headers.invalid"),
    ],
)
def test_who_does_not_say_who_he_is_hears_nothing(
    stub: Any, metadata: dict[str, str], subscribe: Callable[..., Asking], changes: dict[str, str], code: str
) -> None:
    given = tuple((metadata | changes).items())
    stream = subscribe(pb.FetchRequest(topic_name=ACCOUNTS, num_requested=1), **changes)

    refused = [
        refusal_of(lambda: stub.GetTopic(pb.TopicRequest(topic_name=ACCOUNTS), metadata=given)),
        refusal_of(lambda: stub.GetSchema(pb.SchemaRequest(schema_id="x"), metadata=given)),
        refusal_of(lambda: stub.Publish(pb.PublishRequest(topic_name=ORDER_STATUS), metadata=given)),
        refusal_of(lambda: next(stream.call)),
    ]

    assert refused == [("UNAUTHENTICATED", code)] * 4


def test_an_event_published_by_rest_is_heard_though_its_answer_holds_an_error(
    org: Sandbox, subscribe: Callable[..., Asking], stub: Any, metadata: dict[str, str]
) -> None:
    org.control("events/forget")
    message = {"Opportunity_Id__c": "0068d00000AbCdEAAV", "ERP_Order_Status__c": "Invoiced", "ERP_Amount__c": 12.5}

    answer = org.call("POST", "sobjects/ERP_Order_Status__e", json=message)
    [event] = next(
        subscribe(pb.FetchRequest(topic_name=ORDER_STATUS, replay_preset=pb.EARLIEST, num_requested=9)).call
    ).events

    assert answer.status_code == 201
    assert (answer.json()["success"], answer.json()["errors"][0]["statusCode"]) == (True, "OPERATION_ENQUEUED")
    heard = read(stub, metadata, event.event)
    assert {name: heard[name] for name in message} == message
    refused = org.call("POST", "sobjects/ERP_Order_Status__e", json={"ERP_Amount__c": 1})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "REQUIRED_FIELD_MISSING")


def test_events_are_published_over_grpc_each_with_its_own_result(
    subscribe: Callable[..., Asking], stub: Any, org: Sandbox, metadata: dict[str, str]
) -> None:
    org.control("events/forget")
    given = tuple(metadata.items())
    topic = stub.GetTopic(pb.TopicRequest(topic_name=ORDER_STATUS), metadata=given)
    text = stub.GetSchema(pb.SchemaRequest(schema_id=topic.schema_id), metadata=given).schema_json
    body = BytesIO()
    record = {"CreatedDate": 1, "CreatedById": "0058d0000000009AAA", "Opportunity_Id__c": "0068d00000AbCdEAAV"}
    fastavro.schemaless_writer(body, fastavro.parse_schema(json.loads(text)), record)
    events = [
        pb.ProducerEvent(id=name, schema_id=topic.schema_id, payload=payload)
        for name, payload in (("good", body.getvalue()), ("bad", b"\xff"))
    ]

    results = stub.Publish(pb.PublishRequest(topic_name=ORDER_STATUS, events=events), metadata=given).results
    heard = next(subscribe(pb.FetchRequest(topic_name=ORDER_STATUS, replay_preset=pb.EARLIEST, num_requested=9)).call)

    assert topic.can_publish
    assert [(each.correlation_key, bool(each.replay_id), each.error.code) for each in results] == [
        ("good", True, pb.UNKNOWN),
        ("bad", False, pb.PUBLISH),
    ]
    assert [(each.event.id, each.replay_id) for each in heard.events] == [("good", results[0].replay_id)]
