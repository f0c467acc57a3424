"""How the sandbox rounds money: to cents, half up, in decimals."""

from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")


def cents(amount: Decimal) -> Decimal:
    """The amount in whole cents; half a cent goes up, as on an invoice."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def line_total(quantity: Decimal, price: Decimal, discount_percent: Decimal) -> Decimal:
    """Quantity x price, less the discount in percent, in cents: the rule of Salesforce's `TotalPrice`."""
    return cents(quantity * price * (1 - discount_percent / 100))
