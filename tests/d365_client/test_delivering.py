"""Deliveries to a real D365 sandbox; its journal is the judge of what took effect, never our own ledger."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from resources.d365 import D365Client
from resources.dispatch import DeliverySummary, Pace, deliver
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from sandbox.common.credentials import DEFAULT_CLIENT_SECRET
from tests.d365_client.conftest import Sandbox
from tests.d365_client.gateway import Gateway
from tests.delivery.records import PRODUCT_ID, a_line, an_account, an_opportunity
from tieout.answer import Answer
from tieout.batch import Changeset, Operation
from tieout.contract import Contract, Contracts
from tieout.customer import customer_change, customer_write
from tieout.delivery import State
from tieout.errors import AuthenticationProblem
from tieout.intended import IntendedWrite, Step
from tieout.odata import json_body
from tieout.order import order_write
from tieout.secret import Secret

UNITS = {PRODUCT_ID: {"unit": "Each"}}


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["sales_order"]


@pytest.fixture
def order(contract: Contract, new_id: Callable[[], str]) -> Callable[..., IntendedWrite]:
    """Makes the write of a new opportunity's order; three lines unless said otherwise."""

    def make(customer: str = "C-1", lines: int = 3, **opportunity: Any) -> IntendedWrite:
        opportunity = {"Id": new_id()} | opportunity
        its_lines = [
            a_line(number, Id=f"00k{number:015}", ProductCode=str(1000 + number % 25)) for number in range(1, lines + 1)
        ]
        return order_write(contract, an_opportunity(**opportunity), its_lines, customer, UNITS)

    return make


class Delivering:
    """Delivers orders through one client, with a clock that the test moves."""

    def __init__(self, ledger: Ledger, client: D365Client, contract: Contract) -> None:
        self.ledger = ledger
        self.client = client
        self.contract = contract
        self.now = datetime.now(UTC)
        self.naps: list[float] = []
        self.runs = 0

    def __call__(self, *writes: IntendedWrite, **options: Any) -> DeliverySummary:
        self.runs += 1
        values: dict[str, Any] = {
            "run_id": f"run {self.runs}",
            "clock": lambda: self.now,
            "sleep": self.naps.append,
        } | options
        return deliver(self.ledger, self.client, self.contract, writes, **values)

    def later(self, seconds: float) -> None:
        """Let time pass for the ledger."""
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def delivering(ledger: Ledger, client: D365Client, contract: Contract) -> Delivering:
    return Delivering(ledger, client, contract)


@pytest.fixture
def delivering_by_gateway(ledger: Ledger, client_behind_gateway: D365Client, contract: Contract) -> Delivering:
    return Delivering(ledger, client_behind_gateway, contract)


@pytest.fixture
def effects(sandbox: Sandbox) -> Callable[[IntendedWrite], dict[str, int]]:
    """What took effect in D365 for an order since the test began: created headers and lines."""
    began = sandbox.position()

    def count(write: IntendedWrite) -> dict[str, int]:
        entries = sandbox.journal(began, phase="effect", company=write.company)
        mine = [entry for entry in entries if entry.get("order") == write.d365_key]
        return {
            "headers": sum(entry["entity"] == "SalesOrderHeadersV2" and entry["effect"] == "created" for entry in mine),
            "lines": sum(entry["entity"] == "SalesOrderLines" and entry["effect"] == "created" for entry in mine),
        }

    return count


Effects = Callable[[IntendedWrite], dict[str, int]]
Order = Callable[..., IntendedWrite]
ONCE = {"headers": 1, "lines": 3}
NEVER = {"headers": 0, "lines": 0}


def test_orders_are_created_once_with_all_their_lines_and_a_second_delivery_changes_nothing(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    writes = [order(), order(), order(ERP_Company__c="DEMF")]

    first = delivering(*writes)
    second = delivering(*writes)

    assert [effects(write) for write in writes] == [ONCE] * 3
    assert (first.created, first.batches) == (3, 1)
    assert (second.created, second.batches, second.api_calls) == (0, 0, 0)
    assert {result.step for result in second.results} == {Step.LEAVE_DELIVERED}
    assert delivering.ledger.deliveries.counts()["confirmed"] == 3
    assert len(delivering.ledger.crosswalk.links("sales_order")) == 3


def test_what_d365_holds_is_read_back_because_its_answer_says_no_status(delivering: Delivering, order: Order) -> None:
    [result] = delivering(order()).results

    assert result.d365_status == {"SalesOrderStatus": "Backorder", "SalesOrderProcessingStatus": "Active"}
    assert result.d365_amount == Decimal("12149.964")
    [row] = delivering.ledger.deliveries.find()
    assert (row.d365_status, row.d365_amount) == (result.d365_status, result.d365_amount)


def test_a_poison_order_is_refused_in_d365s_own_words_and_the_others_go_on(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    good, poison, unknown_item, also_good = order(), order("C-HOLD"), order(), order()
    broken = replace(unknown_item, lines=[dict(line) | {"ItemNumber": "none"} for line in unknown_item.lines])

    summary = delivering(good, poison, broken, also_good)

    assert [effects(write) for write in (good, poison, broken, also_good)] == [ONCE, NEVER, NEVER, ONCE]
    assert [result.state for result in summary.results] == ["confirmed", "rejected", "rejected", "confirmed"]
    assert "Customer account C-HOLD is on hold." in summary.results[1].reason
    assert (
        "The value 'none' in field 'Item number' is not found in the related table 'Released products'."
        in summary.results[2].reason
    )


def test_a_refused_order_is_not_sent_again_until_a_person_says_so(
    delivering: Delivering, order: Order, client: D365Client, effects: Effects
) -> None:
    write = order("C-HOLD")
    delivering(write)
    again = delivering(write)
    assert (again.batches, again.results[0].step) == (0, Step.LEAVE_REJECTED)

    _change_hold(client, "No")
    try:
        delivering.ledger.deliveries.redrive(
            delivering.ledger.deliveries.ids(DeliveryFilter(state=State.REJECTED)), who="ann"
        )
        assert delivering(write).created == 1
    finally:
        _change_hold(client, "All")
    assert effects(write) == ONCE


def _change_hold(client: D365Client, status: str) -> None:
    operation = Operation(
        "PATCH",
        "CustomersV3(dataAreaId='usmf',CustomerAccount='C-HOLD')?cross-company=true",
        json_body({"OnHoldStatus": status}),
    )
    [answer] = client.send_changesets([Changeset((operation,))]).answers
    assert answer == Answer(204)


def test_an_order_whose_answer_was_lost_is_found_and_not_created_twice(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    writes = [order(), order()]
    gateway.lose_the_answer()

    summary = delivering_by_gateway(*writes)

    assert [effects(write) for write in writes] == [ONCE] * 2
    assert (summary.created, summary.adopted, summary.batches) == (0, 2, 1)
    assert all(result.d365_amount == Decimal("12149.964") for result in summary.results)


def test_an_order_whose_request_was_lost_is_sent_again_but_not_before_the_settling_time(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    write = order()
    gateway.drop_the_request()

    first = delivering_by_gateway(write)
    delivering_by_gateway.later(119)
    too_early = delivering_by_gateway(write)
    delivering_by_gateway.later(2)
    in_time = delivering_by_gateway(write)

    assert [summary.results[0].state for summary in (first, too_early, in_time)] == [
        "in_doubt",
        "in_doubt",
        "confirmed",
    ]
    assert (too_early.batches, in_time.batches) == (0, 1)
    assert effects(write) == ONCE


def test_a_list_that_does_not_show_an_order_is_no_proof_that_it_is_not_there(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    write = order()
    gateway.lose_the_answer()
    gateway.answer("GET", "SalesOrderHeadersV2?", 200, b'{"value":[]}', Content_Type="application/json")

    summary = delivering_by_gateway(write, pace=Pace(settle_s=0))

    assert (summary.adopted, summary.batches) == (1, 1)
    assert effects(write) == ONCE


def test_a_doubt_stays_while_d365_cannot_be_asked(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order
) -> None:
    gateway.lose_the_answer()
    gateway.answer("GET", "SalesOrderHeadersV2", 503, b"", times=5)

    summary = delivering_by_gateway(order())

    assert summary.results[0].state is State.IN_DOUBT
    assert delivering_by_gateway.ledger.deliveries.counts()["in_doubt"] == 1


def test_what_a_run_sent_before_it_died_is_looked_for_by_the_next_one(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    # Given a run that died between its request and the answer.
    write = order()
    deliveries = delivering.ledger.deliveries
    deliveries.plan([write], "dead", delivering.now)
    held = deliveries.claim("sales_order", "create", "dead", owner="dead", lease_s=60, limit=9, now=delivering.now)
    deliveries.mark_sent(held, "dead", correlation_id="x", request="", lease_s=60, now=delivering.now)
    operations = [
        Operation("POST", "SalesOrderHeadersV2", json_body(write.header)),
        *(Operation("POST", "SalesOrderLines", json_body(line)) for line in write.lines),
    ]
    delivering.client.send_changesets([Changeset(tuple(operations))])

    while_leased = delivering(write)
    delivering.later(61)
    after_it = delivering(write)

    assert (while_leased.results[0].step, while_leased.batches) == (Step.LEAVE_HELD, 0)
    assert (after_it.adopted, after_it.batches) == (1, 0)
    assert effects(write) == ONCE


def test_a_slow_writer_that_lost_its_lease_cannot_make_a_second_order(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    write = order()
    delivering(write)

    # The slow writer's request arrives after all: the number is taken.
    [answer] = delivering.client.send_changesets(
        [Changeset((Operation("POST", "SalesOrderHeadersV2", json_body(write.header)),))]
    ).answers

    assert isinstance(answer, Answer)
    assert "already exists" in answer.message
    assert effects(write) == ONCE


def test_the_order_of_an_old_ledger_is_adopted_instead_of_made_again(
    delivering: Delivering,
    order: Order,
    effects: Effects,
    new_database: Callable[..., str],
    ledger_template: str,
) -> None:
    write = order()
    delivering(write)

    with Ledger.opened(new_database(ledger_template)) as empty_ledger:
        summary = Delivering(empty_ledger, delivering.client, delivering.contract)(write)

    assert (summary.created, summary.adopted) == (0, 1)
    assert effects(write) == ONCE


def test_a_strangers_order_under_our_number_is_left_alone_and_told(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    write = order()
    stranger = dict(write.header) | {"CustomersOrderReference": "WEB-1"}
    delivering.client.send_changesets([Changeset((Operation("POST", "SalesOrderHeadersV2", json_body(stranger)),))])

    [result] = delivering(write).results

    assert result.state is State.REJECTED
    assert result.reason.startswith(
        f"D365 holds another record under usmf/{write.d365_key}: CustomersOrderReference is 'WEB-1'"
    )
    assert effects(write) == {"headers": 1, "lines": 0}


def test_throttling_is_waited_out_and_nothing_is_sent_twice(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    gateway.answer("POST", "$batch", 429, b"", Retry_After="17")
    writes = [order(lines=60), order(lines=60)]

    summary = delivering_by_gateway(*writes)

    assert delivering_by_gateway.naps == [17]
    assert summary.created == 2
    assert [effects(write) for write in writes] == [{"headers": 1, "lines": 60}] * 2


def test_throttling_inside_a_batch_delays_one_order_and_no_other(
    delivering: Delivering, sandbox: Sandbox, order: Order, effects: Effects
) -> None:
    sandbox.fault("throttle_part", retry_after_s=1)
    writes = [order(), order()]

    summary = delivering(*writes)

    assert (summary.created, summary.batches, delivering.naps) == (2, 2, [1])
    assert [effects(write) for write in writes] == [ONCE] * 2


def test_a_throttle_that_does_not_end_leaves_the_orders_planned_for_the_next_run(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    write = order()
    gateway.answer("POST", "$batch", 429, b"", times=3)

    first = delivering_by_gateway(write)
    second = delivering_by_gateway(write)

    assert (first.results[0].state, second.results[0].state) == (State.PLANNED, State.CONFIRMED)
    assert effects(write) == ONCE


def test_a_gateways_error_page_puts_the_batch_in_doubt_and_the_look_settles_it(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    gateway.answer("POST", "$batch", 502, b"<html><title>Bad Gateway</title></html>", Content_Type="text/html")
    write = order()

    first = delivering_by_gateway(write)
    delivering_by_gateway.later(121)
    second = delivering_by_gateway(write)

    assert (
        first.results[0].reason
        == "the batch as a whole ended with HTTP 502: a web page instead of data (HTTP 502, 'Bad Gateway')"
    )
    assert (first.results[0].state, second.created) == (State.IN_DOUBT, 1)
    assert effects(write) == ONCE


def test_an_application_that_is_refused_in_the_middle_leaves_the_orders_planned_and_says_why(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, effects: Effects
) -> None:
    gateway.answer(
        "POST", "$batch", 401, b'{"Message":"Authentication failed."}', times=2, Content_Type="application/json"
    )
    write = order()

    with pytest.raises(AuthenticationProblem, match="Register client"):
        delivering_by_gateway(write)

    assert delivering_by_gateway.ledger.deliveries.counts()["planned"] == 1
    assert delivering_by_gateway(write).created == 1
    assert effects(write) == ONCE


def test_a_token_that_ends_before_a_batch_is_replaced(
    delivering: Delivering, sandbox: Sandbox, order: Order, effects: Effects
) -> None:
    delivering(order())
    sandbox.post("tokens/expire")
    write = order()

    assert delivering(write).created == 1
    assert effects(write) == ONCE


def test_an_order_that_meets_a_rotated_secret_is_created_once(
    ledger: Ledger, open_client: Callable[..., D365Client], contract: Contract, sandbox: Sandbox, order: Order,
    effects: Effects, tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "secret"
    file.write_text(DEFAULT_CLIENT_SECRET)
    client = open_client(secret=Secret.in_file("D365_CLIENT_SECRET_FILE", str(file)))
    delivering = Delivering(ledger, client, contract)
    delivering(order())
    sandbox.post("settings", {"client_secret": "rotated"})
    sandbox.post("tokens/expire")
    left, met = order(), order()

    with pytest.raises(AuthenticationProblem, match="it holds no other value"):
        delivering(left)
    file.write_text("rotated")

    assert delivering(left, met).created == 2
    assert (effects(left), effects(met)) == (ONCE, ONCE)


def test_an_unreachable_d365_leaves_the_orders_planned_with_the_reason(
    ledger: Ledger, unreachable_client: D365Client, contract: Contract, order: Order
) -> None:
    delivering = Delivering(ledger, unreachable_client, contract)

    summary = delivering(order())

    assert summary.results[0].state is State.PLANNED
    assert summary.results[0].reason == "D365 at 127.0.0.1: it cannot be reached"


def test_an_order_larger_than_a_batch_travels_alone_and_whole(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    small, large = order(), order(lines=150)

    summary = delivering(small, large)

    assert (summary.created, summary.batches) == (2, 2)
    assert effects(large) == {"headers": 1, "lines": 150}


def test_a_dry_run_says_what_would_be_sent_and_changes_nothing(
    delivering: Delivering, sandbox: Sandbox, order: Order
) -> None:
    before = sandbox.position()

    summary = delivering(order(), order("C-HOLD"), dry_run=True)

    assert (summary.would_send, summary.created, summary.api_calls) == (2, 0, 0)
    assert sandbox.position() == before
    assert sum(delivering.ledger.deliveries.counts().values()) == 0


def test_the_calls_of_the_log_add_up_to_the_calls_that_were_made(delivering: Delivering, order: Order) -> None:
    delivering(*(order() for _ in range(7)))

    log = delivering.ledger.attempts.attempts_of_run("run 1").to_pylist()
    assert len(log) == 7
    assert sum(row["api_calls"] for row in log) == 1


def test_a_quiet_delivery_of_three_line_orders_costs_less_than_a_fifth_of_a_call_each(
    delivering: Delivering, order: Order
) -> None:
    summary = delivering(*(order() for _ in range(40)))

    assert summary.created == 40
    assert summary.api_calls / 40 <= 0.2


def test_an_order_that_is_no_longer_wanted_is_cancelled_before_it_is_sent(
    delivering: Delivering, order: Order, effects: Effects
) -> None:
    unwanted, wanted = order(), order()
    delivering.ledger.deliveries.plan([unwanted], "an earlier run", delivering.now)

    summary = delivering(wanted, whole_scope=True)

    assert (summary.cancelled, summary.created) == (1, 1)
    assert effects(unwanted) == NEVER


@pytest.fixture
def customer_contract(contracts: Contracts) -> Contract:
    return contracts["customer"]


@pytest.fixture
def delivering_customers(ledger: Ledger, client: D365Client, customer_contract: Contract) -> Delivering:
    return Delivering(ledger, client, customer_contract)


def test_a_customer_arrives_with_every_character_of_its_name(
    delivering_customers: Delivering, customer_contract: Contract, new_id: Callable[[], str]
) -> None:
    names = [
        'O\'Neil & Söhne "Größe"',
        '=HYPERLINK("x")',
        "Łódź 😀",
        "--changeset_1_x\r\nHTTP/1.1 400",
        "Tab\tand\u2028separator",
    ]
    writes = [
        customer_write(customer_contract, an_account(Id=new_id(), Name=name, AccountNumber=None)) for name in names
    ]

    summary = delivering_customers(*writes)

    assert summary.created == len(names)
    for write, name in zip(writes, names, strict=True):
        row = delivering_customers.client.by_key(
            "CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": write.d365_key}
        )
        assert row is not None
        assert row["OrganizationName"] == name


def test_a_change_of_a_customer_is_sent_once_and_only_with_what_changed(
    delivering_customers: Delivering, customer_contract: Contract, sandbox: Sandbox, new_id: Callable[[], str]
) -> None:
    change = customer_change(customer_contract, new_id(), "usmf", "C-2", {"phone": "+1 555 0100"})
    began = sandbox.position()

    summary = delivering_customers(change)

    [effect] = sandbox.journal(began, phase="effect")
    assert (effect["effect"], effect["entity"], effect["key"], effect["fields"]) == (
        "updated",
        "CustomersV3",
        "C-2",
        ["PrimaryContactPhone"],
    )
    assert (summary.updated, summary.results[0].state) == (1, State.CONFIRMED)


def test_a_change_of_a_customer_that_is_not_there_is_refused_in_d365s_words(
    delivering_customers: Delivering, customer_contract: Contract, new_id: Callable[[], str]
) -> None:
    [result] = delivering_customers(
        customer_change(customer_contract, new_id(), "usmf", "C-NONE", {"phone": "1"})
    ).results

    assert (result.state, result.reason) == (State.REJECTED, "No resources were found when selecting for update.")


@pytest.fixture
def delivering_customers_by_gateway(
    ledger: Ledger, client_behind_gateway: D365Client, customer_contract: Contract
) -> Delivering:
    return Delivering(ledger, client_behind_gateway, customer_contract)


def test_a_change_whose_answer_was_lost_is_looked_for_and_not_sent_again(
    delivering_customers_by_gateway: Delivering,
    gateway: Gateway,
    customer_contract: Contract,
    new_id: Callable[[], str],
) -> None:
    gateway.lose_the_answer()
    change = customer_change(customer_contract, new_id(), "usmf", "C-2", {"phone": "+1 555 0101"})

    summary = delivering_customers_by_gateway(change)

    assert (summary.updated, summary.batches) == (1, 1)
    assert summary.results[0].state is State.CONFIRMED


def test_while_a_change_may_still_land_no_newer_one_is_sent(
    delivering_customers_by_gateway: Delivering,
    gateway: Gateway,
    customer_contract: Contract,
    new_id: Callable[[], str],
    sandbox: Sandbox,
) -> None:
    """Otherwise the older value, landing late, would go over the newer one."""
    account_id = new_id()
    older, newer = (
        customer_change(customer_contract, account_id, "usmf", "C-2", {"phone": phone})
        for phone in ("+1 555 0200", "+1 555 0201")
    )
    began = sandbox.position()
    gateway.drop_the_request()

    first = delivering_customers_by_gateway(older)
    meanwhile = delivering_customers_by_gateway(newer)
    delivering_customers_by_gateway.later(121)
    settled = delivering_customers_by_gateway(newer)

    assert [run.results[0].state for run in (first, meanwhile, settled)] == ["in_doubt", "in_doubt", "confirmed"]
    written = [entry["values"]["PrimaryContactPhone"] for entry in sandbox.journal(began, phase="effect")]
    assert written == ["+1 555 0201"]


def test_a_change_that_arrives_a_second_time_meets_another_row_version(
    delivering_customers: Delivering, customer_contract: Contract, sandbox: Sandbox, new_id: Callable[[], str]
) -> None:
    """Where D365 honours row versions, a copy that is late by any time changes nothing."""
    sandbox.post("settings", {"if_match_is_honoured": True})
    account_id = new_id()
    older, newer = (
        customer_change(customer_contract, account_id, "usmf", "C-2", {"phone": phone})
        for phone in ("+1 555 0300", "+1 555 0301")
    )
    sandbox.fault("duplicate", method="POST", path=r"\$batch", delay_s=0.3, answer="first")
    began = sandbox.position()

    delivering_customers(older)
    delivering_customers(newer)
    sandbox.wait_for(lambda: len(sandbox.journal(began, phase="asked", path="/data/$batch")) >= 2)

    written = [entry["values"]["PrimaryContactPhone"] for entry in sandbox.journal(began, phase="effect")]
    assert written == ["+1 555 0300", "+1 555 0301"]


def test_a_doubt_that_lasts_too_long_is_told(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    write = order()
    gateway.lose_the_answer()
    gateway.answer("GET", "SalesOrderHeadersV2", 503, b"", times=5)
    delivering_by_gateway(write)
    gateway.answer("GET", "SalesOrderHeadersV2", 503, b"", times=5)
    delivering_by_gateway.later(3601)

    summary = delivering_by_gateway(write)

    assert summary.overdue_doubts == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "delivery.in_doubt_for_too_long"
    ]


def test_a_request_that_was_held_up_for_half_its_lease_does_not_leave_any_more(
    delivering: Delivering, order: Order, effects: Effects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may soon take its delivery for lost, and would have to be sure that it cannot land any more."""
    write = order()
    written_down = delivering.ledger.deliveries.mark_sent

    def then_stalled(*given: Any, **options: Any) -> Any:
        sent = written_down(*given, **options)
        delivering.later(451)
        return sent

    monkeypatch.setattr(delivering.ledger.deliveries, "mark_sent", then_stalled)
    stalled = delivering(write)
    monkeypatch.undo()

    assert (effects(write), stalled.results[0].state) == (NEVER, State.PLANNED)
    assert delivering(write).created == 1


def test_a_name_that_is_too_long_for_d365_is_refused_and_the_other_customers_go_on(
    delivering_customers: Delivering, customer_contract: Contract, new_id: Callable[[], str]
) -> None:
    accounts = [an_account(Id=new_id(), AccountNumber=None, Name=name) for name in ("x" * 101, "Fits")]

    summary = delivering_customers(*(customer_write(customer_contract, account) for account in accounts))

    assert [result.state for result in summary.results] == [State.REJECTED, State.CONFIRMED]
    assert summary.results[0].reason


def test_a_customer_number_that_a_stranger_has_is_not_taken_over(
    delivering_customers: Delivering, customer_contract: Contract, new_id: Callable[[], str]
) -> None:
    account = an_account(Id=new_id(), AccountNumber="C-1", Name="Somebody else")

    [result] = delivering_customers(customer_write(customer_contract, account)).results

    assert result.state is State.REJECTED
    assert "D365 holds another record under usmf/C-1: OrganizationName is not the one that was sent" in result.reason


def test_the_pace_can_be_set(delivering: Delivering, order: Order) -> None:
    summary = delivering(*(order() for _ in range(4)), pace=Pace(most_operations=8, claimed_at_once=3))

    assert (summary.created, summary.batches) == (4, 3)


def test_a_paused_flow_queues_over_runs_and_a_resumed_one_sends_all_of_it(
    delivering: Delivering, order: Order, ledger: Ledger
) -> None:
    writes = [order() for _ in range(5)]
    ledger.flows.pause("delivery/sales_order", "usmf", who="anna")
    for _ in range(3):
        assert delivering(*writes, whole_scope=True).created == 0
    assert ledger.deliveries.counts()["planned"] == 5

    ledger.flows.resume("delivery/sales_order", "usmf", who="anna")

    assert delivering(*writes, whole_scope=True).created == 5


def test_a_breaker_that_mass_refusals_opened_takes_one_record_after_the_other_until_one_goes_through(
    delivering: Delivering, order: Order, ledger: Ledger
) -> None:
    """Five poison records are before the three good ones; each probe takes one of them away."""
    refused, good = [order("C-HOLD") for _ in range(25)], [order() for _ in range(3)]
    delivering(*refused, *good, pace=Pace(claimed_at_once=20))
    assert ledger.deliveries.counts()["rejected"] == 20

    sent = []
    for _ in range(6):
        [flow] = ledger.flows.all()
        assert delivering(*refused, *good).created == 0
        delivering.later(flow.breaker.cool_down_s)
        sent.append(delivering(*refused, *good).created)

    assert sent == [0, 0, 0, 0, 0, 3]
    counts = ledger.deliveries.counts()
    assert (counts["rejected"], counts["confirmed"], counts["planned"]) == (25, 3, 0)


def amendment_of(write: IntendedWrite, client: D365Client, quantity: int) -> IntendedWrite:
    """The change of an order that is there: its date, and the quantity of its first line."""
    [line, *_] = client.rows("SalesOrderLines", where=f"SalesOrderNumber eq '{write.d365_key}'")
    header = {"RequestedShippingDate": "2026-12-24T12:00:00Z"}
    changed = {"InventoryLotId": line["InventoryLotId"], "OrderedSalesQuantity": Decimal(quantity)}
    return replace(write, operation="update", header=header, lines=[changed])


def test_an_amendment_changes_header_and_lines_of_an_order_together(
    delivering: Delivering, order: Order, client: D365Client, effects: Effects
) -> None:
    write = order()
    delivering(write)

    summary = delivering(amendment_of(write, client, 7))

    [header] = client.rows("SalesOrderHeadersV2", where=f"SalesOrderNumber eq '{write.d365_key}'")
    lines = client.rows("SalesOrderLines", where=f"SalesOrderNumber eq '{write.d365_key}'")
    assert (summary.updated, effects(write)) == (1, ONCE)
    assert header["RequestedShippingDate"] == "2026-12-24T12:00:00Z"
    assert sorted(line["OrderedSalesQuantity"] for line in lines) == [2, 2, 7]


def test_an_amendment_of_which_one_line_is_refused_changes_nothing(
    delivering: Delivering, order: Order, client: D365Client, sandbox: Sandbox
) -> None:
    write = order()
    delivering(write)
    sandbox.fault("refuse_operation", nth=2)

    [result] = delivering(amendment_of(write, client, 7)).results

    [header] = client.rows("SalesOrderHeadersV2", where=f"SalesOrderNumber eq '{write.d365_key}'")
    assert result.state is State.REJECTED
    assert header["RequestedShippingDate"] != "2026-12-24T12:00:00Z"


def test_an_amendment_whose_answer_was_lost_is_looked_for_and_not_sent_again(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, client: D365Client
) -> None:
    write = order()
    delivering_by_gateway(write)
    gateway.lose_the_answer()

    summary = delivering_by_gateway(amendment_of(write, client, 7))

    assert (summary.updated, summary.batches) == (1, 1)


def test_one_lost_answer_does_not_open_the_circuit_breaker_however_many_orders_it_was_for(
    delivering_by_gateway: Delivering, gateway: Gateway, order: Order, ledger: Ledger
) -> None:
    gateway.drop_the_request()

    delivering_by_gateway(*(order(lines=1) for _ in range(45)))

    [flow] = ledger.flows.all()
    assert flow.breaker.state == "closed"
    assert sum(flow.breaker.recent) == 1
