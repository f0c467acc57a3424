"""Two customer masters of one company: resellers as Salesforce accounts, stores as D365 customers, each as its file has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.adventureworks.source import Record, Source
from sandbox.seeds.companies import COMPANIES, COUNTRY_IN_D365, company_of_country
from sandbox.seeds.damage import misread
from sandbox.seeds.money import cents
from sandbox.seeds.seed import Manifest, NextId, Row

MAIN_OFFICE = "3"
FIRST_DAY = date(2010, 12, 1)
"""Before the first order: all accounts and products are there by then."""

# How often a reseller orders decides how long it may take to pay: yearly, every half year, every quarter.
_TERMS_BY_FREQUENCY = {"A": "Net30", "S": "Net45", "Q": "Net60"}


@dataclass(frozen=True)
class Masters:
    """Accounts by reseller key, and all customers; `customers[n]["CustomerAccount"]` is unique."""

    accounts: dict[str, Row]
    customers: list[Row]

    def customer_of(self, account: Row) -> Row:
        """The customer account with the reseller's own number (a store may have a second one)."""
        return self._by_number[str(account["AccountNumber"])]

    @cached_property
    def _by_number(self) -> dict[str, Row]:
        return {str(customer["CustomerAccount"]): customer for customer in self.customers}


def street(first: str, second: str) -> str:
    """One text of two address lines, as both systems keep a street."""
    return f"{first}\n{second}" if second else first


def accounts(source: Source, currency_of: Mapping[str, str], next_id: NextId, touched: datetime) -> dict[str, Row]:
    """One Salesforce account per reseller, by reseller key; the fields that D365 owns hold what D365 holds."""
    geography = source.by("geography", "GeographyKey")
    rows: dict[str, Row] = {}
    for reseller in source.read("resellers"):
        place = geography[reseller["GeographyKey"]]
        company = company_of_country(place["CountryRegionCode"])
        rows[reseller["ResellerKey"]] = {
            "Id": next_id("Account"),
            "Name": reseller["ResellerName"],
            "Type": reseller["BusinessType"],
            "BillingStreet": street(reseller["AddressLine1"], reseller["AddressLine2"]),
            "BillingCity": place["City"],
            "BillingState": place["StateProvinceCode"],
            "BillingPostalCode": place["PostalCode"],
            "BillingCountry": place["EnglishCountryRegionName"],
            "Phone": reseller["Phone"],
            "AccountNumber": reseller["ResellerAlternateKey"],
            "AnnualRevenue": cents(Decimal(reseller["AnnualRevenue"])),
            "NumberOfEmployees": int(reseller["NumberEmployees"]),
            "CurrencyIsoCode": currency_of.get(reseller["ResellerKey"], COMPANIES[company].currency),
            "ERP_Company__c": company,
            "Payment_Terms__c": _TERMS_BY_FREQUENCY[reseller["OrderFrequency"]],
            "Credit_Limit__c": cents(Decimal(reseller["AnnualRevenue"])),
            "ERP_On_Hold__c": "No",
            **salesforce_rows.stamps(FIRST_DAY, touched),
        }
    return rows


def customers(source: Source, accounts: Mapping[str, Row]) -> list[Row]:
    """All customer accounts of stores; those of one store share its party. Name and address are the ERP's own, untouched.

    Phone, terms, credit limit and currency are not in the ERP files and are taken from the reseller's account.
    """
    store = source.by("erp_store", "BusinessEntityID")
    address_of = _main_offices(source)
    held = [row for row in source.read("erp_customer") if row["StoreID"]]
    by_number = {str(account["AccountNumber"]): account for account in accounts.values()}
    account_of_store = {
        row["StoreID"]: by_number[row["AccountNumber"]] for row in held if row["AccountNumber"] in by_number
    }
    return [
        _customer(row, store[row["StoreID"]], address_of[row["StoreID"]], account_of_store[row["StoreID"]])
        for row in held
    ]


def _main_offices(source: Source) -> dict[str, Record]:
    """The address of each entity's main office, with the codes of its state and country."""
    address = source.by("erp_address", "AddressID")
    state = source.by("erp_state_province", "StateProvinceID")
    return {
        row["BusinessEntityID"]: address[row["AddressID"]] | {
            "State": state[address[row["AddressID"]]["StateProvinceID"]]["StateProvinceCode"],
            "Country": state[address[row["AddressID"]]["StateProvinceID"]]["CountryRegionCode"],
        }
        for row in source.read("erp_business_entity_address")
        if row["AddressTypeID"] == MAIN_OFFICE
    }  # fmt: skip


def _customer(held: Record, store: Record, office: Record, account: Row) -> Row:
    return d365_rows.customer(
        str(account["ERP_Company__c"]),
        held["AccountNumber"],
        store["Name"],
        str(account["CurrencyIsoCode"]),
        PartyNumber=f"{int(held['StoreID']):09d}",
        AddressStreet=street(office["AddressLine1"], office["AddressLine2"]),
        AddressCity=office["City"],
        AddressState=office["State"],
        AddressZipCode=office["PostalCode"],
        AddressCountryRegionId=COUNTRY_IN_D365[office["Country"]],
        AddressCountryRegionISOCode=office["Country"],
        PrimaryContactPhone=account["Phone"],
        PaymentTerms=account["Payment_Terms__c"],
        CreditLimit=account["Credit_Limit__c"],
    )


def note_differences(masters: Masters, manifest: Manifest) -> None:
    """Write down how the two masters differ, by account number."""
    linked = {str(masters.customer_of(account)["CustomerAccount"]) for account in masters.accounts.values()}
    for account, customer in _pairs(masters):
        number = str(account["AccountNumber"])
        ours, theirs = str(account["BillingStreet"]), str(customer["AddressStreet"])
        if ours != theirs:
            manifest.plant("street_differs", number)
        if ours != theirs and ours == misread(theirs):
            manifest.plant("street_damaged_characters", number)
        if account["Name"] != customer["OrganizationName"]:
            manifest.plant("name_trailing_blanks", number)
        if account["BillingState"] != customer["AddressState"]:
            manifest.plant("state_padded_with_blanks", number)
    for customer in masters.customers:
        if customer["CustomerAccount"] not in linked:
            manifest.plant("duplicate_customer", str(customer["CustomerAccount"]))


def _pairs(masters: Masters) -> Iterator[tuple[Row, Row]]:
    return ((account, masters.customer_of(account)) for account in masters.accounts.values())
