"""Lake rows for tests: a won opportunity with lines, and an account. Each test names only what it is about."""

from datetime import date
from decimal import Decimal

OPPORTUNITY_ID = "0065g00000AbCdEAAV"
ACCOUNT_ID = "0015g00000XyZaBAAV"
PRODUCT_ID = "01t5g000004fakeAAA"


def an_opportunity(**changes: object) -> dict[str, object]:
    """A won opportunity of company USMF."""
    return {
        "Id": OPPORTUNITY_ID,
        "AccountId": ACCOUNT_ID,
        "StageName": "Closed Won",
        "CurrencyIsoCode": "USD",
        "Amount": Decimal("4049.988000"),
        "ERP_Company__c": "USMF",
        "PO_Number__c": "PO-17",
        "Requested_Ship_Date__c": date(2026, 8, 14),
    } | changes


def a_line(number: int | None = 1, **changes: object) -> dict[str, object]:
    """A line of that opportunity."""
    return {
        "Id": f"00k5g00000Line{number or 0:01}AAA",
        "OpportunityId": OPPORTUNITY_ID,
        "Product2Id": PRODUCT_ID,
        "ProductCode": "1000",
        "SortOrder": number,
        "Quantity": Decimal("2.000000"),
        "UnitPrice": Decimal("2024.994000"),
        "Discount": None,
        "TotalPrice": Decimal("4049.988000"),
    } | changes


def an_account(**changes: object) -> dict[str, object]:
    """An account of company USMF without a customer."""
    return {
        "Id": ACCOUNT_ID,
        "Name": 'O\'Neil & Söhne "=1" 😀',
        "AccountNumber": "AW00000001",
        "BillingStreet": "Hauptstraße 1",
        "BillingCity": "Köln",
        "BillingPostalCode": "50667",
        "BillingState": None,
        "BillingCountry": "Germany",
        "Phone": "+49 221 1",
        "Email__c": "post@example.com",
        "CurrencyIsoCode": "EUR",
        "Payment_Terms__c": "Net30",
        "Credit_Limit__c": Decimal("1000.000000"),
        "ERP_On_Hold__c": "No",
        "ERP_Company__c": "USMF",
    } | changes
