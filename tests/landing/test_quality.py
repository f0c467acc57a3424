"""Bad rows are kept out with a reason that says what to do; the others go on."""

import json

import pytest

from tests.landing.conftest import Land, json_page
from tests.landing.rows import Raw, a_customer, a_line, an_account, an_opportunity, an_order, an_order_line
from tieout.contract import Contracts
from tieout.quality import counted_rules, expectation_plan, rules_of


def test_a_good_row_breaks_no_rule(land_pages: Land) -> None:
    pages = {
        ("salesforce", "account"): an_account(),
        ("salesforce", "opportunity"): an_opportunity(),
        ("salesforce", "opportunity_line"): a_line(),
        ("d365", "customer"): a_customer(),
        ("d365", "sales_order"): an_order(),
        ("d365", "sales_order_line"): an_order_line(),
    }
    for (system, name), row in pages.items():
        landing = land_pages(system, name, json_page([row]))

        assert (landing.broken(), landing.landed.good, landing.landed.bad) == ({}, 1, 0), name


@pytest.mark.parametrize(
    ("changes", "rule", "reason"),
    [
        (
            {"PO_Number__c": "PO-2026-000000000000000-017"},
            "purchase_order_too_long",
            "PO_Number__c has 27 characters; D365 takes 20. Shorten it in Salesforce.",
        ),
        (
            {"Amount": "12,5"},
            "amount_not_a_number",
            'Amount "12,5" is not a number (with at most 22 digits before the point). Correct it in Salesforce.',
        ),
        ({"Amount": None}, "amount_required", "Amount is empty; the sales order needs it. Fill it in in Salesforce."),
        (
            {"AccountId": None},
            "customer_required",
            "AccountId is empty; the sales order needs it. Fill it in in Salesforce.",
        ),
        (
            {"CurrencyIsoCode": "XXX"},
            "currency_unknown_value",
            'CurrencyIsoCode "XXX" is not in the value map `currency` of contracts/sales_order.yaml. Correct it in Salesforce, or add it to the map.',
        ),
        (
            {"StageName": "Sort of won"},
            "stage_unknown_value",
            'StageName "Sort of won" is not in the value map `stage` of contracts/sales_order.yaml. Correct it in Salesforce, or add it to the map.',
        ),
        (
            {"Requested_Ship_Date__c": "2026-02-30"},
            "requested_ship_date_not_a_date",
            'Requested_Ship_Date__c "2026-02-30" is not a date. Correct it in Salesforce.',
        ),
        (
            {"HasOpportunityLineItem": False},
            "lines_missing",
            "the opportunity has no lines, and D365 delivers nothing on an order without lines. Add its products in Salesforce.",
        ),
        (
            {"SystemModstamp": "2026-11-20T08:00:00"},
            "system_modstamp_not_an_instant",
            'SystemModstamp "2026-11-20T08:00:00" is not a point in time with a zone. Correct it in Salesforce.',
        ),
    ],
)
def test_a_bad_opportunity_goes_to_quarantine_with_its_reason_and_the_others_go_on(
    land_pages: Land, changes: dict[str, object], rule: str, reason: str
) -> None:
    bad, good = an_opportunity(**changes), an_opportunity(Id="0068d00000BBBBBBB2")

    landing = land_pages("salesforce", "opportunity", json_page([bad, good]))

    assert landing.violations("_key", "rule", "severity", "reason") == [("0068d00000AAAAAAA1", rule, "error", reason)]
    assert landing.good("Id") == [("0068d00000BBBBBBB2",)]
    assert landing.con.execute("SELECT _key, rules, reasons FROM bad").fetchall() == [
        ("0068d00000AAAAAAA1", [rule], [reason])
    ]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"ProductCode": None, "Product2Id": None}, "product_required"),
        ({"ProductCode": None}, "product_required"),
        ({"Quantity": 0}, "quantity_not_positive"),
        ({"Quantity": -1}, "quantity_not_positive"),
        ({"UnitPrice": "cheap"}, "unit_price_not_a_number"),
        ({"TotalPrice": None}, "amount_required"),
        ({"SortOrder": Raw("1.5")}, "line_number_not_a_number"),
        ({"ProductCode": "X" * 21}, "product_too_long"),
    ],
)
def test_a_bad_line_names_the_opportunity_that_it_holds_back(
    land_pages: Land, changes: dict[str, object], rule: str
) -> None:
    landing = land_pages("salesforce", "opportunity_line", json_page([a_line(**changes)]))

    assert landing.violations("parent_key", "rule", "severity") == [("0068d00000AAAAAAA1", rule, "error")]
    assert landing.con.execute("SELECT _parent_key FROM bad").fetchall() == [("0068d00000AAAAAAA1",)]


def test_a_line_without_product_is_told_as_such(land_pages: Land) -> None:
    landing = land_pages("salesforce", "opportunity_line", json_page([a_line(ProductCode=None, Product2Id=None)]))

    ((reason,),) = landing.violations("reason")
    assert (
        reason
        == "the line has no product (Product2Id is empty), so D365 cannot know what to deliver. Choose a product in Salesforce."
    )


@pytest.mark.parametrize("stage", ["Prospecting", "Closed Lost"])
def test_what_only_matters_for_delivery_is_not_asked_of_opportunities_that_are_not_won(
    land_pages: Land, stage: str
) -> None:
    row = an_opportunity(
        StageName=stage,
        Amount=None,
        AccountId=None,
        CurrencyIsoCode="XXX",
        PO_Number__c="9" * 40,
        HasOpportunityLineItem=False,
    )

    landing = land_pages("salesforce", "opportunity", json_page([row]))

    assert (landing.landed.good, landing.broken()) == (1, {})


def test_what_cannot_be_read_is_wrong_in_any_opportunity(land_pages: Land) -> None:
    landing = land_pages(
        "salesforce", "opportunity", json_page([an_opportunity(StageName="Prospecting", Amount="12,5")])
    )

    assert landing.broken() == {"amount_not_a_number": 1}


def test_a_deleted_record_passes_so_that_its_deletion_is_known(land_pages: Land) -> None:
    accounts = land_pages(
        "salesforce", "account", json_page([an_account(IsDeleted=True, Name="N" * 120, CurrencyIsoCode=None)])
    )
    assert (accounts.landed.good, accounts.broken()) == (1, {})

    lines = land_pages("salesforce", "opportunity_line", json_page([a_line(IsDeleted=True, ProductCode=None)]))
    assert (lines.landed.good, lines.broken()) == (1, {})


def test_a_row_with_several_faults_tells_all_of_them(land_pages: Land) -> None:
    landing = land_pages(
        "salesforce",
        "opportunity",
        json_page([an_opportunity(Amount="12,5", CurrencyIsoCode="XXX", PO_Number__c="9" * 21)]),
    )

    assert landing.broken() == {"amount_not_a_number": 1, "currency_unknown_value": 1, "purchase_order_too_long": 1}
    assert (landing.landed.bad, landing.landed.good) == (1, 0)


def test_quarantine_keeps_the_row_as_it_came(land_pages: Land) -> None:
    landing = land_pages(
        "salesforce", "opportunity", json_page([an_opportunity(Amount="12,5", Name='=HYPERLINK("x") & 🚲')])
    )

    ((row,),) = landing.con.execute("SELECT row FROM bad").fetchall()
    assert json.loads(row)["Amount"] == "12,5"
    assert json.loads(row)["Name"] == '=HYPERLINK("x") & 🚲'


@pytest.mark.parametrize("name", ['O\'Brien & Söhne "Bike"', "🚲 Riders", "=1+1", "'; DROP TABLE good; --"])
def test_names_with_quotes_signs_and_formulas_pass_unchanged(land_pages: Land, name: str) -> None:
    landing = land_pages("salesforce", "account", json_page([an_account(Name=name)]))

    assert landing.value("Name") == name
    assert landing.broken() == {}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Riders ", "name_outer_blanks"),
        (" Riders", "name_outer_blanks"),
        ("R\u201apublique", "name_damaged_characters"),
        ("Rotth\u201euser", "name_damaged_characters"),
        ("K\u201dnigstein", "name_damaged_characters"),
        ("Kurf\x81rsten", "name_damaged_characters"),
        ("CafÃ© Riders", "name_damaged_characters"),
    ],
)
def test_doubtful_names_are_counted_and_go_on(land_pages: Land, name: str, rule: str) -> None:
    landing = land_pages("d365", "customer", json_page([a_customer(OrganizationName=name)]))

    assert landing.violations("rule", "severity") == [(rule, "warn")]
    assert (landing.landed.good, landing.landed.bad) == (1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "Müller & Söhne",
        "Šibenik d.o.o.",
        "O\u2019Brien",
        "\u201cQuoted\u201d Ltd",
        "\u201eMitte\u201c GmbH",
        "A\u2013B",
        "Łódź",
        "東京",
    ],
)
def test_names_of_the_world_are_not_doubted(land_pages: Land, name: str) -> None:
    landing = land_pages("salesforce", "account", json_page([an_account(Name=name)]))

    assert landing.broken() == {}


def test_an_unknown_country_is_counted_and_goes_on(land_pages: Land) -> None:
    landing = land_pages("salesforce", "account", json_page([an_account(BillingCountry="Atlantis")]))

    assert landing.broken() == {"country_unknown_value": 1}
    assert landing.value("cmp_country") == "ATLANTIS"


def test_an_order_status_that_nobody_mapped_is_quarantined(land_pages: Land) -> None:
    landing = land_pages(
        "d365", "sales_order", json_page([an_order(SalesOrderStatus="Shelved", SalesOrderProcessingStatus="Odd")])
    )

    ((value, reason),) = landing.violations("value", "reason")
    assert value == "Shelved/Odd"
    assert reason.startswith(
        'SalesOrderStatus/SalesOrderProcessingStatus "Shelved/Odd" is not in the value map `order_status`'
    )


def test_of_a_record_that_comes_twice_the_newest_stays(land_pages: Land) -> None:
    old = an_account(Name="Old", SystemModstamp="2026-11-20T08:00:00.000+0000")
    new = an_account(Name="New", SystemModstamp="2026-11-20T08:00:05.000+0000")
    for pages in ([old, new], [new, old], [old, new, new]):
        landing = land_pages("salesforce", "account", *(json_page([row]) for row in pages))

        assert landing.good("Name") == [("New",)]
        assert landing.landed.repeated == len(pages) - 1
        assert landing.broken() == {}


def test_a_newer_version_that_is_good_keeps_the_older_bad_one_out_of_quarantine(land_pages: Land) -> None:
    old = an_opportunity(Amount="12,5", SystemModstamp="2026-11-20T08:00:00.000+0000")
    new = an_opportunity(SystemModstamp="2026-11-20T08:00:05.000+0000")

    landing = land_pages("salesforce", "opportunity", json_page([old, new]))

    assert (landing.landed.good, landing.landed.bad, landing.broken()) == (1, 0, {})


def test_a_d365_key_that_comes_twice_with_other_contents_is_kept_once_and_counted(land_pages: Land) -> None:
    one, other = a_customer(OrganizationName="One"), a_customer(OrganizationName="Other", dataAreaId="USMF")

    forth = land_pages("d365", "customer", json_page([one]), json_page([other])).good("OrganizationName")
    landing = land_pages("d365", "customer", json_page([other]), json_page([one]))

    assert landing.broken() == {"key_unique": 1}
    assert landing.good("OrganizationName") == forth
    assert landing.violations("_key", "severity") == [("usmf|aw00000001", "warn")]


def test_a_d365_key_that_comes_twice_alike_is_no_news(land_pages: Land) -> None:
    landing = land_pages("d365", "customer", json_page([a_customer()]), json_page([a_customer()]))

    assert (landing.landed.good, landing.landed.repeated, landing.broken()) == (1, 1, {})


def test_a_row_without_key_is_quarantined_under_a_name_of_its_own(land_pages: Land) -> None:
    landing = land_pages("d365", "customer", json_page([a_customer(CustomerAccount=""), a_customer()]))

    assert landing.broken() == {"key_missing": 1}
    ((key,),) = landing.con.execute("SELECT _key FROM bad").fetchall()
    assert key.startswith("without key ")
    assert landing.landed.good == 1


def test_products_that_were_not_read_are_counted_where_the_products_are_given(land_pages: Land) -> None:
    land_pages("d365", "customer").con.execute("CREATE TABLE products AS SELECT 'BK-M68B-42' AS \"ProductCode\"")
    other = a_line(Id="00k8d00000BBBBBBB2", ProductCode="NEW-1")

    landing = land_pages("salesforce", "opportunity_line", json_page([a_line(), other]), products="products")

    assert landing.violations("_key", "rule", "severity") == [("00k8d00000BBBBBBB2", "product_unknown", "warn")]
    assert landing.landed.good == 2


@pytest.mark.parametrize("system", ["salesforce", "d365"])
def test_the_frame_of_counts_has_one_column_for_each_expectation(
    land_pages: Land, contracts: Contracts, system: str
) -> None:
    for table in contracts.tables(system):  # type: ignore[arg-type]
        plan = expectation_plan(table)
        counts = land_pages(system, table.name).landed.counts

        assert list(counts) == ["rows", *(each.column for each in plan)]
        assert {each.column: each.severity for each in plan} == counted_rules(table)
        assert len({rule.name for rule in rules_of(table)}) == len(rules_of(table)), table.name


def test_one_row_can_break_a_rule_only_once_and_counts_add_up(land_pages: Land) -> None:
    rows = [
        an_opportunity(Id=f"0068d00000{number:05}AA1", Amount="12,5" if number % 3 == 0 else 10)
        for number in range(300)
    ]

    landed = land_pages("salesforce", "opportunity", json_page(rows)).landed

    assert (landed.rows, landed.bad, landed.good, landed.counts["amount_not_a_number"]) == (300, 100, 200, 100)
