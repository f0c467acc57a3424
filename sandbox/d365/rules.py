"""The rules that every written row meets: companies, lengths, mandatory fields, values that must exist elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from sandbox.common.clock import Clock
from sandbox.common.switches import Switches
from sandbox.d365.catalogue import COMPANY, Entity, Property
from sandbox.d365.errors import WriteRefusedError, field_refused, row_refused
from sandbox.d365.store import Row, Store
from sandbox.d365.values import Stored

REFUSE, CUT = "error", "cut"
"""What happens to text that is too long; which of the two the real system does is not known."""

LABELS = {
    "CustomerAccount": "Customer account",
    "CustomerGroupId": "Customer group",
    "SalesCurrencyCode": "Currency",
    "CurrencyCode": "Currency",
    "OrganizationName": "Name",
    "PersonFirstName": "First name",
    "PaymentTerms": "Terms of payment",
    "PaymentTermsName": "Terms of payment",
    "PaymentTermId": "Terms of payment",
    "InvoiceAccount": "Invoice account",
    "OrderingCustomerAccountNumber": "Customer account",
    "InvoiceCustomerAccountNumber": "Invoice account",
    "SalesOrderNumber": "Sales order",
    "SalesOrderName": "Name",
    "ItemNumber": "Item number",
    "CustomersOrderReference": "Customer reference",
    "CustomerRequisitionNumber": "Customer requisition",
    "FromCurrency": "From currency",
    "ToCurrency": "To currency",
}
"""Field labels of D365 in en-us, as its messages use them."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """What rules look at besides the row itself."""

    store: Store
    clock: Clock
    switches: Switches


class Rules(Protocol):
    """The business rules of one entity set. Rows hold stored values under property names and are completed in place."""

    def create(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Give the row its defaults and refuse what may not be."""

    def update(self, book: Rulebook, entity: Entity, before: Row, changes: Row) -> None:
        """Complete or refuse the changes of a row."""

    def delete(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Refuse or prepare the deletion of a row."""


class PlainRules:
    """The rules of sets without business logic here."""

    def create(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """The key must be there."""
        del book
        for name in entity.key:
            must_be_filled(entity, row, name)

    def update(self, book: Rulebook, entity: Entity, before: Row, changes: Row) -> None:
        """Nothing more than the fields' own rules."""

    def delete(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Nothing to refuse."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A value that must exist as `column` of `table` in the same company."""

    table: str
    column: str
    related_label: str


CURRENCY = ForeignKey("", "", "Currencies")
_CUSTOMER = ForeignKey("CustomersV3", "CustomerAccount", "Customers")
_TERMS = ForeignKey("PaymentTerms", "Name", "Terms of payment")

FOREIGN_KEYS: Mapping[str, Mapping[str, ForeignKey]] = {
    "CustomersV3": {
        "CustomerGroupId": ForeignKey("CustomerGroups", "CustomerGroupId", "Customer groups"),
        "SalesCurrencyCode": CURRENCY,
        "PaymentTerms": _TERMS,
        "InvoiceAccount": _CUSTOMER,
    },
    "CustomerGroups": {"PaymentTermId": _TERMS},
    "SalesOrderHeadersV2": {
        "OrderingCustomerAccountNumber": _CUSTOMER,
        "InvoiceCustomerAccountNumber": _CUSTOMER,
        "CurrencyCode": CURRENCY,
        "PaymentTermsName": _TERMS,
    },
    "SalesOrderLines": {
        "SalesOrderNumber": ForeignKey("SalesOrderHeadersV2", "SalesOrderNumber", "Sales orders"),
        "ItemNumber": ForeignKey("ReleasedProductsV2", "ItemNumber", "Released products"),
        "CurrencyCode": CURRENCY,
    },
    "ExchangeRates": {"FromCurrency": CURRENCY, "ToCurrency": CURRENCY},
}


def label(name: str) -> str:
    """The field's label in messages."""
    return LABELS.get(name, name)


def company_of(book: Rulebook, entity: Entity, row: Row) -> None:
    """Settle the company of a new row: the one given, in lower case, else the user's default."""
    if not entity.is_per_company:
        return
    company = str(row.get(COMPANY) or book.switches["default_company"]).lower()
    known = book.store.find("Companies", {"DataArea": company}, ["DataArea"])
    is_hidden = company in {str(name).lower() for name in book.switches["hidden_companies"]}
    if is_hidden or (known is None and book.store.find("Companies", {}, ["DataArea"]) is not None):
        raise not_found(entity, COMPANY, "Company", company, "Legal entities")
    row[COMPANY] = company


def check_fields(book: Rulebook, entity: Entity, given: Row, company: str | None) -> None:
    """validateField for every value given: lengths, and values that must exist in another table."""
    keys = FOREIGN_KEYS.get(entity.set_name, {})
    for name in given:
        of = entity.properties[name]
        if of.max_length is not None:
            given[name] = _within_length(book, entity, of, given[name])
        if name in keys and given[name]:
            _must_exist(book, entity, name, keys[name], str(given[name]), given, company)


def must_be_filled(entity: Entity, row: Mapping[str, Stored], name: str) -> None:
    """Refuse a row without a value in a mandatory field."""
    if not row.get(name):
        raise row_refused(entity, f"Field '{label(name)}' must be filled in.")


def not_found(entity: Entity, name: str, shown: str, value: str, related: str) -> WriteRefusedError:
    """The refusal of a value that does not exist where it must."""
    return field_refused(
        entity, name, f"The value '{value}' in field '{shown}' is not found in the related table '{related}'."
    )


@cache
def currencies() -> frozenset[str]:
    """The currency codes of ISO 4217, which is what a new company's currency table holds."""
    import pycountry

    return frozenset(currency.alpha_3 for currency in pycountry.currencies)


def _within_length(book: Rulebook, entity: Entity, of: Property, value: Stored) -> Stored:
    limit = of.max_length
    if limit is None or not isinstance(value, str) or len(value) <= limit:
        return value
    if book.switches["long_text"] == CUT:
        return value[:limit]
    raise field_refused(
        entity,
        of.name,
        f"The text in field '{label(of.name)}' has {len(value)} characters and cannot be longer than {limit}.",
    )


def _must_exist(
    book: Rulebook, entity: Entity, name: str, key: ForeignKey, value: str, given: Row, company: str | None
) -> None:
    if key is CURRENCY:
        exists = value.upper() in currencies()
    elif name == "InvoiceAccount" and value == given.get("CustomerAccount"):
        exists = True
    else:
        exists = book.store.find(key.table, {COMPANY: company, key.column: value}, [key.column]) is not None
    if not exists:
        raise not_found(entity, name, label(name), value, key.related_label)
