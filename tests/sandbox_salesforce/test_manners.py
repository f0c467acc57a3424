"""The manners of the REST door: versions, verbs, slashes, headers, quotas, describe, faults."""

import pytest
import requests

from tests.sandbox_salesforce.running_org import Sandbox

FIELD_KEYS = {
    "name", "type", "label", "length", "precision", "scale", "nillable", "unique", "externalId", "idLookup", "createable",
    "updateable", "custom", "calculated", "compoundFieldName", "relationshipName", "referenceTo", "picklistValues",
    "restrictedPicklist", "deprecatedAndHidden", "nameField", "soapType", "defaultedOnCreate", "caseSensitive",
    "filterable", "sortable", "byteLength", "digits", "aggregatable", "aiPredictionField", "autoNumber",
    "calculatedFormula", "cascadeDelete", "controllerName", "defaultValue", "defaultValueFormula", "dependentPicklist",
    "displayLocationInDecimal", "encrypted", "extraTypeInfo", "filteredLookupInfo", "formulaTreatNullNumberAsZero",
    "groupable", "highScaleNumber", "htmlFormatted", "inlineHelpText", "mask", "maskType", "namePointing",
    "permissionable", "polymorphicForeignKey", "queryByDistance", "referenceTargetField", "relationshipOrder",
    "restrictedDelete", "searchPrefilterable", "writeRequiresMasterRead",
}  # fmt: skip


def test_the_versions_list_is_free_and_open(org: Sandbox) -> None:
    answer = requests.get(f"{org.url}/services/data/", timeout=10)
    listed = answer.json()
    assert {"label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0"} in listed
    assert [float(each["version"]) for each in listed] == sorted(float(each["version"]) for each in listed)
    assert "Sforce-Limit-Info" not in answer.headers


@pytest.mark.parametrize("path", ["/services/data/v62.0", "/services/data/v62.0/", "/services/data/v55.0/"])
def test_the_version_root_names_the_resources_of_the_called_version(org: Sandbox, path: str) -> None:
    root = org.call("GET", path).json()
    assert root["sobjects"] == path.rstrip("/") + "/sobjects"
    assert root["identity"].startswith("https://login.salesforce.com/id/00D")


@pytest.mark.parametrize("path", ["/services/data/v99.0/limits", "/services/data/v62.0//limits", "/services/data/v62.0/nope", "/services/data/v62.0/sobjects/Nope"])  # fmt: skip
def test_what_does_not_exist_is_404(org: Sandbox, path: str) -> None:
    answer = org.call("GET", path)
    assert answer.status_code == 404
    assert answer.json()[0]["errorCode"] == "NOT_FOUND"


def test_a_slash_at_the_end_is_forgiven(org: Sandbox) -> None:
    for path in ("limits/", "query/?q=SELECT+Id+FROM+User", "sobjects/Account/", "sobjects/Account/describe/"):
        assert org.call("GET", path).status_code == 200, path


def test_a_wrong_verb_and_a_wrong_media_type_are_told(org: Sandbox) -> None:
    verb = org.call("PUT", "sobjects/Account", json={})
    assert (verb.status_code, verb.json()[0]["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    assert verb.json()[0]["message"] == "HTTP Method 'PUT' not allowed. Allowed are HEAD,GET,POST"
    media = org.call(
        "POST", "sobjects/Account", data="Name=x", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (media.status_code, media.json()[0]["errorCode"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_post_can_stand_for_a_patch(org: Sandbox) -> None:
    made = org.create("Account", Name="before")
    assert org.call("POST", f"sobjects/Account/{made}?_HttpMethod=PATCH", json={"Name": "after"}).status_code == 204
    assert org.call("HEAD", f"sobjects/Account/{made}").status_code == 200


def test_a_url_that_is_too_long_is_414(org: Sandbox) -> None:
    assert (
        org.call("GET", "query", params={"q": "SELECT Id FROM Account WHERE Name = '" + "x" * 16_400 + "'"}).status_code
        == 414
    )


def test_every_answer_carries_the_quota_and_the_last_call_is_refused(org: Sandbox) -> None:
    used = int(org.call("GET", "limits").headers["Sforce-Limit-Info"].removeprefix("api-usage=").partition("/")[0])
    org.control("settings", daily_api_limit=used + 1)

    within, beyond = org.call("GET", "limits"), org.call("GET", "limits")

    assert within.headers["Sforce-Limit-Info"] == f"api-usage={used + 1}/{used + 1}"
    assert within.json()["DailyApiRequests"] == {"Max": used + 1, "Remaining": 0}
    assert (beyond.status_code, beyond.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert beyond.json()[0]["message"] == "TotalRequests Limit exceeded."


def test_answers_are_json_packed_when_wanted_and_dated(org: Sandbox) -> None:
    packed = org.call("GET", "sobjects")
    plain = org.call("GET", "sobjects", headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert packed.headers["Date"].endswith("GMT")
    assert "," not in packed.headers["Date"][4:]


def test_the_names_of_headers_are_spelled_as_salesforce_does(org: Sandbox) -> None:
    """Connectors that copy them into a plain dict depend on it."""
    names = list(org.call("GET", "sobjects").headers)

    assert {"Content-Type", "Content-Length", "Date", "Sforce-Limit-Info"} <= set(names)
    assert names == [name.title() for name in names]


def test_record_counts_and_column_metadata_are_served(org: Sandbox) -> None:
    counted = org.call("GET", "limits/recordCount?sObjects=User,Organization").json()["sObjects"]
    assert counted == [{"count": 1, "name": "User"}, {"count": 1, "name": "Organization"}]
    columns = org.call("GET", "query?q=SELECT+Id,Name+FROM+Account&columns=true").json()
    assert [column["columnName"] for column in columns["columnMetadata"]] == ["Id", "Name"]


def test_describe_has_every_key_and_the_custom_fields(org: Sandbox) -> None:
    described = org.call("GET", "sobjects/opportunity/describe").json()
    fields = {field["name"]: field for field in described["fields"]}

    assert all(field.keys() == FIELD_KEYS for field in fields.values())
    number = fields["ERP_Order_Number__c"]
    assert [number[key] for key in ("type", "length", "unique", "externalId", "caseSensitive", "custom")] == [
        "string",
        30,
        True,
        True,
        False,
        True,
    ]
    status = fields["ERP_Order_Status__c"]
    assert status["restrictedPicklist"] is True
    assert [value["value"] for value in status["picklistValues"]][:2] == ["Open", "Confirmed"]
    required = {
        name
        for name, field in fields.items()
        if not field["nillable"] and field["createable"] and not field["defaultedOnCreate"]
    }
    assert required == {"Name", "StageName", "CloseDate"}
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["AccountId"]["relationshipName"] == "Account"
    assert [fields["Amount"][key] for key in ("type", "precision", "scale", "soapType")] == [
        "currency",
        18,
        2,
        "xsd:double",
    ]
    assert described["childRelationships"][0]["relationshipName"] == "OpportunityLineItems"
    listed = [each["name"] for each in org.call("GET", "sobjects").json()["sobjects"]]
    assert {
        "Account",
        "Opportunity",
        "OpportunityLineItem",
        "Product2",
        "Pricebook2",
        "PricebookEntry",
        "Organization",
    } <= set(listed)


def test_an_unchanged_describe_is_not_sent_again(org: Sandbox) -> None:
    first = org.call("GET", "sobjects/Account/describe")
    again = org.call("GET", "sobjects/Account/describe", headers={"If-Modified-Since": first.headers["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")


def test_who_one_is_and_what_is_switched_off(org: Sandbox) -> None:
    assert org.call("GET", "/services/oauth2/userinfo").json()["organization_id"].startswith("00D")
    stranger = requests.get(f"{org.url}/services/oauth2/userinfo", headers={"Authorization": "Bearer x"}, timeout=10)
    assert (stranger.status_code, stranger.text) == (403, "Bad_OAuth_Token")
    bulk_1 = org.call("POST", "/services/async/59.0/job", json={})
    assert bulk_1.json()["exceptionCode"] == "FeatureNotEnabled"


def test_a_gateway_can_answer_instead_of_the_org(org: Sandbox) -> None:
    org.control("faults", kind="refuse", path="/limits", after=1, status=503, body="<html>down</html>")
    answers = [org.call("GET", "limits") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].text == "<html>down</html>"


@pytest.mark.parametrize(("kind", "written"), [("drop", 0), ("lose_answer", 1)])
def test_a_connection_can_break_before_or_after_the_write(org: Sandbox, tag: str, kind: str, written: int) -> None:
    org.control("faults", kind=kind, method="POST", path="sobjects/Account")
    with pytest.raises(requests.RequestException):
        org.call("POST", "sobjects/Account", json={"Name": tag})
    assert len(org.column(f"SELECT Id FROM Account WHERE Name = '{tag}'")) == written


def test_a_switch_that_does_not_exist_is_refused(org: Sandbox) -> None:
    answer = requests.post(f"{org.url}/_sandbox/settings", json={"page_sizes": 1}, timeout=10)
    assert answer.status_code == 400
    assert "page_size" in answer.json()["error"]
