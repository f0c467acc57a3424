"""What the doctor makes of answers that the sandboxes do not give."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tieout.contract import Contracts, Table
from tieout.doctor import Status, clock, d365, salesforce

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def account(contracts: Contracts) -> Table:
    return contracts.table("salesforce", "account")


def described(*fields: dict[str, Any], **flags: bool) -> dict[str, Any]:
    """A describe answer with least rights, but for what a test is about."""
    return {"createable": False, "updateable": True, "deletable": False, "fields": list(fields)} | flags


@pytest.mark.parametrize(("apart_s", "status"), [(0, "ok"), (5, "ok"), (6, "warn"), (30, "warn"), (31, "fail")])
def test_a_clock_warns_before_it_fails(apart_s: float, status: str) -> None:
    assert clock("D365", apart_s).status == status


@pytest.mark.parametrize(("used", "status"), [(80, "ok"), (81, "warn"), (89, "warn"), (90, "fail")])
def test_a_quota_fails_where_a_run_would_stop(used: int, status: str) -> None:
    assert salesforce.quota(used, 100, reserve_percent=10).status == status


def test_fields_that_open_with_the_object_are_no_excess(account: Table) -> None:
    """Name takes no field permission: whoever may edit accounts may edit it, and nobody can take that away."""
    name = {"name": "Name", "updateable": True, "permissionable": False}
    phone = {"name": "Phone", "updateable": True, "permissionable": True}
    stranger = {"name": "Fax", "updateable": True, "permissionable": True}

    assert salesforce.nothing_more(account, described(name)).status is Status.OK
    assert salesforce.nothing_more(account, described(name, phone, stranger)).found == "it may edit Phone"


def test_lines_have_no_rights_of_their_own(contracts: Contracts) -> None:
    lines = contracts.table("salesforce", "opportunity_line")

    assert salesforce.nothing_more(lines, described(createable=True, deletable=True)).status is Status.OK
    assert salesforce.editing(lines, described()) is None


def test_a_permission_that_the_organisation_does_not_know_is_not_granted() -> None:
    assert salesforce.powers({"ModifyMetadata": None, "ModifyAllData": False}).status is Status.OK
    assert [each.status for each in salesforce.needed_permissions({"ApiEnabled": None})] == ["fail", "warn", "warn"]


def test_a_few_records_fewer_than_counted_are_no_missing_right() -> None:
    """The organisation's own count is taken now and then."""
    assert salesforce.view_all({"Account": 95}, {"Account": 100}).status is Status.OK
    assert salesforce.view_all({"Account": 89, "Product2": 5}, {"Account": 100}).found == "sees Account: 89 of 100"


def test_what_d365_has_taken_proves_the_right_to_write_it(contracts: Contracts) -> None:
    taken = [d365.Taken("sales_order", "create", "usmf", AT), d365.Taken("customer", "update", "demf", AT)]

    [orders] = d365.writing(contracts["sales_order"], taken)
    created, changed = d365.writing(contracts["customer"], taken)

    assert (orders.status, orders.found) == ("ok", "1 companies, last in usmf at 2026-11-27 12:00 UTC")
    assert (created.status, changed.status) == ("warn", "ok")


def test_a_manual_number_sequence_is_proven_company_by_company(contracts: Contracts) -> None:
    taken = [d365.Taken("sales_order", "create", "usmf", AT)]

    proven = d365.numbers(contracts["sales_order"], ["usmf"], taken)
    half = d365.numbers(contracts["sales_order"], ["usmf", "demf"], taken)

    assert proven is not None
    assert proven.status is Status.OK
    assert half is not None
    assert (half.status, half.found) == ("warn", "not proven yet in demf")


def test_products_are_never_written(contracts: Contracts) -> None:
    assert not d365.is_written(contracts["product"])


@pytest.mark.parametrize(("days", "status"), [(31, "ok"), (29, "warn"), (-1, "fail")])
def test_a_certificate_warns_a_month_before_it_ends(days: int, status: str) -> None:
    assert d365.certificate(AT + timedelta(days=days), AT).status == status


def test_a_key_alone_tells_no_end() -> None:
    assert d365.certificate(None, AT).status is Status.OK


def test_a_channel_that_cannot_be_listened_to_is_a_warning_because_the_schedule_finds_the_same() -> None:
    assert salesforce.channel("/data/AccountChangeEvent").status == "ok"
    refused = salesforce.channel("/data/AccountChangeEvent", "topic.not.found: The topic was not found.")
    assert (refused.status, refused.found) == ("warn", "topic.not.found: The topic was not found.")
    assert "TIEOUT_SALESFORCE_TOPICS" in refused.advice
