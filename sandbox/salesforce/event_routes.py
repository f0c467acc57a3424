"""The sandbox's own routes to the event bus: what people and faults do there that no call of an integration can."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.control import json_response, refusal
from sandbox.salesforce.catalogue import USER_ID
from sandbox.salesforce.errors import SalesforceError
from sandbox.salesforce.org import Org
from sandbox.salesforce.platform_events import known, publish
from sandbox.salesforce.pubsub import PubSubService
from sandbox.salesforce.pubsub_errors import PubSubError

Act = Callable[[Mapping[str, Any]], Mapping[str, object]]


def event_routes(org: Org, service: PubSubService) -> list[Route]:
    """`/_sandbox/events` tells; POST below it acts: `publish`, `raw`, `gap`, `repeat`, `forget`, `fail`."""

    def publish_event(wanted: Mapping[str, Any]) -> Mapping[str, object]:
        event = known(str(wanted["event"]))
        if event is None:
            raise ValueError(f"There is no event {wanted['event']!r}")
        return {"id": publish(org, event, wanted["fields"], str(wanted.get("user", USER_ID)))}

    def publish_raw(wanted: Mapping[str, Any]) -> Mapping[str, object]:
        payload = bytes.fromhex(str(wanted.get("payload", ""))) + bytes(int(wanted.get("zeros", 0)))
        return {"id": org.bus.publish_as_it_is(str(wanted["topic"]), str(wanted["schema_id"]), payload)}

    def publish_gap(wanted: Mapping[str, Any]) -> Mapping[str, object]:
        sobject, ids = org.objects[str(wanted["entity"]).lower()], [str(each) for each in wanted.get("ids", [])]
        org.changes.publish_gap(sobject, str(wanted["kind"]), ids, str(wanted.get("origin", "")))
        return {}

    def repeat(wanted: Mapping[str, Any]) -> Mapping[str, object]:
        return {"id": org.bus.repeat(str(wanted["topic"]))}

    def forget(_: Mapping[str, Any]) -> Mapping[str, object]:
        org.bus.forget_all()
        return {}

    def fail(wanted: Mapping[str, Any]) -> Mapping[str, object]:
        service.failures += [PubSubError(str(wanted["code"])).code] * int(wanted.get("times", 1))
        return {}

    async def told(_: Request) -> Response:
        counts = {"streams": service.streams, "opened": service.opened}
        return json_response(
            {**counts, "last": org.bus.last(), "failures": service.failures, "schemas": service.schema_ids()}
        )

    return [
        Route("/_sandbox/events", told, methods=["GET"]),
        *(
            Route(f"/_sandbox/events/{name}", _acting(act), methods=["POST"])
            for name, act in {
                "publish": publish_event, "raw": publish_raw, "gap": publish_gap, "repeat": repeat, "forget": forget, "fail": fail,
            }.items()
        ),
    ]  # fmt: skip


def _acting(act: Act) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            wanted = orjson.loads(await request.body() or b"{}")
            return json_response({"done": True, **act(wanted)})
        except SalesforceError as problem:
            return refusal(problem.message)
        except (KeyError, TypeError, ValueError) as problem:
            return refusal(f"The body is not what this route takes: {problem}")

    return answer
