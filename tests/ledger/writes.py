"""Intended writes for tests of the ledger: valid, and as small as they can be."""

from decimal import Decimal

from tieout.intended import IntendedWrite


def an_order(letter: str, *, quantity: str = "2", company: str = "usmf") -> IntendedWrite:
    """The order of an opportunity whose id is `letter` repeated."""
    opportunity = letter * 18
    line = {
        "CustomersLineNumber": 1,
        "ItemNumber": "1000",
        "OrderedSalesQuantity": Decimal(quantity),
        "SalesPrice": Decimal("2024.9940"),
    }
    return IntendedWrite(
        "sales_order", "create", opportunity, company, f"T-{opportunity}", {"dataAreaId": company}, [line]
    )


def a_change(letter: str, *, name: str = "Contoso") -> IntendedWrite:
    """A change of the customer of an account whose id is `letter` repeated."""
    return IntendedWrite("customer", "update", letter * 18, "usmf", f"C-{letter}", {"OrganizationName": name})
