"""Opportunities and orders of a generated seed as rows: both sides of each deal, and orders that only D365 has."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sandbox.seeds import d365_rows, salesforce_rows
from sandbox.seeds.generated import awkward
from sandbox.seeds.generated.deals import FIRST_DAY, LAST_DAY, WAY, Deal
from sandbox.seeds.generated.lines import Line, lines_as_sold, lines_in_erp, total
from sandbox.seeds.generated.parties import Parties
from sandbox.seeds.generated.prices import Price, PriceList
from sandbox.seeds.generated.sizes import Sizes
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import Manifest, NextId, Row

# Salesforce fills SortOrder only when somebody sorts the lines; one opportunity in so many never had that.
_UNSORTED_EVERY = 25
_DAYS_TO_RECEIVE = 5


@dataclass
class OrderRows:
    """Makes the rows of both sides from the same deals."""

    deals: list[Deal]
    book: PriceList
    seed: int
    touched: datetime

    def opportunities(self) -> Iterator[Row]:
        """One row per deal."""
        return (self._opportunity(deal) for deal in self.deals)

    def opportunity_lines(self, next_id: NextId) -> Iterator[Row]:
        """The lines of all deals."""
        for deal in self.deals:
            made = salesforce_rows.stamps(deal.created, self.touched)
            for line in self._as_sold(deal):
                yield self._opportunity_line(deal, line) | made | {"Id": next_id("OpportunityLineItem")}

    def sales_orders(self) -> Iterator[tuple[Deal, Row]]:
        """The header of each deal that D365 has."""
        for deal in self.deals:
            if deal.status is not None:
                yield deal, self._sales_order(deal, deal.status)

    def sales_order_lines(self, lots: Counter[str]) -> Iterator[Row]:
        """The lines of those orders; `lots` counts the lot numbers given out, by company."""
        for deal, header in self.sales_orders():
            lines = lines_in_erp(deal.index, self._prices(deal), self.seed, deal.planted)
            yield from order_lines(header, lines, lots)

    def _as_sold(self, deal: Deal) -> list[Line]:
        return lines_as_sold(deal.index, self._prices(deal), self.seed, deal.planted)

    def _prices(self, deal: Deal) -> list[Price]:
        return self.book.prices[deal.party.currency]

    def _opportunity(self, deal: Deal) -> Row:
        account = deal.party.account
        assert account is not None
        amount = total(self._as_sold(deal))
        dirty = {
            "unknown_currency": {"CurrencyIsoCode": awkward.UNKNOWN_CURRENCY},
            "purchase_order_too_long": {"PO_Number__c": awkward.LONG_PURCHASE_ORDER.format(number=deal.index)},
            "amount_not_a_number": {"Amount": awkward.NOT_A_NUMBER},
        }.get(deal.planted or "", {})
        return {
            "Id": deal.opportunity_id,
            "AccountId": account["Id"],
            "Name": f"{str(account['Name'])[:80]}, {deal.closes:%B %Y}",
            "StageName": deal.stage,
            "Amount": amount,
            "CloseDate": deal.closes,
            "CurrencyIsoCode": deal.party.currency,
            "HasOpportunityLineItem": True,
            "Pricebook2Id": self.book.pricebook["Id"],
            "ERP_Company__c": deal.party.company,
            "PO_Number__c": deal.purchase_order,
            "Requested_Ship_Date__c": deal.ships,
            **self._written_back(deal, amount),
            **salesforce_rows.stamps(deal.created, self.touched),
            **dirty,
        }

    def _written_back(self, deal: Deal, amount: Decimal) -> Row:
        """What the last write-back left on the opportunity: nothing, where there is no order or the write was lost."""
        if deal.known_status is None or deal.planted == "link_not_written_back":
            return {}
        return {
            "ERP_Order_Number__c": deal.link,
            "ERP_Order_Status__c": deal.known_status.value,
            "ERP_Amount__c": amount,
            "ERP_Synced_At__c": self.touched,
        }

    def _opportunity_line(self, deal: Deal, line: Line) -> Row:
        unknown = deal.planted == "unknown_currency"
        row: Row = {
            "OpportunityId": deal.opportunity_id,
            "SortOrder": None if deal.index % _UNSORTED_EVERY == 0 else line.number,
            "CurrencyIsoCode": awkward.UNKNOWN_CURRENCY if unknown else deal.party.currency,
            "Quantity": line.quantity,
            "UnitPrice": line.price,
            "Discount": line.discount,
            "TotalPrice": line.amount,
        }
        if line.product is not None:
            row |= {
                "PricebookEntryId": line.product.entry_id,
                "Product2Id": line.product.product_id,
                "ProductCode": line.product.code,
                "Name": line.product.name,
                "ListPrice": line.product.amount,
            }
        return row

    def _sales_order(self, deal: Deal, status: OrderStatus) -> Row:
        customer = deal.party.customer
        assert customer is not None
        ship = deal.ships or deal.closes + timedelta(days=1)
        requisition = f"{deal.purchase_order}-B" if deal.planted == "purchase_order_differs" else deal.purchase_order
        return d365_rows.order_header(
            customer,
            str(deal.order_number),
            deal.party.currency,
            d365_rows.OrderDates(deal.closes, ship, ship + timedelta(days=_DAYS_TO_RECEIVE)),
            status,
            CustomersOrderReference=deal.opportunity_id,
            CustomerRequisitionNumber=requisition or "",
        )


@dataclass
class DirectOrders:
    """Orders that were entered in D365 itself: by telephone, for customers of both systems and for those of D365 alone."""

    headers: list[Row]
    lines: list[list[Line]]

    def all_lines(self, lots: Counter[str]) -> Iterator[Row]:
        """The lines of these orders; `lots` as in `OrderRows.sales_order_lines`."""
        for header, lines in zip(self.headers, self.lines, strict=True):
            yield from order_lines(header, lines, lots)


def make_direct_orders(sizes: Sizes, seed: int, parties: Parties, book: PriceList, manifest: Manifest) -> DirectOrders:
    """The orders that only D365 has; their numbers and sale indexes go on behind those of the opportunities."""
    rng = random.Random(f"{seed}:direct")
    buyers = [*parties.erp_only, *parties.customers]
    direct = DirectOrders([], [])
    kinds = ["order_only_in_d365"] * sizes.of("order_only_in_d365")
    kinds += ["canceled_order_only_in_d365"] * sizes.of("canceled_order_only_in_d365")
    for position, kind in enumerate(kinds):
        party = buyers[position % len(parties.erp_only)] if position % 2 == 0 else rng.choice(buyers)
        assert party.customer is not None
        day = FIRST_DAY + timedelta(days=rng.randrange((LAST_DAY - FIRST_DAY).days))
        status = OrderStatus.CANCELED if kind == "canceled_order_only_in_d365" else rng.choice(WAY)
        index = sizes.opportunities + position
        number = f"{party.company.upper()}-{index + 1:06d}"
        direct.headers.append(
            d365_rows.order_header(
                party.customer,
                number,
                party.currency,
                d365_rows.OrderDates(day, day, day + timedelta(days=_DAYS_TO_RECEIVE)),
                status,
                CustomersOrderReference=f"By telephone {position + 1}" if position % 3 else "",
            )
        )
        direct.lines.append(lines_as_sold(index, book.prices[party.currency], seed))
        manifest.plant(kind, f"{party.company}/{number}")
    return direct


def order_lines(header: Row, lines: list[Line], lots: Counter[str]) -> Iterator[Row]:
    """The lines of one order, with lot numbers that go on counting in `lots`."""
    company = str(header["dataAreaId"])
    for position, line in enumerate(lines, start=1):
        assert line.product is not None
        lots[company] += 1
        yield d365_rows.order_line(
            header,
            d365_rows.lot_number(company, lots[company]),
            position,
            line.product.code,
            line.product.unit,
            line.quantity,
            line.price,
            LineDiscountPercentage=line.discount or Decimal(0),
            LineAmount=line.amount,
            CustomersLineNumber=line.number,
        )
