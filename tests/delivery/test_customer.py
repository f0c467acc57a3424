"""What a customer is made of."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.delivery.records import ACCOUNT_ID, an_account
from tieout.contract import Contract, Contracts
from tieout.customer import customer_change, customer_differences, customer_write
from tieout.errors import RecordError
from tieout.intended import salesforce_id_of


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["customer"]


def test_a_new_customer_has_what_salesforce_owns_and_the_address_to_begin_with(contract: Contract) -> None:
    customer = customer_write(contract, an_account())

    assert (customer.operation, customer.business_key, customer.company, customer.d365_key) == (
        "create",
        f"{ACCOUNT_ID}/usmf",
        "usmf",
        "AW00000001",
    )
    assert customer.header == {
        "dataAreaId": "usmf",
        "CustomerAccount": "AW00000001",
        "CustomerGroupId": "30",
        "PartyType": "Organization",
        "OrganizationName": 'O\'Neil & Söhne "=1" 😀',
        "AddressStreet": "Hauptstraße 1",
        "AddressCity": "Köln",
        "AddressZipCode": "50667",
        "AddressCountryRegionId": "DEU",
        "PrimaryContactPhone": "+49 221 1",
        "PrimaryContactEmail": "post@example.com",
        "SalesCurrencyCode": "EUR",
    }


def test_an_account_is_a_customer_of_its_own_in_each_company(contract: Contract) -> None:
    here, there = customer_write(contract, an_account()), customer_write(contract, an_account(), "DEMF")

    assert here.business_key != there.business_key
    assert (there.business_key, there.company) == (f"{ACCOUNT_ID}/demf", "demf")
    assert salesforce_id_of(there.business_key) == ACCOUNT_ID


def test_a_customer_carries_the_version_of_its_account(contract: Contract) -> None:
    changed_at = datetime(2026, 3, 1, 8, tzinfo=UTC)

    assert customer_write(contract, an_account(SystemModstamp=changed_at)).source_version == changed_at
    change = customer_change(contract, ACCOUNT_ID, "usmf", "C-1", {"name": "New name"}, changed_at)
    assert change.source_version == changed_at


@pytest.mark.parametrize("own", [None, "", "A number of more than 20 characters"])
def test_an_account_without_a_number_that_fits_gets_ours(contract: Contract, own: str | None) -> None:
    assert customer_write(contract, an_account(AccountNumber=own)).d365_key == f"T-{ACCOUNT_ID}"


def test_a_country_that_nobody_knows_is_left_out_of_a_new_customer(contract: Contract) -> None:
    assert "AddressCountryRegionId" not in customer_write(contract, an_account(BillingCountry="Atlantis")).header


def test_an_account_without_a_company_is_refused_unless_the_caller_names_one(contract: Contract) -> None:
    with pytest.raises(RecordError, match="names no company"):
        customer_write(contract, an_account(ERP_Company__c=None))
    assert customer_write(contract, an_account(ERP_Company__c=None), company="DEMF").company == "demf"


def test_a_change_holds_only_what_is_named_and_an_empty_value_empties_the_property(contract: Contract) -> None:
    change = customer_change(contract, ACCOUNT_ID, "USMF", "C-1", {"phone": None, "name": "New name"})

    assert (change.operation, change.company, change.d365_key) == ("update", "usmf", "C-1")
    assert change.header == {"PrimaryContactPhone": "", "OrganizationName": "New name"}


def test_a_field_that_d365_owns_cannot_be_changed_there(contract: Contract) -> None:
    with pytest.raises(RecordError, match="credit_limit is not Tieout's to write"):
        customer_change(contract, ACCOUNT_ID, "usmf", "C-1", {"credit_limit": Decimal(1)})


def test_a_customer_found_under_our_number_is_ours_when_name_and_currency_agree(contract: Contract) -> None:
    header = customer_write(contract, an_account(Name="Contoso ")).header

    assert customer_differences(contract, header, {"OrganizationName": "contoso", "SalesCurrencyCode": "EUR"}) == []
    assert customer_differences(contract, header, {"OrganizationName": "Fabrikam", "SalesCurrencyCode": "EUR"}) == [
        "OrganizationName is not the one that was sent"
    ]
