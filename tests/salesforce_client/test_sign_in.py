"""How the client gets in, and what it says when it does not."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from resources.salesforce import SalesforceClient
from tests.sandbox_salesforce.running_org import Sandbox
from tieout.errors import AuthenticationProblem, ConfigurationError, SourceUnavailable
from tieout.secret import Secret

MakeClient = Callable[..., SalesforceClient]
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def in_file(file: Path) -> Secret:
    return Secret.in_file("SALESFORCE_PRIVATE_KEY_FILE", str(file))


def sign_ins(org: Sandbox, after: int) -> int:
    return len(org.journal(after=after, phase="asked", path="/services/oauth2/token", limit=1000))


def test_a_secret_opens_the_door_over_plain_http_on_this_machine(client: SalesforceClient) -> None:
    assert client.query("SELECT Id, IsSandbox FROM Organization")[0]["IsSandbox"] is not None


def test_a_secret_opens_the_door_over_tls_with_the_given_authority(
    org: Sandbox, client_for: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/else.pem")

    client = client_for(Path(org.ca), instance_url=org.tls_url)

    assert client.describe("Account")["name"] == "Account"


def test_a_certificate_of_an_unknown_authority_is_not_trusted_and_not_asked_twice(
    org: Sandbox, client_for: MakeClient, pauses: list[float]
) -> None:
    with pytest.raises(SourceUnavailable, match=r"certificate of Salesforce at https://127.*TIEOUT_CA_BUNDLE"):
        client_for(instance_url=org.tls_url).describe("Account")

    assert pauses == []


def test_a_key_opens_the_door(org: Sandbox, client_for: MakeClient, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = tmp_path / "key.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    org.control("settings", jwt_public_key=public.decode())

    client = client_for(username="integration@example.com", secret=in_file(file))

    assert client.describe("Account")["name"] == "Account"


@pytest.mark.parametrize("content", [None, "no key at all"])
def test_a_key_file_that_cannot_be_used_is_named(client_for: MakeClient, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(
        ConfigurationError, match=r"SALESFORCE_PRIVATE_KEY_FILE .*key\.pem (cannot be read|holds no RSA)"
    ):
        client_for(username="integration@example.com", secret=in_file(file)).describe("Account")


def test_a_wrong_secret_is_told_in_salesforces_words_with_the_variable_to_check(
    org: Sandbox, client_for: MakeClient
) -> None:
    before = org.journal_end()

    with pytest.raises(AuthenticationProblem) as refused:
        client_for(secret=Secret.given("SALESFORCE_CLIENT_SECRET", "swordfish")).describe("Account")

    assert "invalid_client (invalid client credentials). Check SALESFORCE_CLIENT_SECRET." in str(refused.value)
    assert "swordfish" not in str(refused.value)
    assert sign_ins(org, before) == 1


def test_a_wrong_client_id_names_the_client_id(client_for: MakeClient) -> None:
    with pytest.raises(AuthenticationProblem, match=r"client identifier invalid\)\. Check SALESFORCE_CLIENT_ID"):
        client_for(client_id="somebody").describe("Account")


def test_a_token_that_died_is_renewed_and_the_call_goes_on(org: Sandbox, client: SalesforceClient) -> None:
    client.describe("Account")
    before = org.journal_end()

    for _ in range(3):
        org.control("tokens/expire")
        assert client.describe("Account")["name"] == "Account"

    assert sign_ins(org, before) == 3


def test_tokens_that_are_all_refused_end_after_two_sign_ins(org: Sandbox, client: SalesforceClient) -> None:
    org.control("faults", kind="refuse", status=401, body=EXPIRED, times=99, path="/data/v")
    before = org.journal_end()

    with pytest.raises(AuthenticationProblem, match="gave 2 sessions and refused both at once"):
        client.describe("Account")

    assert sign_ins(org, before) == 2


@pytest.mark.parametrize(
    "body",
    [
        [{"message": "This session is not valid for use with the REST API", "errorCode": "INVALID_SESSION_ID"}],
        {"error": "invalid_token"},
        "<html>no</html>",
    ],
)
def test_a_401_that_no_new_token_helps_is_final_at_once(org: Sandbox, client: SalesforceClient, body: object) -> None:
    org.control("faults", kind="refuse", status=401, body=body, times=99, path="/data/v")
    before = org.journal_end()

    with pytest.raises(AuthenticationProblem, match="does not accept the session"):
        client.describe("Account")

    assert sign_ins(org, before) == 1


def test_a_host_that_does_not_answer_is_named_with_its_variable(client_for: MakeClient, pauses: list[float]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"

        with pytest.raises(
            SourceUnavailable, match=rf"Salesforce at {url} cannot be reached .* SALESFORCE_INSTANCE_URL"
        ):
            client_for(instance_url=url).describe("Account")

    assert len(pauses) == 3


def test_something_that_is_no_salesforce_is_told_from_one_that_says_no(org: Sandbox, client_for: MakeClient) -> None:
    with pytest.raises(ConfigurationError, match="does not answer as a Salesforce does"):
        client_for(instance_url=f"{org.url}/elsewhere").describe("Account")


def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(client_for: MakeClient) -> None:
    with pytest.raises(ConfigurationError, match="plain http is allowed for this machine only"):
        client_for(instance_url="http://acme.my.salesforce.com")
