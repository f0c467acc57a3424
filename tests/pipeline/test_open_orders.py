"""Reading only open orders: what closes, goes or comes between two reads is found, closed orders keep their row until the night, and a company
that falls silent is no company without orders."""

import os
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pipelines.definitions import defs
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep
from resources.workbench import QUARANTINE, READ_AGAIN_KEY
from tests.pipeline.installation import Installation, environment_of

ORDER, LINE, CUSTOMER = "sales_order", "sales_order_line", "customer"
CLOSED = ("Invoiced", "Canceled")


@dataclass(frozen=True)
class Reading:
    """Reads D365 as a run does, and shows what the lake and the ledger have afterwards."""

    installation: Installation
    job: dg.JobDefinition
    taken: set[str] = field(default_factory=set)

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

    def an_order(self, *, closed: bool) -> dict[str, Any]:
        """An order with several lines that can be posted, as the lake holds it; another one with each call."""
        lines = [row["_parent_key"] for row in self.lake(LINE).values()]
        on_hold = {
            (row["dataAreaId"], row["CustomerAccount"])
            for row in self.installation.books().d365("SELECT * FROM CustomersV3 WHERE OnHoldStatus <> 'No'")
        }
        for key, row in self.lake(ORDER).items():
            customer = (row["dataAreaId"], row["InvoiceCustomerAccountNumber"])
            if key in self.taken or customer in on_hold or lines.count(key) < 2:
                continue
            if row["SalesOrderStatus"] == "Invoiced" if closed else row["SalesOrderStatus"] not in CLOSED:
                self.taken.add(key)
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

    def set_on(self, order: Mapping[str, Any], **values: str) -> None:
        """Change the header of one order behind the API."""
        names = ", ".join(f"{name} = ?" for name in values)
        where = "dataAreaId = ? AND SalesOrderNumber = ?"
        key = (order["dataAreaId"], order["SalesOrderNumber"])
        self.changed(f"UPDATE SalesOrderHeadersV2 SET {names} WHERE {where}", *values.values(), *key)

    def lines_of(self, order: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Key → line, as the lake holds them."""
        return {key: row for key, row in self.lake(LINE).items() if row["_parent_key"] == order["_key"]}


def waiting(installation: Installation) -> set[str]:
    """The keys of orders in quarantine."""
    lake = Lake(installation.home / "lake")
    return {row["_key"] for row in lake.dataset((QUARANTINE, "d365_sales_order")).to_table().to_pylist()}


@pytest.fixture(scope="module")
def reading(installation: Installation) -> Reading:
    """Everything of D365 was made long ago, and was read whole once."""
    selection = dg.AssetSelection.assets(*(["d365", table] for table in (CUSTOMER, ORDER, LINE))).without_checks()
    job = dg.Definitions.merge(defs, dg.Definitions(jobs=[dg.define_asset_job("reading_d365", selection=selection)]))
    made = Reading(installation, job.resolve_job_def("reading_d365"))
    made.changed("UPDATE SalesOrderHeadersV2 SET OrderCreationDateTime = '2020-01-01T00:00:00Z'")
    made.once()
    return made


@dataclass(frozen=True)
class Day:
    """What people and posting did to orders between two reads; `before` are the rows that the lake had."""

    invoiced: dict[str, Any]
    deleted: dict[str, Any]
    shortened: dict[str, Any]
    removed_line: str
    put_right: dict[str, Any]
    in_flight: dict[str, Any]
    closed_and_changed: dict[str, Any]
    closed_and_deleted: dict[str, Any]
    typed_in: str
    lines_before: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def quiet(reading: Reading) -> dict[str, tuple[Sweep, Sweep]]:
    """A run in which nothing had happened: table → the whole read before it and its own."""
    whole = {table: reading.sweep(table) for table in (ORDER, LINE)}
    reading.once()
    return {table: (whole[table], reading.sweep(table)) for table in whole}


@pytest.fixture(scope="module")
def day(reading: Reading, installation: Installation, quiet: object) -> Day:  # noqa: ARG001 the order
    """A run after a day of business."""
    put_right = reading.an_order(closed=False)
    reading.set_on(put_right, CurrencyCode="XXX")
    reading.once()
    assert put_right["_key"] not in reading.lake(ORDER)
    assert put_right["_key"] in waiting(installation)
    reading.set_on(
        put_right,
        CurrencyCode=put_right["CurrencyCode"],
        SalesOrderStatus="Invoiced",
        SalesOrderProcessingStatus="Invoiced",
    )

    invoiced, deleted, shortened = (reading.an_order(closed=False) for _ in range(3))
    installation.d365.post(f"orders/{invoiced['dataAreaId']}/{invoiced['SalesOrderNumber']}/invoice")
    reading.deleted(deleted)
    removed = min(reading.lines_of(shortened))
    reading.changed(
        "DELETE FROM SalesOrderLines WHERE dataAreaId = ? AND InventoryLotId = ?",
        shortened["dataAreaId"],
        reading.lake(LINE)[removed]["InventoryLotId"],
    )
    in_flight, changed, gone = (reading.an_order(closed=True) for _ in range(3))
    settled = {"entity": ["sales_order"], "d365_lake_key": [in_flight["_key"]], "outcome": ["in_flight"]}
    Lake(installation.home / "lake").replace(READ_AGAIN_KEY, pa.table(settled))
    reading.set_on(in_flight, CustomerRequisitionNumber="MEANWHILE")
    reading.set_on(changed, CustomerRequisitionNumber="LATE")
    reading.deleted(gone)
    columns = "dataAreaId, SalesOrderStatus, SalesOrderProcessingStatus, OrderingCustomerAccountNumber, CurrencyCode"
    reading.changed(
        f"INSERT INTO SalesOrderHeadersV2 ({columns}, SalesOrderNumber, CustomersOrderReference, OrderCreationDateTime) "
        f"SELECT {columns}, 'TYPED-1', '006000000000001AAA', ? FROM SalesOrderHeadersV2 "
        "WHERE dataAreaId = ? AND SalesOrderNumber = ?",
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        changed["dataAreaId"],
        changed["SalesOrderNumber"],
    )
    typed_in, lines = f"{changed['dataAreaId']}|typed-1", reading.lake(LINE)
    reading.once()
    return Day(invoiced, deleted, shortened, removed, put_right, in_flight, changed, gone, typed_in, lines)


def test_the_first_read_is_whole_and_later_ones_leave_out_what_was_closed(
    reading: Reading, quiet: dict[str, tuple[Sweep, Sweep]]
) -> None:
    is_open = [row for row in reading.lake(ORDER).values() if row["SalesOrderStatus"] not in CLOSED]
    for table in (ORDER, LINE):
        whole, later = quiet[table]
        assert (whole.mode, later.mode, later.complete, later.problem) == ("full", "incremental", True, "")
        assert 0 < later.rows_read < whole.rows_read
        assert later.lake_version == whole.lake_version, "nothing has changed"
        proof = later.proof or {}
        assert (proof["open_only"], proof["read_by_key"], proof["gone"]) == (True, 0, 0)
    assert quiet[ORDER][1].rows_read == len(is_open)


def test_an_order_that_was_closed_is_read_by_its_key_with_its_lines(reading: Reading, day: Day) -> None:
    assert reading.sweep(ORDER).mode == "incremental"
    assert reading.lake(ORDER)[day.invoiced["_key"]]["SalesOrderStatus"] == "Invoiced"
    lines = reading.lines_of(day.invoiced)
    assert lines.keys() == {k for k, row in day.lines_before.items() if row["_parent_key"] == day.invoiced["_key"]}
    assert {row["SalesOrderLineStatus"] for row in lines.values()} == {"Invoiced"}


def test_an_open_order_that_was_deleted_leaves_with_its_lines(reading: Reading, day: Day) -> None:
    assert day.deleted["_key"] not in reading.lake(ORDER)
    assert reading.lines_of(day.deleted) == {}
    assert reading.proof(ORDER)["gone"] == 1


def test_a_line_that_was_taken_out_of_an_open_order_leaves_and_the_others_stay(reading: Reading, day: Day) -> None:
    before = {key for key, row in day.lines_before.items() if row["_parent_key"] == day.shortened["_key"]}

    assert reading.lines_of(day.shortened).keys() == before - {day.removed_line}


def test_an_order_in_quarantine_is_followed_until_it_is_put_right(
    reading: Reading, installation: Installation, day: Day
) -> None:
    assert reading.lake(ORDER)[day.put_right["_key"]]["SalesOrderStatus"] == "Invoiced"
    assert day.put_right["_key"] not in waiting(installation)


def test_an_order_that_was_in_flight_is_read_again_although_it_is_closed(reading: Reading, day: Day) -> None:
    assert reading.lake(ORDER)[day.in_flight["_key"]]["CustomerRequisitionNumber"] == "MEANWHILE"


def test_an_order_that_was_typed_in_and_invoiced_between_two_reads_is_read_although_it_is_closed(
    reading: Reading, day: Day
) -> None:
    """It may be the order of an opportunity, which must not get a second one."""
    typed = reading.lake(ORDER)[day.typed_in]

    assert (typed["SalesOrderStatus"], typed["CustomersOrderReference"]) == ("Invoiced", "006000000000001AAA")


def test_a_closed_order_keeps_its_row_until_the_nightly_read_finds_it_changed_or_gone(
    reading: Reading, day: Day
) -> None:
    changed, gone = day.closed_and_changed, day.closed_and_deleted
    by_day = reading.lake(ORDER)
    assert (by_day[changed["_key"]], by_day[gone["_key"]]) == (changed, gone)
    assert len(reading.lines_of(gone)) > 1

    reading.once(full=True)

    assert reading.lake(ORDER)[changed["_key"]]["CustomerRequisitionNumber"] == "LATE"
    assert gone["_key"] not in reading.lake(ORDER)
    assert reading.lines_of(gone) == {}


def test_a_lake_that_was_put_back_from_a_copy_is_read_whole(
    reading: Reading, installation: Installation, day: Day, tmp_path: Path
) -> None:
    table = installation.home / "lake" / "d365" / "sales_order"
    shutil.copytree(table, tmp_path / "copy")
    reading.set_on(day.shortened, SalesOrderStatus="Invoiced", SalesOrderProcessingStatus="Invoiced")
    reading.once()
    shutil.rmtree(table)
    shutil.copytree(tmp_path / "copy", table)

    reading.once()

    assert reading.sweep(ORDER).mode == "full"
    assert reading.lake(ORDER)[day.shortened["_key"]]["SalesOrderStatus"] == "Invoiced"


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


def test_orders_are_read_whole_where_d365_does_not_take_the_filter(
    reading: Reading, installation: Installation
) -> None:
    refusing = {"kind": "refuse", "path": "OrderCreationDateTime ge", "times": 2, "status": 400}
    installation.d365.post("faults", refusing)

    reading.once()

    assert [reading.sweep(table).mode for table in (ORDER, LINE)] == ["full", "full"]
    assert all(reading.sweep(table).complete for table in (ORDER, LINE))


@pytest.fixture(scope="module")
def all_named(reading: Reading) -> None:
    """A run in which companies are named, one of them without orders and one that nobody knows, and in which all orders are asked for."""
    reading.changed(
        "INSERT INTO CustomersV3 (dataAreaId, CustomerAccount, OrganizationName, CustomerGroupId, SalesCurrencyCode) "
        "VALUES ('new1', 'N-1', 'New', '30', 'EUR')"
    )
    named = {"TIEOUT_COMPANIES": "demf, usmf,NEW1,xxxx", "TIEOUT_D365_FULL_READ_HOURS": "0"}
    with environment_of({**os.environ, **named}):
        reading.once()


@pytest.mark.usefixtures("all_named")
def test_a_company_that_is_named_and_of_which_d365_shows_nothing_is_told_and_a_new_one_without_orders_is_not(
    reading: Reading,
) -> None:
    sweep = reading.sweep(ORDER)

    assert not sweep.complete
    assert "TIEOUT_COMPANIES names xxxx, and D365 shows nothing of it" in sweep.problem
    assert not [company for company in ("demf", "usmf", "new1") if f"company {company}" in sweep.problem]
    assert "names new1" not in sweep.problem
    assert "new1" not in reading.proof(ORDER)["companies"]


@pytest.mark.usefixtures("all_named")
def test_all_orders_are_read_on_every_run_where_that_is_asked_for(reading: Reading) -> None:
    assert reading.sweep(ORDER).mode == "full"
