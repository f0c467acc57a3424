"""One record at a time: what is stamped, derived, checked and refused."""

from typing import Any

import pytest

from tests.sandbox_salesforce.running_org import Sandbox, an_account, an_opportunity


@pytest.fixture
def price(org: Sandbox, tag: str) -> dict[str, str]:
    """A product with a price in a price book of its own."""
    book = org.create("Pricebook2", Name=f"Book {tag}", IsActive=True)
    product = org.create("Product2", Name=f"Bike {tag}", ProductCode="BK-1", IsActive=True)
    entry = org.create("PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=100, IsActive=True)
    return {"book": book, "product": product, "entry": entry}


@pytest.fixture
def deal(org: Sandbox, tag: str) -> str:
    return org.create("Opportunity", **an_opportunity(Name=f"Deal {tag}", Amount=77))


def refused(org: Sandbox, sobject: str, **fields: Any) -> dict[str, Any]:
    answer = org.call("POST", f"sobjects/{sobject}", json=fields)
    assert answer.status_code == 400, answer.text
    return answer.json()[0]


def test_the_server_stamps_in_whole_seconds_of_its_own_clock(org: Sandbox) -> None:
    org.control("clock", now="2026-12-24T10:20:30.987Z", frozen=True)
    org.log_in()
    made = org.read("Account", org.create("Account", Name="Stamped"))
    org.control("clock", advance_s=5)
    answer = org.call("PATCH", f"sobjects/Account/{made['Id'][:15]}", json={"Name": "Stamped"})
    changed = org.read("Account", made["Id"])

    assert made["CreatedDate"] == made["LastModifiedDate"] == made["SystemModstamp"] == "2026-12-24T10:20:30.000+0000"
    assert (answer.status_code, answer.content) == (204, b"")
    assert changed["SystemModstamp"] == changed["LastModifiedDate"] == "2026-12-24T10:20:35.000+0000"
    assert changed["CreatedDate"] == made["CreatedDate"]
    assert answer.headers["Date"] == "Thu, 24 Dec 2026 10:20:35 GMT"


def test_a_record_is_created_read_and_deleted(org: Sandbox, tag: str) -> None:
    created = org.call("POST", "sobjects/Account/", json={"Name": f"  Trimmed {tag} ", "Site": "", "Email__c": None})
    record_id = created.json()["id"]
    assert created.status_code == 201
    assert created.json() == {"id": record_id, "success": True, "errors": []}
    assert created.headers["Location"] == f"/services/data/v62.0/sobjects/Account/{record_id}"
    assert record_id.startswith("001")

    some = org.call("GET", f"sobjects/Account/{record_id}", params={"fields": "Name,Site,IsDeleted"}).json()
    assert {key: some[key] for key in ("Name", "Site", "IsDeleted")} == {
        "Name": f"Trimmed {tag}",
        "Site": None,
        "IsDeleted": False,
    }

    assert org.call("DELETE", f"sobjects/Account/{record_id}").status_code == 204
    for method, body in (("GET", None), ("PATCH", {"Name": "x"}), ("DELETE", None)):
        again = org.call(method, f"sobjects/Account/{record_id}", json=body)
        assert (again.status_code, again.json()[0]["errorCode"]) == (404, "ENTITY_IS_DELETED")


def test_upsert_creates_once_and_then_updates_whatever_the_case(org: Sandbox, tag: str) -> None:
    path = f"sobjects/Account/ERP_Number__c/usmf%2F{tag}%20%C3%A9"
    first = org.call("PATCH", path, json={"Name": "One"})
    second = org.call("PATCH", path.replace(tag, tag.upper()), json={"Name": "Two"})
    record = org.call("GET", path).json()

    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()) == (
        200,
        {"id": first.json()["id"], "success": True, "errors": [], "created": False},
    )
    assert (record["Name"], record["ERP_Number__c"]) == ("Two", f"usmf/{tag} é")


def test_upsert_refuses_the_key_in_the_body_and_never_creates_when_told_so(org: Sandbox, tag: str) -> None:
    path = f"sobjects/Account/ERP_Number__c/{tag}"
    twice = org.call("PATCH", path, json={"Name": "x", "ERP_Number__c": tag})
    assert twice.json()[0]["message"] == "The ERP_Number__c field should not be specified in the sobject data."
    assert org.call("PATCH", f"{path}?updateOnly=true", json={"Name": "x"}).status_code == 404
    unknown = org.call("GET", f"sobjects/Account/Site/{tag}")
    assert unknown.status_code == 404
    assert unknown.json()[0]["message"] == "Provided external ID field does not exist or is not accessible: Site"


def test_a_unique_field_is_unique_without_case_among_live_records(org: Sandbox, tag: str) -> None:
    first = org.create("Account", Name="a", ERP_Number__c=tag)
    problem = refused(org, "Account", Name="b", ERP_Number__c=tag.upper())
    assert problem == {
        "message": f"duplicate value found: ERP_Number__c duplicates value on record with id: {first[:15]}",
        "errorCode": "DUPLICATE_VALUE", "fields": [],
    }  # fmt: skip
    org.call("DELETE", f"sobjects/Account/{first}")
    assert org.create("Account", Name="b", ERP_Number__c=tag.upper()) != first


@pytest.mark.parametrize(
    ("sobject", "fields", "code", "message", "named"),
    [
        ("Account", {"Site": "x"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", ["Name"]),
        ("Opportunity", {"Name": "x"}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [StageName, CloseDate]", ["StageName", "CloseDate"]),
        ("Account", {"Name": "x" * 256}, "STRING_TOO_LONG", f"Account Name: data value too large: {'x' * 256} (max length=255)", ["Name"]),
        ("Opportunity", an_opportunity(ERP_Order_Status__c="Lost"), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "ERP Order Status: bad value for restricted picklist field: Lost", ["ERP_Order_Status__c"]),
        ("Account", {"Name": "x", "Foo__c": 1}, "INVALID_FIELD", "No such column 'Foo__c' on sobject of type Account", None),
        ("Account", {"Name": "x", "CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: CreatedDate. Please check the security settings of this field and verify that it is read/write for your profile or permission set.", ["CreatedDate"]),
        ("Account", {"Name": "x", "Email__c": "nobody"}, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: nobody", ["Email__c"]),
        ("Opportunity", an_opportunity(Amount=10**16), "NUMBER_OUTSIDE_VALID_RANGE", f"Amount: value outside of valid range on numeric field: {10**16}", ["Amount"]),
        ("Opportunity", an_opportunity(AccountId="006000000000001AAA"), "MALFORMED_ID", "Account ID: id value of incorrect type: 006000000000001AAA", ["AccountId"]),
        ("Opportunity", an_opportunity(AccountId="001000000000001AAA"), "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ["AccountId"]),
    ],
)  # fmt: skip
def test_a_write_that_breaks_a_rule_says_which(
    org: Sandbox, sobject: str, fields: dict[str, Any], code: str, message: str, named: list[str] | None
) -> None:
    problem = refused(org, sobject, **fields)
    assert (problem["errorCode"], problem["message"], problem.get("fields")) == (code, message, named)


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"CloseDate": "abc"}, "Cannot deserialize instance of date from VALUE_STRING value abc"),
        ({"Amount": "much"}, "Cannot deserialize instance of currency from VALUE_STRING value much"),
        ({"Name": 5}, "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5"),
        ({"IsPrivate": "maybe"}, "Cannot deserialize instance of boolean from VALUE_STRING value maybe"),
    ],
)
def test_a_value_of_the_wrong_type_does_not_parse(org: Sandbox, fields: dict[str, Any], start: str) -> None:
    problem = refused(org, "Opportunity", **an_opportunity(**fields))
    assert problem["errorCode"] == "JSON_PARSER_ERROR"
    assert problem["message"].startswith(start)


def test_broken_json_is_told_with_its_place(org: Sandbox) -> None:
    answer = org.call("POST", "sobjects/Account", data="{x}", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == "JSON_PARSER_ERROR"
    assert answer.json()[0]["message"] == "Unexpected character ('x' (code 120)) at [line:1, column:2]"


def test_a_parent_can_be_named_by_its_external_id(org: Sandbox, tag: str) -> None:
    account = org.create("Account", Name="p", ERP_Number__c=tag)
    deal = org.create("Opportunity", **an_opportunity(Account={"ERP_Number__c": tag.upper()}))
    assert org.read("Opportunity", deal)["AccountId"] == account
    problem = refused(org, "Opportunity", **an_opportunity(Account={"ERP_Number__c": "nope"}))
    assert problem["message"] == "Foreign key external ID: nope not found for field ERP_Number__c in entity Account"


def test_unknown_ids_are_404_with_the_code_of_the_verb(org: Sandbox) -> None:
    path = "sobjects/Account/0018d00000XyZaBAAV"
    assert org.call("GET", path).json()[0]["errorCode"] == "NOT_FOUND"
    for method in ("PATCH", "DELETE"):
        answer = org.call(method, path, json={"Name": "x"})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (404, "INVALID_CROSS_REFERENCE_KEY")


def test_the_stage_decides_whether_a_deal_is_won_and_closed(org: Sandbox, deal: str) -> None:
    before = org.read("Opportunity", deal)
    org.call("PATCH", f"sobjects/Opportunity/{deal}", json={"StageName": "Closed Won"})
    after = org.read("Opportunity", deal)
    asked = ("IsWon", "IsClosed", "Probability", "ForecastCategory", "ExpectedRevenue")
    assert [before[name] for name in asked] == [False, False, 10.0, "Pipeline", 7.7]
    assert [after[name] for name in asked] == [True, True, 100.0, "Closed", 77.0]


def test_a_lines_total_is_worked_out_and_rolled_up_and_the_amount_can_no_longer_be_written(
    org: Sandbox, deal: str, price: dict[str, str]
) -> None:
    line = org.create(
        "OpportunityLineItem",
        OpportunityId=deal,
        PricebookEntryId=price["entry"],
        Quantity=3,
        UnitPrice=33.35,
        Discount=10,
    )
    org.create("OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price["entry"], Quantity=1, TotalPrice=0.1)
    ignored = org.call("PATCH", f"sobjects/Opportunity/{deal}", json={"Amount": 5})
    made, parent = org.read("OpportunityLineItem", line), org.read("Opportunity", deal)

    assert [made[name] for name in ("TotalPrice", "Subtotal", "ListPrice", "ProductCode", "Product2Id")] == [
        90.05, 100.05, 100.0, "BK-1", price["product"],
    ]  # fmt: skip
    assert ignored.status_code == 204
    assert [parent[name] for name in ("Amount", "HasOpportunityLineItem", "Pricebook2Id")] == [
        90.15,
        True,
        price["book"],
    ]

    org.call("PATCH", f"sobjects/OpportunityLineItem/{line}", json={"Discount": None})
    assert org.read("Opportunity", deal)["Amount"] == 100.15
    org.call("DELETE", f"sobjects/OpportunityLineItem/{line}")
    assert org.read("Opportunity", deal)["Amount"] == 0.1


def test_a_line_needs_a_price_of_the_deals_own_price_book(
    org: Sandbox, deal: str, price: dict[str, str], tag: str
) -> None:
    other = org.create("Pricebook2", Name=f"Other {tag}")
    entry = org.create("PricebookEntry", Pricebook2Id=other, Product2Id=price["product"], UnitPrice=1)
    org.call("PATCH", f"sobjects/Opportunity/{deal}", json={"Pricebook2Id": price["book"]})
    problem = refused(org, "OpportunityLineItem", OpportunityId=deal, PricebookEntryId=entry, Quantity=1, UnitPrice=1)
    assert problem["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"
    twice = refused(org, "PricebookEntry", Pricebook2Id=other, Product2Id=price["product"], UnitPrice=1)
    assert (twice["errorCode"], twice["message"]) == (
        "DUPLICATE_VALUE",
        "This price definition already exists in this price book",
    )
    missing = refused(org, "OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price["entry"], Quantity=1)
    assert missing["message"] == "Required fields are missing: [UnitPrice]"


def test_a_deleted_account_takes_its_deals_and_lines_along(org: Sandbox, price: dict[str, str]) -> None:
    account = org.create("Account", Name="gone")
    deal = org.create("Opportunity", **an_opportunity(AccountId=account, Pricebook2Id=price["book"]))
    line = org.create(
        "OpportunityLineItem", OpportunityId=deal, PricebookEntryId=price["entry"], Quantity=1, UnitPrice=1
    )
    org.call("DELETE", f"sobjects/Account/{account}")

    soql = f"SELECT IsDeleted FROM OpportunityLineItem WHERE Id = '{line}'"
    assert org.column(soql) == []
    assert org.column(soql, deleted=True) == [True]
    assert org.column(f"SELECT IsDeleted FROM Opportunity WHERE Id = '{deal}'", deleted=True) == [True]


def test_updated_and_deleted_tell_the_ids_of_a_span_of_time(org: Sandbox) -> None:
    org.control("clock", now="2026-12-25T08:00:00Z", frozen=True)
    org.log_in()
    kept, gone = org.create("Account", Name="kept"), org.create("Account", Name="gone")
    org.call("DELETE", f"sobjects/Account/{gone}")
    span = {"start": "2026-12-25T08:00:00Z", "end": "2026-12-25T09:00:00+00:00"}

    updated = org.call("GET", "sobjects/Account/updated/", params=span).json()
    deleted = org.call("GET", "sobjects/Account/deleted/", params=span).json()

    assert updated == {"ids": [kept], "latestDateCovered": "2026-12-25T08:00:00.000+0000"}
    assert deleted["deletedRecords"] == [{"id": gone, "deletedDate": "2026-12-25T08:00:00.000+0000"}]


def test_a_merged_account_names_its_master_and_hands_its_deals_over(org: Sandbox) -> None:
    master, loser = org.create("Account", Name="m"), org.create("Account", Name="l")
    deal = org.create("Opportunity", **an_opportunity(AccountId=loser))
    org.control("merge", master=master, loser=loser)

    assert org.column(f"SELECT MasterRecordId FROM Account WHERE Id = '{loser}'", deleted=True) == [master]
    assert org.read("Opportunity", deal)["AccountId"] == master


def test_the_journal_tells_what_took_effect_and_on_which_fields(org: Sandbox, tag: str) -> None:
    start = org.journal_end()
    made = org.create("Account", **{key: value for key, value in an_account(tag).items() if key != "attributes"})
    org.call("PATCH", f"sobjects/Account/{made}", json={"ERP_Company__c": "usmf"})
    org.call("PATCH", f"sobjects/Account/{made}", json={"Foo__c": "usmf"})
    effects = org.journal(after=start, phase="effect")
    answered = org.journal(after=start, phase="answered")

    assert [(entry["effect"], entry["entity"], entry["key"], entry["fields"]) for entry in effects] == [
        ("created", "Account", made, ["Name", "AccountSource"]),
        ("updated", "Account", made, ["ERP_Company__c"]),
    ]
    assert effects[1]["values"] == {"ERP_Company__c": "usmf"}
    assert effects[1]["company"] == "usmf"
    assert [entry["status"] for entry in answered] == [201, 204, 400]
    assert effects[0]["request_id"] == answered[0]["request_id"]
