"""The rules of customers: numbers, parties, search names, addresses, defaults from group and company."""

from __future__ import annotations

from functools import cache

from sandbox.d365.catalogue import COMPANY, Entity
from sandbox.d365.errors import delete_refused, field_refused
from sandbox.d365.rules import Rulebook, must_be_filled
from sandbox.d365.store import Row, Store
from sandbox.d365.values import instant_text

NAME_ALIAS_LENGTH = 20
DEFAULT_LANGUAGE = "en-US"
PERSON = "Person"
OPEN_END = "2154-12-31T23:59:59Z"
"""The end of an address that is valid from now on."""

ADDRESS = (
    "AddressStreet", "AddressCity", "AddressZipCode", "AddressState", "AddressCounty", "AddressCountryRegionId",
)  # fmt: skip


class CustomerRules:
    """CustomersV3."""

    def create(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """Number, party, names and language; what is missing for good is refused."""
        _settle_account(book, entity, row)
        row.setdefault("PartyType", "Organization")
        _settle_group_defaults(book, row)
        _settle_language(book, row)
        _settle_address(book, row, row)
        must_be_filled(entity, row, "CustomerGroupId")
        must_be_filled(entity, row, "SalesCurrencyCode")
        must_be_filled(entity, row, "PersonFirstName" if row["PartyType"] == PERSON else "OrganizationName")
        if not row.get("NameAlias"):
            row["NameAlias"] = customer_name(row)[:NAME_ALIAS_LENGTH]
        row["PartyNumber"] = _next_party(book.store)

    def update(self, book: Rulebook, entity: Entity, before: Row, changes: Row) -> None:
        """A name cannot be emptied; the computed address follows its parts."""
        after = {**before, **changes}
        must_be_filled(entity, after, "PersonFirstName" if after["PartyType"] == PERSON else "OrganizationName")
        must_be_filled(entity, after, "CustomerGroupId")
        must_be_filled(entity, after, "SalesCurrencyCode")
        if changes.get("LanguageId"):
            changes["LanguageId"] = language(str(changes["LanguageId"]))
        if any(name in changes for name in ADDRESS):
            _settle_address(book, after, changes)

    def delete(self, book: Rulebook, entity: Entity, row: Row) -> None:
        """A customer with orders stays."""
        orders = {COMPANY: row[COMPANY], "OrderingCustomerAccountNumber": row["CustomerAccount"]}
        if book.store.find("SalesOrderHeadersV2", orders, ["SalesOrderNumber"]):
            raise delete_refused(
                entity,
                "Customers cannot be deleted while dependent Sales orders exist. Delete dependent Sales orders and try again.",
            )


def customer_name(customer: Row) -> str:
    """The name of the organisation or of the person."""
    if customer.get("PartyType") == PERSON:
        parts = (customer.get(name) for name in ("PersonFirstName", "PersonMiddleName", "PersonLastName"))
        return " ".join(str(part) for part in parts if part)
    return str(customer.get("OrganizationName") or "")


def formatted_address(row: Row, prefix: str, state: str, county: str) -> str:
    """The address of several lines that D365 computes from its parts; empty without parts."""

    def part(name: str) -> str:
        return str(row.get(f"{prefix}{name}") or "")

    city = " ".join(filter(None, (part("City"), part(state), part("ZipCode"))))
    return "\n".join(filter(None, (part("Street"), city, part(county), part("CountryRegionId"))))


def language(code: str) -> str:
    """`en-us` as `en-US`."""
    first, _, region = code.partition("-")
    return f"{first.lower()}-{region.upper()}" if region else first.lower()


@cache
def two_letter_country(three_letters: str) -> str:
    """The ISO code of two letters for D365's country of three, empty when there is none."""
    import pycountry

    found = pycountry.countries.get(alpha_3=three_letters.upper())
    return str(found.alpha_2) if found else ""


def _settle_account(book: Rulebook, entity: Entity, row: Row) -> None:
    if not row.get("CustomerAccount"):
        row["CustomerAccount"] = book.store.next_number("CustomersV3", str(row[COMPANY]))
    elif not book.switches["manual_customer_accounts"]:
        raise field_refused(
            entity, "CustomerAccount", "Number sequence for customer accounts does not allow manual numbers."
        )


def _settle_group_defaults(book: Rulebook, row: Row) -> None:
    if "PaymentTerms" in row or not row.get("CustomerGroupId"):
        return
    key = {COMPANY: row[COMPANY], "CustomerGroupId": row["CustomerGroupId"]}
    group = book.store.find("CustomerGroups", key, ["PaymentTermId"])
    if group and group["PaymentTermId"]:
        row["PaymentTerms"] = group["PaymentTermId"]


def _settle_language(book: Rulebook, row: Row) -> None:
    if not row.get("LanguageId"):
        company = book.store.find("Companies", {"DataArea": row[COMPANY]}, ["LanguageId"])
        row["LanguageId"] = (company or {}).get("LanguageId") or DEFAULT_LANGUAGE
    row["LanguageId"] = language(str(row["LanguageId"]))


def _settle_address(book: Rulebook, whole: Row, changes: Row) -> None:
    """Fill what is computed from the address parts of `whole` into `changes`."""
    if not any(whole.get(name) for name in ADDRESS):
        return
    if whole.get("AddressCountryRegionId") and not changes.get("AddressCountryRegionISOCode"):
        changes["AddressCountryRegionISOCode"] = two_letter_country(str(whole["AddressCountryRegionId"]))
    changes["FullPrimaryAddress"] = formatted_address(whole, "Address", "State", "County")
    if whole.get("AddressValidTo") != OPEN_END:
        changes["AddressValidFrom"] = instant_text(book.clock.now())
        changes["AddressValidTo"] = OPEN_END


def _next_party(store: Store) -> str:
    while True:
        number = f"{store.next_global('PartyNumber'):09d}"
        if store.find("CustomersV3", {"PartyNumber": number}, ["PartyNumber"]) is None:
            return number
