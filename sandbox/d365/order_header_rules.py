"""The rules of sales order headers: numbers, customers on hold, defaults from the customer."""

from __future__ import annotations

from sandbox.d365.catalogue import COMPANY, EMPTY_DATE, Entity
from sandbox.d365.customer_rules import customer_name, formatted_address, language
from sandbox.d365.errors import delete_refused, field_refused, row_refused
from sandbox.d365.rules import Rulebook, label, must_be_filled, not_found
from sandbox.d365.store import Row
from sandbox.d365.values import date_text, instant_text

POSTING_PROFILE = "GEN"
STOPPED = "All"
"""A customer on hold for `Invoice` may still order; `All` stops orders too."""
NOTHING_POSTED = ("Active", "Confirmed", "Picked", "Canceled")
"""Processing statuses of orders of which nothing was delivered or invoiced, and which may therefore disappear."""

FROM_CUSTOMER = {
    "CurrencyCode": "SalesCurrencyCode",
    "LanguageId": "LanguageId",
    "PaymentTermsName": "PaymentTerms",
    "CustomerPaymentMethodName": "PaymentMethod",
    "PaymentScheduleName": "PaymentSchedule",
    "CashDiscountCode": "PaymentCashDiscount",
    "DeliveryTermsCode": "DeliveryTerms",
    "DeliveryModeCode": "DeliveryMode",
    "SalesTaxGroupCode": "SalesTaxGroup",
    "SalesOrderPoolId": "SalesOrderPoolId",
    "DefaultShippingSiteId": "SiteId",
    "DefaultShippingWarehouseId": "WarehouseId",
    "TaxExemptNumber": "TaxExemptNumber",
    "DefaultLedgerDimensionDisplayValue": "DefaultDimensionDisplayValue",
}
ADDRESS_FROM_CUSTOMER = {
    "Street": "Street",
    "StreetNumber": "StreetNumber",
    "City": "City",
    "ZipCode": "ZipCode",
    "StateId": "State",
    "CountyId": "County",
    "CountryRegionId": "CountryRegionId",
    "CountryRegionISOCode": "CountryRegionISOCode",
}
CUSTOMER_COLUMNS = (
    "CustomerAccount", "PartyType", "OrganizationName", "PersonFirstName", "PersonMiddleName", "PersonLastName",
    "InvoiceAccount", "OnHoldStatus", "AddressLocationId",
    *FROM_CUSTOMER.values(),
    *(f"{family}{part}" for family in ("Address", "DeliveryAddress", "InvoiceAddress") for part in ADDRESS_FROM_CUSTOMER.values()),
)  # fmt: skip


class OrderHeaderRules:
    """SalesOrderHeadersV2."""

    def create(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Number and everything that the customer brings along."""
        if row.get("SalesOrderNumber") and not book.switches["manual_sales_order_numbers"]:
            raise field_refused(
                entity, "SalesOrderNumber", "Number sequence for sales orders does not allow manual numbers."
            )
        must_be_filled(entity, row, "OrderingCustomerAccountNumber")
        customer = _customer(book, entity, row, "OrderingCustomerAccountNumber")
        row.setdefault("InvoiceCustomerAccountNumber", customer["InvoiceAccount"] or customer["CustomerAccount"])
        if row["InvoiceCustomerAccountNumber"] != row["OrderingCustomerAccountNumber"]:
            _customer(book, entity, row, "InvoiceCustomerAccountNumber")
        _take_from_customer(row, customer)
        _take_dates(book, row)
        must_be_filled(entity, row, "CurrencyCode")
        if not row.get("SalesOrderNumber"):
            row["SalesOrderNumber"] = book.store.next_number("SalesOrderHeadersV2", str(row[COMPANY]))

    def update(self, book: Rulebook, entity: Entity, before: Row, changes: Row) -> None:
        """The customer stays mandatory; which other fields an invoiced order protects is not known."""
        del book
        must_be_filled(entity, {**before, **changes}, "OrderingCustomerAccountNumber")
        must_be_filled(entity, {**before, **changes}, "InvoiceCustomerAccountNumber")

    def delete(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """An order of which something was posted stays."""
        del book
        if row["SalesOrderProcessingStatus"] not in NOTHING_POSTED:
            raise delete_refused(
                entity, f"Sales order {row['SalesOrderNumber']} cannot be deleted because it is delivered or invoiced"
            )


def order_key(row: Row) -> Row:
    """What finds an order's header and its lines."""
    return {COMPANY: row[COMPANY], "SalesOrderNumber": row["SalesOrderNumber"]}


def _customer(book: Rulebook, entity: Entity, row: Row, name: str) -> Row:
    customer = book.store.find("CustomersV3", {COMPANY: row[COMPANY], "CustomerAccount": row[name]}, CUSTOMER_COLUMNS)
    if customer is None:
        # An account given with the order was found by validateField; this one came from the customer's own record.
        raise not_found(entity, name, label(name), str(row[name]), "Customers")
    if customer["OnHoldStatus"] == STOPPED:
        raise row_refused(entity, f"Customer account {customer['CustomerAccount']} is on hold.")
    row[name] = customer["CustomerAccount"]
    return customer


def _take_from_customer(row: Row, customer: Row) -> None:
    for own, theirs in FROM_CUSTOMER.items():
        if not row.get(own) and customer[theirs]:
            row[own] = customer[theirs]
    row["LanguageId"] = language(str(row.get("LanguageId") or ""))
    name = customer_name(customer)
    row.setdefault("SalesOrderName", name)
    row.setdefault("DeliveryAddressName", name)
    row.setdefault("CustomerPostingProfileId", POSTING_PROFILE)
    for family in ("DeliveryAddress", "InvoiceAddress"):
        _take_address(row, customer, family)
    row["FormattedDelveryAddress"] = formatted_address(row, "DeliveryAddress", "StateId", "CountyId")
    row["FormattedInvoiceAddress"] = formatted_address(row, "InvoiceAddress", "StateId", "CountyId")


def _take_address(row: Row, customer: Row, family: str) -> None:
    """The customer's address of this kind, else the primary one; an address given with the order stays as it is."""
    if any(row.get(f"{family}{part}") for part in ADDRESS_FROM_CUSTOMER):
        return
    has_own = any(customer[f"{family}{part}"] for part in ADDRESS_FROM_CUSTOMER.values())
    source = family if has_own else "Address"
    for own, theirs in ADDRESS_FROM_CUSTOMER.items():
        if customer[f"{source}{theirs}"]:
            row[f"{family}{own}"] = customer[f"{source}{theirs}"]


def _take_dates(book: Rulebook, row: Row) -> None:
    now = book.clock.now()
    if row.get("RequestedShippingDate", EMPTY_DATE) == EMPTY_DATE:
        row["RequestedShippingDate"] = date_text(now.date())
    if row.get("RequestedReceiptDate", EMPTY_DATE) == EMPTY_DATE:
        row["RequestedReceiptDate"] = row["RequestedShippingDate"]
    row["OrderCreationDateTime"] = instant_text(now)
