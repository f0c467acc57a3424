"""The main job, run by Dagster in this process on an invented business: a dry run, two runs, a change on each side, two runs more.

What happened is judged by the journals of the two systems and by questions to their own files, not by what Tieout says of itself.
"""

import os
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import openpyxl
import pytest

from resources.lake import Lake
from resources.ledger import Ledger
from tests.pipeline.business import (
    QUARANTINED,
    bad_line,
    changed_or_entered_in_d365,
    customer_of,
    decimal_of,
    key_of,
    opportunities_of_unnameable,
    orders_due,
    second_customer,
    totals_in_d365,
    totals_in_salesforce,
)
from tests.pipeline.installation import Installation, Run
from tests.pipeline.reading import (
    CUSTOMERS,
    HEADERS,
    LINES,
    effects_of,
    failed_with,
    headers_made,
    integration_log,
    is_between,
    materializations,
    other_than_reading,
    report_of,
    written_back,
)
from tests.report.page_reader import amount_in, company_rows_of, read_page, rows_of
from tieout.contract import Contracts
from tieout.quality import expectation_plan

NEW_PHONE = "+1 555 0100200"


# --- what happens, in this order ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dry_run(installation: Installation) -> Run:
    return installation.run(dry_run=True)


@pytest.fixture(scope="module")
def first_run(installation: Installation, dry_run: Run) -> Run:  # noqa: ARG001 the order
    return installation.run()


@pytest.fixture(scope="module")
def second_run(installation: Installation, first_run: Run) -> Run:  # noqa: ARG001 the order
    out_of_flight()
    return installation.run()


@pytest.fixture(scope="module")
def confirmed_order(installation: Installation, first_run: Run, second_run: Run) -> dict[str, Any]:  # noqa: ARG001
    """An order of the first run that somebody confirms in D365 after the second."""
    order = headers_made(first_run)[0]
    installation.d365.post(f"orders/{order['company']}/{order['key']}/confirm")
    return order


@pytest.fixture(scope="module")
def called_account(installation: Installation, second_run: Run) -> str:
    """An account that nothing was wrong with, whose phone somebody changes in Salesforce after the second run."""
    planted = {key for keys in installation.planted.values() for key in keys}
    ids = [row["Id"] for row in second_run.before.salesforce("SELECT Id FROM Account WHERE ERP_Number__c IS NOT NULL")]
    account = next(each for each in ids if each not in planted)
    installation.changed_in_salesforce("Account", account, Phone=NEW_PHONE)
    out_of_flight()
    return account


@pytest.fixture(scope="module")
def third_run(installation: Installation, confirmed_order: dict[str, Any], called_account: str) -> Run:  # noqa: ARG001
    return installation.run()


@pytest.fixture(scope="module")
def fourth_run(installation: Installation, third_run: Run) -> Run:  # noqa: ARG001 the order
    """A run that was killed yesterday had left pages behind."""
    left_behind = installation.home / "landing" / "of-a-killed-run"
    left_behind.mkdir()
    (left_behind / "page.json").write_text("[]")
    yesterday = time.time() - 86_400
    os.utime(left_behind, (yesterday, yesterday))
    return installation.run()


def out_of_flight() -> None:
    """Salesforce tells its time in whole seconds: what changes in the second of a read is in flight, and waits for the next run."""
    time.sleep(1)


# --- a dry run --------------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing_and_asks_for_no_change(installation: Installation, dry_run: Run) -> None:
    assert dry_run.d365 == []
    assert dry_run.salesforce == []
    for system in (installation.salesforce, installation.d365):
        asked = [each for each in system.asked() if each["at"] < dry_run.summary["as_of"]]
        assert other_than_reading(asked) == {"token"}


def test_a_dry_run_says_what_the_next_run_sends(dry_run: Run, first_run: Run) -> None:
    would_send = dry_run.summary["would_send"]["d365"]
    rejected = first_run.summary["deliveries"]["rejected"]
    made = first_run.summary["changes"]["d365"]

    assert would_send["customer"] == made["customer"]
    assert would_send["sales_order"] == {"created": made["sales_order"]["created"] + rejected, "updated": 0}
    assert dry_run.summary["changes"]["d365"]["sales_order"] == {"created": 0, "updated": 0}
    assert "would_send" not in first_run.summary


def test_the_report_of_a_dry_run_lists_each_record_that_would_be_sent(dry_run: Run, first_run: Run) -> None:
    would_be_sent = {(each["operation"], each["d365_key"]) for each in report_of(dry_run)["deliveries"]}
    was_sent = {(each["operation"], each["d365_key"]) for each in report_of(first_run)["deliveries"]}

    assert would_be_sent == was_sent
    page = read_page(Path(dry_run.summary["report"])).with_id("deliveries")
    listed = [" ".join(row) for row in rows_of(page)]
    for _, d365_key in would_be_sent:
        assert any(d365_key in row and "Planned" in row for row in listed), d365_key


# --- the first run: exactly what is due, once -------------------------------------------------------------------------


def test_every_order_that_is_due_is_created_once_and_no_other(installation: Installation, first_run: Run) -> None:
    created = Counter(effect["values"]["CustomersOrderReference"] for effect in headers_made(first_run))

    assert created == Counter(orders_due(installation, first_run.before))


def test_an_order_has_all_lines_of_its_opportunity_to_the_cent(first_run: Run) -> None:
    made = headers_made(first_run)
    assert made
    for order in made:
        opportunity = order["values"]["CustomersOrderReference"]
        sold = first_run.before.salesforce(
            "SELECT Id, ProductCode, Quantity, TotalPrice FROM OpportunityLineItem WHERE OpportunityId = ?", opportunity
        )
        lines = [effect["values"] for effect in effects_of(first_run.d365, LINES) if effect["order"] == order["key"]]

        assert {line["OrderLineReference"] for line in lines} == {row["Id"] for row in sold}
        assert len(lines) == len(sold)
        by_line = {line["OrderLineReference"]: line for line in lines}
        for row in sold:
            line = by_line[row["Id"]]
            assert line["ItemNumber"] == row["ProductCode"]
            assert Decimal(line["OrderedSalesQuantity"]) == decimal_of(row["Quantity"])
            assert Decimal(line["LineAmount"]) == decimal_of(row["TotalPrice"])


def test_an_order_stands_in_the_company_and_currency_of_its_opportunity(first_run: Run) -> None:
    for order in headers_made(first_run):
        [opportunity] = first_run.before.salesforce(
            "SELECT * FROM Opportunity WHERE Id = ?", order["values"]["CustomersOrderReference"]
        )

        assert (order["company"], order["key"]) == (opportunity["ERP_Company__c"], f"T-{opportunity['Id']}")
        assert order["values"]["CurrencyCode"] == opportunity["CurrencyIsoCode"]
        assert order["values"]["CustomerRequisitionNumber"] == (opportunity["PO_Number__c"] or "")


def test_an_account_without_a_customer_becomes_one_before_its_order(installation: Installation, first_run: Run) -> None:
    customers = effects_of(first_run.d365, CUSTOMERS, "created")
    first_order = min(effect["seq"] for effect in headers_made(first_run))

    assert len(customers) == len(installation.planted["account_without_customer"])
    assert all(effect["seq"] < first_order for effect in customers)


def test_a_name_with_quotes_and_a_leading_equals_sign_arrives_as_it_is(
    installation: Installation, first_run: Run
) -> None:
    [account_id] = installation.planted["account_without_customer"]
    [account] = first_run.before.salesforce("SELECT Name FROM Account WHERE Id = ?", account_id)
    [customer] = effects_of(first_run.d365, CUSTOMERS, "created")

    assert account["Name"].startswith('=HYPERLINK("')
    assert customer["values"]["OrganizationName"] == account["Name"]


def test_only_fields_that_salesforce_owns_are_changed_in_d365(installation: Installation, first_run: Run) -> None:
    changed = Counter(name for effect in effects_of(first_run.d365, effect="updated") for name in effect["fields"])

    assert changed == {
        "PrimaryContactPhone": len(installation.planted["phone_changed_in_salesforce"]),
        "OrganizationName": len(installation.planted["name_changed_in_salesforce"]),
    }


def test_an_order_of_a_customer_on_hold_is_refused_in_d365s_words_and_the_others_go_on(
    installation: Installation, first_run: Run
) -> None:
    [held] = installation.planted["customer_on_hold"]
    [delivery] = [each for each in report_of(first_run)["deliveries"] if each["business_key"] == held]

    assert delivery["outcome"] == "rejected"
    assert "is on hold" in delivery["message"]
    assert held not in {effect["values"]["CustomersOrderReference"] for effect in headers_made(first_run)}
    assert first_run.summary["needs_a_person"]


# --- the first run: what goes back to Salesforce ----------------------------------------------------------------------


def test_the_new_orders_go_back_to_their_opportunities(first_run: Run) -> None:
    written = written_back(first_run, "Opportunity")
    for order in headers_made(first_run):
        values = written[order["values"]["CustomersOrderReference"]]

        assert values["ERP_Order_Number__c"] == f"{order['company']}/{order['key']}"
        assert values["ERP_Order_Status__c"] == "Open"
        lines = [effect["values"] for effect in effects_of(first_run.d365, LINES) if effect["order"] == order["key"]]
        assert decimal_of(values["ERP_Amount__c"]) == sum(Decimal(line["LineAmount"]) for line in lines)
        assert values["ERP_Synced_At__c"]


def test_only_records_whose_copies_were_wrong_are_written_back(installation: Installation, first_run: Run) -> None:
    planted = installation.planted
    opportunities = {
        *orders_due(installation, first_run.before),
        *planted["status_moved_forward_in_d365"],
        *planted["link_not_written_back"],
        *planted["amount_changed_in_d365"],
        *planted["quantity_changed_in_d365"],
    }
    accounts = {
        *planted["account_without_customer"],
        *planted["linked_by_account_number_only"],
        *planted["payment_terms_changed_in_d365"],
        *planted["credit_limit_changed_in_d365"],
    }

    assert set(written_back(first_run, "Opportunity")) == opportunities
    assert set(written_back(first_run, "Account")) == accounts


def test_what_d365_owns_comes_back_with_the_value_that_it_has_there(installation: Installation, first_run: Run) -> None:
    accounts = written_back(first_run, "Account")
    for kind, copy, source in (
        ("payment_terms_changed_in_d365", "Payment_Terms__c", "PaymentTerms"),
        ("credit_limit_changed_in_d365", "Credit_Limit__c", "CreditLimit"),
    ):
        for account_id in installation.planted[kind]:
            customer = customer_of(first_run.before, account_id)
            values = accounts[account_id]

            assert set(values) == {copy, "ERP_Synced_At__c"}
            assert str(values[copy]) == customer[source] or decimal_of(values[copy]) == Decimal(customer[source])


def test_a_new_customer_brings_its_number_and_d365s_defaults_along(installation: Installation, first_run: Run) -> None:
    [account_id] = installation.planted["account_without_customer"]
    [customer] = effects_of(first_run.d365, CUSTOMERS, "created")
    values = written_back(first_run, "Account")[account_id]

    assert values["ERP_Number__c"] == f"{customer['company']}/{customer['key']}"
    assert values["Payment_Terms__c"] == customer["values"]["PaymentTerms"]
    assert values["ERP_On_Hold__c"] == "No"


# --- the first run: what it found -------------------------------------------------------------------------------------


def test_the_breaks_are_exactly_the_planted_differences(installation: Installation, first_run: Run) -> None:
    planted, before = installation.planted, first_run.before
    expected: Counter[tuple[str, str, str, str]] = Counter()

    def expect(entity: str, field: str, cause: str, keys: list[str]) -> None:
        expected.update((entity, field, cause, key) for key in keys)

    expect("customer", "phone", "write_pending", planted["phone_changed_in_salesforce"])
    expect("customer", "name", "write_pending", planted["name_changed_in_salesforce"])
    expect("customer", "payment_terms", "write_pending", planted["payment_terms_changed_in_d365"])
    expect("customer", "credit_limit", "write_pending", planted["credit_limit_changed_in_d365"])
    expect("customer", "street", "damaged_characters", planted["street_damaged_characters"])
    expect("customer", "only_in_salesforce", "delivered_in_this_run", planted["account_without_customer"])
    expect("customer", "quarantined", "quarantined", planted["account_name_too_long"])
    expect("customer", "only_in_d365", "entered_in_d365", [key_of(link) for link in planted["customer_only_in_d365"]])
    expect(
        "customer", "duplicate", "duplicate", [second_customer(before, key) for key in planted["duplicate_customer"]]
    )
    for kind in ("amount_changed_in_d365", "quantity_changed_in_d365"):
        expect("sales_order", "amount", "value_differs", planted[kind])
        expect("sales_order", "line.amount", "value_differs", planted[kind])
    expect("sales_order", "line.unit_price", "value_differs", planted["amount_changed_in_d365"])
    expect("sales_order", "line.quantity", "value_differs", planted["quantity_changed_in_d365"])
    expect("sales_order", "purchase_order", "value_differs", planted["purchase_order_differs"])
    expect("sales_order", "only_in_d365", "entered_in_d365", [key_of(link) for link in planted["order_only_in_d365"]])
    expect("sales_order", "only_in_salesforce", "delivered_in_this_run", orders_due(installation, before))
    expect("sales_order", "only_in_salesforce", "delivery_rejected", planted["customer_on_hold"])
    expect(
        "sales_order", "only_in_salesforce", "cannot_be_delivered", opportunities_of_unnameable(installation, before)
    )
    for kind, (table, _) in QUARANTINED.items():
        if table != "account":
            expect("sales_order", "quarantined", "quarantined", planted[kind])

    found = Counter(
        (each["entity"], each["field"], each["cause"], each["salesforce_key"] or each["d365_key"])
        for each in report_of(first_run)["breaks"]
    )

    assert found == expected


def test_a_row_in_quarantine_names_its_rule_and_its_value(installation: Installation, first_run: Run) -> None:
    found = Counter((each["table"], each["rule"], each["key"]) for each in report_of(first_run)["quarantine"])

    expected: Counter[tuple[str, str, str]] = Counter()
    for kind, (table, rule) in QUARANTINED.items():
        for key in installation.planted[kind]:
            expected[table, rule, bad_line(first_run.before, rule, key) if table == "opportunity_line" else key] += 1
    assert found == expected
    assert all(each["reason"] for each in report_of(first_run)["quarantine"])
    assert first_run.summary["quarantined"] == Counter(f"salesforce/{table}" for table, _, _ in expected.elements())


def test_blanks_at_the_end_of_a_name_are_counted_and_no_difference(installation: Installation, first_run: Run) -> None:
    blanks = len(installation.planted["name_trailing_blanks"])

    assert first_run.summary["differences"]["customer"]["name"]["equal_after_normalising"] == blanks


def test_a_canceled_order_that_only_d365_has_is_no_break(installation: Installation, first_run: Run) -> None:
    canceled = {key_of(link) for link in installation.planted["canceled_order_only_in_d365"]}

    assert canceled
    assert not canceled & {each["d365_key"] for each in report_of(first_run)["breaks"]}


def test_every_record_has_one_verdict(first_run: Run) -> None:
    [won] = first_run.before.salesforce("SELECT count(*) AS orders FROM Opportunity WHERE StageName = 'Closed Won'")
    verdicts = first_run.summary["reconciliation"]["sales_order"]

    assert sum(verdicts.values()) - verdicts["only_in_d365"] == won["orders"]


# --- the first run: the money -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["first_run", "second_run"])
def test_the_totals_are_those_that_both_systems_tell_themselves(
    installation: Installation, which: str, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(which)
    sold, ordered = totals_in_salesforce(installation, run.before), totals_in_d365(run.before)
    told = {(row["company"], row["currency"]): row for row in run.summary["tie_out"]}

    assert set(told) == set(sold) | set(ordered)
    for key, row in told.items():
        assert Decimal(row["salesforce"]) == sold[key]
        assert Decimal(row["d365"]) == ordered[key]
        assert Decimal(row["difference"]) == sold[key] - ordered[key]


@pytest.mark.parametrize("which", ["first_run", "second_run"])
def test_what_is_not_explained_is_what_was_changed_or_entered_in_d365(
    which: str, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(which)
    unexplained = changed_or_entered_in_d365(run.before)

    for row in run.summary["tie_out"]:
        rest = Decimal(row["difference"]) - Decimal(row["explained"])
        assert rest == unexplained[row["company"], row["currency"]], (row["company"], row["currency"])
    assert any(unexplained.values())


def test_the_causes_add_up_to_the_difference_of_each_company_and_currency(first_run: Run) -> None:
    parts: Counter[tuple[str, str]] = Counter()
    explained: Counter[tuple[str, str]] = Counter()
    for part in report_of(first_run)["bridge"]:
        parts[part["company"], part["currency"]] += Decimal(part["amount"])  # type: ignore[assignment]
        if part["is_explained"]:
            explained[part["company"], part["currency"]] += Decimal(part["amount"])  # type: ignore[assignment]

    for row in first_run.summary["tie_out"]:
        key = row["company"], row["currency"]
        assert (parts[key], explained[key]) == (Decimal(row["difference"]), Decimal(row["explained"]))


# --- the first run in Dagster, in the log, in the report --------------------------------------------------------------


def test_dagster_holds_the_run_with_every_asset_and_row_counts(first_run: Run, second_run: Run) -> None:  # noqa: ARG001
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(first_run.run_id)
        made = materializations(instance, first_run.run_id)
        latest = instance.get_latest_materialization_event(dg.AssetKey(["salesforce", "opportunity"]))

    assert run is not None
    assert (run.status, run.job_name) == (dg.DagsterRunStatus.SUCCESS, "main")
    assert len(made) == 24
    [lines] = first_run.before.salesforce("SELECT count(*) AS lines FROM OpportunityLineItem")
    # Two wait in quarantine.
    assert made["salesforce/opportunity_line"]["dagster/row_count"].value == lines["lines"] - 2
    assert latest is not None
    assert latest.run_id != first_run.run_id


def test_the_rules_of_the_contracts_are_checks_in_dagster_and_fail_where_something_was_planted(
    contracts: Contracts, dry_run: Run
) -> None:
    """The first read of all, which is the one that reads everything."""
    with dg.DagsterInstance.get() as instance:
        entries = instance.all_logs(dry_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluated = [entry.dagster_event.asset_check_evaluation_data for entry in entries if entry.dagster_event]
    results = [result for result in evaluated if result.asset_key.path[0] in ("salesforce", "d365")]

    tables = [*contracts.tables("salesforce"), *contracts.tables("d365")]
    assert len(results) == sum(len(expectation_plan(table)) for table in tables)
    failed = {
        severity: {(each.asset_key.path[1], each.check_name) for each in results if failed_with(each, severity)}
        for severity in dg.AssetCheckSeverity
    }
    assert failed[dg.AssetCheckSeverity.ERROR] == set(QUARANTINED.values())
    assert ("customer", "name_outer_blanks") in failed[dg.AssetCheckSeverity.WARN]
    assert ("account", "street_damaged_characters") in failed[dg.AssetCheckSeverity.WARN]
    [too_long] = [each for each in results if each.check_name == "name_too_long"]
    assert too_long.metadata["rows_that_break_the_rule"].value == 1


def test_the_integration_log_has_one_row_for_each_record_and_attempt(
    installation: Installation, first_run: Run
) -> None:
    rows = integration_log(installation, first_run.run_id)

    sent = Counter((row["entity"], row["operation"], row["d365_key"]) for row in rows if row["direction"] == "to_d365")
    named = {"sales_order": HEADERS, "customer": CUSTOMERS}
    effects = Counter(
        (entity, {"created": "create", "updated": "update"}[effect["effect"]], effect["key"])
        for entity, entity_set in named.items()
        for effect in effects_of(first_run.d365, entity_set)
    )
    refused = Counter({("sales_order", "create", f"T-{key}"): 1 for key in installation.planted["customer_on_hold"]})
    assert sent == effects + refused
    written = Counter(row["business_key"] for row in rows if row["direction"] == "to_salesforce")
    assert written == Counter(effect["key"] for effect in first_run.salesforce)
    assert {row["outcome"] for row in rows} == {"confirmed", "rejected"}
    assert all(row["duration_ms"] is not None and row["api_calls"] > 0 for row in rows)
    assert all(row["reason"] for row in rows if row["outcome"] == "rejected")


def test_the_integration_log_is_the_same_in_the_lake_and_in_postgres(
    installation: Installation,
    fourth_run: Run,  # noqa: ARG001 the last of all
) -> None:
    in_lake = Lake(str(installation.home / "lake")).dataset(["integration_log"]).to_table().to_pylist()
    in_postgres = integration_log(installation)

    columns = ("attempt_id", "run_id", "direction", "entity", "business_key", "operation", "outcome", "state", "reason")
    assert in_postgres
    assert sorted(tuple(row[name] for name in columns) for row in in_lake) == sorted(
        tuple(row[name] for name in columns) for row in in_postgres
    )


def test_the_page_shows_the_figures_of_the_summary(first_run: Run) -> None:
    summary, page = first_run.summary, read_page(Path(first_run.summary["report"]))

    assert page.all("h1")[0].text == summary["headline"]
    shown = {(row[1], row[0]): [amount_in(cell) for cell in row[2:5]] for row in company_rows_of(page) if len(row) == 7}
    for row in summary["tie_out"]:
        figures = [Decimal(row[name]) for name in ("salesforce", "d365", "difference")]
        assert shown[row["company"], row["currency"]] == figures
    breaks = [row for row in rows_of(page.with_id("breaks")) if len(row) > 3]
    assert len(breaks) == summary["open_breaks"]
    quarantined = [row for row in rows_of(page.with_id("quarantine")) if len(row) > 3]
    assert len(quarantined) == sum(summary["quarantined"].values())


def test_texts_of_the_systems_cannot_act_on_the_page_or_in_the_workbook(first_run: Run) -> None:
    page = read_page(Path(first_run.summary["report"]))
    workbook = openpyxl.load_workbook(first_run.summary["workbook"])

    assert '=HYPERLINK("http://shop.example","Click") Ltd' in page.with_id("deliveries").text
    assert not [link for link in page.all("a") if "shop.example" in (link.attributes.get("href") or "")]
    cells = [cell for sheet in workbook for row in sheet.iter_rows() for cell in row]
    assert any("=HYPERLINK" in str(cell.value) for cell in cells)
    assert not [cell for cell in cells if cell.data_type == "f" or cell.hyperlink]


def test_the_workbook_has_the_same_tables(first_run: Run) -> None:
    workbook = openpyxl.load_workbook(first_run.summary["workbook"], read_only=True)

    [sheet] = [workbook[name] for name in workbook.sheetnames if name.lower() == "breaks"]
    assert sum(1 for row in sheet.iter_rows(values_only=True) if any(row)) - 1 >= first_run.summary["open_breaks"]


def test_no_raw_page_is_left_behind(installation: Installation, fourth_run: Run) -> None:  # noqa: ARG001 the last of all
    assert list((installation.home / "landing").iterdir()) == []


# --- the second run ---------------------------------------------------------------------------------------------------


def test_a_second_run_creates_and_changes_nothing(installation: Installation, first_run: Run, second_run: Run) -> None:
    assert second_run.d365 == []
    assert second_run.salesforce == []
    changes = second_run.summary["changes"]
    assert {count for of in changes.values() for done in of.values() for count in done.values()} == {0}
    for system in (installation.salesforce, installation.d365):
        asked = [each for each in system.asked() if is_between(each, first_run, second_run)]
        assert asked
        assert other_than_reading(asked) == {"token"}


def test_the_orders_of_the_first_run_match_in_the_second(first_run: Run, second_run: Run) -> None:
    first, second = (run.summary["reconciliation"]["sales_order"] for run in (first_run, second_run))

    assert second["matched"] == first["matched"] + len(headers_made(first_run))
    assert second["only_in_salesforce"] == first["only_in_salesforce"] - len(headers_made(first_run))


def test_a_break_that_settled_is_closed_and_the_others_keep_their_identity(first_run: Run, second_run: Run) -> None:
    settled = {"delivered_in_this_run", "write_pending"}
    before = {each["identity"] for each in report_of(first_run)["breaks"] if each["cause"] not in settled}
    after = {each["identity"] for each in report_of(second_run)["breaks"]}

    assert after == before


def test_a_refused_delivery_is_not_sent_again_by_itself(installation: Installation, second_run: Run) -> None:
    with Ledger.opened(installation.database_url or "") as ledger:
        attempts = ledger.attempts.of_business_key(installation.planted["customer_on_hold"][0])

    assert second_run.summary["deliveries"]["rejected"] == 1
    assert [each["outcome"] for each in attempts] == ["rejected"]


# --- changes on either side -------------------------------------------------------------------------------------------


def test_a_status_that_moved_in_d365_comes_back_to_salesforce(third_run: Run, confirmed_order: dict[str, Any]) -> None:
    written = written_back(third_run, "Opportunity")

    assert set(written) == {confirmed_order["values"]["CustomersOrderReference"]}
    [values] = written.values()
    assert set(values) == {"ERP_Order_Status__c", "ERP_Synced_At__c"}
    assert values["ERP_Order_Status__c"] == "Confirmed"


def test_a_phone_that_changed_in_salesforce_is_patched_once(third_run: Run, called_account: str) -> None:
    [effect] = third_run.d365
    customer = customer_of(third_run.before, called_account)

    assert (effect["effect"], effect["entity"], effect["key"]) == ("updated", CUSTOMERS, customer["CustomerAccount"])
    assert effect["fields"] == ["PrimaryContactPhone"]
    assert effect["values"]["PrimaryContactPhone"] == NEW_PHONE


def test_the_run_after_a_change_is_quiet_again(fourth_run: Run) -> None:
    assert fourth_run.d365 == []
    assert fourth_run.salesforce == []
