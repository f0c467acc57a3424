"""The known facts of AdventureWorks, counted from the seeded rows and not from the seed's own notes."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.seeds.laid import Laid, folded

Pair = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def pairs(adventureworks: Laid) -> list[Pair]:
    """Each account with the customer of the same number."""
    customers = adventureworks.by("CustomersV3", "CustomerAccount")
    return [(account, customers[account["AccountNumber"]]) for account in adventureworks["Account"]]


def differing(pairs: list[Pair], ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    return ((a[ours], c[theirs]) for a, c in pairs if folded(a[ours]) != folded(c[theirs]))


def as_written_in_dos(text: str) -> str:
    """What the text was before its DOS bytes were read as Windows text; unreadable where it never was."""
    return b"".join(
        character.encode("latin-1") if ord(character) in range(0x80, 0xA0) else character.encode("cp1252", "replace")
        for character in text
    ).decode("cp850")


def test_all_701_resellers_have_a_customer_of_the_same_number(pairs: list[Pair]) -> None:
    assert len(pairs) == 701


def test_the_street_differs_for_18_resellers_and_15_of_them_are_damaged(pairs: list[Pair]) -> None:
    streets = list(differing(pairs, "BillingStreet", "AddressStreet"))
    assert len(streets) == 18
    assert sum(as_written_in_dos(ours) == theirs for ours, theirs in streets) == 15


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Name", "OrganizationName"),
        ("BillingCity", "AddressCity"),
        ("BillingPostalCode", "AddressZipCode"),
        ("BillingState", "AddressState"),
        ("Phone", "PrimaryContactPhone"),
        ("CurrencyIsoCode", "SalesCurrencyCode"),
        ("Payment_Terms__c", "PaymentTerms"),
        ("Credit_Limit__c", "CreditLimit"),
        ("ERP_On_Hold__c", "OnHoldStatus"),
        ("ERP_Company__c", "dataAreaId"),
    ],
)
def test_only_the_street_differs_between_the_masters_when_blanks_do_not_count(
    pairs: list[Pair], ours: str, theirs: str
) -> None:
    assert list(differing(pairs, ours, theirs)) == []


def test_the_country_of_both_sides_is_the_same_one(pairs: list[Pair]) -> None:
    countries = {(account["BillingCountry"], customer["AddressCountryRegionId"]) for account, customer in pairs}
    assert countries == {
        ("United States", "USA"), ("Canada", "CAN"), ("United Kingdom", "GBR"), ("Germany", "DEU"), ("France", "FRA"),
        ("Australia", "AUS"),
    }  # fmt: skip


def test_four_names_end_in_a_blank_in_d365_only(pairs: list[Pair]) -> None:
    trailing = [(a["Name"], c["OrganizationName"]) for a, c in pairs if a["Name"] != c["OrganizationName"]]
    assert len(trailing) == 4
    assert all(theirs == f"{ours} " for ours, theirs in trailing)


def test_state_codes_are_padded_with_blanks_for_624_customers_of_resellers(pairs: list[Pair]) -> None:
    padded = [c["AddressState"] for a, c in pairs if a["BillingState"] != c["AddressState"]]
    assert len(padded) == 624
    assert all(state == f"{state.rstrip():<3}" for state in padded)


def test_635_stores_have_two_customer_accounts_and_66_have_one(adventureworks: Laid) -> None:
    parties = adventureworks.grouped("CustomersV3", "dataAreaId", "PartyNumber")
    sizes = [len(customers) for customers in parties.values()]
    assert len(adventureworks["CustomersV3"]) == 1336
    assert (sizes.count(2), sizes.count(1), len(sizes)) == (635, 66, 701)


def test_359_orders_of_the_last_two_months_are_in_salesforce_only(adventureworks: Laid) -> None:
    known = {header["CustomersOrderReference"] for header in adventureworks["SalesOrderHeadersV2"]}
    missing = [row for row in adventureworks["Opportunity"] if row["Id"] not in known]
    assert len(missing) == 359
    assert {(row["CloseDate"].year, row["CloseDate"].month) for row in missing} == {(2013, 10), (2013, 11)}
    assert all(row["ERP_Order_Number__c"] is None for row in missing)


def test_the_manifest_tells_the_same_numbers(adventureworks: Laid) -> None:
    assert {kind: len(keys) for kind, keys in adventureworks.planted.items()} == {
        "street_differs": 18,
        "street_damaged_characters": 15,
        "name_trailing_blanks": 4,
        "state_padded_with_blanks": 624,
        "duplicate_customer": 635,
        "only_in_salesforce": 359,
    }
