"""Records that are wrong: one run over all of them at once, each left with its reason; then a second run after people put some right."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openpyxl
import pytest

from tests.bad_input.books import UNPREPARED, Books, Deal, price_id
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Findings, Installation, Run

STRANGE_NAMES = {
    "quotes and ampersands": "\"Fish\" & 'Chips' <b>& Sons</b>",
    "emoji": "Räder 🚲 für 👩‍🔧",
    "a formula": '=HYPERLINK("http://127.0.0.1/pay","Bikes")',
    "right to left": "متجر الدراجات \u202eBikes",
    "a long dash and a bell": "Bikes – \N{BELL} -1+1",
}
STRANGE_NUMBER, NEW_STRANGE_NUMBER = "O'B&S#1/é", "N'B&S#2/é+%20"
STRANGE_PURCHASE_ORDER = "=1+1'\"&é🚲"
ON_HOLD = (
    "Write failed for table row of type 'SalesOrderHeaderV2Entity'. Infolog: Warning: Customer account C-HOLD is on hold.; "
    "Warning: validateWrite failed on data source 'SalesTable (SalesTable)'."
)


@dataclass(frozen=True)
class Morning:
    """What the first run found and did."""

    installation: Installation
    deals: dict[str, Deal]
    run: Run
    findings: Findings
    customers: dict[str, str]
    orders: list[str]


@pytest.fixture(scope="module")
def morning(install: Install) -> Morning:
    """One run of the whole way over right and wrong records together."""
    books = Books()
    deals = {
        "right": books.deal("Right", customer="C-1"),
        "right and new": books.deal("Right and new"),
        "unknown currency": books.deal("Odd money", customer="C-2", opportunity={"CurrencyIsoCode": "XXD"}),
        "no product": books.deal("No product", customer="C-3", lines=({}, {"Product2Id": None, "ProductCode": None})),
        "long text": books.deal("Long text", customer="C-4", opportunity={"PO_Number__c": "PO-" + "7" * 18}),
        "long name": books.deal("Long name", account={"Name": "Long " * 21}),
        "no number": books.deal("No number", customer="C-5", opportunity={"Amount": "twelve"}),
        "no price": books.deal("No price", customer="C-6", lines=({}, {"UnitPrice": "n/a", "TotalPrice": 5})),
        "on hold": books.deal("On hold", customer="C-HOLD", on_hold="All"),
        "held and left alone": books.deal("Held", customer="C-HOLD-2", on_hold="All"),
        "customer refused": books.deal("Customer refused", company=UNPREPARED),
        "strange number": books.deal("Strange number", customer=STRANGE_NUMBER, customer_name="Before"),
        "new strange number": books.deal("New strange number", account={"AccountNumber": NEW_STRANGE_NUMBER}),
        "strange purchase order": books.deal(
            "Strange purchase order", customer="C-8", opportunity={"PO_Number__c": STRANGE_PURCHASE_ORDER}
        ),
        "not released": books.deal("Not released", customer="C-7", lines=({}, {"ProductCode": "BK-9"})),
        **{kind: books.deal(name) for kind, name in STRANGE_NAMES.items()},
    }
    installation = install(books)
    run = installation.run(checks=True)
    assert run.success, run.problem
    d365 = installation.systems.d365
    customers = {row["CustomerAccount"]: row["OrganizationName"] for row in d365.rows("CustomersV3")}
    return Morning(installation, deals, run, installation.findings(), customers, d365.orders_made())


@pytest.mark.parametrize(
    ("wrong", "rule", "value", "reason"),
    [
        (
            "unknown currency",
            "currency_unknown_value",
            "XXD",
            'CurrencyIsoCode "XXD" is not in the value map `currency` of contracts/sales_order.yaml. Correct it in Salesforce, '
            "or add it to the map.",
        ),
        (
            "long text",
            "purchase_order_too_long",
            "PO-" + "7" * 18,
            "PO_Number__c has 21 characters; D365 takes 20. Shorten it in Salesforce.",
        ),
        (
            "no number",
            "amount_not_a_number",
            "twelve",
            'Amount "twelve" is not a number (with at most 22 digits before the point). Correct it in Salesforce.',
        ),
    ],
)
def test_a_wrong_opportunity_waits_in_quarantine_with_rule_value_and_what_to_do(
    morning: Morning, wrong: str, rule: str, value: str, reason: str
) -> None:
    opportunity = morning.deals[wrong].opportunity

    assert morning.findings.quarantined(opportunity) == (rule, value, reason)
    assert morning.findings.verdict(opportunity) == ("quarantined", "the record is in quarantine")
    assert morning.findings.delivery(opportunity) is None
    waiting = morning.findings.break_of(opportunity)
    assert waiting is not None
    assert waiting.cause == "quarantined"


@pytest.mark.parametrize(
    ("wrong", "rule", "value", "reason"),
    [
        (
            "no product",
            "product_required",
            None,
            "the line has no product (Product2Id is empty), so D365 cannot know what to deliver. Choose a product in Salesforce.",
        ),
        (
            "no price",
            "unit_price_not_a_number",
            "n/a",
            'UnitPrice "n/a" is not a number (with at most 22 digits before the point). Correct it in Salesforce.',
        ),
    ],
)
def test_one_wrong_line_keeps_the_whole_opportunity_back(
    morning: Morning, wrong: str, rule: str, value: str | None, reason: str
) -> None:
    """An order without that line would look complete in D365."""
    deal = morning.deals[wrong]

    assert morning.findings.quarantined(deal.lines[1]) == (rule, value, reason)
    assert morning.findings.quarantined(deal.lines[0]) is None
    assert morning.findings.verdict(deal.opportunity) == ("quarantined", "a line of the record is in quarantine")
    assert morning.findings.delivery(deal.opportunity) is None
    waiting = morning.findings.break_of(deal.opportunity)
    assert waiting is not None
    assert waiting.cause == "quarantined"


def test_a_name_longer_than_the_field_of_d365_keeps_account_and_order_back(morning: Morning) -> None:
    deal = morning.deals["long name"]

    assert morning.findings.quarantined(deal.account) == (
        "name_too_long",
        ("Long " * 21)[:80],
        "Name has 105 characters; D365 takes 100. Shorten it in Salesforce.",
    )
    assert morning.findings.verdict(deal.opportunity) == ("only_in_salesforce", "the account is in quarantine")
    assert (morning.findings.delivery(deal.account), morning.findings.delivery(deal.opportunity)) == (None, None)
    waiting = morning.findings.break_of(deal.opportunity)
    assert waiting is not None
    assert waiting.cause == "cannot_be_delivered"


def test_an_order_whose_customer_is_on_hold_is_rejected_in_the_words_of_d365(morning: Morning) -> None:
    opportunity = morning.deals["on hold"].opportunity

    delivery, waiting = morning.findings.delivery(opportunity), morning.findings.break_of(opportunity)

    assert delivery is not None
    assert (delivery.state, delivery.reason) == ("rejected", ON_HOLD)
    assert waiting is not None
    assert (waiting.cause, waiting.reason) == ("delivery_rejected", ON_HOLD)
    assert ON_HOLD.replace("'", "&#39;") in morning.findings.page


def test_an_order_with_a_product_that_d365_does_not_know_is_rejected_as_a_whole(morning: Morning) -> None:
    deal = morning.deals["not released"]

    delivery = morning.findings.delivery(deal.opportunity)

    assert delivery is not None
    assert delivery.state == "rejected"
    assert (
        "The value 'BK-9' in field 'Item number' is not found in the related table 'Released products'"
        in delivery.reason
    )
    lines = morning.installation.systems.d365.rows("SalesOrderLines")
    assert not [line for line in lines if line["SalesOrderNumber"] == deal.order]


def test_an_order_whose_customer_was_refused_waits_and_says_why(morning: Morning) -> None:
    deal = morning.deals["customer refused"]

    customer, waiting = morning.findings.delivery(deal.account), morning.findings.break_of(deal.opportunity)

    assert customer is not None
    assert customer.state == "rejected"
    assert (
        "The value '30' in field 'Customer group' is not found in the related table 'Customer groups'"
        in customer.reason
    )
    assert morning.findings.delivery(deal.opportunity) is None
    assert waiting is not None
    assert (waiting.cause, waiting.reason) == ("delivery_rejected", f"Its customer was refused: {customer.reason}")


def test_what_waits_keeps_its_name_and_company_in_the_lists(morning: Morning) -> None:
    waiting = [row for row in morning.findings.verdicts if row["verdict"] == "quarantined"]

    assert {(row["company"], row["label"]) for row in waiting} == {
        ("usmf", name) for name in ("Odd money", "No product", "Long text", "No number", "No price")
    }


def test_every_other_record_went_on(morning: Morning) -> None:
    went_on = (
        "right",
        "right and new",
        "strange number",
        "new strange number",
        "strange purchase order",
        *STRANGE_NAMES,
    )

    assert morning.run.success
    assert sorted(morning.orders) == sorted(morning.deals[each].order for each in went_on)
    for each in went_on:
        delivery = morning.findings.delivery(morning.deals[each].opportunity)
        assert delivery is not None
        assert delivery.state == "confirmed"
        written = morning.installation.systems.salesforce.read("Opportunity", morning.deals[each].opportunity)
        assert written["ERP_Order_Number__c"] == f"usmf/{morning.deals[each].order}"


def test_the_summary_counts_what_waits_and_asks_for_a_person(morning: Morning) -> None:
    summary = morning.findings.summary

    assert summary["needs_a_person"] is True
    assert summary["quarantined"] == {
        "salesforce/account": 1,
        "salesforce/opportunity": 3,
        "salesforce/opportunity_line": 2,
    }
    assert summary["deliveries"]["rejected"] == 4


def test_the_checks_in_the_ui_name_the_rules_that_are_broken(morning: Morning) -> None:
    assert morning.run.failed_checks >= {
        "salesforce/account name_too_long",
        "salesforce/opportunity currency_unknown_value",
        "salesforce/opportunity purchase_order_too_long",
        "salesforce/opportunity amount_not_a_number",
        "salesforce/opportunity_line product_required",
        "salesforce/opportunity_line unit_price_not_a_number",
    }
    assert "salesforce/opportunity stage_required" not in morning.run.failed_checks


@pytest.mark.parametrize("kind", STRANGE_NAMES)
def test_a_strange_name_arrives_in_d365_byte_for_byte(morning: Morning, kind: str) -> None:
    arrived = morning.customers[f"T-{morning.deals[kind].account}"]
    assert arrived.encode() == f"{STRANGE_NAMES[kind]} Ltd".encode()


def test_numbers_and_purchase_orders_with_quotes_and_ampersands_are_the_same_in_d365(morning: Morning) -> None:
    d365 = morning.installation.systems.d365
    orders = {row["SalesOrderNumber"]: row for row in d365.rows("SalesOrderHeadersV2")}

    ordered_by = {
        name: orders[morning.deals[name].order]["OrderingCustomerAccountNumber"]
        for name in ("strange number", "new strange number")
    }
    assert ordered_by == {"strange number": STRANGE_NUMBER, "new strange number": NEW_STRANGE_NUMBER}
    purchase_order = orders[morning.deals["strange purchase order"].order]["CustomerRequisitionNumber"]
    assert purchase_order == STRANGE_PURCHASE_ORDER
    # The name of the customer that was there differed and was brought to Salesforce's by a PATCH to its key.
    assert morning.customers[STRANGE_NUMBER] == "Strange number Ltd"


def test_strange_names_are_texts_in_the_page_and_never_elements(morning: Morning) -> None:
    page = morning.findings.page

    assert "&#34;Fish&#34; &amp; &#39;Chips&#39; &lt;b&gt;&amp; Sons&lt;/b&gt;" in page
    assert "<b>& Sons" not in page
    assert "=HYPERLINK(&#34;http://127.0.0.1/pay&#34;,&#34;Bikes&#34;)" in page
    assert STRANGE_NAMES["emoji"] in page
    # What turns the direction of the text around it is shown by its number instead.
    assert "\u202e" not in page


def test_strange_names_are_texts_in_the_workbook_and_never_formulas(morning: Morning) -> None:
    cells = list(_cells(morning))

    texts = {cell.value for cell in cells if cell.data_type == "s"}
    assert {STRANGE_NAMES["a formula"], STRANGE_NAMES["quotes and ampersands"], STRANGE_NAMES["emoji"]} <= texts
    assert not [cell for cell in cells if cell.data_type == "f" and "HYPERLINK" in str(cell.value)]
    assert not [cell for cell in cells if cell.hyperlink and "127.0.0.1" in str(cell.hyperlink.target)]


def test_the_log_of_the_run_holds_no_name_and_no_value_of_a_wrong_record(morning: Morning) -> None:
    for text in (*STRANGE_NAMES.values(), "Right Ltd", "Long Long", "twelve", "sandbox-secret"):
        assert text not in morning.run.told


@pytest.fixture(scope="module")
def afternoon(morning: Morning) -> Findings:
    """The second run, after people have put records right, spoilt one, released customers and sent one order again."""
    deals, salesforce, d365 = (
        morning.deals,
        morning.installation.systems.salesforce,
        morning.installation.systems.d365,
    )
    salesforce.update("Opportunity", deals["long text"].opportunity, PO_Number__c="PO-7")
    salesforce.update("Account", deals["long name"].account, Name="Not so long")
    # Salesforce sums the amount up again with the next change of a line.
    salesforce.update("OpportunityLineItem", deals["no number"].lines[0], Quantity=2)
    salesforce.update("OpportunityLineItem", deals["no price"].lines[1], UnitPrice=5)
    salesforce.delete("OpportunityLineItem", deals["no product"].lines[1])
    salesforce.create(
        "OpportunityLineItem",
        OpportunityId=deals["no product"].opportunity,
        PricebookEntryId=price_id("BK-2"),
        Quantity=1,
        UnitPrice=100,
    )
    salesforce.update("Opportunity", deals["right"].opportunity, PO_Number__c="PO-" + "8" * 18)
    for customer in ("C-HOLD", "C-HOLD-2"):
        d365.update(f"CustomersV3(dataAreaId='usmf',CustomerAccount='{customer}')", OnHoldStatus="No")
    redriven = morning.installation.command("deliveries", "redrive", deals["on hold"].opportunity)
    assert (redriven.returncode, redriven.stdout) == (0, "Planned again: 1. The next run sends them.\n")
    assert morning.installation.run().success
    return morning.installation.findings()


@pytest.mark.parametrize("wrong", ["long text", "long name", "no number", "no price", "no product"])
def test_a_record_that_was_put_right_leaves_quarantine_and_is_delivered_by_the_next_run(
    morning: Morning, afternoon: Findings, wrong: str
) -> None:
    deal = morning.deals[wrong]

    assert [afternoon.quarantined(key) for key in (deal.account, deal.opportunity, *deal.lines)] == [None] * (
        2 + len(deal.lines)
    )
    delivery = afternoon.delivery(deal.opportunity)
    assert delivery is not None
    assert delivery.state == "confirmed"
    assert morning.installation.systems.d365.orders_made().count(deal.order) == 1
    assert not [
        row for row in afternoon.breaks if row.cause == "quarantined" and row.salesforce_key == deal.opportunity
    ]


def test_a_record_that_nobody_put_right_still_waits_and_is_not_lost(morning: Morning, afternoon: Findings) -> None:
    opportunity = morning.deals["unknown currency"].opportunity

    assert afternoon.quarantined(opportunity) == morning.findings.quarantined(opportunity)
    assert afternoon.verdict(opportunity) == ("quarantined", "the record is in quarantine")
    assert afternoon.summary["quarantined"] == {"salesforce/opportunity": 2}


def test_a_delivered_record_that_goes_wrong_keeps_its_order_and_waits(morning: Morning, afternoon: Findings) -> None:
    deal = morning.deals["right"]

    assert afternoon.verdict(deal.opportunity) == ("quarantined", "the record is in quarantine")
    [row] = [row for row in afternoon.verdicts if deal.order in (row["d365_key"] or "")]
    assert row["salesforce_key"] == deal.opportunity
    assert morning.installation.systems.d365.orders_made().count(deal.order) == 1
    [only_break] = [each for each in afternoon.breaks if each.salesforce_key == deal.opportunity]
    assert (only_break.cause, only_break.company) == ("quarantined", "usmf")


def test_a_rejected_order_is_sent_again_when_a_person_says_so_and_not_before(
    morning: Morning, afternoon: Findings
) -> None:
    released, left_alone = morning.deals["on hold"], morning.deals["held and left alone"]

    sent, waiting = afternoon.delivery(released.opportunity), afternoon.delivery(left_alone.opportunity)

    assert sent is not None
    assert waiting is not None
    assert (sent.state, sent.reason, waiting.state) == ("confirmed", "", "rejected")
    made = morning.installation.systems.d365.orders_made()
    assert (made.count(released.order), made.count(left_alone.order)) == (1, 0)


def test_the_money_of_what_waits_is_explained_in_the_tie_out(morning: Morning, afternoon: Findings) -> None:
    for summary in (morning.findings.summary, afternoon.summary):
        assert all(row["difference"] == row["explained"] for row in summary["tie_out"])


@pytest.mark.parametrize("kind", ["right and new", "strange number", "new strange number", *STRANGE_NAMES])
def test_what_was_delivered_is_the_same_on_both_sides_in_the_next_run(
    morning: Morning, afternoon: Findings, kind: str
) -> None:
    assert afternoon.verdict(morning.deals[kind].opportunity) == ("matched", None)
    assert not [each for each in afternoon.breaks if each.salesforce_key == morning.deals[kind].account]


@pytest.mark.usefixtures("afternoon")
def test_no_order_was_made_twice_by_the_two_runs(morning: Morning) -> None:
    made = morning.installation.systems.d365.orders_made()
    assert len(made) == len(set(made)) == len(morning.orders) + 6


def _cells(morning: Morning) -> Iterator[Any]:
    for sheet in openpyxl.load_workbook(morning.findings.workbook):
        for row in sheet.iter_rows():
            yield from row
