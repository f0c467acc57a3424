"""A running user with fewer rights: what describe says, and that the org holds to it."""

import pytest

from tests.sandbox_salesforce.running_org import Sandbox


def test_describe_says_what_the_user_may_do_with_records_and_fields(org: Sandbox) -> None:
    org.control("settings", rights={"Account": "ru"}, read_only_fields=["Account.Email__c"])

    account = org.call("GET", "sobjects/Account/describe").json()

    assert [account[flag] for flag in ("queryable", "createable", "updateable", "deletable", "mergeable")] == [
        True, False, True, False, False,
    ]  # fmt: skip
    fields = {each["name"]: each for each in account["fields"]}
    assert not fields["Email__c"]["updateable"]
    assert fields["Phone"]["updateable"]


def test_what_the_user_may_not_do_is_refused(org: Sandbox) -> None:
    record = org.create("Account", Name="Rights")
    org.control("settings", rights={"Account": "ru"}, read_only_fields=["Account.Email__c"])

    assert org.call("PATCH", f"sobjects/Account/{record}", json={"Phone": "1"}).status_code == 204
    answers = [
        org.call("POST", "sobjects/Account/", json={"Name": "New"}),
        org.call("DELETE", f"sobjects/Account/{record}"),
        org.call("PATCH", f"sobjects/Account/{record}", json={"Email__c": "a@example.com"}),
    ]

    assert [answer.json()[0]["errorCode"] for answer in answers] == [
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "INVALID_FIELD_FOR_INSERT_UPDATE",
    ]


def test_an_object_that_may_not_be_read_is_not_there(org: Sandbox) -> None:
    org.control("settings", rights={"Opportunity": ""})

    assert org.call("GET", "sobjects/Opportunity/describe").status_code == 404
    assert org.refusal("SELECT Id FROM Opportunity")[0] == "INVALID_TYPE"
    assert org.call("GET", "sobjects/Account/describe").status_code == 200


@pytest.mark.parametrize("granted", [True, False])
def test_the_user_is_told_its_own_system_permissions(org: Sandbox, granted: bool) -> None:
    org.control("settings", system_permissions=["ModifyAllData"] if granted else [])

    answer = org.query("SELECT PermissionsModifyAllData FROM UserPermissionAccess")

    assert [record["PermissionsModifyAllData"] for record in answer["records"]] == [granted]


def test_a_permission_that_the_org_does_not_know_is_no_field(org: Sandbox) -> None:
    code, message = org.refusal("SELECT PermissionsFly FROM UserPermissionAccess")

    assert code == "INVALID_FIELD"
    assert "PermissionsFly" in message
