"""What the tests know of the generated business: what is due, what it is worth, what was planted, from the two systems' own files."""

from collections import Counter
from decimal import Decimal
from typing import Any

from tests.pipeline.installation import Books, Installation

# Kinds of dirt that keep a won opportunity from becoming an order, and the rule that each breaks.
QUARANTINED = {
    "unknown_currency": ("opportunity", "currency_unknown_value"),
    "purchase_order_too_long": ("opportunity", "purchase_order_too_long"),
    "amount_not_a_number": ("opportunity", "amount_not_a_number"),
    "line_without_product": ("opportunity_line", "product_required"),
    "quantity_zero": ("opportunity_line", "quantity_not_positive"),
    "account_name_too_long": ("account", "name_too_long"),
}
HEADER_QUARANTINED = [kind for kind, (table, _) in QUARANTINED.items() if table == "opportunity"]


def orders_due(installation: Installation, before: Books) -> list[str]:
    """Won opportunities without an order that nothing keeps from becoming one."""
    planted = installation.planted
    kept_back = {key for kind in [*QUARANTINED, "customer_on_hold"] for key in planted[kind]}
    kept_back |= set(opportunities_of_unnameable(installation, before))
    return [key for key in planted["order_only_in_salesforce"] if key not in kept_back]


def opportunities_of_unnameable(installation: Installation, before: Books) -> list[str]:
    """Won opportunities of accounts whose name is too long for D365."""
    return [
        row["Id"]
        for account in installation.planted["account_name_too_long"]
        for row in before.salesforce(
            "SELECT Id FROM Opportunity WHERE AccountId = ? AND StageName = 'Closed Won'", account
        )
    ]


def totals_in_salesforce(installation: Installation, before: Books) -> Counter[tuple[str, str]]:
    """What was won, per company and currency. A header in quarantine says nothing that can be added up."""
    unusable = {key for kind in HEADER_QUARANTINED for key in installation.planted[kind]}
    totals: Counter[tuple[str, str]] = Counter()
    for row in before.salesforce("SELECT * FROM Opportunity WHERE StageName = 'Closed Won'"):
        if row["Id"] not in unusable:
            totals[row["ERP_Company__c"], row["CurrencyIsoCode"]] += decimal_of(row["Amount"])  # type: ignore[assignment]
    return totals


def totals_in_d365(before: Books) -> Counter[tuple[str, str]]:
    """What was ordered and not canceled, per company and currency."""
    totals: Counter[tuple[str, str]] = Counter()
    for row in order_amounts(before).values():
        totals[row["company"], row["currency"]] += row["amount"]
    return totals


def changed_or_entered_in_d365(before: Books) -> Counter[tuple[str, str]]:
    """Salesforce minus D365 where both have the order with different amounts, and where D365 alone has it."""
    sold = {
        row["Id"]: decimal_of(row["Amount"])
        for row in before.salesforce("SELECT * FROM Opportunity")
        if row["Amount"] != "n/a"
    }
    rest: Counter[tuple[str, str]] = Counter()
    for order in order_amounts(before).values():
        rest[order["company"], order["currency"]] += sold.get(order["reference"], Decimal(0)) - order["amount"]
    return rest


def order_amounts(before: Books) -> dict[tuple[str, str], dict[str, Any]]:
    """(company, number) → company, currency, reference and the sum of the lines, of orders that are not canceled."""
    orders: dict[tuple[str, str], dict[str, Any]] = {
        (row["dataAreaId"], row["SalesOrderNumber"]): {
            "company": row["dataAreaId"],
            "currency": row["CurrencyCode"],
            "reference": row["CustomersOrderReference"],
            "amount": Decimal(0),
        }
        # The file has nothing where a property has its default.
        for row in before.d365("SELECT * FROM SalesOrderHeadersV2 WHERE coalesce(SalesOrderStatus, '') <> 'Canceled'")
    }
    for row in before.d365("SELECT dataAreaId, SalesOrderNumber, LineAmount FROM SalesOrderLines"):
        order = orders.get((row["dataAreaId"], row["SalesOrderNumber"]))
        if order is not None:
            order["amount"] += Decimal(row["LineAmount"])
    return orders


def customer_of(before: Books, account_id: str) -> dict[str, Any]:
    """The customer that an account is linked to by its stored link."""
    [account] = before.salesforce("SELECT ERP_Number__c FROM Account WHERE Id = ?", account_id)
    company, _, number = account["ERP_Number__c"].partition("/")
    [customer] = before.d365("SELECT * FROM CustomersV3 WHERE dataAreaId = ? AND CustomerAccount = ?", company, number)
    return dict(customer)


def second_customer(before: Books, account_id: str) -> str:
    """The number of the second customer of an account's party."""
    customer = customer_of(before, account_id)
    [second] = before.d365(
        "SELECT CustomerAccount FROM CustomersV3 WHERE PartyNumber = ? AND CustomerAccount <> ?",
        customer["PartyNumber"],
        customer["CustomerAccount"],
    )
    return str(second["CustomerAccount"])


def bad_line(before: Books, rule: str, opportunity_id: str) -> str:
    """The id of the line of an opportunity that breaks `rule`."""
    is_bad = {"product_required": "Product2Id IS NULL", "quantity_not_positive": "CAST(Quantity AS REAL) = 0"}[rule]
    [line] = before.salesforce(
        f"SELECT Id FROM OpportunityLineItem WHERE OpportunityId = ? AND {is_bad}", opportunity_id
    )
    return str(line["Id"])


def key_of(link: str) -> str:
    """The number in `company/number`."""
    return link.partition("/")[2]


def decimal_of(value: object) -> Decimal:
    """A number of Salesforce, as text or as float of two decimals, as the decimal that it means."""
    return Decimal(str(value))
