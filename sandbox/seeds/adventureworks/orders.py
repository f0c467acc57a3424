"""Reseller orders on both sides: won opportunities with lines in Salesforce, sales orders with lines in D365.

The orders of the last two calendar months are in Salesforce only; all older ones are on both sides and know each other.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.adventureworks.masters import Masters
from sandbox.seeds.adventureworks.products import UNIT, PriceBook
from sandbox.seeds.adventureworks.sales import Order, SalesLine
from sandbox.seeds.companies import UNIT_IN_D365
from sandbox.seeds.money import cents
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import NextId, Row

# Of ten orders of a month before delivery began to lag: what they are at by now. Older months are all invoiced.
_S = OrderStatus
_STATUS_BY_MONTHS_AGO = {
    1: (_S.OPEN, _S.OPEN, _S.OPEN, _S.CONFIRMED, _S.CONFIRMED, _S.PICKED, _S.PARTIALLY_DELIVERED, _S.DELIVERED, _S.DELIVERED, _S.INVOICED),
    2: (_S.DELIVERED, _S.DELIVERED, _S.PARTIALLY_INVOICED, *[_S.INVOICED] * 7),
    3: (_S.PARTIALLY_INVOICED, *[_S.INVOICED] * 9),
}  # fmt: skip


@dataclass(frozen=True)
class Deal:
    """One order with its opportunity id, its account, its customer, and its status in D365 (None = not there)."""

    order: Order
    opportunity_id: str
    account: Row
    customer: Row
    status: OrderStatus | None

    @property
    def is_in_erp(self) -> bool:
        return self.status is not None

    @property
    def reference(self) -> str:
        """Company and order number, as Salesforce stores the link."""
        return f"{self.customer['dataAreaId']}/{self.order.number}"


def deals(orders: list[Order], masters: Masters, not_in_erp: frozenset[tuple[int, int]], next_id: NextId) -> list[Deal]:
    """Every order as a deal, in the order of the source."""
    last = min(year * 12 + month for year, month in not_in_erp)
    return [
        Deal(
            order,
            next_id("Opportunity"),
            account := masters.accounts[order.reseller_key],
            masters.customer_of(account),
            _status(order, last - (order.ordered.year * 12 + order.ordered.month)),
        )
        for order in orders
    ]


def _status(order: Order, months_ago: int) -> OrderStatus | None:
    if months_ago <= 0:
        return None
    mix = _STATUS_BY_MONTHS_AGO.get(months_ago, (OrderStatus.INVOICED,))
    return mix[int(order.number.removeprefix("SO")) % len(mix)]


def opportunities(deals: list[Deal], book: PriceBook, touched: datetime) -> Iterator[Row]:
    """Won opportunities; those whose order is in D365 carry its number, status and amount from the last write-back."""
    for deal in deals:
        order = deal.order
        yield {
            "Id": deal.opportunity_id,
            "AccountId": deal.account["Id"],
            "Name": f"{order.number} {deal.account['Name']}",
            "StageName": "Closed Won",
            "CloseDate": order.ordered,
            "Amount": order.amount,
            "CurrencyIsoCode": order.currency,
            "HasOpportunityLineItem": True,
            "Pricebook2Id": book.pricebook["Id"],
            "TotalOpportunityQuantity": sum((line.quantity for line in order.lines), start=Decimal(0)),
            "ERP_Company__c": deal.customer["dataAreaId"],
            "PO_Number__c": order.purchase_order,
            "Requested_Ship_Date__c": order.shipped,
            "ERP_Order_Number__c": deal.reference if deal.is_in_erp else None,
            "ERP_Order_Status__c": deal.status.value if deal.status else None,
            "ERP_Amount__c": order.amount if deal.is_in_erp else None,
            "ERP_Synced_At__c": touched if deal.is_in_erp else None,
            **salesforce_rows.stamps(order.ordered, touched),
        }


def opportunity_lines(deals: list[Deal], book: PriceBook, next_id: NextId, touched: datetime) -> Iterator[Row]:
    """The lines of all opportunities: prices to the cent, amounts as sold."""
    for deal in deals:
        order_stamps = salesforce_rows.stamps(deal.order.ordered, touched)
        for line in deal.order.lines:
            yield _opportunity_line(deal, line, book, next_id("OpportunityLineItem")) | order_stamps


def _opportunity_line(deal: Deal, line: SalesLine, book: PriceBook, line_id: str) -> Row:
    product = book.products[line.item]
    entry = book.entries[line.item, deal.order.currency]
    price = cents(line.price)
    return {
        "Id": line_id,
        "OpportunityId": deal.opportunity_id,
        "SortOrder": line.number,
        "PricebookEntryId": entry["Id"],
        "Product2Id": product["Id"],
        "ProductCode": line.item,
        "Name": f"{deal.order.number} {deal.account['Name']} {product['Name']}",
        "CurrencyIsoCode": deal.order.currency,
        "Quantity": line.quantity,
        "UnitPrice": price,
        "ListPrice": entry["UnitPrice"],
        "Subtotal": cents(price * line.quantity),
        "Discount": line.discount_percent,
        "TotalPrice": line.amount,
    }


def sales_orders(deals: list[Deal]) -> Iterator[tuple[Deal, Row]]:
    """The headers of the orders that D365 has, each with its deal."""
    for deal in deals:
        if deal.status is None:
            continue
        order = deal.order
        yield (
            deal,
            d365_rows.order_header(
                deal.customer,
                order.number,
                order.currency,
                d365_rows.OrderDates(order.ordered, order.shipped, order.due),
                deal.status,
                CustomersOrderReference=deal.opportunity_id,
                CustomerRequisitionNumber=order.purchase_order,
            ),
        )


def sales_order_lines(deals: list[Deal]) -> Iterator[Row]:
    """The lines of the orders that D365 has: its own count and lot numbers, prices with their four decimals."""
    lots: Counter[str] = Counter()
    for deal, header in sales_orders(deals):
        company = str(header["dataAreaId"])
        for position, line in enumerate(deal.order.lines, start=1):
            lots[company] += 1
            yield d365_rows.order_line(
                header,
                d365_rows.lot_number(company, lots[company]),
                position,
                line.item,
                UNIT_IN_D365[UNIT],
                line.quantity,
                line.price,
                LineDiscountPercentage=line.discount_percent,
                LineAmount=line.amount,
                CustomersLineNumber=line.number,
            )
