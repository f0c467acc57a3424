"""Posting, which in D365 happens inside: confirm, pick, deliver, invoice, cancel. Test-only route."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.control import json_response, refusal
from sandbox.common.journal import EFFECT, Journal
from sandbox.d365.catalogue import COMPANY
from sandbox.d365.order_header_rules import order_key
from sandbox.d365.rules import Rulebook
from sandbox.d365.store import Row
from sandbox.d365.values import date_text, decimal_text

STEPS = ("confirm", "pick", "deliver", "invoice", "cancel")
CENT = Decimal("0.01")
WHOLE = Decimal(1)
STOPS = {"deliver": ("All",), "invoice": ("All", "Invoice")}
"""Which `OnHoldStatus` of the customer forbids which step."""
INVOICE_FROM_ORDER = (
    COMPANY, "SalesOrderNumber", "CurrencyCode", "CustomersOrderReference", "InvoiceCustomerAccountNumber",
    "PaymentTermsName", "DeliveryModeCode", "DeliveryTermsCode", "SalesOrderOriginCode", "InvoiceAddressStreet",
    "InvoiceAddressStreetNumber", "InvoiceAddressCity", "InvoiceAddressZipCode", "InvoiceAddressCountryRegionId",
    "InvoiceAddressCountryRegionISOCode",
)  # fmt: skip
CONFIRMATION_FROM_ORDER = (
    COMPANY, "SalesOrderNumber", "CurrencyCode", "CustomersOrderReference", "CustomerRequisitionNumber", "LanguageId",
    "OrderingCustomerAccountNumber", "InvoiceCustomerAccountNumber", "PaymentTermsName",
)  # fmt: skip


class StepRefusedError(Exception):
    """The order is not in a state for this step; the message says why."""


class Posting:
    """Moves orders through their statuses as the posting functions of D365 do."""

    def __init__(self, book: Rulebook, journal: Journal) -> None:
        self._book = book
        self._journal = journal

    def routes(self) -> list[Route]:
        """The test-only routes."""
        return [
            Route("/_sandbox/orders/{company}/{number:path}/{step}", self._post_order, methods=["POST"]),
            Route("/_sandbox/products/{company}/{item:path}/{change}", self._change_product, methods=["POST"]),
        ]

    def post(self, header: Row, step: str, fraction: Decimal | None, request_id: str) -> Row:
        """Take one step; `fraction` is the share of every line to deliver or invoice, None for all that is left.

        Returns the statuses afterwards and the invoice number, if one came into being. Raises StepRefusedError.
        """
        store = self._book.store
        with store.transaction():
            lines = list(store.rows("SalesOrderLines", order_key(header)))
            self._refuse_impossible(header, lines, step)
            invoice = None
            match step:
                case "confirm":
                    self._confirm(header, lines)
                    processing = "Confirmed"
                case "pick":
                    processing = "Picked"
                case "cancel":
                    processing = "Canceled"
                case "deliver":
                    _advance(lines, "_delivered", fraction)
                    processing = ""
                case _:
                    shares = _advance(lines, "_invoiced", fraction)
                    invoice = self._invoice(header, lines, shares, request_id)
                    processing = ""
            status, processing = ("Canceled", "Canceled") if step == "cancel" else _statuses(lines, processing)
            self._save(header, lines, status, processing)
            result = {
                "SalesOrderNumber": header["SalesOrderNumber"],
                "SalesOrderStatus": status,
                "SalesOrderProcessingStatus": processing,
                **({"InvoiceNumber": invoice} if invoice else {}),
            }
            self._record(
                "posted",
                "SalesOrderHeadersV2",
                header,
                header["SalesOrderNumber"],
                {"step": step, **result},
                request_id,
            )
        return result

    def _refuse_impossible(self, header: Row, lines: Sequence[Row], step: str) -> None:
        number, status = header["SalesOrderNumber"], header["SalesOrderStatus"]
        if status == "Canceled" or (status == "Invoiced" and step != "confirm"):
            raise StepRefusedError(f"Sales order {number} is {status.lower()}.")
        if step in ("confirm", "pick") and status != "Backorder":
            raise StepRefusedError(f"Sales order {number} is {status.lower()} already.")
        if step in ("deliver", "invoice") and not lines:
            raise StepRefusedError(f"Sales order {number} has no lines.")
        if step == "cancel" and any(_share(line, name) for line in lines for name in ("_delivered", "_invoiced")):
            raise StepRefusedError(f"Sales order {number} is delivered or invoiced in part and cannot be canceled.")
        if step == "deliver" and lines and all(_share(line, "_delivered") == WHOLE for line in lines):
            raise StepRefusedError(f"Sales order {number} is delivered already.")
        key = {COMPANY: header[COMPANY], "CustomerAccount": header["InvoiceCustomerAccountNumber"]}
        customer = self._book.store.find("CustomersV3", key, ["OnHoldStatus"])
        if customer and customer["OnHoldStatus"] in STOPS.get(step, ()):
            raise StepRefusedError(f"Customer account {header['InvoiceCustomerAccountNumber']} is on hold.")

    def _save(self, header: Row, lines: Sequence[Row], status: str, processing: str) -> None:
        store = self._book.store
        store.update(
            "SalesOrderHeadersV2",
            header["_rec_id"],
            {"SalesOrderStatus": status, "SalesOrderProcessingStatus": processing},
        )
        for line in lines:
            delivered, invoiced = _share(line, "_delivered"), _share(line, "_invoiced")
            of_line = "Canceled" if status == "Canceled" else _line_status(delivered, invoiced)
            store.update(
                "SalesOrderLines",
                line["_rec_id"],
                {
                    "SalesOrderLineStatus": of_line,
                    "_delivered": decimal_text(delivered) if delivered else None,
                    "_invoiced": decimal_text(invoiced) if invoiced else None,
                },
            )

    def _confirm(self, header: Row, lines: Sequence[Row]) -> None:
        store = self._book.store
        number = store.next_global("ConfirmationNumber")
        total = sum((Decimal(line["LineAmount"]) for line in lines), Decimal(0))
        store.insert(
            "SalesOrderConfirmationHeaders",
            {
                **{name: header[name] for name in CONFIRMATION_FROM_ORDER},
                "ConfirmationDate": date_text(self._book.clock.now().date()),
                "ConfirmationNumber": f"{header['SalesOrderNumber']}-{number}",
                "SubTotalAmount": decimal_text(total),
                "TotalConfirmedAmount": decimal_text(total),
            },
        )

    def _invoice(
        self, header: Row, lines: Sequence[Row], shares: Sequence[tuple[Decimal, Decimal]], request_id: str
    ) -> str:
        store = self._book.store
        number = f"CIV-{store.next_global(f'InvoiceNumber {header[COMPANY]}'):06d}"
        key = {
            COMPANY: header[COMPANY],
            "InvoiceNumber": number,
            "InvoiceDate": date_text(self._book.clock.now().date()),
            "LedgerVoucher": f"IV-{store.next_global('LedgerVoucher'):06d}",
        }
        total = Decimal(0)
        for position, (line, (before, after)) in enumerate(zip(lines, shares, strict=True), start=1):
            amount = _rounded(line, after) - _rounded(line, before)
            total += amount
            store.insert(
                "SalesInvoiceV2Lines",
                {
                    **key,
                    "LineCreationSequenceNumber": position,
                    "CurrencyCode": header["CurrencyCode"],
                    "ProductNumber": line["ItemNumber"],
                    "ProductDescription": line["LineDescription"],
                    "SalesUnitSymbol": line["SalesUnitSymbol"],
                    "InvoicedQuantity": decimal_text(Decimal(line["OrderedSalesQuantity"]) * (after - before)),
                    "SalesPrice": line["SalesPrice"],
                    "LineAmount": decimal_text(amount),
                },
            )
        invoice = {
            **{name: header[name] for name in INVOICE_FROM_ORDER},
            **key,
            "TotalInvoiceAmount": decimal_text(total),
        }
        store.insert("SalesInvoiceHeadersV2", invoice)
        self._record("created", "SalesInvoiceHeadersV2", header, number, invoice, request_id)
        return number

    def _record(self, effect: str, entity: str, header: Row, key: str, values: Row, request_id: str) -> None:
        self._journal.record(
            EFFECT,
            connection=self._book.store.connection,
            request_id=request_id,
            effect=effect,
            entity=entity,
            key=key,
            company=header[COMPANY],
            order=header["SalesOrderNumber"],
            values=values,
        )

    # --- routes ------------------------------------------------------------------------------------------------

    async def _post_order(self, request: Request) -> Response:
        path = request.path_params
        if path["step"] not in STEPS:
            return refusal(f"There is no step {path['step']!r}. Known: {', '.join(STEPS)}.")
        try:
            fraction = _fraction(request.query_params.get("fraction"))
        except ValueError as problem:
            return refusal(str(problem))
        header = self._book.store.find(
            "SalesOrderHeadersV2", {COMPANY: path["company"], "SalesOrderNumber": path["number"]}
        )
        if header is None:
            return json_response({"error": f"There is no sales order {path['number']} in {path['company']}."}, 404)
        try:
            return json_response(self.post(header, path["step"], fraction, request.state.request_id))
        except StepRefusedError as refused:
            return json_response({"error": str(refused)}, 409)

    async def _change_product(self, request: Request) -> Response:
        """`block` or `unblock` a released product for sales."""
        path = request.path_params
        if path["change"] not in ("block", "unblock"):
            return refusal("A product can be blocked or unblocked.")
        key = {COMPANY: path["company"], "ItemNumber": path["item"]}
        product = self._book.store.find("ReleasedProductsV2", key, ["ItemNumber"])
        if product is None:
            return json_response({"error": f"There is no product {path['item']} in {path['company']}."}, 404)
        with self._book.store.transaction():
            blocked = "Yes" if path["change"] == "block" else None
            self._book.store.update("ReleasedProductsV2", product["_rec_id"], {"_blocked": blocked})
        return json_response({"ItemNumber": product["ItemNumber"], "blocked": blocked is not None})


def _fraction(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        fraction = Decimal(text)
    except InvalidOperation:
        fraction = Decimal(0)
    if not 0 < fraction <= WHOLE:
        raise ValueError("`fraction` is a number above 0 and up to 1.")
    return fraction


def _share(line: Row, name: str) -> Decimal:
    """How much of a line is delivered or invoiced; lines that were seeded as such have only their status."""
    if line[name]:
        return Decimal(line[name])
    complete = ("Delivered", "Invoiced") if name == "_delivered" else ("Invoiced",)
    return WHOLE if line["SalesOrderLineStatus"] in complete else Decimal(0)


def _rounded(line: Row, share: Decimal) -> Decimal:
    """What a share of the line costs, to the cent; the difference of two of them makes parts add up to the line."""
    return (Decimal(line["LineAmount"]) * share).quantize(CENT, ROUND_HALF_UP)


def _advance(lines: Sequence[Row], name: str, fraction: Decimal | None) -> list[tuple[Decimal, Decimal]]:
    """Deliver or invoice a share of every line; returns the shares before and after. What is invoiced is delivered too."""
    shares = []
    for line in lines:
        before = _share(line, name)
        after = min(WHOLE, before + fraction) if fraction else WHOLE
        line[name] = decimal_text(after)
        if name == "_invoiced" and _share(line, "_delivered") < after:
            line["_delivered"] = decimal_text(after)
        shares.append((before, after))
    return shares


def _statuses(lines: Sequence[Row], processing: str) -> tuple[str, str]:
    """Status and processing status of the order; `processing` holds when nothing is delivered or invoiced yet."""
    delivered = [_share(line, "_delivered") for line in lines] or [Decimal(0)]
    invoiced = [_share(line, "_invoiced") for line in lines] or [Decimal(0)]
    if processing:
        return ("Backorder", _partly(delivered, invoiced) or processing)
    if min(invoiced) == WHOLE:
        return "Invoiced", "Invoiced"
    if min(delivered) == WHOLE:
        return "Delivered", "DeliveredPartiallyInvoiced" if max(invoiced) else "Delivered"
    return "Backorder", _partly(delivered, invoiced) or "Active"


def _partly(delivered: Sequence[Decimal], invoiced: Sequence[Decimal]) -> str:
    if max(invoiced):
        return "PartiallyInvoiced" if min(invoiced) < WHOLE else ""
    return "PartiallyDelivered" if max(delivered) and min(delivered) < WHOLE else ""


def _line_status(delivered: Decimal, invoiced: Decimal) -> str:
    if invoiced == WHOLE:
        return "Invoiced"
    return "Delivered" if delivered == WHOLE else "Backorder"
