"""The generated seed: the same business every time, with planted differences that can be counted on both sides."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from sandbox.seeds.generated import Generated
from sandbox.seeds.generated.sizes import SMALLEST
from sandbox.seeds.order_status import OrderStatus
from sandbox.seeds.seed import SeedError
from tests.seeds.laid import Laid, folded, lay, unique


def pair_of_customers(laid: Laid, kind: str) -> list[tuple[dict, dict]]:
    """Account and customer of each record that carries this planted kind."""
    accounts = laid.by("Account", "Id")
    customers = laid.by("CustomersV3", "CustomerAccount")
    return [(accounts[key], customers[accounts[key]["AccountNumber"]]) for key in laid.planted[kind]]


def pair_of_orders(laid: Laid, kind: str) -> list[tuple[dict, dict]]:
    """Opportunity and order of each record that carries this planted kind."""
    opportunities = laid.by("Opportunity", "Id")
    orders = {row["CustomersOrderReference"]: row for row in laid["SalesOrderHeadersV2"]}
    return [(opportunities[key], orders[key]) for key in laid.planted[kind]]


def amounts_of_orders(laid: Laid) -> dict[tuple[str, str], Decimal]:
    lines = laid.grouped("SalesOrderLines", "dataAreaId", "SalesOrderNumber")
    return {key: sum(line["LineAmount"] for line in group) for key, group in lines.items()}


def test_two_seedings_give_the_same_rows_but_for_the_time_of_last_change() -> None:
    first, second = lay(Generated(200)), lay(Generated(200), datetime(2031, 1, 1, tzinfo=UTC))
    changing = {"SystemModstamp", "LastModifiedDate", "ERP_Synced_At__c"}
    for table, rows in first.tables.items():
        stripped = [[{k: v for k, v in row.items() if k not in changing} for row in of] for of in (rows, second[table])]
        assert stripped[0] == stripped[1], table
    assert first.planted == second.planted


def test_another_random_seed_gives_another_business() -> None:
    names = [{row["Name"] for row in lay(Generated(40, random_seed=seed))["Account"]} for seed in (1, 2)]
    assert len(names[0] & names[1]) < len(names[0])


def test_the_usual_size_plants_these_numbers(generated: Laid) -> None:
    assert {kind: len(keys) for kind, keys in generated.planted.items()} == {
        "unknown_currency": 2, "line_without_product": 2, "customer_on_hold": 2, "purchase_order_too_long": 3,
        "amount_not_a_number": 2, "quantity_zero": 2, "account_name_too_long": 2, "account_without_customer": 12,
        "amount_changed_in_d365": 12, "quantity_changed_in_d365": 10, "purchase_order_differs": 8,
        "status_moved_forward_in_d365": 40, "link_not_written_back": 5, "phone_changed_in_salesforce": 6,
        "name_changed_in_salesforce": 5, "payment_terms_changed_in_d365": 7, "credit_limit_changed_in_d365": 6,
        "street_damaged_characters": 5, "name_trailing_blanks": 6, "linked_by_account_number_only": 50,
        "duplicate_customer": 8, "customer_only_in_d365": 20, "order_only_in_d365": 30,
        "canceled_order_only_in_d365": 5, "order_only_in_salesforce": 250,
        "awkward_name": 14,
    }  # fmt: skip


@pytest.mark.parametrize("size", [SMALLEST, 100, 500])
def test_smaller_sizes_plant_at_least_one_of_each_kind(generated: Laid, size: int) -> None:
    small = lay(Generated(size))
    assert small.planted.keys() == generated.planted.keys()
    assert len(small["Opportunity"]) == size


def test_too_small_a_size_is_refused_with_the_smallest_one() -> None:
    with pytest.raises(SeedError, match=f"Ask for {SMALLEST} opportunities or more"):
        Generated(SMALLEST - 1)


def test_opportunities_are_won_lost_and_open_over_four_companies_and_five_currencies(generated: Laid) -> None:
    stages = Counter(row["StageName"] for row in generated["Opportunity"])
    assert (stages["Closed Won"], stages["Closed Lost"]) == (2000, 1250)
    assert {row["ERP_Company__c"] for row in generated["Opportunity"]} == {"usmf", "gbsi", "demf", "frsi"}
    assert {row["CurrencyIsoCode"] for row in generated["Opportunity"]} == {"USD", "CAD", "GBP", "EUR", "CHF", "XXX"}


def test_seven_of_eight_won_opportunities_have_their_order(generated: Laid) -> None:
    won = {row["Id"] for row in generated["Opportunity"] if row["StageName"] == "Closed Won"}
    ordered = {row["CustomersOrderReference"] for row in generated["SalesOrderHeadersV2"]} & won
    assert (len(ordered), len(won - ordered)) == (1750, 250)
    assert won - ordered == set(generated.planted["order_only_in_salesforce"])


def test_opportunities_have_1_to_12_lines_that_add_up_to_their_amount(generated: Laid) -> None:
    lines = generated.grouped("OpportunityLineItem", "OpportunityId")
    assert {len(group) for group in lines.values()} == set(range(1, 13))
    for row in generated["Opportunity"]:
        if row["Amount"] != "n/a":
            assert row["Amount"] == sum(line["TotalPrice"] for line in lines[row["Id"]])


def test_parents_stand_before_their_children(generated: Laid) -> None:
    seen = set()
    for row in generated["Account"]:
        assert row["ParentId"] is None or row["ParentId"] in seen
        seen.add(row["Id"])
    assert sum(row["ParentId"] is not None for row in generated["Account"]) > 50


def test_all_keys_are_unique_and_every_reference_leads_somewhere(generated: Laid) -> None:
    items = {(row["dataAreaId"], row["ItemNumber"]) for row in generated["ReleasedProductsV2"]}
    customers = {(row["dataAreaId"], row["CustomerAccount"]) for row in generated["CustomersV3"]}
    orders = {(row["dataAreaId"], row["SalesOrderNumber"]) for row in generated["SalesOrderHeadersV2"]}
    assert len(customers) == len(generated["CustomersV3"])
    assert len(orders) == len(generated["SalesOrderHeadersV2"])
    assert unique((row["dataAreaId"], row["InventoryLotId"]) for row in generated["SalesOrderLines"])
    for row in generated["SalesOrderHeadersV2"]:
        assert (row["dataAreaId"], row["OrderingCustomerAccountNumber"]) in customers
    for row in generated["SalesOrderLines"]:
        assert (row["dataAreaId"], row["ItemNumber"]) in items
        assert (row["dataAreaId"], row["SalesOrderNumber"]) in orders


def test_only_the_planted_orders_differ_in_amount(generated: Laid) -> None:
    amounts = amounts_of_orders(generated)
    opportunities = generated.by("Opportunity", "Id")
    differing = {
        row["CustomersOrderReference"]
        for row in generated["SalesOrderHeadersV2"]
        if (opportunity := opportunities.get(row["CustomersOrderReference"]))
        and opportunity["Amount"] != amounts[row["dataAreaId"], row["SalesOrderNumber"]]
    }
    planted = generated.planted["amount_changed_in_d365"] + generated.planted["quantity_changed_in_d365"]
    assert differing == set(planted)


def test_only_the_planted_orders_differ_in_purchase_order_and_status(generated: Laid) -> None:
    opportunities = generated.by("Opportunity", "Id")
    purchase, status = set(), set()
    for order in generated["SalesOrderHeadersV2"]:
        opportunity = opportunities.get(order["CustomersOrderReference"])
        if opportunity is None:
            continue
        if folded(opportunity["PO_Number__c"]) != folded(order["CustomerRequisitionNumber"]):
            purchase.add(opportunity["Id"])
        stored = opportunity.get("ERP_Order_Status__c")
        if stored and OrderStatus(stored).of_processing != order["SalesOrderProcessingStatus"]:
            status.add(opportunity["Id"])
    assert purchase == set(generated.planted["purchase_order_differs"])
    assert status == set(generated.planted["status_moved_forward_in_d365"])


def test_orders_whose_link_was_not_written_back_are_found_by_reference_only(generated: Laid) -> None:
    for opportunity, _ in pair_of_orders(generated, "link_not_written_back"):
        assert not opportunity.get("ERP_Order_Number__c")


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        ("phone_changed_in_salesforce", "Phone", "PrimaryContactPhone"),
        ("name_changed_in_salesforce", "Name", "OrganizationName"),
        ("payment_terms_changed_in_d365", "Payment_Terms__c", "PaymentTerms"),
        ("credit_limit_changed_in_d365", "Credit_Limit__c", "CreditLimit"),
        ("street_damaged_characters", "BillingStreet", "AddressStreet"),
    ],
)
def test_only_the_planted_customers_differ(generated: Laid, kind: str, ours: str, theirs: str) -> None:
    customers = generated.by("CustomersV3", "CustomerAccount")
    differing = {
        account["Id"]
        for account in generated["Account"]
        if (customer := customers.get(account["AccountNumber"])) and folded(account[ours]) != folded(customer[theirs])
    }
    assert differing == set(generated.planted[kind])


def test_planted_blanks_change_nothing_but_the_stored_text(generated: Laid) -> None:
    for account, customer in pair_of_customers(generated, "name_trailing_blanks"):
        assert customer["OrganizationName"] == f"{account['Name']}  "


def test_duplicates_share_the_party_of_a_linked_customer(generated: Laid) -> None:
    parties = generated.grouped("CustomersV3", "PartyNumber")
    assert sum(len(group) == 2 for group in parties.values()) == 8
    assert all(len(group) <= 2 for group in parties.values())


def test_accounts_without_customer_have_won_opportunities_but_no_link(generated: Laid) -> None:
    buyers = {row["AccountId"] for row in generated["Opportunity"] if row["StageName"] == "Closed Won"}
    accounts = generated.by("Account", "Id")
    known = {row["CustomerAccount"] for row in generated["CustomersV3"]}
    for key in generated.planted["account_without_customer"] + generated.planted["account_name_too_long"]:
        assert key in buyers
        assert accounts[key]["ERP_Number__c"] is None
        assert accounts[key]["AccountNumber"] not in known


def test_each_kind_of_dirt_is_on_the_record_that_the_manifest_names(generated: Laid) -> None:
    opportunities, accounts = generated.by("Opportunity", "Id"), generated.by("Account", "Id")
    lines = generated.grouped("OpportunityLineItem", "OpportunityId")
    planted = generated.planted
    for key in planted["unknown_currency"]:
        assert opportunities[key]["CurrencyIsoCode"] == lines[key][0]["CurrencyIsoCode"] == "XXX"
    for key in planted["line_without_product"]:
        assert "ProductCode" not in lines[key][0]
        assert "Product2Id" not in lines[key][0]
    for key in planted["customer_on_hold"]:
        assert accounts[opportunities[key]["AccountId"]]["ERP_On_Hold__c"] == "All"
    for key in planted["purchase_order_too_long"]:
        assert 20 < len(opportunities[key]["PO_Number__c"]) <= 40
    for key in planted["amount_not_a_number"]:
        assert opportunities[key]["Amount"] == "n/a"
    for key in planted["quantity_zero"]:
        assert lines[key][0]["Quantity"] == 0
    for key in planted["account_name_too_long"]:
        assert 100 < len(accounts[key]["Name"]) <= 255


def test_names_that_break_careless_software_are_on_both_sides(generated: Laid) -> None:
    """Some of them belong to accounts without a customer, so that customers are made under such names."""
    awkward = {generated.by("Account", "Id")[key]["Name"] for key in generated.planted["awkward_name"]}
    both = awkward & {row["OrganizationName"] for row in generated["CustomersV3"]}
    for start in ("=", "+", "-", "@", "<"):
        assert any(name.startswith(start) for name in awkward)
    for part in ('"', "&", "🚲", "<script>", "'", "ال", "自行车"):
        assert any(part in name for name in awkward)
    assert both
    assert awkward - both
