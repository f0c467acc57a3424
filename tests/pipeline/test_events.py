"""From an event to an order: what a changed record becomes without waiting for the schedule, and that events can do no harm."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import requests
import uvicorn

from assets.writeback import newer_in_lake
from desk.events import create_events_app
from desk.settings import EventSettings
from pipelines.definitions import defs
from pipelines.event_sensor import sensor_of, sweep_wanted
from pipelines.launch import run_job
from resources.connections import LedgerResource
from resources.lake import Lake
from resources.ledger import Ledger
from resources.listening import listening
from resources.workbench import Workbench, duckdb_connection
from tests.pipeline.installation import Installation, Run
from tests.pipeline.reading import CUSTOMERS, HEADERS, LINES, effects_of, materializations
from tieout.contract import Contracts
from tieout.events import Hint
from tieout.settings import Settings

JOB = "changed_records"
KEY = "a key of these tests"
WITHIN_S = 20.0
A_MINUTE_AGO = datetime.now(UTC) - timedelta(minutes=1)


@dataclass
class Opportunities:
    """Open opportunities of the seed that nobody has used yet."""

    with_customer: list[str]
    without_customer: list[str]


@dataclass
class Followed:
    """A run that followed events, and what it did in both systems."""

    run_id: str
    d365: list[dict[str, Any]]
    salesforce: list[dict[str, Any]]

    @property
    def orders(self) -> Counter[str]:
        return made_for(self.d365)

    @property
    def figures(self) -> dict[str, Any]:
        with dg.DagsterInstance.get() as instance:
            return dict(materializations(instance, self.run_id)["events/changed_records"])


def made_for(effects: list[dict[str, Any]]) -> Counter[str]:
    """Opportunity → how many orders were made for it."""
    return Counter(each["values"]["CustomersOrderReference"] for each in effects_of(effects, HEADERS, "created"))


@pytest.fixture(scope="module")
def main_run(installation: Installation) -> Run:
    """The whole way once: before it nobody knows what people have ordered."""
    return installation.run()


@pytest.fixture(scope="module")
def book(installation: Installation, main_run: Run) -> Iterator[Ledger]:  # noqa: ARG001 the order
    with Ledger.opened(str(installation.database_url)) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def receiver(book: Ledger) -> Iterator[str]:
    server = uvicorn.Server(
        uvicorn.Config(create_events_app(book, EventSettings(KEY)), port=0, log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/events"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def open_ones(installation: Installation, main_run: Run) -> Opportunities:  # noqa: ARG001 the order
    books = installation.books()
    query = """SELECT Opportunity.Id FROM Opportunity JOIN Account ON Account.Id = AccountId
WHERE StageName NOT LIKE 'Closed%' AND Account.ERP_Number__c IS {} NULL AND length(Account.Name) < 60 ORDER BY Opportunity.Id"""
    names = [[row["Id"] for row in books.salesforce(query.format(which))] for which in ("NOT", "")]
    return Opportunities(*names)


@pytest.fixture(autouse=True)
def without_subscriptions(installation: Installation) -> Iterator[None]:
    yield
    for system in installation.systems.values():
        requests.delete(f"{system.url}/_sandbox/subscriptions", timeout=30)


def won(installation: Installation, opportunity: str) -> None:
    installation.changed_in_salesforce("Opportunity", opportunity, StageName="Closed Won")


def follow(installation: Installation) -> Followed:
    """What the sensor starts."""
    places = {name: system.position() for name, system in installation.systems.items()}
    outcome = run_job(JOB, say=lambda _: None, resource_config={"options": {"config": {}}})
    assert outcome.success, outcome.problem
    return Followed(
        outcome.run_id,
        installation.d365.effects(places["d365"]),
        installation.salesforce.effects(places["salesforce"]),
    )


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def waiting_keys(book: Ledger) -> list[str]:
    return [each.hint.key for each in book.events.waiting_hints(1000)]


@contextlib.contextmanager
def listened_to(installation: Installation, book: Ledger, contracts: Contracts) -> Iterator[None]:
    """While the channels of Salesforce are listened to, as the desk does it."""
    with listening(Settings.from_environment(), book, contracts):
        wait_for(
            lambda: requests.get(f"{installation.salesforce.url}/_sandbox/events", timeout=30).json()["streams"] == 3
        )
        yield


def ask_sensor(book: Ledger) -> dg.RunRequest | dg.SkipReason:
    with dg.DagsterInstance.get() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"ledger": LedgerResource()})
        answer = sensor_of(0)(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    assert book.events.waiting() >= 0
    return answer


def test_a_won_opportunity_becomes_one_order_by_its_event(
    installation: Installation, book: Ledger, receiver: str, open_ones: Opportunities
) -> None:
    opportunity = open_ones.with_customer.pop()
    installation.salesforce.post("subscriptions", {"url": f"{receiver}/salesforce", "key": KEY})

    won(installation, opportunity)
    wait_for(lambda: opportunity in waiting_keys(book))
    asked = ask_sensor(book)
    followed = follow(installation)

    assert isinstance(asked, dg.RunRequest)
    assert followed.orders == Counter([opportunity])
    [sold] = installation.books().salesforce(
        "SELECT count(*) AS lines FROM OpportunityLineItem WHERE OpportunityId = ?", opportunity
    )
    assert len(effects_of(followed.d365, LINES, "created")) == sold["lines"]
    [written] = effects_of(followed.salesforce, "Opportunity")
    assert written["key"] == opportunity
    assert written["values"]["ERP_Order_Number__c"].endswith(f"/T-{opportunity}")
    assert isinstance(ask_sensor(book), dg.SkipReason)


def test_how_long_it_took_is_told_by_the_asset_and_by_the_view(
    book: Ledger, installation: Installation, open_ones: Opportunities
) -> None:
    opportunity = open_ones.with_customer.pop()
    won(installation, opportunity)
    book.events.receive_hints([Hint("salesforce", "latency-1", "Opportunity", "opportunity", opportunity)])

    followed = follow(installation)

    [latency] = book.events.latencies("sales_order", followed.run_id)
    assert (latency.business_key, latency.seen_by) == (opportunity, "event")
    assert latency.changed_at and latency.sent_at and latency.confirmed_at  # noqa: PT018
    # Salesforce stamps whole seconds.
    assert latency.changed_at <= latency.seen_at < latency.sent_at < latency.confirmed_at
    assert followed.figures["slowest_s"].value == (latency.confirmed_at - latency.changed_at).total_seconds()
    assert opportunity in followed.figures["latency"].value


def test_a_won_opportunity_becomes_one_order_by_change_data_capture_and_our_own_writes_do_not_come_back(
    installation: Installation, book: Ledger, contracts: Contracts, open_ones: Opportunities
) -> None:
    opportunity, marker = open_ones.with_customer.pop(), open_ones.with_customer[0]
    with listened_to(installation, book, contracts):
        won(installation, opportunity)
        wait_for(lambda: opportunity in waiting_keys(book))

        followed = follow(installation)

        installation.changed_in_salesforce("Opportunity", marker, PO_Number__c="PO-7")
        wait_for(lambda: marker in waiting_keys(book))
    assert followed.orders == Counter([opportunity])
    [written] = effects_of(followed.salesforce, "Opportunity")
    assert written["key"] == opportunity
    # The write-back was an event on the same channel, before that of the marker.
    assert waiting_keys(book) == [marker]
    assert follow(installation).d365 == []


def test_where_events_were_lost_the_sensor_starts_the_main_job_once(book: Ledger) -> None:
    topic = "/data/AccountChangeEvent"
    before = ask_for_sweep()
    book.events.receive_from(topic, (), {"sensor-1": "the place is lost"}, None, A_MINUTE_AGO)
    first, again = ask_for_sweep(), ask_for_sweep()
    book.events.receive_from(topic, (), {"sensor-2": "the place is lost"}, None, A_MINUTE_AGO)
    newer = ask_for_sweep()
    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("main"), status=dg.DagsterRunStatus.STARTED)
        try:
            meanwhile = ask_for_sweep()
        finally:
            instance.delete_run(run.run_id)

    assert isinstance(before, dg.SkipReason)
    assert isinstance(first, dg.RunRequest) and isinstance(again, dg.RunRequest) and isinstance(newer, dg.RunRequest)  # noqa: PT018
    assert first.run_key == again.run_key != newer.run_key
    assert isinstance(meanwhile, dg.SkipReason)
    assert defs.resolve_sensor_def("sweep_wanted").job.name == "main"


def ask_for_sweep() -> dg.RunRequest | dg.SkipReason:
    with dg.DagsterInstance.get() as instance:
        answer = sweep_wanted(dg.build_sensor_context(instance=instance, resources={"ledger": LedgerResource()}))
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_repeats_and_disorder_make_no_second_order(
    installation: Installation, book: Ledger, receiver: str, open_ones: Opportunities
) -> None:
    opportunities = [open_ones.with_customer.pop() for _ in range(3)]
    installation.salesforce.post(
        "subscriptions", {"url": f"{receiver}/salesforce", "key": KEY, "repeats": 1, "disorder": 0.5, "seed": 7}
    )
    for opportunity in opportunities:
        won(installation, opportunity)
        installation.changed_in_salesforce("Opportunity", opportunity, PO_Number__c="PO-1")
    wait_for(lambda: len(waiting_keys(book)) >= 6)

    first, second = follow(installation), follow(installation)
    book.events.receive_hints(
        [Hint("salesforce", f"again-{each}", "Opportunity", "opportunity", each) for each in opportunities]
    )
    third = follow(installation)

    assert first.orders == Counter(opportunities)
    assert (second.d365, third.d365) == ([], [])
    assert third.salesforce == []


def test_a_customer_that_is_missing_is_made_first(
    installation: Installation, book: Ledger, open_ones: Opportunities
) -> None:
    opportunity = open_ones.without_customer.pop()
    won(installation, opportunity)
    book.events.receive_hints([Hint("salesforce", "no-customer", "Opportunity", "opportunity", opportunity)])

    followed = follow(installation)

    assert len(effects_of(followed.d365, CUSTOMERS, "created")) <= 1
    assert followed.orders == Counter([opportunity])
    assert {effect["entity"] for effect in followed.salesforce} == {"Account", "Opportunity"}


@pytest.mark.parametrize("form", ["plain", "event_grid"])
def test_an_event_of_d365_brings_the_status_to_salesforce(
    installation: Installation, book: Ledger, receiver: str, open_ones: Opportunities, form: str
) -> None:
    opportunity = open_ones.with_customer.pop()
    won(installation, opportunity)
    book.events.receive_hints([Hint("salesforce", f"status-{form}", "Opportunity", "opportunity", opportunity)])
    [order] = effects_of(follow(installation).d365, HEADERS, "created")
    installation.d365.post(
        "subscriptions",
        {"url": f"{receiver}/d365", "key": KEY, "form": form, "repeats": 0.5, "disorder": 0.5, "seed": 3},
    )

    for step in ("confirm", "deliver", "invoice"):
        installation.d365.post(f"orders/{order['company']}/T-{opportunity}/{step}")
    wait_for(lambda: waiting_keys(book).count(f"T-{opportunity}") == 3)
    followed = follow(installation)

    assert followed.d365 == []
    [written] = effects_of(followed.salesforce, "Opportunity")
    assert (written["key"], written["values"]["ERP_Order_Status__c"]) == (opportunity, "Invoiced")


def test_an_event_of_an_order_that_people_made_finds_its_opportunity(installation: Installation, book: Ledger) -> None:
    books = installation.books()
    [order, *_] = books.d365(
        "SELECT dataAreaId, SalesOrderNumber, CustomersOrderReference FROM SalesOrderHeadersV2 WHERE CustomersOrderReference <> '' "
        "AND SalesOrderNumber NOT LIKE 'T-%' AND coalesce(SalesOrderStatus, 'Backorder') = 'Backorder' "
        "AND coalesce(SalesOrderProcessingStatus, 'Active') = 'Active' ORDER BY SalesOrderNumber"
    )
    installation.d365.post(f"orders/{order['dataAreaId']}/{order['SalesOrderNumber']}/confirm")
    book.events.receive_hints(
        [Hint("d365", "by-hand", "x", "sales_order", order["SalesOrderNumber"], order["dataAreaId"])]
    )

    followed = follow(installation)

    assert followed.d365 == []
    assert [effect["key"] for effect in effects_of(followed.salesforce, "Opportunity")] == [
        order["CustomersOrderReference"]
    ]


def test_a_run_that_compared_before_leaves_a_newer_status_alone(
    installation: Installation, book: Ledger, contracts: Contracts
) -> None:
    """The main job writes back minutes after it has read D365; an event may have been followed meanwhile."""
    [order, *_] = installation.books().d365(
        "SELECT dataAreaId, SalesOrderNumber FROM SalesOrderHeadersV2 WHERE SalesOrderNumber LIKE 'T-%' "
        "AND SalesOrderProcessingStatus IS NULL ORDER BY SalesOrderNumber"
    )
    number = order["SalesOrderNumber"]
    with duckdb_connection() as con:
        bench = Workbench(con, Lake(Settings.from_environment().lake_url), book, contracts)
        bench.orders()
        before = newer_in_lake(bench, "sales_order")
        installation.d365.post(f"orders/{order['dataAreaId']}/{number}/confirm")
        book.events.receive_hints([Hint("d365", "meanwhile", "x", "sales_order", number, order["dataAreaId"])])
        follow(installation)

        newer = newer_in_lake(bench, "sales_order")

    assert (before, newer) == (set(), {number.removeprefix("T-")})


def test_events_that_wait_behind_the_first_list_are_followed_by_the_same_run(
    installation: Installation, book: Ledger, open_ones: Opportunities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.events.HINTS_AT_ONCE", 2)
    opportunities = [open_ones.with_customer.pop() for _ in range(3)]
    for opportunity in opportunities:
        won(installation, opportunity)
    book.events.receive_hints(
        [Hint("salesforce", f"list-{each}", "Opportunity", "opportunity", each) for each in opportunities]
    )

    followed = follow(installation)

    assert followed.orders == Counter(opportunities)
    assert waiting_keys(book) == []


def test_events_of_records_that_are_not_there_or_not_due_do_nothing(
    installation: Installation, book: Ledger, open_ones: Opportunities
) -> None:
    book.events.receive_hints(
        [
            Hint("salesforce", "open", "Opportunity", "opportunity", open_ones.with_customer[0]),
            Hint("salesforce", "gone", "Opportunity", "opportunity", "0068d00000zzzzzAAA"),
            Hint("salesforce", "nobody", "Account", "account", "0018d00000zzzzzAAA"),
            Hint("d365", "gone", "x", "sales_order", "T-no-such-order", "usmf"),
            Hint("d365", "quote", "x", "sales_order", "O'Neil", "usmf"),
        ]
    )

    followed = follow(installation)

    assert (followed.d365, followed.salesforce) == ([], [])
    assert waiting_keys(book) == []


def test_a_dry_run_sends_nothing_and_leaves_the_events(
    installation: Installation, book: Ledger, open_ones: Opportunities
) -> None:
    opportunity = open_ones.with_customer.pop()
    won(installation, opportunity)
    book.events.receive_hints([Hint("salesforce", "dry", "Opportunity", "opportunity", opportunity)])
    place = installation.d365.position()

    outcome = run_job(JOB, say=lambda _: None, resource_config={"options": {"config": {"dry_run": True}}})

    assert outcome.success
    assert installation.d365.effects(place) == []
    assert waiting_keys(book) == [opportunity]
    assert follow(installation).orders == Counter([opportunity])


def test_the_sensor_asks_once_for_the_same_events_and_again_for_new_ones(book: Ledger) -> None:
    book.events.receive_hints([Hint("d365", "sensor-1", "x", "sales_order", "T-1", "usmf")], A_MINUTE_AGO)
    first, again = ask_sensor(book), ask_sensor(book)
    book.events.receive_hints([Hint("d365", "sensor-2", "x", "sales_order", "T-2", "usmf")], A_MINUTE_AGO)
    newer = ask_sensor(book)

    assert isinstance(first, dg.RunRequest) and isinstance(again, dg.RunRequest) and isinstance(newer, dg.RunRequest)  # noqa: PT018
    assert first.run_key == again.run_key != newer.run_key


def test_while_a_run_is_under_way_the_sensor_waits(book: Ledger) -> None:
    book.events.receive_hints([Hint("d365", "sensor-3", "x", "sales_order", "T-3", "usmf")], A_MINUTE_AGO)

    with dg.DagsterInstance.get() as instance:
        run = instance.create_run_for_job(defs.resolve_job_def(JOB), status=dg.DagsterRunStatus.STARTED)
        try:
            answer = ask_sensor(book)
        finally:
            instance.delete_run(run.run_id)

    assert isinstance(answer, dg.SkipReason)


def test_where_every_event_is_lost_the_main_job_delivers(
    installation: Installation, book: Ledger, receiver: str, open_ones: Opportunities
) -> None:
    opportunity = open_ones.with_customer.pop()
    installation.salesforce.post("subscriptions", {"url": f"{receiver}/salesforce", "key": KEY, "gaps": 1})
    won(installation, opportunity)
    before = waiting_keys(book)
    book.events.receive_from("/data/OpportunityChangeEvent", (), {"lost": "the place is lost"}, None, A_MINUTE_AGO)
    # Stamps and the systems' clocks are whole seconds: what changes in the second of a read is in flight for it.
    time.sleep(2)

    run = installation.run()

    assert opportunity not in before
    assert made_for(run.d365)[opportunity] == 1
    [latency] = [each for each in book.events.latencies("sales_order", run.run_id) if each.business_key == opportunity]
    assert latency.seen_by == "schedule"
    # What came before it began needs no run of its own any more.
    assert waiting_keys(book) == []
    assert book.events.sweeps_wanted() == []
    with contextlib.closing(requests.get(f"{installation.salesforce.url}/_sandbox/subscriptions", timeout=30)) as told:
        assert told.json()["subscriptions"][0]["lost"] >= 1
