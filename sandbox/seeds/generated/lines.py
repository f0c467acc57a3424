"""The lines of an opportunity, as sold and as D365 has them; made again whenever asked for, so that none is kept in memory."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sandbox.seeds.generated.prices import Price
from sandbox.seeds.money import cents, line_total

MOST_LINES = 12
_WEIGHTS = tuple(range(MOST_LINES, 0, -1))
_DISCOUNTS = (None, None, None, Decimal("5.00"), Decimal("10.00"), Decimal("12.50"))
_QUANTITIES = (1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12, 20, 24, 40)


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `product` is None where somebody deleted it, `discount` is in percent and None where there is none."""

    number: int
    product: Price | None
    quantity: Decimal
    price: Decimal
    discount: Decimal | None

    @property
    def amount(self) -> Decimal:
        """What the line costs, in cents."""
        return line_total(self.quantity, self.price, self.discount or Decimal(0))


def lines_as_sold(index: int, prices: Sequence[Price], seed: int, planted: str | None = None) -> list[Line]:
    """The 1 to 12 lines of the sale with this index: one product each, near the list price; the first one carries the dirt."""
    rng = random.Random(f"{seed}:lines:{index}")
    count = rng.choices(range(1, MOST_LINES + 1), _WEIGHTS)[0]
    lines = [
        Line(
            number,
            product,
            Decimal(rng.choice(_QUANTITIES)),
            cents(product.amount * Decimal(rng.randrange(88, 101)) / 100),
            rng.choice(_DISCOUNTS),
        )
        for number, product in enumerate(rng.sample(prices, count), start=1)
    ]
    if planted == "line_without_product":
        lines[0] = replace(lines[0], product=None)
    if planted == "quantity_zero":
        lines[0] = replace(lines[0], quantity=Decimal(0))
    return lines


def lines_in_erp(index: int, prices: Sequence[Price], seed: int, planted: str | None = None) -> list[Line]:
    """The lines of the order: as sold, unless somebody changed the first one in D365."""
    lines = lines_as_sold(index, prices, seed, planted)
    if planted == "amount_changed_in_d365":
        lines[0] = replace(lines[0], price=cents(lines[0].price * Decimal("1.05")) + 1)
    if planted == "quantity_changed_in_d365":
        lines[0] = replace(lines[0], quantity=lines[0].quantity + 1)
    return lines


def total(lines: Sequence[Line]) -> Decimal:
    """The exact sum of the lines."""
    return sum((line.amount for line in lines), start=Decimal("0.00"))
