"""The AdventureWorks seed: every reseller order on the Salesforce side, the older ones on the D365 side, equal to the cent."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.seeds.adventureworks import AdventureWorks
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import SeedError
from tests.seeds.laid import Laid, unique


def test_every_reseller_order_is_a_won_opportunity_with_all_its_lines(adventureworks: Laid) -> None:
    opportunities = adventureworks["Opportunity"]
    assert len(opportunities) == 3796
    assert {row["StageName"] for row in opportunities} == {"Closed Won"}
    assert len(adventureworks["OpportunityLineItem"]) == 60_855


def test_the_first_order_is_carried_over_field_by_field(adventureworks: Laid) -> None:
    opportunity = next(row for row in adventureworks["Opportunity"] if row["Name"].startswith("SO43659 "))
    account = adventureworks.by("Account", "Id")[opportunity["AccountId"]]
    line = adventureworks.grouped("OpportunityLineItem", "OpportunityId")[opportunity["Id"]][0]

    assert opportunity["CloseDate"] == date(2010, 12, 29)
    assert opportunity["Requested_Ship_Date__c"] == date(2011, 1, 5)
    assert opportunity["PO_Number__c"] == "PO522145787"
    assert opportunity["ERP_Company__c"] == account["ERP_Company__c"] == "usmf"
    assert opportunity["ERP_Order_Number__c"] == "usmf/SO43659"
    assert opportunity["CurrencyIsoCode"] == "USD"
    assert (line["SortOrder"], line["Quantity"], line["UnitPrice"], line["TotalPrice"]) == (
        1, Decimal(1), Decimal("2024.99"), Decimal("2024.99"),
    )  # fmt: skip


def test_the_amount_of_an_opportunity_is_the_exact_sum_of_its_lines(adventureworks: Laid) -> None:
    lines = adventureworks.grouped("OpportunityLineItem", "OpportunityId")
    for row in adventureworks["Opportunity"]:
        assert row["Amount"] == sum(line["TotalPrice"] for line in lines[row["Id"]])


def test_both_sides_of_an_order_tie_out_to_the_cent(adventureworks: Laid) -> None:
    lines = adventureworks.grouped("SalesOrderLines", "dataAreaId", "SalesOrderNumber")
    opportunities = adventureworks.by("Opportunity", "Id")
    for header in adventureworks["SalesOrderHeadersV2"]:
        opportunity = opportunities[header["CustomersOrderReference"]]
        amount = sum(line["LineAmount"] for line in lines[header["dataAreaId"], header["SalesOrderNumber"]])
        assert opportunity["Amount"] == opportunity["ERP_Amount__c"] == amount
        assert opportunity["ERP_Order_Number__c"] == f"{header['dataAreaId']}/{header['SalesOrderNumber']}"
        assert opportunity["PO_Number__c"] == header["CustomerRequisitionNumber"]
        assert opportunity["Requested_Ship_Date__c"] == header["RequestedShippingDate"]
        assert opportunity["CurrencyIsoCode"] == header["CurrencyCode"]


def test_lines_of_both_sides_agree_and_d365_keeps_the_fractions_of_a_cent(adventureworks: Laid) -> None:
    reference = {
        (header["dataAreaId"], header["SalesOrderNumber"]): header["CustomersOrderReference"]
        for header in adventureworks["SalesOrderHeadersV2"]
    }
    ours = {(line["OpportunityId"], line["SortOrder"]): line for line in adventureworks["OpportunityLineItem"]}
    fractions = 0
    for theirs in adventureworks["SalesOrderLines"]:
        key = reference[theirs["dataAreaId"], theirs["SalesOrderNumber"]]
        line = ours[key, theirs["CustomersLineNumber"]]
        assert line["ProductCode"] == theirs["ItemNumber"]
        assert line["Quantity"] == theirs["OrderedSalesQuantity"]
        assert line["Discount"] == theirs["LineDiscountPercentage"]
        assert line["TotalPrice"] == theirs["LineAmount"]
        assert abs(line["UnitPrice"] - theirs["SalesPrice"]) <= Decimal("0.005")
        fractions += line["UnitPrice"] != theirs["SalesPrice"]
    assert fractions > 40_000


def test_line_numbers_of_the_source_are_kept_and_d365_counts_for_itself(adventureworks: Laid) -> None:
    """SO51171 has lines 2 to 5."""
    lines = adventureworks.grouped("SalesOrderLines", "SalesOrderNumber")["SO51171"]
    assert [line["CustomersLineNumber"] for line in lines] == [2, 3, 4, 5]
    assert [line["LineNumber"] for line in lines] == [1, 2, 3, 4]


def test_a_product_is_in_the_price_book_for_each_currency_that_it_was_sold_in(adventureworks: Laid) -> None:
    entries = adventureworks.by("PricebookEntry", "Id")
    for line in adventureworks["OpportunityLineItem"]:
        entry = entries[line["PricebookEntryId"]]
        assert (entry["Product2Id"], entry["CurrencyIsoCode"]) == (line["Product2Id"], line["CurrencyIsoCode"])
    assert len(adventureworks["Product2"]) == 504
    assert len(adventureworks["ReleasedProductsV2"]) == 504 * 6


def test_accounts_are_not_linked_yet_but_belong_to_the_company_of_their_country(adventureworks: Laid) -> None:
    assert all(not row.get("ERP_Number__c") and not row.get("Email__c") for row in adventureworks["Account"])
    assert Counter(row["ERP_Company__c"] for row in adventureworks["Account"]) == {
        "usmf": 427, "camf": 114, "frsi": 40, "demf": 40, "ausi": 40, "gbsi": 40,
    }  # fmt: skip


def test_old_orders_are_invoiced_and_the_latest_months_are_on_their_way(adventureworks: Laid) -> None:
    of_opportunity = adventureworks.by("Opportunity", "Id")
    latest = Counter[str]()
    for header in adventureworks["SalesOrderHeadersV2"]:
        status = of_opportunity[header["CustomersOrderReference"]]["ERP_Order_Status__c"]
        assert (OrderStatus(status).of_order, OrderStatus(status).of_processing) == (
            header["SalesOrderStatus"], header["SalesOrderProcessingStatus"],
        )  # fmt: skip
        if header["OrderCreationDateTime"].date() < date(2013, 7, 1):
            assert status == "Invoiced"
        if header["OrderCreationDateTime"].date() >= date(2013, 9, 1):
            latest[status] += 1
    assert set(latest) == {"Open", "Confirmed", "Picked", "Partially delivered", "Delivered", "Invoiced"}


def test_all_keys_are_unique(adventureworks: Laid) -> None:
    assert unique((line["dataAreaId"], line["InventoryLotId"]) for line in adventureworks["SalesOrderLines"])
    assert unique(row["SalesOrderNumber"] for row in adventureworks["SalesOrderHeadersV2"])
    assert unique(row["Id"] for row in adventureworks["OpportunityLineItem"])


def test_records_were_made_on_their_order_date_and_last_changed_a_day_before_seeding(adventureworks: Laid) -> None:
    for row in adventureworks["Opportunity"]:
        assert row["CreatedDate"].date() == row["CloseDate"]
        assert row["SystemModstamp"] == datetime(2026, 3, 3, 5, 6, 7, tzinfo=UTC)


def test_a_folder_without_the_files_is_refused_with_their_names(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"lacks .*resellers\.csv\.gz\. Give the folder"):
        AdventureWorks(tmp_path)
