"""Filling the store: defaults, exact numbers, sequences that go on behind what was given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.d365.store import FIRST_REC_ID, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "d365.sqlite")
    yield store
    store.close()


def test_python_values_become_what_travels(store: Store):
    store.insert_many(
        "SalesOrderLines",
        [
            {
                "dataAreaId": "usmf",
                "InventoryLotId": "L-1",
                "SalesOrderNumber": "S-1",
                "SalesPrice": Decimal("2024.9940"),
                "OrderedSalesQuantity": Decimal("3.00"),
                "LineAmount": Decimal("12345678901234567890.12"),
                "RequestedShippingDate": date(2026, 8, 14),
                "CalculateLineAmount": False,
            }
        ],
    )

    [row] = store.rows("SalesOrderLines", {"InventoryLotId": "l-1"})
    assert (row["SalesPrice"], row["OrderedSalesQuantity"]) == ("2024.994", "3")
    assert row["LineAmount"] == "12345678901234567890.12"
    assert row["RequestedShippingDate"] == "2026-08-14T12:00:00Z"
    assert (row["CalculateLineAmount"], row["SalesOrderLineStatus"], row["LineDescription"]) == ("No", "Backorder", "")
    assert row["_rec_id"] == FIRST_REC_ID


def test_an_instant_is_kept_to_the_second_in_utc(store: Store):
    moment = datetime.fromisoformat("2026-08-14T23:30:15.7+02:00")
    store.insert_many("SalesOrderHeadersV2", [{"SalesOrderNumber": "S-1", "OrderCreationDateTime": moment}])

    [row] = store.rows("SalesOrderHeadersV2", {"dataAreaId": "usmf"})
    assert row["OrderCreationDateTime"] == "2026-08-14T21:30:15Z"


def test_missing_numbers_are_given_and_go_on_behind_the_highest(store: Store):
    given = [{"dataAreaId": "usmf", "InventoryLotId": f"USMF-{n:06d}", "SalesOrderNumber": "S-1"} for n in (7, 41)]
    store.insert_many("SalesOrderLines", given)

    store.insert_many("SalesOrderLines", [{"dataAreaId": "usmf", "SalesOrderNumber": "S-2"} for _ in range(2)])

    rows = list(store.rows("SalesOrderLines", {"SalesOrderNumber": "S-2"}))
    assert [row["InventoryLotId"] for row in rows] == ["USMF-000042", "USMF-000043"]
    assert [row["LineNumber"] for row in rows] == ["1", "2"]


def test_a_transaction_that_fails_keeps_nothing_but_the_gap(store: Store):
    first = store.next_number("SalesOrderHeadersV2", "usmf")
    burnt = []

    def fail_after_writing() -> None:
        with store.transaction():
            burnt.append(store.next_number("SalesOrderHeadersV2", "usmf"))
            store.insert("SalesOrderHeadersV2", {"dataAreaId": "usmf", "SalesOrderNumber": burnt[0]})
            raise RuntimeError("the rules said no")

    with pytest.raises(RuntimeError, match="said no"):
        fail_after_writing()

    assert store.counts()["SalesOrderHeadersV2"] == 0
    assert [first, *burnt, store.next_number("SalesOrderHeadersV2", "usmf")] == [
        "USMF-000001",
        "USMF-000002",
        "USMF-000003",
    ]


def test_numbers_go_on_after_the_file_was_closed(tmp_path: Path):
    for expected in ("USMF-000001", "USMF-000002"):
        store = Store(tmp_path / "d365.sqlite")
        with store.transaction():
            number = store.next_number("CustomersV3", "usmf")
            store.insert("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": number})
        assert number == expected
        store.close()


def test_an_unknown_property_is_refused(store: Store):
    with pytest.raises(KeyError, match="Nope"):
        store.insert_many("CustomersV3", [{"Nope": 1}])


def test_empty_instants_have_their_own_forms(store: Store):
    store.insert_many("SalesOrderHeadersV2", [{"SalesOrderNumber": "S-1"}])

    [row] = store.rows("SalesOrderHeadersV2", {})
    assert row["OrderCreationDateTime"] == "1900-01-01T00:00:00Z"
    assert row["ConfirmedShippingDate"] == "1900-01-01T12:00:00Z"
    assert datetime.fromisoformat(row["OrderCreationDateTime"]).tzinfo == UTC
