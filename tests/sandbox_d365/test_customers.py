"""Customers and the master data around them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_d365.environment import Caller, inner_message


def a_customer(**changes: Any) -> dict[str, Any]:
    minimal = {
        "dataAreaId": "usmf",
        "OrganizationName": "Metropolitan Sports Supply",
        "CustomerGroupId": "30",
        "SalesCurrencyCode": "USD",
    }
    return {**minimal, **changes}


def test_the_minimal_create_is_filled_by_the_server(d365: Caller):
    made = d365.post("CustomersV3", a_customer(LanguageId="en-us")).json()

    assert made["CustomerAccount"].startswith("USMF-")
    assert made["PartyType"] == "Organization"
    assert made["NameAlias"] == "Metropolitan Sports "
    assert made["LanguageId"] == "en-US"
    assert made["PartyNumber"].isdigit()
    assert made["OnHoldStatus"] == "No"
    assert made["Priority"] == "AllocationPriority10"
    assert made["CreditLimitIsMandatory"] == "No"
    assert made["AddressValidFrom"] == "1900-01-01T00:00:00Z"
    assert made["CredManCustomerSince"] == "1900-01-01T12:00:00Z"
    assert made["AddressTimeZone"] is None


def test_two_creates_are_two_parties(d365: Caller):
    parties = {d365.post("CustomersV3", a_customer()).json()["PartyNumber"] for _ in range(2)}

    assert len(parties) == 2


def test_an_address_is_completed(d365: Caller):
    made = d365.post(
        "CustomersV3", a_customer(AddressStreet="Hauptstraße 1", AddressCity="Berlin", AddressCountryRegionId="DEU")
    ).json()

    assert made["AddressCountryRegionISOCode"] == "DE"
    assert made["FullPrimaryAddress"] == "Hauptstraße 1\nBerlin\nDEU"
    assert made["AddressValidTo"] == "2154-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CustomerGroupId": "Local"}, "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Warning: The value 'Local' in field 'Customer group' is not found in the related table 'Customer groups'.; Warning: validateField failed on field 'CustCustomerV3Entity.CustomerGroupId'."),
        ({"SalesCurrencyCode": "XBT"}, "The value 'XBT' in field 'Currency' is not found in the related table 'Currencies'."),
        ({"SalesCurrencyCode": None}, "Field 'Currency' must be filled in."),
        ({"OrganizationName": ""}, "Field 'Name' must be filled in."),
        ({"PaymentTerms": "Soon"}, "The value 'Soon' in field 'Terms of payment' is not found in the related table 'Terms of payment'."),
        ({"CustomerAccount": "C-1"}, "Cannot create a record in Customers (CustTable). Customer account: C-1, Name: Metropolitan Sports Supply.\nThe record already exists.."),
        ({"OrganizationName": "x" * 101}, "cannot be longer than 100"),
    ],
)  # fmt: skip
def test_a_customer_is_refused_with_the_reason_inside(d365: Caller, changes: dict[str, Any], message: str):
    answer = d365.post("CustomersV3", a_customer(**changes))

    assert answer.status_code == 400
    assert message in inner_message(answer)


def test_a_patched_name_keeps_every_character(d365: Caller):
    key = "CustomersV3(dataAreaId='usmf',CustomerAccount='C-2')"
    name = '=HYPERLINK("x") & O\'Brien <b> 🚲 '

    assert d365.patch(key, {"OrganizationName": name, "CreditLimit": 1000.50}).status_code == 204

    row = d365.get(key).json()
    assert (row["OrganizationName"], row["CreditLimit"]) == (name, 1000.5)


def test_a_customer_with_orders_stays(d365: Caller):
    account = d365.post("CustomersV3", a_customer()).json()["CustomerAccount"]
    key = f"CustomersV3(dataAreaId='usmf',CustomerAccount='{account}')"
    order = d365.post("SalesOrderHeadersV2", {"OrderingCustomerAccountNumber": account}).json()["SalesOrderNumber"]

    assert "dependent Sales orders exist" in inner_message(d365.delete(key))
    d365.delete(f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{order}')")
    assert d365.delete(key).status_code == 204


def test_an_item_number_may_begin_with_a_space(d365: Caller):
    assert d365.post("ReleasedProductsV2", {"ItemNumber": " RFI-TEST-001"}).status_code == 201

    assert d365.get("ReleasedProductsV2(dataAreaId='usmf',ItemNumber='%20RFI-TEST-001')").status_code == 200
    assert d365.get("ReleasedProductsV2(dataAreaId='usmf',ItemNumber='RFI-TEST-001')").status_code == 404


def test_a_quote_and_a_slash_in_a_key_are_found_again(d365: Caller):
    assert d365.post("CustomersV3", a_customer(CustomerAccount="O'B/1")).status_code == 201

    assert (
        d365.get("CustomersV3(dataAreaId='usmf',CustomerAccount='O%27%27B%2F1')").json()["CustomerAccount"] == "O'B/1"
    )


def test_companies_cannot_be_written(d365: Caller):
    assert "read-only" in inner_message(d365.post("Companies", {"DataArea": "new"}))


def test_a_set_without_a_role_is_forbidden(d365: Caller):
    d365.control("settings", {"forbidden_sets": ["CustomersV3"]})

    assert d365.get("CustomersV3").status_code == 403
    assert d365.get("Companies").status_code == 200


def test_exchange_rates_are_global(d365: Caller):
    rate = {
        "RateTypeName": "Default",
        "FromCurrency": "EUR",
        "ToCurrency": "DKK",
        "StartDate": "2026-01-01T00:00:00Z",
        "Rate": 745.1,
        "ConversionFactor": "Hundred",
    }

    assert d365.post("ExchangeRates", rate).status_code == 201

    [row] = d365.rows("ExchangeRates", filter="FromCurrency eq 'EUR'")
    assert (row["StartDate"], row["ConversionFactor"]) == ("2026-01-01T12:00:00Z", "Hundred")
    key = "ExchangeRates(RateTypeName='Default',FromCurrency='EUR',ToCurrency='DKK',StartDate=2026-01-01T12:00:00Z)"
    assert d365.get(key).status_code == 200


def test_a_renamed_customer_keeps_its_party_and_its_orders_name_it_by_the_new_number(d365: Caller):
    made = d365.post("CustomersV3", a_customer(CustomerAccount="OLD-1")).json()
    order = {
        "dataAreaId": "usmf",
        "OrderingCustomerAccountNumber": "OLD-1",
        "CurrencyCode": "USD",
        "LanguageId": "en-us",
    }
    number = d365.post("SalesOrderHeadersV2", order).json()["SalesOrderNumber"]
    start = d365.journal_end()

    followed = d365.control("rename-customer", {"company": "usmf", "number": "old-1", "new_number": "NEW-1"})

    assert followed["SalesOrderHeadersV2.OrderingCustomerAccountNumber"] == 1
    [renamed] = d365.rows("CustomersV3", filter="CustomerAccount eq 'NEW-1'")
    assert renamed["PartyNumber"] == made["PartyNumber"]
    assert d365.rows("CustomersV3", filter="CustomerAccount eq 'OLD-1'") == []
    [header] = d365.rows("SalesOrderHeadersV2", filter=f"SalesOrderNumber eq '{number}'")
    assert (header["OrderingCustomerAccountNumber"], header["InvoiceCustomerAccountNumber"]) == ("NEW-1", "NEW-1")
    [effect] = d365.journal(after=start, phase="effect")
    assert (effect["effect"], effect["key"], effect["values"]) == ("renamed", "NEW-1", {"from": "OLD-1", "to": "NEW-1"})


def test_a_customer_cannot_be_renamed_to_a_number_that_is_taken(d365: Caller):
    for number in ("TAKEN-1", "TAKEN-2"):
        d365.post("CustomersV3", a_customer(CustomerAccount=number))

    refused = d365.http.post(
        f"{d365.process.url}/_sandbox/rename-customer",
        json={"company": "usmf", "number": "TAKEN-1", "new_number": "taken-2"},
    )

    assert (refused.status_code, refused.json()) == (409, {"error": "There is a customer taken-2 in usmf already."})
    assert len(d365.rows("CustomersV3", filter="CustomerAccount eq 'TAKEN-1'")) == 1


def test_a_company_that_the_user_may_not_see_looks_empty_and_takes_no_writes(d365: Caller) -> None:
    d365.control("settings", {"hidden_companies": ["DEMF"]})

    rows = d365.rows("CustomersV3", company="true", select="dataAreaId")
    one = d365.get("CustomersV3(dataAreaId='demf',CustomerAccount='C-1')", company="true")
    count = d365.get("CustomersV3/$count", company="true", filter="dataAreaId eq 'demf'")
    changed = d365.patch("CustomersV3(dataAreaId='demf',CustomerAccount='C-1')?cross-company=true", {"NameAlias": "X"})
    made = d365.post("CustomersV3", {"dataAreaId": "demf", "OrganizationName": "New", "CustomerGroupId": "30"})

    assert {row["dataAreaId"] for row in rows} == {"usmf"}
    assert (one.status_code, count.text) == (404, "0")
    assert inner_message(changed) == "No resources were found when selecting for update."
    assert made.status_code == 400
