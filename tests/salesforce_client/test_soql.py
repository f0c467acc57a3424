"""The statements that Salesforce is asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sandbox.salesforce.ids import make_id
from tieout.contract import Column, Contracts, Table
from tieout.errors import ContractError
from tieout.soql import IDS_IN_QUERY, by_id, changed_since, count_changed_since, fits_in_address, instant, is_id


@pytest.fixture
def product(contracts: Contracts) -> Table:
    table = contracts.table("salesforce", "product")
    return replace(table, columns=(Column("Id", "text"), Column("Name", "text")))


def test_changed_records_are_asked_for_from_the_instant_on_in_the_order_of_their_change(product: Table) -> None:
    since = datetime(2026, 7, 30, 12, tzinfo=timezone(timedelta(hours=2)))

    assert changed_since(product, since, sorted_by_change=True) == (
        "SELECT Id, Name FROM Product2 WHERE SystemModstamp >= 2026-07-30T10:00:00Z ORDER BY SystemModstamp, Id"
    )
    assert count_changed_since(product, since) == (
        "SELECT COUNT() FROM Product2 WHERE SystemModstamp >= 2026-07-30T10:00:00Z"
    )


def test_without_an_instant_all_records_are_asked_for(product: Table) -> None:
    assert changed_since(product, None, sorted_by_change=False) == "SELECT Id, Name FROM Product2"


def test_an_instant_is_rounded_down_so_that_nothing_of_its_second_is_missed() -> None:
    assert instant(datetime(2026, 7, 30, 10, 0, 0, 999_999, tzinfo=UTC)) == "2026-07-30T10:00:00Z"


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        instant(datetime(2026, 7, 30))


def test_ids_are_asked_for_in_statements_that_fit_an_address(contracts: Contracts) -> None:
    table = contracts.table("salesforce", "opportunity")
    ids = [f"006{number:012d}AAA" for number in range(2 * IDS_IN_QUERY + 1)]

    statements = list(by_id(table, ids))

    assert len(statements) == 3
    assert all(fits_in_address(statement) for statement in statements)
    assert sum(statement.count("AAA") for statement in statements) == len(ids)


def test_an_id_cannot_break_out_of_its_quotes(product: Table) -> None:
    assert "('x\\' OR Id != \\'')" in next(by_id(product, ["x' OR Id != '"]))


def test_more_columns_than_an_address_takes_are_refused_with_the_contract_named(product: Table) -> None:
    many = replace(product, columns=tuple(Column(f"Very_long_custom_field_name_{n:04}__c", "text") for n in range(400)))

    with pytest.raises(
        ContractError, match=r"product.yaml: the 400 columns of Product2 make a query of .* takes 14,000"
    ):
        list(by_id(many, ["01t000000000001AAA"]))


def test_an_id_is_told_from_what_only_looks_like_one() -> None:
    assert is_id(make_id("006", 4711))
    assert is_id("0068d000000002eAAA")
    assert not is_id("0068d000000002eAAB")
    assert not is_id("0068d000000002e")
    assert not is_id("0068d000000002'AAA")
    assert not is_id("")
