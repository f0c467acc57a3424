"""The client library that the project uses, unmodified, against this org."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from simple_salesforce import Salesforce, SalesforceLogin
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_external_id, format_soql

from tests.sandbox_salesforce.running_org import CLIENT, Sandbox, an_account
from tests.sandbox_salesforce.test_oauth import KEY, PUBLIC_KEY


class PlainHttp(requests.Session):
    """Sends `https://HOST:PORT/…` to plain http for one host, because the library writes https into every URL."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        self._https = base.replace("http://", "https://")
        self.trust_env = False

    def request(self, method: str, url: str, **options: object) -> requests.Response:  # type: ignore[override]
        return super().request(method, url.replace(self._https, self._base, 1), **options)  # type: ignore[arg-type]


class ToPort(requests.adapters.HTTPAdapter):
    """Stands in for name resolution: sends a real host name's requests to the sandbox's TLS port."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__()

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:  # type: ignore[override]
        host = str(request.url).split("/")[2]
        request.headers["Host"] = host
        request.url = str(request.url).replace(host, f"localhost:{self._port}", 1)
        return super().send(request, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["http", "tls"])
def sf(request: pytest.FixtureRequest, org: Sandbox) -> Iterator[Salesforce]:
    if request.param == "http":
        session: requests.Session = PlainHttp(org.url)
        base = org.url
    else:
        session = requests.Session()
        session.trust_env = False
        session.verify = org.ca
        base = org.tls_url

    def log_in() -> tuple[str, str]:
        answer = session.post(
            f"{base}/services/oauth2/token", data={"grant_type": "client_credentials"}, auth=CLIENT, timeout=10
        )
        return answer.json()["access_token"], answer.json()["instance_url"].split("://")[1]

    client = Salesforce(session_id=log_in()[0], instance_url=base, version="62.0", session=session)
    client._salesforce_login_partial = log_in
    yield client
    session.close()


def test_records_are_written_and_read(sf: Salesforce, tag: str) -> None:
    made = sf.Account.create({"Name": f"O'Brien {tag}"})
    assert made["success"] is True
    assert sf.Account.update(made["id"], {"Site": "x"}) == 204
    assert sf.Account.get(made["id"])["Site"] == "x"
    found = sf.query(format_soql("SELECT Id FROM Account WHERE Name = {}", f"O'Brien {tag}"))
    assert [record["Id"] for record in found["records"]] == [made["id"]]
    now = datetime.now(UTC)
    assert made["id"] in sf.Account.updated(now - timedelta(hours=1), now + timedelta(hours=1))["ids"]
    assert sf.Account.delete(made["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound) as problem:
        sf.Account.get(made["id"])
    assert problem.value.content[0]["errorCode"] == "ENTITY_IS_DELETED"


def test_upsert_answers_201_and_then_200(sf: Salesforce, tag: str) -> None:
    key = format_external_id("ERP_Number__c", f"usmf/{tag}")
    assert sf.Account.upsert(key, {"Name": "one"}) == 201
    assert sf.Account.upsert(key, {"Name": "two"}) == 200
    assert sf.Account.get_by_custom_id("ERP_Number__c", f"usmf/{tag}")["Name"] == "two"


def test_pages_are_followed_and_usage_is_read(sf: Salesforce, org: Sandbox, tag: str) -> None:
    for _ in range(2):
        sf.restful("composite/sobjects", method="POST", json={"records": [an_account(tag)] * 150})
    org.control("settings", page_size=200)
    assert len(sf.query_all(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'")["records"]) == 300
    assert (
        len(list(sf.query_all_iter(f"SELECT Id FROM Account WHERE AccountSource = '{tag}'", include_deleted=True)))
        == 300
    )
    assert sf.limits()["DailyApiRequests"]["Max"] == 115_000
    assert sf.api_usage["api-usage"].total == 115_000


def test_describe_and_errors_come_through(sf: Salesforce) -> None:
    assert sf.describe()["maxBatchSize"] == 200
    assert any(field["name"] == "ERP_Number__c" for field in sf.Account.describe()["fields"])
    assert sf.Account.metadata()["objectDescribe"]["keyPrefix"] == "001"
    with pytest.raises(SalesforceMalformedRequest) as problem:
        sf.query("SELECT Nope FROM Account")
    assert problem.value.content[0]["errorCode"] == "INVALID_FIELD"


def test_a_dead_token_is_renewed_by_the_library_itself(sf: Salesforce, org: Sandbox) -> None:
    org.control("tokens/expire")
    assert sf.query("SELECT COUNT() FROM Account")["done"] is True
    org.control("tokens/expire")
    assert sf.Account.create({"Name": "after expiry"})["success"] is True


def test_bulk_queries_are_polled_and_paged_by_the_library(sf: Salesforce, tag: str) -> None:
    sf.restful("composite/sobjects", method="POST", json={"records": [an_account(tag, Site="a\nb")] * 25})
    soql = f"SELECT Id, Name, Site FROM Account WHERE AccountSource = '{tag}'"
    pages = list(sf.bulk2.Account.query(soql, max_records=10, wait=0))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
    assert [len(list(csv.DictReader(io.StringIO(page, newline="")))) for page in pages] == [10, 10, 5]
    assert {row["Site"] for row in rows} == {"a\nb"}
    assert len({row["Id"] for row in rows}) == 25


def test_the_librarys_own_logins_work_with_the_real_host_names(org: Sandbox) -> None:
    session = requests.Session()
    session.trust_env = False
    session.verify = org.ca
    session.mount("https://acme.my.salesforce.com", ToPort(int(org.tls_url.rpartition(":")[2])))
    token, instance = SalesforceLogin(
        session=session, domain="acme.my", consumer_key=CLIENT[0], consumer_secret=CLIENT[1], sf_version="62.0"
    )
    assert token.startswith("00D")
    assert instance == "acme.my.salesforce.com"
    org.control("settings", jwt_public_key=PUBLIC_KEY.decode())
    private = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    by_jwt, _ = SalesforceLogin(
        session=session,
        username="a@b.c",
        instance_url="acme.my",
        consumer_key=CLIENT[0],
        privatekey=private,
        sf_version="62.0",
    )
    assert by_jwt.startswith("00D")
    with pytest.raises(SalesforceAuthenticationFailed) as problem:
        SalesforceLogin(
            session=session, domain="acme.my", consumer_key=CLIENT[0], consumer_secret="wrong", sf_version="62.0"
        )
    assert problem.value.code == "invalid_client"


def test_an_external_id_that_several_records_have_is_a_choice(own_org, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from sandbox.salesforce.store import FILE_NAME, Store

    store = Store(tmp_path / "state" / FILE_NAME)
    store.insert_many("Account", [{"Name": "a", "ERP_Number__c": "twice"}, {"Name": "b", "ERP_Number__c": "TWICE"}])
    store.close()
    org = own_org()
    sf = Salesforce(session_id=org.token, instance_url=org.url, version="62.0", session=PlainHttp(org.url))
    with pytest.raises(SalesforceMoreThanOneRecord) as problem:
        sf.Account.get_by_custom_id("ERP_Number__c", "twice")
    assert len(problem.value.content) == 2
