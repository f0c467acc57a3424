"""The opportunities of a generated seed: who buys, when, how it ended, whether D365 has the order, and what is wrong with it."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sandbox.salesforce.catalogue import STAGES
from sandbox.seeds.generated.parties import Parties, Party
from sandbox.seeds.generated.sizes import Sizes
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import Manifest, NextId

FIRST_DAY = date(2024, 1, 2)
LAST_DAY = date(2025, 12, 31)
"""The days of the calendar are fixed, so that the same seed gives the same orders on any day."""

_OPEN_STAGES = tuple(name for name, (_, closed, *_rest) in STAGES.items() if not closed)
_RECENT_DAYS = 60
_SHARE_WITHOUT_PURCHASE_ORDER = 0.1
_SHARE_WITHOUT_SHIP_DATE = 0.1
_SHARE_UNDER_OUR_NUMBER = 0.5

# The way of an order; a recent one is anywhere on it, an old one has mostly come to its end.
WAY = (
    OrderStatus.OPEN,
    OrderStatus.CONFIRMED,
    OrderStatus.PICKED,
    OrderStatus.PARTIALLY_DELIVERED,
    OrderStatus.DELIVERED,
    OrderStatus.PARTIALLY_INVOICED,
    OrderStatus.INVOICED,
)
_WEIGHTS_WHEN_RECENT = (20, 15, 8, 7, 20, 5, 25)
_WEIGHTS_WHEN_OLD = (1, 1, 0, 1, 2, 1, 94)

DIRT = (
    "unknown_currency",
    "line_without_product",
    "customer_on_hold",
    "purchase_order_too_long",
    "amount_not_a_number",
    "quantity_zero",
)
"""What is wrong with a won opportunity that is still to be delivered."""
CHANGES = (
    "amount_changed_in_d365",
    "quantity_changed_in_d365",
    "purchase_order_differs",
    "status_moved_forward_in_d365",
    "link_not_written_back",
)
"""What happened to an order that both sides have."""


@dataclass(slots=True)
class Deal:
    """One opportunity. `order_number` and `status` are D365's (None = it has no order); `planted` is what is wrong."""

    index: int
    opportunity_id: str
    party: Party
    stage: str
    closes: date
    ships: date | None
    purchase_order: str | None
    order_number: str | None = None
    status: OrderStatus | None = None
    planted: str | None = None

    @property
    def created(self) -> date:
        """When the opportunity was entered: an open one closes after the last day of the calendar, and is there by then."""
        return min(self.closes, LAST_DAY)

    @property
    def link(self) -> str:
        """Company and order number, as Salesforce stores the link."""
        return f"{self.party.company}/{self.order_number}"

    @property
    def known_status(self) -> OrderStatus | None:
        """The status as of the last write-back."""
        if self.planted == "status_moved_forward_in_d365" and self.status is not None:
            return WAY[WAY.index(self.status) - 1]
        return self.status


def make_deals(sizes: Sizes, seed: int, parties: Parties, next_id: NextId, manifest: Manifest) -> list[Deal]:
    """All opportunities; each carries one planted difference at most."""
    rng = random.Random(f"{seed}:deals")
    delivered = sizes.won - sizes.to_deliver
    endings = ["delivered"] * delivered + ["to_deliver"] * sizes.to_deliver + ["lost"] * sizes.lost
    endings += ["open"] * (sizes.opportunities - len(endings))
    rng.shuffle(endings)
    buyers = {
        "delivered": [*parties.customers, *parties.on_hold],
        "to_deliver": parties.customers,
        "lost": parties.with_account(),
        "open": parties.with_account(),
    }
    deals = [
        _deal(index, next_id("Opportunity"), rng.choice(buyers[ending]), ending, rng)
        for index, ending in enumerate(endings)
    ]
    of_ending = {
        ending: [deal for deal, is_so in zip(deals, endings, strict=True) if is_so == ending] for ending in buyers
    }
    for deal in of_ending["delivered"]:
        _place_order(deal, rng)
    _plant_dirt(rng.sample(of_ending["to_deliver"], sizes.to_deliver), sizes, parties, manifest)
    _plant_changes(rng.sample(of_ending["delivered"], delivered), sizes, rng, manifest)
    for deal in of_ending["to_deliver"]:
        manifest.plant("order_only_in_salesforce", deal.opportunity_id)
    return deals


def _deal(index: int, opportunity_id: str, party: Party, ending: str, rng: random.Random) -> Deal:
    days = (LAST_DAY - FIRST_DAY).days
    if ending == "to_deliver":
        closes = LAST_DAY - timedelta(days=rng.randrange(21))
    elif ending == "open":
        closes = LAST_DAY + timedelta(days=rng.randrange(1, 180))
    else:
        closes = FIRST_DAY + timedelta(days=rng.randrange(days - 10))
    stage = {"open": rng.choice(_OPEN_STAGES), "lost": "Closed Lost"}.get(ending, "Closed Won")
    ships = closes + timedelta(days=rng.randrange(3, 45))
    return Deal(
        index,
        opportunity_id,
        party,
        stage,
        closes,
        None if rng.random() < _SHARE_WITHOUT_SHIP_DATE else ships,
        None if rng.random() < _SHARE_WITHOUT_PURCHASE_ORDER else f"PO-{rng.randrange(10**6, 10**7)}",
    )


def _place_order(deal: Deal, rng: random.Random) -> None:
    """Half of the orders came through the integration and bear its number, the others were numbered by D365."""
    ours = rng.random() < _SHARE_UNDER_OUR_NUMBER
    deal.order_number = f"T-{deal.opportunity_id}" if ours else f"{deal.party.company.upper()}-{deal.index + 1:06d}"
    is_recent = (LAST_DAY - deal.closes).days < _RECENT_DAYS
    deal.status = rng.choices(WAY, _WEIGHTS_WHEN_RECENT if is_recent else _WEIGHTS_WHEN_OLD)[0]


def _plant_dirt(waiting: list[Deal], sizes: Sizes, parties: Parties, manifest: Manifest) -> None:
    """Spoil some of the opportunities that wait for delivery, and give the new accounts one good opportunity each."""
    rest = iter(waiting)
    for kind in DIRT:
        for position, deal in zip(range(sizes.of(kind)), rest, strict=False):
            deal.planted = kind
            manifest.plant(kind, deal.opportunity_id)
            if kind == "customer_on_hold":
                deal.party = parties.on_hold[position % len(parties.on_hold)]
    # The accounts come first in the zip: the other way round, one deal would be taken from the iterator and lost.
    for party, deal in zip([*parties.unnameable, *parties.newcomers], rest, strict=False):
        deal.party = party


def _plant_changes(linked: list[Deal], sizes: Sizes, rng: random.Random, manifest: Manifest) -> None:
    rest = iter(linked)
    for kind in CHANGES:
        for deal in _first(rest, sizes.of(kind)):
            deal.planted = kind
            if kind == "status_moved_forward_in_d365":
                deal.status = rng.choice(WAY[1:])
            if kind == "purchase_order_differs":
                deal.purchase_order = deal.purchase_order or f"PO-{rng.randrange(10**6, 10**7)}"
            manifest.plant(kind, deal.opportunity_id)


def _first(deals: Iterator[Deal], count: int) -> Iterator[Deal]:
    return (deal for _, deal in zip(range(count), deals, strict=False))
