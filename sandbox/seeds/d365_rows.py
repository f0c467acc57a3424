"""D365 records as seeds make them: customers, released products, order headers and lines under the names of the entity sets."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from sandbox.seeds.companies import COMPANIES, CUSTOMER_GROUP
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import Row

SITE = "1"
WAREHOUSE = "11"
_OFFICE_HOURS = time(9, 30, tzinfo=UTC)
_NAME_ALIAS_LENGTH = 20


@dataclass(frozen=True, slots=True)
class OrderDates:
    """When an order was taken, is to be shipped, and is to arrive."""

    ordered: date
    ship: date
    receipt: date


def customer(company: str, account: str, name: str, currency: str, **properties: object) -> Row:
    """A customer account of an organisation. `NameAlias` is the name's first 20 characters, a trailing blank kept, as D365 fills it."""
    return {
        "dataAreaId": company,
        "CustomerAccount": account,
        "PartyType": "Organization",
        "OrganizationName": name,
        "NameAlias": name[:_NAME_ALIAS_LENGTH],
        "CustomerGroupId": CUSTOMER_GROUP,
        "SalesCurrencyCode": currency,
        "LanguageId": COMPANIES[company].language,
        "OnHoldStatus": "No",
        "SiteId": SITE,
        "WarehouseId": WAREHOUSE,
        **properties,
    }


def released_product(company: str, item: str, name: str, unit: str, price: Decimal) -> Row:
    """A simple stocked item, released to one company."""
    return {
        "dataAreaId": company,
        "ItemNumber": item,
        "ProductNumber": item,
        "SearchName": name[:_NAME_ALIAS_LENGTH],
        "ProductSearchName": name[:_NAME_ALIAS_LENGTH],
        "ProductType": "Item",
        "ProductSubType": "Product",
        "SalesUnitSymbol": unit,
        "InventoryUnitSymbol": unit,
        "PurchaseUnitSymbol": unit,
        "SalesPrice": price,
        "StorageDimensionGroupName": "Site",
        "TrackingDimensionGroupName": "None",
        "ProductGroupId": "Goods",
        "ItemModelGroupId": "FIFO",
    }


def order_header(
    buyer: Row, number: str, currency: str, dates: OrderDates, status: OrderStatus, **properties: object
) -> Row:
    """An order of this customer. Totals stay 0, as D365 leaves them until somebody has them calculated."""
    return {
        "dataAreaId": buyer["dataAreaId"],
        "SalesOrderNumber": number,
        "SalesOrderName": buyer["OrganizationName"],
        "DeliveryAddressName": buyer["OrganizationName"],
        "OrderingCustomerAccountNumber": buyer["CustomerAccount"],
        "InvoiceCustomerAccountNumber": buyer["CustomerAccount"],
        "CurrencyCode": currency,
        "LanguageId": buyer["LanguageId"],
        "PaymentTermsName": buyer.get("PaymentTerms", ""),
        "OrderCreationDateTime": datetime.combine(dates.ordered, _OFFICE_HOURS),
        "RequestedShippingDate": dates.ship,
        "RequestedReceiptDate": dates.receipt,
        "SalesOrderStatus": status.of_order,
        "SalesOrderProcessingStatus": status.of_processing,
        "DefaultShippingSiteId": SITE,
        "DefaultShippingWarehouseId": WAREHOUSE,
        "CustomerPostingProfileId": "GEN",
        **properties,
    }


# What of each line is delivered and invoiced at a processing status, as a share of 1; the sandbox's posting goes on from there.
_POSTED: dict[str, Row] = {
    "PartiallyDelivered": {"_delivered": "0.5"},
    "Delivered": {"_delivered": "1"},
    "PartiallyInvoiced": {"_delivered": "0.5", "_invoiced": "0.5"},
    "Invoiced": {"_delivered": "1", "_invoiced": "1"},
}


def order_line(
    order: Row, lot: str, position: int, item: str, unit: str, quantity: Decimal, price: Decimal, **properties: object
) -> Row:
    """A line of this order; `position` is D365's own count from 1, `CustomersLineNumber` (among the properties) the buyer's."""
    return {
        "dataAreaId": order["dataAreaId"],
        "InventoryLotId": lot,
        "SalesOrderNumber": order["SalesOrderNumber"],
        "LineNumber": Decimal(position),
        "LineCreationSequenceNumber": position,
        "ItemNumber": item,
        "SalesUnitSymbol": unit,
        "OrderedSalesQuantity": quantity,
        "SalesPrice": price,
        "SalesPriceQuantity": Decimal(1),
        "CalculateLineAmount": "No",
        "CurrencyCode": order["CurrencyCode"],
        "RequestedShippingDate": order["RequestedShippingDate"],
        "RequestedReceiptDate": order["RequestedReceiptDate"],
        "SalesOrderLineStatus": order["SalesOrderStatus"],
        "ShippingSiteId": SITE,
        "ShippingWarehouseId": WAREHOUSE,
        **_POSTED.get(str(order["SalesOrderProcessingStatus"]), {}),
        **properties,
    }


def lot_number(company: str, number: int) -> str:
    """`InventoryLotId` number `number` of a company, in the form of D365's number sequence (`USMF-000001`)."""
    return f"{company.upper()}-{number:06d}"
