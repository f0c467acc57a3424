"""Updates in collections: each record's fate is its own."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from resources.salesforce import RowResult, SalesforceClient
from tests.sandbox_salesforce.running_org import Sandbox
from tieout.errors import RequestRefused, SourceUnavailable

MakeAccounts = Callable[[int], list[str]]


def updates_asked(org: Sandbox, after: int) -> int:
    path = "/services/data/v62.0/composite/sobjects"
    return len(org.journal(after=after, phase="asked", method="PATCH", path=path, limit=1000))


def test_records_are_updated_200_at_a_time(org: Sandbox, client: SalesforceClient, accounts: MakeAccounts) -> None:
    ids = accounts(401)
    before = org.journal_end()

    results = client.update_collection(
        "Account", [{"Id": each, "ERP_On_Hold__c": f"No {n}"} for n, each in enumerate(ids)]
    )

    assert results == [RowResult(each, ok=True) for each in ids]
    assert updates_asked(org, before) == 3
    assert org.read("Account", ids[400])["ERP_On_Hold__c"] == "No 400"


def test_values_arrive_to_the_cent_and_to_the_second(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts
) -> None:
    (one,) = accounts(1)

    client.update_collection(
        "Account",
        [
            {
                "Id": one,
                "Credit_Limit__c": Decimal("1234567890123.450000"),
                "ERP_Synced_At__c": datetime(2026, 7, 30, 10, 15, 30, tzinfo=UTC),
                "Payment_Terms__c": "",
            }
        ],
    )

    assert b'"Credit_Limit__c":1234567890123.45' in org.call("GET", f"sobjects/Account/{one}").content.replace(
        b" ", b""
    )
    stored = org.read("Account", one)
    assert stored["ERP_Synced_At__c"] == "2026-07-30T10:15:30.000+0000"
    assert stored["Payment_Terms__c"] is None


def test_a_record_that_is_refused_says_why_and_stops_no_other(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts, tag: str
) -> None:
    first, long, gone, last = accounts(4)
    org.call("DELETE", f"sobjects/Account/{gone}")

    results = client.update_collection(
        "Account",
        [
            {"Id": first, "ERP_Number__c": f"usmf/{tag}"},
            {"Id": long, "Payment_Terms__c": "much longer than ten characters"},
            {"Id": gone, "ERP_On_Hold__c": "No"},
            {"Id": last, "ERP_Number__c": f"USMF/{tag.upper()}"},
        ],
    )

    assert [result.code for result in results] == ["", "STRING_TOO_LONG", "ENTITY_IS_DELETED", "DUPLICATE_VALUE"]
    assert results[1].fields == ("Payment_Terms__c",)
    assert "max length=10" in results[1].message
    assert org.read("Account", first)["ERP_Number__c"] == f"usmf/{tag}"


def test_a_locked_record_is_tried_again_alone(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts, pauses: list[float]
) -> None:
    free, locked = accounts(2)
    org.control("settings", locked_rows={locked: 2})
    before = org.journal_end()

    results = client.update_collection("Account", [{"Id": each, "ERP_On_Hold__c": "All"} for each in (free, locked)])

    assert results == [RowResult(free, ok=True), RowResult(locked, ok=True, attempts=3)]
    assert updates_asked(org, before) == 3
    assert len(pauses) == 2
    assert org.read("Account", locked)["ERP_On_Hold__c"] == "All"


def test_a_record_that_stays_locked_is_given_up_and_told(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts
) -> None:
    (locked,) = accounts(1)
    org.control("settings", locked_rows={locked: 99})

    (result,) = client.update_collection("Account", [{"Id": locked, "ERP_On_Hold__c": "All"}])

    assert (result.ok, result.code, result.attempts) == (False, "UNABLE_TO_LOCK_ROW", 5)
    assert "unable to obtain exclusive access" in result.message


@pytest.mark.parametrize("fault", [{"kind": "lose_answer"}, {"kind": "drop"}, {"kind": "gateway_page", "status": 503}])
def test_an_update_whose_answer_is_lost_is_sent_again(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts, fault: dict[str, object]
) -> None:
    """The same values a second time change nothing, so there is no need to know whether the first one arrived."""
    (one,) = accounts(1)
    org.control("faults", **fault, path="/composite/sobjects")

    results = client.update_collection("Account", [{"Id": one, "ERP_On_Hold__c": "All"}])

    assert results == [RowResult(one, ok=True)]
    assert org.read("Account", one)["ERP_On_Hold__c"] == "All"


def test_answers_that_stay_lost_are_told(org: Sandbox, client: SalesforceClient, accounts: MakeAccounts) -> None:
    (one,) = accounts(1)
    org.control("faults", kind="lose_answer", path="/composite/sobjects", times=9)

    with pytest.raises(SourceUnavailable):
        client.update_collection("Account", [{"Id": one, "ERP_On_Hold__c": "All"}])


def test_one_unreadable_value_costs_only_its_own_record(
    org: Sandbox, client: SalesforceClient, accounts: MakeAccounts
) -> None:
    ids = accounts(5)
    values: list[object] = ["No", "All", {"not": "a value"}, "Never", "Payment"]

    results = client.update_collection(
        "Account", [{"Id": each, "ERP_On_Hold__c": value} for each, value in zip(ids, values, strict=True)]
    )

    assert [result.ok for result in results] == [True, True, False, True, True]
    assert results[2].code == "JSON_PARSER_ERROR"
    assert org.read("Account", ids[4])["ERP_On_Hold__c"] == "Payment"


def test_a_field_that_is_not_there_is_told(client: SalesforceClient, accounts: MakeAccounts) -> None:
    (one,) = accounts(1)

    try:
        (result,) = client.update_collection("Account", [{"Id": one, "Foo__c": "x"}])
    except RequestRefused as refusal:
        code, message = refusal.code, str(refusal)
    else:
        code, message = result.code, result.message

    assert code == "INVALID_FIELD"
    assert "No such column 'Foo__c' on sobject of type Account" in message


def test_nothing_to_update_asks_nothing(client: SalesforceClient) -> None:
    assert client.update_collection("Account", []) == []
    assert client.api_calls == 0


def test_a_float_never_reaches_salesforce(client: SalesforceClient) -> None:
    with pytest.raises(TypeError, match="a float cannot hold money"):
        client.update_collection("Account", [{"Id": "001000000000001AAA", "Credit_Limit__c": 0.1}])

    assert client.api_calls == 0
