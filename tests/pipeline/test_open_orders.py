"""Reading only open orders: what closes, goes or comes between two reads is found, closed orders keep their row until the night, and a company
that falls silent is no company without orders."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from tests.pipeline.installation import Installation

ORDER, LINE, CUSTOMER = "sales_order", "sales_order_line", "customer"
CLOSED = ("Invoiced", "Canceled")


@dataclass(frozen=True)
class Reading:
    """Reads D365 as a run does, and shows what the lake and the ledger have afterwards."""

    installation: Installation
    job: dg.JobDefinition

    def once(self, *, full: bool = False) -> None:
        """One run; `full` as at night."""
        config = {"resources": {"options": {"config": {"full": full}}}}
        with dg.DagsterInstance.get() as instance:
            assert self.job.execute_in_process(instance=instance, run_config=config).success

    def lake(self, table: str) -> dict[str, dict[str, Any]]:
        """Key → row."""
        rows = Lake(self.installation.home / "lake").dataset(("d365", table)).to_table().to_pylist()
        return {row["_key"]: row for row in rows}

    def sweep(self, table: str) -> Sweep:
        with Ledger.opened(self.installation.database_url or "") as ledger:
            found = ledger.watermarks.latest_sweep("d365", table)
        assert found is not None
        return found

    def proof(self, table: str) -> Mapping[str, Any]:
        found = self.sweep(table).proof
        assert found is not None
        return found

    def an_order(self, *, closed: bool, most_lines: int = 99) -> dict[str, Any]:
        """An order that has lines, as the lake holds it; another one with each call."""
        lines = [row["_parent_key"] for row in self.lake(LINE).values()]
        for row in self.lake(ORDER).values():
            if (row["SalesOrderStatus"] in CLOSED) == closed and 1 < lines.count(row["_key"]) <= most_lines:
                customers = (
                    "SELECT 1 FROM CustomersV3 WHERE dataAreaId = ? AND CustomerAccount = ? AND OnHoldStatus = 'No'"
                )
                key = (row["dataAreaId"], row["InvoiceCustomerAccountNumber"])
                if self.installation.books().d365(customers, *key):
                    return row
        raise AssertionError("the seed has no such order")

    def deleted(self, order: Mapping[str, Any]) -> None:
        """An order and its lines are gone, as after a clean-up job; over OData D365 lets no order go that was posted."""
        for entity in ("SalesOrderLines", "SalesOrderHeadersV2"):
            where = "dataAreaId = ? AND SalesOrderNumber = ?"
            self.changed(f"DELETE FROM {entity} WHERE {where}", order["dataAreaId"], order["SalesOrderNumber"])

    def changed(self, statement: str, *values: object) -> None:
        """Change rows behind the API, as posting and imports do."""
        with sqlite3.connect(self.installation.d365.file) as connection:
            assert connection.execute(statement, values).rowcount


@pytest.fixture(scope="module")
def reading(installation: Installation) -> Reading:
    """Everything of D365 was read whole once."""
    selection = dg.AssetSelection.assets(*(["d365", table] for table in (CUSTOMER, ORDER, LINE))).without_checks()
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("reading_d365", selection=selection)]))
    made = Reading(installation, job.resolve_job_def("reading_d365"))
    made.once()
    return made


def test_the_first_read_is_whole_and_later_ones_leave_out_what_was_closed(reading: Reading) -> None:
    before = {table: reading.lake(table) for table in (ORDER, LINE)}
    long_ago = "2020-01-01T00:00:00Z"
    reading.changed("UPDATE SalesOrderHeadersV2 SET OrderCreationDateTime = ?", long_ago)
    reading.once(full=True)
    whole = {table: reading.sweep(table) for table in (ORDER, LINE)}

    reading.once()

    for table in (ORDER, LINE):
        sweep = reading.sweep(table)
        assert (whole[table].mode, sweep.mode, sweep.complete, sweep.problem) == ("full", "incremental", True, "")
        assert 0 < sweep.rows_read < whole[table].rows_read
        assert reading.lake(table).keys() == before[table].keys()
        assert (reading.proof(table)["open_only"], reading.proof(table)["gone"]) == (True, 0)
    is_open = [row for row in before[ORDER].values() if row["SalesOrderStatus"] not in CLOSED]
    assert reading.sweep(ORDER).rows_read == len(is_open)


def test_an_order_that_was_closed_is_read_by_its_key_with_its_lines(
    reading: Reading, installation: Installation
) -> None:
    order = reading.an_order(closed=False)
    lines = {key for key, row in reading.lake(LINE).items() if row["_parent_key"] == order["_key"]}
    installation.d365.post(f"orders/{order['dataAreaId']}/{order['SalesOrderNumber']}/invoice")

    reading.once()

    assert reading.lake(ORDER)[order["_key"]]["SalesOrderStatus"] == "Invoiced"
    assert {reading.lake(LINE)[key]["SalesOrderLineStatus"] for key in lines} == {"Invoiced"}
    assert (reading.proof(ORDER)["read_by_key"], reading.proof(ORDER)["gone"]) == (1, 0)
    assert reading.proof(LINE)["read_by_key"] == len(lines)


def test_an_open_order_that_was_deleted_leaves_with_its_lines(reading: Reading) -> None:
    order = reading.an_order(closed=False)
    reading.deleted(order)

    reading.once()

    assert order["_key"] not in reading.lake(ORDER)
    assert order["_key"] not in {row["_parent_key"] for row in reading.lake(LINE).values()}
    assert reading.proof(ORDER)["gone"] == 1


def test_a_line_that_was_taken_out_of_an_open_order_leaves_and_the_others_stay(reading: Reading) -> None:
    order = reading.an_order(closed=False)
    lines = {key: row for key, row in reading.lake(LINE).items() if row["_parent_key"] == order["_key"]}
    removed = min(lines)
    where = "dataAreaId = ? AND InventoryLotId = ?"
    reading.changed(f"DELETE FROM SalesOrderLines WHERE {where}", order["dataAreaId"], lines[removed]["InventoryLotId"])

    reading.once()

    left = {key for key, row in reading.lake(LINE).items() if row["_parent_key"] == order["_key"]}
    assert left == lines.keys() - {removed}


def test_a_closed_order_keeps_its_row_until_the_nightly_read_finds_it_changed_or_gone(reading: Reading) -> None:
    changed = reading.an_order(closed=True)
    where = "WHERE dataAreaId = ? AND SalesOrderNumber = ?"
    key = (changed["dataAreaId"], changed["SalesOrderNumber"])
    reading.changed(f"UPDATE SalesOrderHeadersV2 SET CustomerRequisitionNumber = 'LATE' {where}", *key)
    [gone, *_] = [
        row
        for row in reading.lake(ORDER).values()
        if row["SalesOrderStatus"] == "Invoiced" and row["_key"] != changed["_key"]
    ]
    reading.deleted(gone)

    reading.once()

    by_day = reading.lake(ORDER)
    assert by_day[changed["_key"]] == changed
    assert by_day[gone["_key"]] == gone
    reading.once(full=True)
    by_night = reading.lake(ORDER)
    assert by_night[changed["_key"]]["CustomerRequisitionNumber"] == "LATE"
    assert gone["_key"] not in by_night
    assert gone["_key"] not in {row["_parent_key"] for row in reading.lake(LINE).values()}


def test_an_order_that_was_typed_in_and_invoiced_between_two_reads_is_read_although_it_is_closed(
    reading: Reading,
) -> None:
    """It may be the order of an opportunity, which must not get a second one."""
    template = reading.an_order(closed=True)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    columns = "dataAreaId, SalesOrderStatus, SalesOrderProcessingStatus, OrderingCustomerAccountNumber, CurrencyCode"
    reading.changed(
        f"INSERT INTO SalesOrderHeadersV2 ({columns}, SalesOrderNumber, CustomersOrderReference, OrderCreationDateTime) "
        f"SELECT {columns}, 'TYPED-1', '006000000000001AAA', ? FROM SalesOrderHeadersV2 "
        "WHERE dataAreaId = ? AND SalesOrderNumber = ?",
        now,
        template["dataAreaId"],
        template["SalesOrderNumber"],
    )

    reading.once()

    typed = reading.lake(ORDER)[f"{template['dataAreaId']}|typed-1"]
    assert typed["SalesOrderStatus"] in CLOSED
    assert typed["CustomersOrderReference"] == "006000000000001AAA"
    assert reading.sweep(ORDER).mode == "incremental"


def test_a_company_that_the_role_no_longer_sees_makes_the_read_incomplete_and_keeps_its_rows(
    reading: Reading, installation: Installation
) -> None:
    before = {table: reading.lake(table) for table in (CUSTOMER, ORDER, LINE)}
    assert reading.proof(CUSTOMER)["companies"]["demf"] > 0
    installation.d365.post("settings", {"hidden_companies": ["demf"]})
    try:
        for full in (False, True):
            reading.once(full=full)

            for table in (CUSTOMER, ORDER, LINE):
                sweep = reading.sweep(table)
                assert not sweep.complete
                assert "company demf had " in sweep.problem
                assert "usmf" not in sweep.problem
                assert reading.lake(table).keys() == before[table].keys()
    finally:
        installation.d365.post("settings", {"hidden_companies": None})
    reading.once()
    assert all(reading.sweep(table).complete for table in before)


def test_a_company_that_is_named_and_of_which_d365_shows_nothing_is_told(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_COMPANIES", "demf, usmf, xxxx")

    reading.once()

    sweep = reading.sweep(ORDER)
    assert not sweep.complete
    assert "TIEOUT_COMPANIES names xxxx, and D365 shows nothing of it" in sweep.problem
    assert "demf" not in sweep.problem


def test_a_company_without_orders_answers_by_its_customers(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    reading.changed(
        "INSERT INTO CustomersV3 (dataAreaId, CustomerAccount, OrganizationName, CustomerGroupId, SalesCurrencyCode) "
        "VALUES ('new1', 'N-1', 'New', '30', 'EUR')"
    )
    monkeypatch.setenv("TIEOUT_COMPANIES", "demf,new1")

    reading.once()

    assert reading.sweep(ORDER).complete
    assert "new1" not in reading.proof(ORDER)["companies"]


def test_orders_are_read_whole_where_d365_does_not_take_the_filter(
    reading: Reading, installation: Installation
) -> None:
    refusing = {"kind": "refuse", "path": "OrderCreationDateTime ge", "times": 2, "status": 400}
    installation.d365.post("faults", refusing)

    reading.once()

    assert [reading.sweep(table).mode for table in (ORDER, LINE)] == ["full", "full"]
    assert all(reading.sweep(table).complete for table in (ORDER, LINE))


def test_all_orders_are_read_on_every_run_where_that_is_asked_for(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIEOUT_D365_FULL_READ_HOURS", "0")

    reading.once()

    assert reading.sweep(ORDER).mode == "full"
