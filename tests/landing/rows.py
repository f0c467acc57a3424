"""Rows as the systems send them: each factory gives one valid row as JSON text, and a test names only what it is about."""

from typing import Any

import orjson


class Raw(str):
    """JSON text that stands in a row as it is, so that a number keeps its digits."""


def row(values: dict[str, Any]) -> str:
    """A JSON object; `Raw` values are written as they are."""
    parts = [
        f"{orjson.dumps(name).decode()}:{value if isinstance(value, Raw) else orjson.dumps(value).decode()}"
        for name, value in values.items()
    ]
    return "{" + ",".join(parts) + "}"


def an_account(**changes: Any) -> str:
    """A Salesforce account."""
    return row(
        {
            "attributes": {"type": "Account", "url": "/services/data/v62.0/sobjects/Account/001"},
            "Id": "0018d00000AAAAAAA1",
            "IsDeleted": False,
            "Name": "Riders Company",
            "CurrencyIsoCode": "USD",
            "SystemModstamp": "2026-11-20T08:00:00.000+0000",
        }
        | changes
    )


def an_opportunity(**changes: Any) -> str:
    """A won Salesforce opportunity that can be delivered."""
    return row(
        {
            "Id": "0068d00000AAAAAAA1",
            "IsDeleted": False,
            "AccountId": "0018d00000AAAAAAA1",
            "Name": "Bicycles",
            "StageName": "Closed Won",
            "CurrencyIsoCode": "USD",
            "Amount": Raw("100.50"),
            "HasOpportunityLineItem": True,
            "SystemModstamp": "2026-11-20T08:00:00.000+0000",
        }
        | changes
    )


def a_line(**changes: Any) -> str:
    """A Salesforce opportunity line that can be delivered."""
    return row(
        {
            "Id": "00k8d00000AAAAAAA1",
            "IsDeleted": False,
            "OpportunityId": "0068d00000AAAAAAA1",
            "SortOrder": 1,
            "Product2Id": "01t8d00000AAAAAAA1",
            "ProductCode": "BK-M68B-42",
            "Quantity": Raw("2.0"),
            "UnitPrice": Raw("50.25"),
            "TotalPrice": Raw("100.50"),
            "SystemModstamp": "2026-11-20T08:00:00.000+0000",
        }
        | changes
    )


def a_customer(**changes: Any) -> str:
    """A D365 customer."""
    return row(
        {
            "@odata.etag": 'W/"JzEsNTYzNzE0NTc2Jw=="',
            "dataAreaId": "usmf",
            "CustomerAccount": "AW00000001",
            "OrganizationName": "Riders Company",
            "SalesCurrencyCode": "USD",
            "OnHoldStatus": "No",
            "AddressStreet": "",
            "CreditLimit": 0,
        }
        | changes
    )


def an_order(**changes: Any) -> str:
    """A D365 sales order."""
    return row(
        {
            "dataAreaId": "usmf",
            "SalesOrderNumber": "T-0068d00000AAAAAAA1",
            "OrderingCustomerAccountNumber": "AW00000001",
            "CurrencyCode": "USD",
            "RequestedShippingDate": "2026-12-01T12:00:00Z",
            "ConfirmedShippingDate": "1900-01-01T12:00:00Z",
            "OrderCreationDateTime": "2026-11-20T08:00:01Z",
            "SalesOrderStatus": "Backorder",
            "SalesOrderProcessingStatus": "Active",
        }
        | changes
    )


def an_order_line(**changes: Any) -> str:
    """A D365 sales order line."""
    return row(
        {
            "dataAreaId": "usmf",
            "InventoryLotId": "011123",
            "SalesOrderNumber": "T-0068d00000AAAAAAA1",
            "CustomersLineNumber": 1,
            "LineNumber": 1,
            "ItemNumber": "BK-M68B-42",
            "OrderedSalesQuantity": 2,
            "SalesPrice": Raw("50.25"),
            "LineAmount": Raw("100.50"),
            "SalesUnitSymbol": "ea",
        }
        | changes
    )
