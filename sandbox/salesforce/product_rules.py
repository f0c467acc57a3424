"""Rules between opportunities, lines and price books that need other records: prices, roll-ups, currencies."""

from typing import Any

from sandbox.salesforce.errors import refused
from sandbox.salesforce.opportunity_rules import (
    amount_of,
    expected_revenue,
    fiscal_period,
    number_of,
    of_line,
    of_stage,
)
from sandbox.salesforce.store import Store

Row = dict[str, Any]


def followed_stage(old: Row, given: Row, row: Row, now: str) -> Row:
    """What an opportunity's stage, amount and date bring with them; a write to Amount is ignored once it has lines."""
    changes: Row = {}
    if old.get("HasOpportunityLineItem"):
        if "Amount" in given:
            changes["Amount"] = old["Amount"]
        if given.get("Pricebook2Id", old["Pricebook2Id"]) != old["Pricebook2Id"]:
            raise refused(
                "FIELD_INTEGRITY_EXCEPTION",
                "field integrity exception: Pricebook2Id (the price book cannot be changed while the opportunity has products)",
                "Pricebook2Id",
            )
        if given.get("CurrencyIsoCode", old["CurrencyIsoCode"]) != old["CurrencyIsoCode"]:
            raise refused(
                "FIELD_INTEGRITY_EXCEPTION",
                "field integrity exception: CurrencyIsoCode (the currency cannot be changed while the opportunity has products)",
                "CurrencyIsoCode",
            )
    if row.get("StageName") != old.get("StageName"):
        followed = {name: _plain(value) for name, value in of_stage(row["StageName"]).items()}
        changes |= {name: value for name, value in followed.items() if given.get(name) is None}
        changes["LastStageChangeDate"] = now
    if given.get("CloseDate"):
        changes |= fiscal_period(given["CloseDate"])
    changes |= {name: _plain(value) for name, value in expected_revenue(row | changes).items()}
    return changes


def checked_line(store: Store, old: Row, given: Row, row: Row) -> Row:
    """The copies and the arithmetic of a line; SalesforceError where price, product or price book do not fit."""
    if given.get("UnitPrice") is not None and given.get("TotalPrice") is not None:
        raise refused(
            "FIELD_INTEGRITY_EXCEPTION",
            "field integrity exception: TotalPrice, UnitPrice (specify either UnitPrice or TotalPrice, not both)",
            "TotalPrice",
            "UnitPrice",
        )
    if old:
        return _recalculated(given, row)
    if row.get("UnitPrice") is None and row.get("TotalPrice") is None:
        raise refused("REQUIRED_FIELD_MISSING", "Required fields are missing: [UnitPrice]", "UnitPrice")
    opportunity = _one(store, "Opportunity", "Id", row["OpportunityId"]) or {}
    entry = _entry_of(store, row, opportunity)
    product = _one(store, "Product2", "Id", entry["Product2Id"]) or {}
    if opportunity["Pricebook2Id"] is None:
        store.connection.execute(
            'UPDATE "Opportunity" SET "Pricebook2Id" = ? WHERE "Id" = ?', (entry["Pricebook2Id"], opportunity["Id"])
        )
    copies = {
        "PricebookEntryId": entry["Id"], "Product2Id": entry["Product2Id"], "ProductCode": product.get("ProductCode"),
        "Name": f"{opportunity['Name']} {product.get('Name')}"[:376], "ListPrice": entry["UnitPrice"],
        "CurrencyIsoCode": opportunity["CurrencyIsoCode"],
    }  # fmt: skip
    return copies | {name: _plain(value) for name, value in of_line(row).items()}


def _recalculated(given: Row, row: Row) -> Row:
    """Discount or quantity changed: the unit price stays and the total follows; a new total moves the unit price."""
    basis = dict(row)
    if given.get("TotalPrice") is not None:
        basis["UnitPrice"] = None
    return {name: _plain(value) for name, value in of_line(basis).items()}


def _entry_of(store: Store, row: Row, opportunity: Row) -> Row:
    book = opportunity.get("Pricebook2Id")
    if row.get("PricebookEntryId"):
        entry = _one(store, "PricebookEntry", "Id", row["PricebookEntryId"]) or {}
    elif row.get("Product2Id") and book:
        entry = _one(store, "PricebookEntry", "Product2Id", row["Product2Id"], ("Pricebook2Id", book)) or {}
    else:
        raise refused("REQUIRED_FIELD_MISSING", "Required fields are missing: [PricebookEntryId]", "PricebookEntryId")
    if not entry or (book and entry["Pricebook2Id"] != book):
        raise refused(
            "FIELD_INTEGRITY_EXCEPTION",
            "field integrity exception: PricebookEntryId (pricebook entry is in a different pricebook than the one "
            "assigned to the opportunity)",
            "PricebookEntryId",
        )
    if entry["CurrencyIsoCode"] != opportunity["CurrencyIsoCode"]:
        raise refused(
            "FIELD_INTEGRITY_EXCEPTION",
            "field integrity exception: PricebookEntryId (pricebook entry currency code does not match opportunity currency code)",
            "PricebookEntryId",
        )
    return entry


def checked_price(store: Store, row: Row) -> Row:
    """The copies of a new price; SalesforceError when it is defined already or the standard price is missing."""
    same = store.connection.execute(
        'SELECT 1 FROM "PricebookEntry" WHERE "Pricebook2Id" = ? AND "Product2Id" = ? AND "CurrencyIsoCode" = ? AND "IsDeleted" = 0',
        (row["Pricebook2Id"], row["Product2Id"], row["CurrencyIsoCode"]),
    ).fetchone()
    if same:
        raise refused("DUPLICATE_VALUE", "This price definition already exists in this price book")
    standard = _one(store, "Pricebook2", "IsStandard", 1)
    if standard and standard["Id"] != row["Pricebook2Id"]:
        priced = _one(store, "PricebookEntry", "Product2Id", row["Product2Id"], ("Pricebook2Id", standard["Id"]))
        if priced is None:
            raise refused("STANDARD_PRICE_NOT_DEFINED", "No standard price defined for this product")
    product = _one(store, "Product2", "Id", row["Product2Id"]) or {}
    return {"Name": product.get("Name"), "ProductCode": product.get("ProductCode")}


def follow_lines(store: Store, opportunity_id: str) -> Row:
    """Amount, quantity and expected revenue of an opportunity after one of its lines was written.

    Without lines the last amount stays and can be written again.
    """
    lines = store.connection.execute(
        'SELECT "TotalPrice", "Quantity" FROM "OpportunityLineItem" WHERE "OpportunityId" = ? AND "IsDeleted" = 0',
        (opportunity_id,),
    ).fetchall()
    opportunity = _one(store, "Opportunity", "Id", opportunity_id)
    if opportunity is None or opportunity["IsDeleted"]:
        return {}
    if not lines:
        return {"HasOpportunityLineItem": 0}
    changes: Row = {
        "HasOpportunityLineItem": 1,
        "Amount": float(amount_of(total for total, _ in lines)),
        "TotalOpportunityQuantity": float(amount_of(quantity for _, quantity in lines)),
    }
    return changes | {name: _plain(value) for name, value in expected_revenue(opportunity | changes).items()}


def _one(store: Store, sobject: str, column: str, value: object, *more: tuple[str, object]) -> Row | None:
    """The first live record with these values."""
    conditions = [(column, value), *more]
    where = " AND ".join(f'"{name}" = ?' for name, _ in conditions)
    cursor = store.connection.execute(
        f'SELECT * FROM "{sobject}" WHERE {where} ORDER BY "IsDeleted" LIMIT 1', [each for _, each in conditions]
    )
    found = cursor.fetchone()
    return dict(zip((name[0] for name in cursor.description), found, strict=True)) if found else None


def _plain(value: object) -> object:
    """Decimals and truth values as columns keep them."""
    if isinstance(value, bool):
        return int(value)
    number = number_of(value) if not isinstance(value, str) else None
    return float(number) if number is not None else value
