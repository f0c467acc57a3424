"""An invented business as a seed: companies, currencies, customers and orders of any number, the same ones every time.

What differs between the two systems, and what is dirty, is planted in known numbers and listed in the manifest.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from sandbox.seeds import salesforce_rows
from sandbox.seeds.companies import company_tables
from sandbox.seeds.generated.deals import make_deals
from sandbox.seeds.generated.orders import OrderRows, make_direct_orders
from sandbox.seeds.generated.parties import AREAS, make_parties
from sandbox.seeds.generated.prices import make_price_list
from sandbox.seeds.generated.sizes import SMALLEST, Sizes
from sandbox.seeds.seed import Manifest, NextId, Rows, SeedError

DEFAULT_OPPORTUNITIES = 5000
RANDOM_SEED = 20_240_229


class Generated:
    """`opportunities` opportunities and all that belongs to them; nothing depends on the day but the time of last change."""

    def __init__(self, opportunities: int = DEFAULT_OPPORTUNITIES, random_seed: int = RANDOM_SEED) -> None:
        if opportunities < SMALLEST:
            raise SeedError(
                f"generated:{opportunities} is too small to hold one of each planted difference. "
                f"Ask for {SMALLEST} opportunities or more."
            )
        self.sizes = Sizes(opportunities)
        self.random_seed = random_seed
        self.manifest = Manifest()

    def rows(self, next_id: NextId, now: datetime) -> Iterator[Rows]:
        """See `Seed.rows`."""
        touched = salesforce_rows.last_touched(now)
        parties = make_parties(self.sizes, self.random_seed, next_id, touched, self.manifest)
        book = make_price_list(self.sizes.products, self.random_seed, next_id, touched)
        deals = make_deals(self.sizes, self.random_seed, parties, next_id, self.manifest)
        both = OrderRows(deals, book, self.random_seed, touched)
        direct = make_direct_orders(self.sizes, self.random_seed, parties, book, self.manifest)
        lots: Counter[str] = Counter()

        yield Rows("salesforce", "Account", parties.accounts())
        yield Rows("salesforce", "Product2", book.products)
        yield Rows("salesforce", "Pricebook2", [book.pricebook])
        yield Rows("salesforce", "PricebookEntry", book.entries)
        yield Rows("salesforce", "Opportunity", both.opportunities())
        yield Rows("salesforce", "OpportunityLineItem", both.opportunity_lines(next_id))
        yield from company_tables(AREAS)
        yield Rows("d365", "CustomersV3", parties.customer_rows())
        yield Rows("d365", "ReleasedProductsV2", book.released_products())
        yield Rows("d365", "SalesOrderHeadersV2", chain((header for _, header in both.sales_orders()), direct.headers))
        yield Rows("d365", "SalesOrderLines", chain(both.sales_order_lines(lots), direct.all_lines(lots)))
