"""How far an order is, in the words of both systems: Salesforce's picklist and D365's pair of statuses."""

from enum import Enum


class OrderStatus(Enum):
    """One step of an order's life. The value is the picklist text of `Opportunity.ERP_Order_Status__c`."""

    OPEN = "Open"
    CONFIRMED = "Confirmed"
    PICKED = "Picked"
    PARTIALLY_DELIVERED = "Partially delivered"
    DELIVERED = "Delivered"
    PARTIALLY_INVOICED = "Partially invoiced"
    INVOICED = "Invoiced"
    CANCELED = "Canceled"

    @property
    def of_order(self) -> str:
        """`SalesOrderStatus` (and `SalesOrderLineStatus`): what was posted for the whole order."""
        return _IN_D365[self][0]

    @property
    def of_processing(self) -> str:
        """`SalesOrderProcessingStatus`: the last document that was posted."""
        return _IN_D365[self][1]


# "Open order" on the D365 screen is `Backorder` on the wire. A partly delivered or partly invoiced order is still open.
_IN_D365 = {
    OrderStatus.OPEN: ("Backorder", "Active"),
    OrderStatus.CONFIRMED: ("Backorder", "Confirmed"),
    OrderStatus.PICKED: ("Backorder", "Picked"),
    OrderStatus.PARTIALLY_DELIVERED: ("Backorder", "PartiallyDelivered"),
    OrderStatus.DELIVERED: ("Delivered", "Delivered"),
    OrderStatus.PARTIALLY_INVOICED: ("Backorder", "PartiallyInvoiced"),
    OrderStatus.INVOICED: ("Invoiced", "Invoiced"),
    OrderStatus.CANCELED: ("Canceled", "Canceled"),
}
