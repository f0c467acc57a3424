"""Schema drift: each change of a field is told once, with what it means for the contracts."""

from tieout.contract import Contracts
from tieout.contract.drift import READ_ONLY, Drift, changes, salesforce_fields

BEFORE = {"Account": {"Name": "string", "ERP_Number__c": "string", "Fax": "phone", "Credit_Limit__c": "currency"}}


def account(**fields: str | None) -> dict[str, dict[str, str]]:
    """The account with fields changed; None takes one away."""
    merged = {**BEFORE["Account"], **fields}
    return {"Account": {name: kind for name, kind in merged.items() if kind is not None}}


def told(contracts: Contracts, now: dict[str, dict[str, str]]) -> list[tuple[str, Drift, bool]]:
    return [(each.field, each.drift, each.matters) for each in changes("salesforce", contracts, BEFORE, now)]


def test_nothing_changed_is_nothing_told(contracts: Contracts) -> None:
    assert told(contracts, account()) == []


def test_a_field_that_no_contract_reads_may_come_and_go(contracts: Contracts) -> None:
    assert told(contracts, account(Fax=None, Pager="phone")) == [
        ("Fax", Drift.REMOVED, False),
        ("Pager", Drift.ADDED, False),
    ]


def test_a_field_that_is_read_and_gone_says_which_contract_reads_it(contracts: Contracts) -> None:
    [change] = changes("salesforce", contracts, BEFORE, account(Credit_Limit__c=None))

    assert (change.drift, change.matters, change.before, change.now) == (Drift.REMOVED, True, "currency", "")
    file, line, rest = change.effect.split(":", 1)[0], change.effect.split(":")[1].split()[0], change.effect
    assert file == "contracts/customer.yaml"
    assert int(line) > 1
    assert rest.endswith(
        "reads it, so reading Account is refused until it is back, or visible to the integration user again"
    )


def test_another_type_and_a_field_that_can_be_written_no_more(contracts: Contracts) -> None:
    now = account(Credit_Limit__c="string", ERP_Number__c=f"string{READ_ONLY}", Name=f"string{READ_ONLY}")
    found = {each.field: each for each in changes("salesforce", contracts, BEFORE, now)}

    assert found["Credit_Limit__c"].drift is Drift.RETYPED
    assert found["Credit_Limit__c"].effect.endswith("reads it as decimal; values that are none go to quarantine")
    assert found["ERP_Number__c"].drift is Drift.LOCKED
    assert "refused until the integration user may edit it again" in found["ERP_Number__c"].effect
    assert (found["Name"].drift, found["Name"].matters) == (Drift.LOCKED, False)


def test_a_source_that_is_looked_at_for_the_first_time_tells_nothing(contracts: Contracts) -> None:
    assert changes("salesforce", contracts, {}, account()) == []


def test_a_whole_object_that_is_gone_tells_all_its_fields(contracts: Contracts) -> None:
    assert {field for field, drift, _ in told(contracts, {}) if drift is Drift.REMOVED} == set(BEFORE["Account"])


def test_a_describe_answer_gives_types_and_what_may_be_edited() -> None:
    fields = [{"name": "Name", "type": "string", "updateable": True}, {"name": "Id", "type": "id", "updateable": False}]

    assert salesforce_fields({"fields": fields}) == {"Name": "string", "Id": f"id{READ_ONLY}"}
