"""Salesforce records as seeds make them: stamps of creation and last change, the price book and its prices."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from sandbox.seeds.seed import Row

_OFFICE_HOURS = time(9, 30, tzinfo=UTC)


def last_touched(now: datetime) -> datetime:
    """When all seeded records were last changed: a whole second, one day before the seeding, so no read finds them in flight."""
    return (now.astimezone(UTC) - timedelta(days=1)).replace(microsecond=0)


def stamps(created: date, touched: datetime) -> Row:
    """Creation on that day (never after the last change), and one last change for all records of a seed."""
    born = min(datetime.combine(created, _OFFICE_HOURS), touched)
    return {"CreatedDate": born, "LastModifiedDate": touched, "SystemModstamp": touched}


def standard_price_book(pricebook_id: str, created: date, touched: datetime) -> Row:
    """The one price book that all seeded prices are in."""
    return {
        "Id": pricebook_id,
        "Name": "Standard Price Book",
        "IsActive": True,
        "IsStandard": True,
        **stamps(created, touched),
    }


def price_book_entry(entry_id: str, pricebook_id: str, product: Row, currency: str, price: Decimal) -> Row:
    """The price of a product in one currency; stamps are the product's."""
    return {
        "Id": entry_id,
        "Pricebook2Id": pricebook_id,
        "Product2Id": product["Id"],
        "Name": product["Name"],
        "ProductCode": product["ProductCode"],
        "CurrencyIsoCode": currency,
        "UnitPrice": price,
        "IsActive": True,
        "UseStandardPrice": False,
        **{stamp: product[stamp] for stamp in ("CreatedDate", "LastModifiedDate", "SystemModstamp")},
    }
