"""How the client behaves when D365 asks to be left alone, and when its calls are counted."""

import threading
from collections.abc import Callable

import pytest

from resources.d365 import D365Client
from resources.wait_gate import LONGEST_PATIENCE_S, WaitGate
from tests.d365_client.conftest import Sandbox
from tieout.batch import Changeset, Operation
from tieout.budget import Budget
from tieout.errors import BudgetSpent, SourceUnavailable
from tieout.odata import json_body
from tieout.pace import AdaptiveLimit


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def gate(time: Time) -> WaitGate:
    return WaitGate("D365", sleep=time.sleep, clock=lambda: time.now)


def test_an_open_gate_is_passed_at_once(gate: WaitGate, time: Time) -> None:
    gate.wait()

    assert time.naps == []


def test_a_closed_gate_opens_to_the_second(gate: WaitGate, time: Time) -> None:
    gate.close_for(17)
    time.now += 5

    gate.wait()

    assert time.naps == [12]


def test_a_shorter_wait_never_cuts_a_longer_one(gate: WaitGate, time: Time) -> None:
    gate.close_for(60)
    gate.close_for(1)

    gate.wait()

    assert time.naps == [60]


def test_a_wait_that_grows_while_one_waits_is_waited_out(gate: WaitGate, time: Time) -> None:
    slept = time.sleep
    gate.close_for(10)

    def and_asked_for_more(seconds: float) -> None:
        slept(seconds)
        if len(time.naps) == 1:
            gate.close_for(30)

    gate._sleep = and_asked_for_more
    gate.wait()

    assert time.naps == [10, 30]


def test_whoever_asks_for_longer_than_our_patience_is_believed_and_not_waited_for(gate: WaitGate, time: Time) -> None:
    gate.close_for(LONGEST_PATIENCE_S + 60)

    with pytest.raises(SourceUnavailable, match=r"D365 asks to be left alone for 16 minutes"):
        gate.wait()
    assert time.naps == []


def test_what_one_call_was_asked_to_wait_every_other_call_waits_too(
    client: D365Client, sandbox: Sandbox, naps: list[float]
) -> None:
    sandbox.fault("throttle", path="/data/CustomersV3/", retry_after_s=7)
    client.count("CustomersV3")
    del naps[:]

    other = threading.Thread(target=client.count, args=("ReleasedProductsV2",))
    other.start()
    other.join()

    assert naps == [pytest.approx(7, abs=0.5)]


def test_a_part_of_a_batch_that_was_throttled_makes_look_ups_wait_too(
    client: D365Client, sandbox: Sandbox, naps: list[float]
) -> None:
    sandbox.fault("throttle_part", retry_after_s=9)
    change = Operation(
        "PATCH",
        "CustomersV3(dataAreaId='usmf',CustomerAccount='C-1')?cross-company=true",
        json_body({"CreditLimit": 1}),
    )

    client.send_changesets([Changeset((change,))])
    client.count("CustomersV3")

    assert naps == [pytest.approx(9, abs=0.5)]


def test_a_budget_stops_before_the_call_that_would_pass_it(
    open_client: Callable[..., D365Client], sandbox: Sandbox
) -> None:
    client = open_client(budget=Budget("D365", 2, variable="TIEOUT_D365_CALLS_PER_RUN"))
    client.count("CustomersV3")
    client.count("CustomersV3")
    before = len(sandbox.journal(phase="asked"))

    with pytest.raises(
        BudgetSpent, match=r"^Incomplete: this run has made the 2 calls to D365 that TIEOUT_D365_CALLS_PER_RUN allows"
    ):
        client.count("CustomersV3")

    assert len(sandbox.journal(phase="asked")) == before


def test_a_budget_leaves_the_reserve_to_others() -> None:
    budget = Budget("Salesforce", reserve_percent=10)

    budget.spend(used=899, allowed=1000)
    with pytest.raises(BudgetSpent, match=r"^Incomplete: 900 of the 1,000 calls"):
        budget.spend(used=900, allowed=1000)


def test_batches_at_once_grow_by_one_and_are_halved() -> None:
    limit = AdaptiveLimit(8)
    grown = []
    for _ in range(9):
        limit.succeeded()
        grown.append(limit.allowed)
    limit.throttled()

    assert grown == [2, 3, 4, 5, 6, 7, 8, 8, 8]
    assert limit.allowed == 4


def test_a_limit_never_falls_below_one() -> None:
    limit = AdaptiveLimit(4)

    limit.throttled()

    assert limit.allowed == 1
