"""Opportunities that change after their order was made: what takes effect in D365, run by run, and that it is never a second order."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from tests.bad_input.books import Books, Deal, price_id
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Installation, Run
from tests.conftest import PROJECT
from tieout.breaks import Cause

Company = tuple[Installation, dict[str, Deal], Callable[[], Run]]


@pytest.fixture(scope="module")
def company(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Orders were made for all deals; by its contract, changes are carried over and lost orders stopped."""
    books = Books()
    names = ("changed", "grown", "lost", "delivered", "deleted")
    deals = {name: books.deal(name, customer=f"C-{name}", lines=({}, {})) for name in names}
    contracts = tmp_path_factory.mktemp("policy") / "contracts"
    shutil.copytree(PROJECT / "contracts", contracts)
    text = (contracts / "sales_order.yaml").read_text()
    assert "  changed: report " in text
    assert "  lost: report " in text
    text = text.replace("  changed: report ", "  changed: amend ").replace("  lost: report ", "  lost: stop ")
    (contracts / "sales_order.yaml").write_text(text)
    installation = install(books)

    def run() -> Run:
        done = installation.run({"TIEOUT_CONTRACTS": str(contracts)})
        assert done.success, done.problem
        return done

    run()
    assert len(installation.systems.d365.orders_made()) == len(deals)
    return installation, deals, run


def order_of(installation: Installation, deal: Deal) -> dict[str, Any]:
    [order] = [
        row
        for row in installation.systems.d365.rows("SalesOrderHeadersV2")
        if row["CustomersOrderReference"] == deal.opportunity
    ]
    return order


def lines_of(installation: Installation, deal: Deal) -> dict[str, dict[str, Any]]:
    """The lines of the order of a deal, by the id of the opportunity line."""
    lines = installation.systems.d365.rows("SalesOrderLines")
    return {row["OrderLineReference"]: row for row in lines if row["SalesOrderNumber"] == deal.order}


def test_late_changes_are_carried_over_once_and_never_become_a_second_order(company: Company) -> None:
    installation, deals, run = company
    salesforce, d365 = installation.systems.salesforce, installation.systems.d365
    changed, grown, lost, delivered, deleted = deals.values()

    salesforce.update("Opportunity", changed.opportunity, PO_Number__c="PO-NEW")
    salesforce.update("OpportunityLineItem", changed.lines[1], Quantity=3)
    salesforce.update("OpportunityLineItem", grown.lines[0], Quantity=5)
    added = {"PricebookEntryId": price_id("BK-1"), "Quantity": 1, "UnitPrice": 100}
    salesforce.create("OpportunityLineItem", OpportunityId=grown.opportunity, **added)
    salesforce.update("Opportunity", lost.opportunity, StageName="Closed Lost")
    salesforce.delete("Opportunity", deleted.opportunity)
    d365.post(f"orders/usmf/{delivered.order}/deliver")
    salesforce.update("OpportunityLineItem", delivered.lines[0], Quantity=9)
    run()

    first, second = (lines_of(installation, changed)[key] for key in changed.lines)
    assert order_of(installation, changed)["CustomerRequisitionNumber"] == "PO-NEW"
    assert (first["OrderedSalesQuantity"], first["LineAmount"]) == (1, 100)
    assert (second["OrderedSalesQuantity"], second["LineAmount"]) == (3, 300)
    assert lines_of(installation, grown)[grown.lines[0]]["OrderedSalesQuantity"] == 1
    assert lines_of(installation, delivered)[delivered.lines[0]]["OrderedSalesQuantity"] == 1
    for deal, stopped in ((lost, "Yes"), (deleted, "Yes"), (changed, "No"), (grown, "No")):
        assert order_of(installation, deal)["IsSalesProcessingStopped"] == stopped
    found = {(row.salesforce_key, row.field): row for row in installation.findings().breaks}
    assert found[changed.opportunity, "amount"].cause == Cause.WRITE_PENDING
    for deal, ends in (
        (grown, "; Salesforce has 700 since; the order is not amended: lines were added or removed"),
        (delivered, "; Salesforce has 1000 since; the order is not amended: the order is delivered"),
    ):
        told = found[deal.opportunity, "amount"].reason
        assert told.startswith("sent 200 on ")
        assert told.endswith(ends)
    assert found[lost.opportunity, "differs"].cause == Cause.NOT_WON

    updates = len(d365.effects("updated", "SalesOrderHeadersV2")) + len(d365.effects("updated", "SalesOrderLines"))
    run()
    again = len(d365.effects("updated", "SalesOrderHeadersV2")) + len(d365.effects("updated", "SalesOrderLines"))
    assert again == updates
    assert not any(row.salesforce_key == changed.opportunity for row in installation.findings().breaks)

    salesforce.update("Opportunity", lost.opportunity, StageName="Closed Won")
    run()
    assert order_of(installation, lost)["IsSalesProcessingStopped"] == "No"
    d365.update(
        f"SalesOrderHeadersV2(dataAreaId='usmf',SalesOrderNumber='{changed.order}')", IsSalesProcessingStopped="Yes"
    )
    run()
    assert order_of(installation, changed)["IsSalesProcessingStopped"] == "Yes"
    assert len(d365.orders_made()) == len(deals)
