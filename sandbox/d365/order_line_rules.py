"""The rules of sales order lines: lots, positions, defaults from header and product, the amount of a line."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from sandbox.d365.catalogue import COMPANY, EMPTY_DATE, Entity
from sandbox.d365.errors import delete_refused, row_refused
from sandbox.d365.order_header_rules import ADDRESS_FROM_CUSTOMER, order_key
from sandbox.d365.rules import Rulebook, must_be_filled
from sandbox.d365.store import Row, Store
from sandbox.d365.values import decimal_text

CENT = Decimal("0.01")
HUNDRED = Decimal(100)

FROM_HEADER = {
    "CurrencyCode": "CurrencyCode",
    "ShippingSiteId": "DefaultShippingSiteId",
    "ShippingWarehouseId": "DefaultShippingWarehouseId",
    "RequestedShippingDate": "RequestedShippingDate",
    "RequestedReceiptDate": "RequestedReceiptDate",
    "CustomerRequisitionNumber": "CustomerRequisitionNumber",
    "DeliveryModeCode": "DeliveryModeCode",
    "DeliveryTermsId": "DeliveryTermsCode",
    "SalesTaxGroupCode": "SalesTaxGroupCode",
    "DeliveryAddressName": "DeliveryAddressName",
    "FormattedDelveryAddress": "FormattedDelveryAddress",
    **{f"DeliveryAddress{part}": f"DeliveryAddress{part}" for part in ADDRESS_FROM_CUSTOMER},
}
HEADER_COLUMNS = ("SalesOrderNumber", "SalesOrderStatus", *dict.fromkeys(FROM_HEADER.values()))
PRODUCT_COLUMNS = ("ItemNumber", "SalesUnitSymbol", "SalesPrice", "SearchName", "ProductSearchName", "SalesSalesTaxItemGroupCode", "_blocked")  # fmt: skip
CLOSED = ("Invoiced", "Canceled")
PRICED_BY = frozenset(
    {"OrderedSalesQuantity", "SalesPrice", "SalesPriceQuantity", "LineDiscountAmount", "LineDiscountPercentage", "LineAmount", "CalculateLineAmount"}
)  # fmt: skip
DEFAULT_QUANTITY = "1"


class OrderLineRules:
    """SalesOrderLines."""

    def create(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Join the order: position, defaults, amount, and the lot that is the line's only key."""
        must_be_filled(entity, row, "SalesOrderNumber")
        must_be_filled(entity, row, "ItemNumber")
        header = book.store.find("SalesOrderHeadersV2", order_key(row), HEADER_COLUMNS)
        product = book.store.find(
            "ReleasedProductsV2", {COMPANY: row[COMPANY], "ItemNumber": row["ItemNumber"]}, PRODUCT_COLUMNS
        )
        # validateField has found both already.
        assert header is not None
        assert product is not None
        _refuse_closed(entity, header)
        if product["_blocked"]:
            raise row_refused(entity, f"Item '{product['ItemNumber']}' is blocked for sales order.")
        row["SalesOrderNumber"], row["ItemNumber"] = header["SalesOrderNumber"], product["ItemNumber"]
        _take_defaults(row, header, product)
        if not row.get("ShippingSiteId") and book.switches["site_is_mandatory"]:
            raise row_refused(entity, "Inventory dimension Site is mandatory and must consequently be specified.")
        _settle_amount(row, row)
        row["LineNumber"], row["LineCreationSequenceNumber"] = _next_position(book.store, row)
        row["InventoryLotId"] = book.store.next_number("SalesOrderLines", str(row[COMPANY]))

    def update(self, book: Rulebook, entity: Entity, before: Row, changes: Row) -> None:
        """Quantities and prices of a closed line stay; otherwise the amount follows them."""
        del book
        if not PRICED_BY & changes.keys():
            return
        if before["SalesOrderLineStatus"] in CLOSED:
            raise row_refused(
                entity, f"The line is {str(before['SalesOrderLineStatus']).lower()} and cannot be changed."
            )
        _settle_amount({**before, **changes}, changes)

    def delete(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """A line of which something was posted stays."""
        del book
        if row["_delivered"] or row["_invoiced"]:
            raise delete_refused(entity, "The line cannot be deleted because it is delivered or invoiced")


def amount_of(line: Row) -> Decimal:
    """What a line costs: quantity × (price − discount) less the percentage, to the cent."""

    def number(name: str, default: str) -> Decimal:
        return Decimal(str(line.get(name) or default))

    price = number("SalesPrice", "0") / number("SalesPriceQuantity", "1") - number("LineDiscountAmount", "0")
    share = 1 - number("LineDiscountPercentage", "0") / HUNDRED
    return (number("OrderedSalesQuantity", "0") * price * share).quantize(CENT, ROUND_HALF_UP)


def _settle_amount(whole: Row, changes: Row) -> None:
    """With `CalculateLineAmount` the amount is recomputed, otherwise it is taken as given."""
    if whole.get("CalculateLineAmount", "Yes") == "Yes" or "LineAmount" not in whole:
        changes["LineAmount"] = decimal_text(amount_of(whole))


def _refuse_closed(entity: Entity, header: Row) -> None:
    if header["SalesOrderStatus"] in CLOSED:
        status = str(header["SalesOrderStatus"]).lower()
        raise row_refused(entity, f"Sales order {header['SalesOrderNumber']} is {status}, lines cannot be added.")


def _take_defaults(row: Row, header: Row, product: Row) -> None:
    for own, theirs in FROM_HEADER.items():
        if row.get(own) in (None, "", EMPTY_DATE) and header[theirs]:
            row[own] = header[theirs]
    row.setdefault("SalesUnitSymbol", product["SalesUnitSymbol"])
    row.setdefault("LineDescription", product["ProductSearchName"] or product["SearchName"])
    row.setdefault("SalesTaxItemGroupCode", product["SalesSalesTaxItemGroupCode"])
    row.setdefault("OrderedSalesQuantity", DEFAULT_QUANTITY)
    # Without trade agreements the base price of the product is the price.
    row.setdefault("SalesPrice", product["SalesPrice"])


def _next_position(store: Store, row: Row) -> tuple[str, int]:
    highest, last = store.connection.execute(
        'SELECT max(CAST("LineNumber" AS NUMERIC)), max("LineCreationSequenceNumber") FROM "SalesOrderLines" '
        f'WHERE "{COMPANY}" = ? AND "SalesOrderNumber" = ?',
        [row[COMPANY], row["SalesOrderNumber"]],
    ).fetchone()
    return decimal_text(int(highest or 0) + 1), (last or 0) + 1
