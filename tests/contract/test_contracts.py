"""The project's contracts: what they extract, who owns what, and that they name only what the systems have."""

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sandbox.d365.catalogue import catalogue
from sandbox.salesforce.catalogue import CATALOGUE, ORDER_STATUSES, STAGES
from tieout.contract import (
    Contracts,
    check_against_d365,
    check_against_salesforce,
    load_contracts,
    written_columns,
)
from tieout.contract.dictionary import data_dictionary
from tieout.contract.schema import schema_text

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy_of_contracts(tmp_path: Path) -> Callable[..., Contracts]:
    """Loads the project's contracts with changes (old, new) of sales_order.yaml."""

    def load(*changes: tuple[str, str]) -> Contracts:
        folder = tmp_path / "contracts"
        shutil.copytree(PROJECT / "contracts", folder)
        text = (folder / "sales_order.yaml").read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / "sales_order.yaml").write_text(text, encoding="utf-8")
        return load_contracts(folder)

    return load


def a_describe(contracts: Contracts) -> dict[str, dict[str, Any]]:
    """An org that has exactly what the contracts want."""
    types = {
        "text": "string",
        "decimal": "currency",
        "integer": "int",
        "boolean": "boolean",
        "date": "date",
        "instant": "datetime",
    }
    return {
        table.source: {
            "name": table.source,
            "fields": [{"name": each.name, "type": types[each.type], "updateable": True} for each in table.columns],
        }
        for table in contracts.tables("salesforce")
    }


def a_metadata(contracts: Contracts) -> dict[str, dict[str, str]]:
    """A D365 that has exactly what the contracts want."""
    types = {
        "text": "Edm.String",
        "decimal": "Edm.Decimal",
        "integer": "Edm.Int32",
        "date": "Edm.DateTimeOffset",
        "instant": "Edm.DateTimeOffset",
    }
    metadata = {
        table.source: {each.name: types[each.type] for each in table.columns} for table in contracts.tables("d365")
    }
    metadata["SalesOrderLines"]["CalculateLineAmount"] = "Microsoft.Dynamics.DataEntities.NoYes"
    return metadata


def test_every_table_of_the_lake_is_made_in_the_order_of_extraction(contracts: Contracts) -> None:
    assert [table.name for table in contracts.tables("salesforce")] == [
        "product",
        "account",
        "opportunity",
        "opportunity_line",
    ]
    assert [table.name for table in contracts.tables("d365")] == [
        "released_product",
        "customer",
        "sales_order",
        "sales_order_line",
    ]


@pytest.mark.parametrize("system", ["salesforce", "d365"])
def test_no_column_is_extracted_twice(contracts: Contracts, system: Any) -> None:
    for table in contracts.tables(system):
        names = [column.name for column in table.columns]
        assert len(names) == len(set(names)), table.name


def test_the_compare_hash_covers_the_same_fields_on_both_sides(contracts: Contracts) -> None:
    for contract in contracts.values():
        assert [each.name for each in contract.table("salesforce").hashed_fields] == [
            each.name for each in contract.table("d365").hashed_fields
        ]


def test_types_follow_from_how_a_field_is_compared(contracts: Contracts) -> None:
    orders = contracts.table("salesforce", "opportunity")

    assert orders.column("Amount").type == "decimal"
    assert orders.column("Requested_Ship_Date__c").type == "date"
    assert orders.column("ERP_Synced_At__c").type == "instant"
    assert contracts.table("d365", "sales_order_line").column("CustomersLineNumber").type == "integer"


def test_the_amount_of_a_d365_order_is_the_sum_of_its_lines(contracts: Contracts) -> None:
    amount = contracts["sales_order"].field("amount")

    assert (amount.d365, amount.d365_sum_of, amount.tolerance and amount.tolerance.absolute) == (
        None,
        "amount",
        Decimal("0.01"),
    )


@pytest.mark.parametrize(
    ("header", "processing", "common", "label"),
    [
        ("Backorder", "Active", "open", "Open"),
        ("None", "Active", "open", "Open"),
        ("Backorder", "Confirmed", "confirmed", "Confirmed"),
        ("Backorder", "Picked", "picked", "Picked"),
        ("Backorder", "PartiallyDelivered", "partially_delivered", "Partially delivered"),
        ("Delivered", "Delivered", "delivered", "Delivered"),
        ("Delivered", "PartiallyInvoiced", "partially_invoiced", "Partially invoiced"),
        ("Delivered", "DeliveredPartiallyInvoiced", "partially_invoiced", "Partially invoiced"),
        ("Invoiced", "Invoiced", "invoiced", "Invoiced"),
        ("Canceled", "Active", "canceled", "Canceled"),
        ("Canceled", "Canceled", "canceled", "Canceled"),
    ],
)
def test_the_two_statuses_of_d365_become_one_label_in_salesforce(
    contracts: Contracts, header: str, processing: str, common: str, label: str
) -> None:
    statuses = contracts["sales_order"].values["order_status"]

    assert statuses.common("d365", f"{header}/{processing}") == common
    assert statuses.stored("salesforce", common) == label


def test_numbers_and_policies_are_what_the_contract_says(copy_of_contracts: Callable[..., Contracts]) -> None:
    changed = copy_of_contracts(
        ('{given_by: tieout, prefix: "T-"}', "{given_by: d365, settle_s: 600}"),
        ("  changed: report ", "  changed: amend "),
        ("  lost: report ", "  lost: stop "),
    )["sales_order"]

    assert (changed.create.number_given_by, changed.create.settle_s, changed.create.number_prefix) == (
        "d365",
        600,
        None,
    )
    assert (changed.after_delivery.changed, changed.after_delivery.lost) == ("amend", "stop")


def test_without_a_word_the_number_is_ours_and_changes_are_reported(
    copy_of_contracts: Callable[..., Contracts],
) -> None:
    contracts = copy_of_contracts(
        ('{given_by: tieout, prefix: "T-"}', '{prefix: "T-"}'), ("after_delivery:\n", ""), ("  changed: report ", "#"),
        ("  lost: report ", "#"),
    )  # fmt: skip

    for contract in contracts.values():
        assert (contract.create.number_given_by, contract.create.settle_s) == ("tieout", 1800)
        assert (contract.after_delivery.changed, contract.after_delivery.lost) == ("report", "report")


def test_the_dictionary_says_who_gives_the_number_and_what_follows_a_change(
    copy_of_contracts: Callable[..., Contracts],
) -> None:
    page = data_dictionary(
        copy_of_contracts(
            ('{given_by: tieout, prefix: "T-"}', "{given_by: d365}"),
            ("  changed: report ", "  changed: amend "),
            ("  lost: report ", "  lost: stop "),
        )
    )

    assert (
        "from D365's own number sequence. After a lost answer one that is not found by its reference counts as absent only after 1,800 seconds."
        in page
    )
    assert (
        "a record that changes in Salesforce changes the D365 record while nothing of it is posted, and one that is lost there stops"
        in page
    )


def test_a_value_map_does_not_mind_capitals_and_blanks_and_writes_the_first_spelling(contracts: Contracts) -> None:
    unit = contracts["product"].values["unit"]

    assert {unit.common("salesforce", spelling) for spelling in ("Each", "each", " ea ", "pcs", "PCS")} == {"ea"}
    assert unit.common("salesforce", "dozen") is None
    assert unit.stored("d365", "ea") == "ea"


def test_write_back_fills_links_and_what_d365_owns(contracts: Contracts) -> None:
    assert written_columns(contracts.table("salesforce", "opportunity")) == (
        "ERP_Order_Number__c",
        "ERP_Synced_At__c",
        "ERP_Order_Status__c",
        "ERP_Amount__c",
    )
    assert written_columns(contracts.table("salesforce", "account")) == (
        "ERP_Number__c",
        "ERP_Synced_At__c",
        "Payment_Terms__c",
        "Credit_Limit__c",
        "ERP_On_Hold__c",
    )


def test_contracts_fit_systems_that_have_what_they_name(contracts: Contracts) -> None:
    assert check_against_salesforce(contracts, a_describe(contracts)) == []
    assert check_against_d365(contracts, a_metadata(contracts)) == []


def test_every_d365_property_is_one_that_d365_publishes(contracts: Contracts) -> None:
    published = {
        name: {each: entity.properties[each].edm_type for each in entity.properties}
        for name, entity in catalogue().entities.items()
    }

    assert check_against_d365(contracts, published) == []


def test_every_salesforce_field_is_one_that_an_org_has(contracts: Contracts) -> None:
    """An org as the catalogue of Salesforce's standard objects and the set-up guide's custom fields describe it."""
    org = {
        name: {
            "fields": [{"name": each.name, "type": each.type, "updateable": each.updateable} for each in sobject.fields]
        }
        for name, sobject in CATALOGUE.items()
    }

    assert check_against_salesforce(contracts, org) == []


def test_every_picklist_value_of_an_org_has_a_common_value(contracts: Contracts) -> None:
    values = contracts["sales_order"].values

    assert set(values["order_status"].salesforce) == set(ORDER_STATUSES)
    assert {stage: values["stage"].common("salesforce", stage) for stage in STAGES} == {
        stage: "won" if won else "lost" if closed else "open" for stage, (_, closed, won, *_) in STAGES.items()
    }


def test_every_pair_of_statuses_of_d365_has_a_common_value(contracts: Contracts) -> None:
    statuses = contracts["sales_order"].values["order_status"]
    enums = catalogue().enums

    for header in enums["SalesStatus"]:
        for processing in enums["SalesOrderProcessingStatus"]:
            assert statuses.common("d365", f"{header}/{processing}") is not None, (header, processing)


def test_a_field_that_salesforce_does_not_have_is_told_with_file_and_line(contracts: Contracts) -> None:
    describe = a_describe(contracts)
    describe["Account"]["fields"] = [
        each for each in describe["Account"]["fields"] if each["name"] not in ("Email__c", "MasterRecordId")
    ]

    problems = check_against_salesforce(contracts, describe)

    text = (PROJECT / "contracts/customer.yaml").read_text(encoding="utf-8")
    line = text[: text.index("salesforce: Email__c")].count("\n") + 1
    assert len(problems) == 2
    assert (
        f"contracts/customer.yaml:{line}: Salesforce Account has no field Email__c. "
        "Correct the contract, or create it, or make it visible to the integration user."
    ) in problems


def test_an_object_that_cannot_be_seen_is_told_once(contracts: Contracts) -> None:
    describe = a_describe(contracts)
    del describe["Product2"]

    assert [problem.partition(": ")[2] for problem in check_against_salesforce(contracts, describe)] == [
        "Salesforce has no object Product2. Correct the name, or give the user access to it."
    ]


def test_a_written_field_must_be_editable(contracts: Contracts) -> None:
    describe = a_describe(contracts)
    next(each for each in describe["Opportunity"]["fields"] if each["name"] == "ERP_Amount__c")["updateable"] = False

    (problem,) = check_against_salesforce(contracts, describe)

    assert "does not let the integration user edit Opportunity.ERP_Amount__c" in problem


def test_a_number_that_the_system_keeps_as_text_is_told(contracts: Contracts) -> None:
    metadata = a_metadata(contracts)
    metadata["CustomersV3"]["CreditLimit"] = "Edm.String"

    (problem,) = check_against_d365(contracts, metadata)

    assert "D365 CustomersV3.CreditLimit is of type Edm.String, which cannot be read as decimal." in problem


def test_a_property_or_a_set_with_a_near_name_is_suggested(contracts: Contracts) -> None:
    metadata = a_metadata(contracts)
    metadata["CustomersV3"]["OnHoldState"] = metadata["CustomersV3"].pop("OnHoldStatus")
    metadata["SalesOrderLinesV2"] = metadata.pop("SalesOrderLines")

    problems = check_against_d365(contracts, metadata)

    assert any("has no property OnHoldStatus. Did you mean OnHoldState?" in problem for problem in problems)
    assert any(
        "D365 has no entity set SalesOrderLines. Did you mean SalesOrderLinesV2?" in problem for problem in problems
    )


def test_the_json_schema_for_editors_is_the_one_of_the_model() -> None:
    """Write it anew with: python -m tieout.contract.schema contracts/schema.json"""
    assert (PROJECT / "contracts/schema.json").read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("name", ["customer", "sales_order", "product"])
def test_the_contracts_satisfy_the_json_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    data = YAML(typ="safe", pure=True).load((PROJECT / f"contracts/{name}.yaml").read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(data)
