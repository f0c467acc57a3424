"""The doctor against both sandboxes: what it proves of a user with too many rights, too few, and just enough."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from pipelines.cli.doctor_d365 import examine_d365
from tests.pipeline.installation import Finished, Installation, Run
from tests.writes import is_write
from tieout.contract import load_contracts
from tieout.settings import Settings

DONE, NEEDS_A_PERSON = 0, 1
ENOUGH = {
    "rights": {"Account": "ru", "Opportunity": "ru", "OpportunityLineItem": "ru", "Product2": "r", "Pricebook2": "r"},
    "read_only_fields": [
        "Account.Email__c", "Account.ERP_Company__c", "Opportunity.ERP_Company__c", "Opportunity.PO_Number__c",
        "Opportunity.Requested_Ship_Date__c",
    ],
}  # fmt: skip
"""What `salesforce/` grants, in the words of the sandbox's switches."""


@pytest.fixture(scope="module")
def ran(installation: Installation) -> Run:
    return installation.run()


@dataclass
class Doctor:
    """The doctor of one installation, and the switches of its systems."""

    installation: Installation

    def examine(self) -> Finished:
        return self.installation.called("doctor", "--json")

    def findings(self) -> dict[str, dict[str, Any]]:
        """What was looked at → how it stands."""
        found = self.examine().json["findings"]
        by_name = {each["what"]: each for each in found}
        assert len(by_name) == len(found)
        return by_name

    def salesforce(self, **switches: object) -> None:
        self.installation.salesforce.post("settings", switches)

    def d365(self, **switches: object) -> None:
        self.installation.d365.post("settings", switches)


@pytest.fixture
def doctor(installation: Installation, ran: Run) -> Iterator[Doctor]:  # noqa: ARG001 it has happened
    yield Doctor(installation)
    for system in installation.systems.values():
        requests.delete(f"{system.url}/_sandbox/faults", timeout=30)
        switches = requests.get(f"{system.url}/_sandbox/settings", timeout=30).json()
        system.post("settings", dict.fromkeys(switches))


def test_a_user_with_just_the_rights_of_the_permission_set_has_nothing_to_say(doctor: Doctor) -> None:
    doctor.salesforce(**ENOUGH)

    findings = doctor.findings()

    # Whether a number sequence is manual is known of those companies only that an order was made in.
    left = {what: each["found"] for what, each in findings.items() if each["status"] != "ok"}
    assert list(left) == ["D365 number sequence of sales order"]
    assert left["D365 number sequence of sales order"].startswith("not proven yet in ")
    assert all(not each["advice"] for each in findings.values() if each["status"] == "ok")


def test_every_right_is_a_finding_of_its_own(doctor: Doctor) -> None:
    examined = [each["what"] for each in doctor.examine().json["findings"]]

    assert examined == [
        "Versions",
        "Database",
        "Contracts",
        "Configuration",
        "Salesforce sign-in",
        "Salesforce API version",
        "Salesforce clock",
        "Salesforce fields",
        "Salesforce may read Product2",
        "Salesforce may do no more with Product2",
        "Salesforce may read Account",
        "Salesforce may edit Account",
        "Salesforce may do no more with Account",
        "Salesforce may read Opportunity",
        "Salesforce may edit Opportunity",
        "Salesforce may do no more with Opportunity",
        "Salesforce may read OpportunityLineItem",
        "Salesforce may do no more with OpportunityLineItem",
        "Salesforce View All",
        "Salesforce permission ApiEnabled",
        "Salesforce permission ApiUserOnly",
        "Salesforce permission UpdateWithInactiveOwner",
        "Salesforce permissions, no more",
        "Salesforce events /data/AccountChangeEvent",
        "Salesforce events /data/OpportunityChangeEvent",
        "Salesforce events /event/ERP_Order_Status__e",
        "Salesforce API calls of 24 hours",
        "D365 sign-in",
        "D365 clock",
        "D365 fields",
        "D365 companies",
        "D365 may read ReleasedProductsV2",
        "D365 may read CustomersV3",
        "D365 may read SalesOrderHeadersV2",
        "D365 may read SalesOrderLines",
        "D365 may read no more",
        "D365 may create CustomersV3",
        "D365 may change CustomersV3",
        "D365 number sequence of customer",
        "D365 may create SalesOrderHeadersV2",
        "D365 number sequence of sales order",
        "Log in Dataverse",
        "Log in SharePoint",
    ]


def test_nothing_is_written_to_either_system(doctor: Doctor) -> None:
    before = {name: system.position() for name, system in doctor.installation.systems.items()}

    doctor.examine()

    for name, system in doctor.installation.systems.items():
        assert system.effects(before[name]) == []
        assert not [entry for entry in system.asked(before[name]) if is_write(entry)]


def test_the_sandboxes_user_may_do_more_than_it_needs_which_is_a_warning_and_no_failure(doctor: Doctor) -> None:
    finished = doctor.examine()

    assert finished.code == DONE
    assert finished.json["ok"]
    warned = {each["what"]: each for each in finished.json["findings"] if each["status"] == "warn"}
    assert warned["Salesforce may do no more with Account"]["found"] == (
        "it may create, delete, edit ERP_Company__c, edit Email__c"
    )
    assert warned["Salesforce may do no more with Product2"]["found"] == "it may create, delete, edit"
    assert "take it away" in warned["Salesforce may do no more with Account"]["advice"]


@pytest.mark.parametrize(
    ("switches", "what", "found", "advice"),
    [
        (
            {"rights": {"Product2": "c"}},
            "Salesforce may read Product2",
            "no",
            "Give the permission set Read and View All on Product2.",
        ),
        ({"rights": {"Account": "r"}}, "Salesforce may edit Account", "no", "Give the permission set Edit on Account."),
        (
            {"read_only_fields": ["Opportunity.ERP_Amount__c"]},
            "Salesforce may edit Opportunity",
            "not ERP_Amount__c",
            "Give the permission set edit access to Opportunity.ERP_Amount__c.",
        ),
        (
            {"system_permissions": ["ApiUserOnly"]},
            "Salesforce permission ApiEnabled",
            "not granted",
            "Nothing can be read. Give the user API Enabled.",
        ),
    ],
)
def test_a_right_that_a_run_needs_and_does_not_have_fails(
    doctor: Doctor, switches: dict[str, object], what: str, found: str, advice: str
) -> None:
    doctor.salesforce(**switches)

    finished = doctor.examine()

    assert finished.code == NEEDS_A_PERSON
    finding = next(each for each in finished.json["findings"] if each["what"] == what)
    assert (finding["status"], finding["found"], finding["advice"]) == ("fail", found, advice)


@pytest.mark.parametrize(
    ("permissions", "what", "found"),
    [
        (
            ["ApiEnabled", "ApiUserOnly", "UpdateWithInactiveOwner", "ModifyAllData", "ManageUsers"],
            "Salesforce permissions, no more",
            "granted: ModifyAllData, ManageUsers",
        ),
        (["ApiEnabled", "ApiUserOnly"], "Salesforce permission UpdateWithInactiveOwner", "not granted"),
        (["ApiEnabled", "UpdateWithInactiveOwner"], "Salesforce permission ApiUserOnly", "not granted"),
    ],
)
def test_system_permissions_that_are_too_many_or_missing_are_warnings(
    doctor: Doctor, permissions: list[str], what: str, found: str
) -> None:
    doctor.salesforce(system_permissions=permissions)

    finding = doctor.findings()[what]

    assert (finding["status"], finding["found"]) == ("warn", found)
    assert finding["advice"]


def test_a_user_that_does_not_see_all_records_fails(doctor: Doctor) -> None:
    doctor.installation.salesforce.post(
        "faults",
        {
            "kind": "replace_answer",
            "status": 200,
            "path": "limits/recordCount",
            "body": {"sObjects": [{"name": "Account", "count": 1_000_000}]},
        },
    )

    finding = doctor.findings()["Salesforce View All"]

    assert finding["status"] == "fail"
    assert "of 1,000,000" in finding["found"]


def test_where_salesforce_does_not_tell_how_many_there_are_view_all_is_not_taken_for_proven(doctor: Doctor) -> None:
    refusal = [{"errorCode": "INSUFFICIENT_ACCESS", "message": "insufficient access"}]
    doctor.installation.salesforce.post(
        "faults", {"kind": "refuse", "status": 403, "path": "limits/recordCount", "body": refusal}
    )

    finding = doctor.findings()["Salesforce View All"]

    assert (finding["status"], finding["found"]) == ("warn", "cannot be asked by this user")


def test_an_entity_set_that_the_role_does_not_cover_fails_and_the_others_are_looked_at(doctor: Doctor) -> None:
    doctor.d365(forbidden_sets=["CustomersV3"])

    findings = doctor.findings()

    assert findings["D365 may read CustomersV3"]["status"] == "fail"
    assert "a role for the entity" in findings["D365 may read CustomersV3"]["advice"]
    assert findings["D365 may read SalesOrderLines"]["status"] == "ok"


def test_an_entity_set_that_no_contract_needs_is_a_warning_where_it_may_be_read(doctor: Doctor) -> None:
    settings = Settings.from_environment()
    contracts = load_contracts(settings.contracts)

    def no_more() -> tuple[str, str]:
        with closing(examine_d365(settings, contracts, others=("SalesInvoiceHeadersV2", "Nothing"))) as findings:  # type: ignore[type-var]
            found = next(each for each in findings if each.what == "D365 may read no more")
            return str(found.status), found.found

    assert no_more() == ("warn", "it may read SalesInvoiceHeadersV2")

    doctor.d365(forbidden_sets=["SalesInvoiceHeadersV2"])
    assert no_more() == ("ok", "refused: SalesInvoiceHeadersV2")


def test_clocks_that_are_apart_are_told_of(doctor: Doctor) -> None:
    doctor.installation.salesforce.post("clock", {"now": "2030-01-01T00:00:00Z"})
    try:
        finding = doctor.findings()["Salesforce clock"]
    finally:
        doctor.installation.salesforce.post("clock", {"now": None})

    assert finding["status"] == "fail"


def test_an_api_version_that_is_not_offered_fails_with_those_that_are(doctor: Doctor) -> None:
    from tests.pipeline.test_cli import tenants

    environment = tenants(doctor.installation) | {"SALESFORCE_API_VERSION": "99.0"}

    finished = doctor.installation.called("doctor", "--json", environment=environment)

    finding = next(each for each in finished.json["findings"] if each["what"] == "Salesforce API version")
    assert finding["status"] == "fail"
    assert "SALESFORCE_API_VERSION" in finding["advice"]


def test_before_the_first_run_what_may_be_written_is_not_proven(
    install: Callable[[], AbstractContextManager[Installation]],
) -> None:
    with install() as fresh:
        findings = {each["what"]: each for each in fresh.called("doctor", "--json").json["findings"]}

    for what in ("D365 may create CustomersV3", "D365 number sequence of sales order"):
        assert (findings[what]["status"], findings[what]["found"]) == ("warn", "not proven yet")


def test_the_table_has_one_line_a_check_with_its_status(doctor: Doctor) -> None:
    finished = doctor.installation.called("doctor")

    lines = finished.stdout.splitlines()
    assert any(line.startswith("ok ") and "Salesforce sign-in" in line for line in lines)
    assert any(line.startswith("warn ") and "Salesforce may do no more with Account" in line for line in lines)
