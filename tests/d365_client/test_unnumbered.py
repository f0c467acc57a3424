"""Orders that get their number from D365, against a real sandbox; its journal is the judge."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from resources.d365 import D365Client
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from tests.conftest import PROJECT
from tests.d365_client.conftest import Sandbox
from tests.d365_client.test_delivering import UNITS, Delivering
from tests.delivery.records import a_line, an_opportunity
from tieout.batch import Changeset, Operation
from tieout.contract import Contract, load_contracts
from tieout.delivery import State
from tieout.intended import IntendedWrite
from tieout.odata import json_body
from tieout.order import order_write

SETTLE_S = 600
BATCH = {"method": "POST", "path": r"\$batch"}


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The project's contract for orders, with numbers that D365 gives."""
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copytree(PROJECT / "contracts", folder, dirs_exist_ok=True)
    path = folder / "sales_order.yaml"
    ours, text = 'number: {given_by: tieout, prefix: "T-"}', path.read_text()
    assert ours in text
    path.write_text(text.replace(ours, f"number: {{given_by: d365, settle_s: {SETTLE_S}}}"))
    return load_contracts(folder)["sales_order"]


@pytest.fixture
def order(contract: Contract, new_id: Callable[[], str]) -> Callable[..., IntendedWrite]:
    def make(customer: str = "C-1", lines: int = 3, item: str = "") -> IntendedWrite:
        its_lines = [
            a_line(number, Id=f"00k{number:015}", ProductCode=item or str(1000 + number))
            for number in range(1, lines + 1)
        ]
        return order_write(contract, an_opportunity(Id=new_id()), its_lines, customer, UNITS)

    return make


@pytest.fixture
def delivering(ledger: Ledger, client: D365Client, contract: Contract) -> Delivering:
    return Delivering(ledger, client, contract)


@dataclass(frozen=True)
class Made:
    """What took effect in D365 since the test began, and what stands there."""

    sandbox: Sandbox
    client: D365Client
    began: int

    def of(self, write: IntendedWrite) -> dict[str, Any]:
        """Headers that were made and are left for an opportunity, with the lines of the first, and whether it is stopped."""
        reference = f"CustomersOrderReference eq '{write.business_key}'"
        headers = self.client.rows("SalesOrderHeadersV2", where=reference)
        entries = self.sandbox.journal(self.began, phase="effect", effect="created", entity="SalesOrderHeadersV2")
        made = sum(entry["values"]["CustomersOrderReference"] == write.business_key for entry in entries)
        if not headers:
            return {"made": made, "left": 0}
        number = headers[0]["SalesOrderNumber"]
        lines = self.client.rows("SalesOrderLines", where=f"SalesOrderNumber eq '{number}'")
        stopped = headers[0]["IsSalesProcessingStopped"]
        return {"made": made, "left": len(headers), "lines": len(lines), "stopped": stopped}


@pytest.fixture
def made(sandbox: Sandbox, client: D365Client) -> Made:
    return Made(sandbox, client, sandbox.position())


@pytest.fixture(autouse=True)
def without_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.forget_faults()


Order = Callable[..., IntendedWrite]
WHOLE = {"made": 1, "left": 1, "lines": 3, "stopped": "No"}
HALF = {"made": 1, "left": 1, "lines": 0, "stopped": "Yes"}


def test_an_order_gets_d365s_number_and_is_whole_and_released(delivering: Delivering, order: Order, made: Made) -> None:
    writes = [order(), order()]

    summary = delivering(*writes)

    assert [made.of(write) for write in writes] == [WHOLE] * 2
    assert (summary.created, summary.batches) == (2, 2)
    rows = delivering.ledger.deliveries.find()
    assert all(row.d365_key.startswith("USMF-") and row.state is State.CONFIRMED for row in rows)
    links = {link.salesforce_id: link.d365_key for link in delivering.ledger.crosswalk.links("sales_order")}
    assert links == {row.business_key: row.d365_key for row in rows}


def test_a_second_delivery_makes_nothing(delivering: Delivering, order: Order, made: Made) -> None:
    write = order()
    delivering(write)

    again = delivering(write)

    assert (again.created, again.batches, made.of(write)) == (0, 0, WHOLE)


def test_no_header_is_ever_released_before_its_lines_are_there(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    delivering(order())

    entries = [entry for entry in sandbox.journal(made.began, phase="effect") if entry["entity"] != "CustomersV3"]
    header, *lines, release = entries
    assert header["values"]["IsSalesProcessingStopped"] == "Yes"
    assert Counter(entry["entity"] for entry in lines) == {"SalesOrderLines": 3}
    assert (release["effect"], release["fields"]) == ("updated", ["IsSalesProcessingStopped"])


def test_a_header_whose_answer_was_lost_is_found_by_its_reference_and_gets_its_lines(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("lose_answer", **BATCH)

    summary = delivering(write)

    assert made.of(write) == WHOLE
    assert summary.created == 1


def test_a_header_whose_request_was_lost_is_sent_again_but_not_before_the_settling_time(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("drop", **BATCH)

    first = delivering(write)
    delivering.later(SETTLE_S - 1)
    too_early = delivering(write)
    delivering.later(2)
    in_time = delivering(write)

    assert [run.results[0].state for run in (first, too_early, in_time)] == ["in_doubt", "in_doubt", "confirmed"]
    assert (too_early.batches, made.of(write)) == (0, WHOLE)


def test_a_header_that_lands_late_is_not_made_a_second_time(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("slow_commit", delay_s=0.3, **BATCH)

    first = delivering(write)
    sandbox.wait_for(lambda: made.of(write)["left"] == 1)
    second = delivering(write)

    assert (first.results[0].state, second.results[0].state) == (State.IN_DOUBT, State.CONFIRMED)
    assert made.of(write) == WHOLE


def test_lines_whose_answer_was_lost_are_looked_for_and_not_doubled(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("lose_answer", after=1, **BATCH)

    summary = delivering(write)

    assert (summary.adopted, made.of(write)) == (1, WHOLE)


def test_lines_whose_request_was_lost_are_sent_again_but_not_before_the_settling_time(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("drop", after=1, **BATCH)

    first = delivering(write)
    too_early = delivering(write)
    between = made.of(write)
    delivering.later(SETTLE_S + 1)
    in_time = delivering(write)

    assert [run.results[0].state for run in (first, too_early, in_time)] == ["in_doubt", "in_doubt", "confirmed"]
    assert (between, made.of(write)) == (HALF, WHOLE)


def test_an_order_whose_lines_are_refused_leaves_no_header_behind(
    delivering: Delivering, order: Order, made: Made
) -> None:
    poison, good = order(item="none"), order()

    summary = delivering(poison, good)

    assert (made.of(poison), made.of(good)) == ({"made": 1, "left": 0}, WHOLE)
    [result] = summary.in_state(State.REJECTED)
    assert "The value 'none' in field 'Item number' is not found" in result.reason
    assert "was removed again" in result.reason


def test_a_header_that_is_refused_ends_in_d365s_words(delivering: Delivering, order: Order, made: Made) -> None:
    write = order("C-HOLD")

    [result] = delivering(write).results

    assert (result.state, made.of(write)) == (State.REJECTED, {"made": 0, "left": 0})
    assert "Customer account C-HOLD is on hold." in result.reason


def test_throttled_lines_go_on_from_their_header(
    delivering: Delivering, order: Order, made: Made, sandbox: Sandbox
) -> None:
    write = order()
    sandbox.fault("throttle", retry_after_s=7, after=1, **BATCH)

    summary = delivering(write)

    assert (summary.created, made.of(write)) == (1, WHOLE)
    assert 7 in delivering.naps


def test_an_order_that_an_old_ledger_does_not_know_is_adopted(
    delivering: Delivering,
    order: Order,
    made: Made,
    new_database: Callable[..., str],
    ledger_template: str,
) -> None:
    write = order()
    delivering(write)

    with Ledger.opened(new_database(ledger_template)) as empty_ledger:
        summary = Delivering(empty_ledger, delivering.client, delivering.contract)(write)

    assert (summary.created, summary.adopted, made.of(write)) == (0, 1, WHOLE)


def test_two_orders_with_one_reference_are_left_for_a_person(
    delivering: Delivering, order: Order, made: Made, client: D365Client
) -> None:
    write = order()
    header = Operation("POST", "SalesOrderHeadersV2", json_body(dict(write.header)))
    client.send_changesets([Changeset((header,)), Changeset((header,))])

    [result] = delivering(write).results

    assert (result.state, made.of(write)["made"]) == (State.REJECTED, 2)
    assert result.reason.startswith("2 orders in D365 carry the reference of this one: USMF-")


def test_an_order_that_was_refused_and_mended_is_sent_again(delivering: Delivering, order: Order, made: Made) -> None:
    poison = order(item="none")
    delivering(poison)
    mended = replace(poison, lines=[dict(line) | {"ItemNumber": "1001"} for line in poison.lines])

    summary = delivering(mended)

    assert (summary.created, made.of(poison)) == (1, {"made": 2, "left": 1, "lines": 3, "stopped": "No"})


def test_a_run_that_died_between_header_and_lines_is_gone_on_with(
    delivering: Delivering, order: Order, made: Made, client: D365Client
) -> None:
    """The dead run had the header's number in the ledger, or not: its header is found either way."""
    write = order()
    header = dict(write.header) | {"IsSalesProcessingStopped": "Yes"}
    client.send_changesets([Changeset((Operation("POST", "SalesOrderHeadersV2", json_body(header)),))])
    deliveries = delivering.ledger.deliveries
    deliveries.plan([write], "dead", delivering.now)
    held = deliveries.claim("sales_order", "create", "dead", owner="dead", lease_s=60, limit=9, now=delivering.now)
    deliveries.mark_sent(held, "dead", correlation_id="x", request="", lease_s=60, now=delivering.now)
    delivering.later(61)

    summary = delivering(write)

    assert (summary.created, made.of(write)) == (1, WHOLE)
    assert deliveries.find(DeliveryFilter(state=State.CONFIRMED))[0].d365_key
