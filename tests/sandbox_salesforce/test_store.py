"""The store that seeds fill, and what of it survives."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.salesforce.ids import make_id
from sandbox.salesforce.store import FILE_NAME, Store
from tests.sandbox_salesforce.running_org import Sandbox


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state" / FILE_NAME)


def test_a_new_org_holds_no_business_records_but_its_own_set_up(store: Store) -> None:
    assert set(store.counts().values()) == {0}
    assert store.connection.execute('SELECT count(*) FROM "OpportunityStage"').fetchone() == (10,)


def test_raw_rows_get_ids_stamps_defaults_and_what_follows_from_them(
    store: Store, own_org: Callable[[], Sandbox]
) -> None:
    deal = store.next_id("Opportunity")
    store.insert_many("Opportunity", [{
        "Id": deal, "Name": "Won", "StageName": "Closed Won", "CloseDate": date(2026, 5, 6), "Amount": Decimal("10.50"),
        "SystemModstamp": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }])  # fmt: skip
    store.insert_many(
        "OpportunityLineItem",
        [{"OpportunityId": deal, "Quantity": "2", "UnitPrice": Decimal("2024.9940"), "Discount": 0}],
    )
    store.close()

    org = own_org()
    record = org.query(
        "SELECT IsWon, Probability, CloseDate, Amount, SystemModstamp, HasOpportunityLineItem, CurrencyIsoCode FROM Opportunity"
    )["records"][0]
    line = org.query("SELECT Quantity, UnitPrice, TotalPrice FROM OpportunityLineItem")["records"][0]

    assert list(record.values())[1:] == [True, 100.0, "2026-05-06", 10.5, "2026-01-02T03:04:05.000+0000", True, "USD"]
    assert list(line.values())[1:] == [2.0, 2024.994, 4049.99]


def test_dirt_is_kept_and_given_back_as_it_is(store: Store, own_org: Callable[[], Sandbox]) -> None:
    store.insert_many(
        "Opportunity",
        [{"Name": " blanks ", "StageName": "No such stage", "CloseDate": "31.12.2026", "Amount": "12,5 €"}],
    )
    store.insert_many("Account", [{"Name": "x" * 300, "ERP_Number__c": "same"}, {"Name": "y", "ERP_Number__c": "SAME"}])
    store.close()

    org = own_org()
    record = org.query("SELECT Name, StageName, CloseDate, Amount, IsWon FROM Opportunity WHERE Amount != null")[
        "records"
    ][0]
    assert list(record.values())[1:] == [" blanks ", "No such stage", "31.12.2026", "12,5 €", False]
    assert org.query("SELECT COUNT() FROM Account WHERE ERP_Number__c = 'same'")["totalSize"] == 2


def test_an_unknown_field_is_refused_and_nothing_is_inserted(store: Store) -> None:
    with pytest.raises(KeyError, match="Account has no field Nope"):
        store.insert_many("Account", [{"Name": "a"}, {"Nope": 1}])
    assert store.counts()["Account"] == 0


def test_ids_are_never_given_twice_even_over_restarts(tmp_path: Path) -> None:
    given = []
    for _ in range(3):
        store = Store(tmp_path / FILE_NAME)
        given += [store.next_id("Account") for _ in range(1500)]
        store.close()
    assert len(set(given)) == len(given)


def test_ids_go_on_behind_those_that_a_seed_brought(tmp_path: Path) -> None:
    """A seed made from an export of this very sandbox brings ids that its counter never gave."""
    exported = make_id("001", 2)
    store = Store(tmp_path / FILE_NAME)

    store.insert_many("Account", [{"Id": exported, "Name": "Exported"}])

    assert store.next_id("Account") > exported
    store.close()


def test_everything_survives_a_restart(own_org: Callable[[], Sandbox]) -> None:
    before = own_org()
    made = before.create("Account", Name="Lasting", ERP_Number__c="x/1")
    entries = before.journal()
    before.stop()

    after = own_org()
    old_token, after.token = after.token, before.token
    assert after.read("Account", made)["Name"] == "Lasting"
    assert after.journal()[: len(entries)] == entries
    after.token = old_token
    assert after.create("Account", Name="New") != made
