"""How much of everything a generated seed has: sizes and planted differences, in proportion to the number of opportunities."""

from dataclasses import dataclass

SMALLEST = 40
"""Fewer opportunities cannot carry one of each planted kind."""

# Counts for 5,000 opportunities; other sizes get their share, and at least one of each kind.
_PER_5000 = {
    # Dirt in won opportunities that are still to be delivered: each must be refused or set aside with a reason.
    "unknown_currency": 2,
    "line_without_product": 2,
    "customer_on_hold": 2,
    "purchase_order_too_long": 3,
    "amount_not_a_number": 2,
    "quantity_zero": 2,
    "account_name_too_long": 2,
    # Won opportunities of accounts that D365 does not know yet.
    "account_without_customer": 12,
    # Orders that both sides have.
    "amount_changed_in_d365": 12,
    "quantity_changed_in_d365": 10,
    "purchase_order_differs": 8,
    "status_moved_forward_in_d365": 40,
    "link_not_written_back": 5,
    # Customers that both sides have.
    "phone_changed_in_salesforce": 6,
    "name_changed_in_salesforce": 5,
    "payment_terms_changed_in_d365": 7,
    "credit_limit_changed_in_d365": 6,
    "street_damaged_characters": 5,
    "name_trailing_blanks": 6,
    "linked_by_account_number_only": 50,
    "duplicate_customer": 8,
    # Only in D365.
    "customer_only_in_d365": 20,
    "order_only_in_d365": 30,
    "canceled_order_only_in_d365": 5,
}


@dataclass(frozen=True, slots=True)
class Sizes:
    """All sizes of a generated seed of `opportunities` opportunities."""

    opportunities: int

    @property
    def won(self) -> int:
        """Two of five."""
        return round(self.opportunities * 0.4)

    @property
    def lost(self) -> int:
        """One of four; the rest is open."""
        return round(self.opportunities * 0.25)

    @property
    def to_deliver(self) -> int:
        """Won and not yet in D365: one of eight won ones, and at least one for each kind of dirt and a few clean ones."""
        return max(round(self.opportunities * 0.05), 10)

    @property
    def accounts(self) -> int:
        """One for eight opportunities."""
        return max(self.opportunities // 8, 24)

    @property
    def prospects(self) -> int:
        """Accounts that have bought nothing yet and need no customer."""
        return self.accounts // 8

    @property
    def products(self) -> int:
        """A price list of moderate length."""
        return min(max(self.opportunities // 25, 20), 400)

    def of(self, kind: str) -> int:
        """How many records carry this planted kind."""
        return max(1, round(_PER_5000[kind] * self.opportunities / 5000))
