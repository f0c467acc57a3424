"""Signing in: who gets a token, what the refusals say, and when a token dies."""

import re
import time
from collections.abc import Callable

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.salesforce.oauth import JWT_GRANT
from tests.sandbox_salesforce.running_org import CLIENT, Sandbox

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGERS_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_KEY = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def token(org: Sandbox, auth: tuple[str, str] | None = None, host: str | None = None, **form: str) -> requests.Response:
    headers = {"Host": host} if host else {}
    return org.http.post(f"{org.url}/services/oauth2/token", data=form, auth=auth, headers=headers, timeout=10)


def test_client_credentials_are_taken_from_the_header_and_from_the_body(org: Sandbox) -> None:
    by_header = token(org, CLIENT, grant_type="client_credentials")
    by_body = token(org, grant_type="client_credentials", client_id=CLIENT[0], client_secret=CLIENT[1])

    for answer in (by_header, by_body):
        body = answer.json()
        assert answer.status_code == 200
        assert re.fullmatch(r"(00D\w{12,15})![.\w]*", body["access_token"])
        assert body["instance_url"] == org.url
        assert body["token_type"] == "Bearer"
        assert body["issued_at"].isdigit()


@pytest.mark.parametrize(
    ("auth", "form", "error", "text"),
    [
        (("nobody", "x"), {"grant_type": "client_credentials"}, "invalid_client_id", "client identifier invalid"),
        ((CLIENT[0], "x"), {"grant_type": "client_credentials"}, "invalid_client", "invalid client credentials"),
        (CLIENT, {"grant_type": "magic"}, "unsupported_grant_type", "grant type not supported"),
        (None, {"grant_type": JWT_GRANT, "assertion": "x.y.z"}, "invalid_grant", "invalid assertion"),
    ],
)
def test_a_refused_sign_in_says_why(
    org: Sandbox, auth: tuple[str, str] | None, form: dict[str, str], error: str, text: str
) -> None:
    answer = token(org, auth, **form)
    assert answer.status_code == 400
    assert answer.json() == {"error": error, "error_description": text}


def test_a_refresh_token_is_taken_on_the_shared_login_host_and_stays_the_same(org: Sandbox) -> None:
    form = {"grant_type": "refresh_token", "client_id": CLIENT[0], "client_secret": CLIENT[1]}
    known = org.control("settings")["refresh_token"]

    given = token(org, host="login.salesforce.com", **form, refresh_token=known)
    refused = token(org, **form, refresh_token="another")

    assert given.status_code == 200
    assert given.json()["instance_url"] == "http://login.salesforce.com"
    assert "refresh_token" not in given.json()
    assert refused.json() == {"error": "invalid_grant", "error_description": "expired access/refresh token"}


def test_client_credentials_do_not_work_on_the_shared_login_host(org: Sandbox) -> None:
    answer = token(org, CLIENT, host="login.salesforce.com", grant_type="client_credentials")
    assert answer.json() == {"error": "invalid_grant", "error_description": "request not supported on this domain"}


def test_a_signed_assertion_gives_a_token_however_its_expiry_is_written(org: Sandbox) -> None:
    org.control("settings", jwt_public_key=PUBLIC_KEY.decode())
    in_three_minutes = int(time.time()) + 180
    for expiry in (in_three_minutes, str(in_three_minutes), in_three_minutes * 1000):
        claims = {"iss": CLIENT[0], "sub": "a@b.c", "aud": "https://login.salesforce.com/", "exp": expiry}
        answer = token(org, grant_type=JWT_GRANT, assertion=jwt.encode(claims, KEY, algorithm="RS256"))
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() >= {"access_token", "scope", "instance_url", "id", "token_type"}


@pytest.mark.parametrize(
    ("key", "changes", "text"),
    [
        (STRANGERS_KEY, {}, "invalid assertion"),
        (KEY, {"aud": "https://example.com"}, "audience is invalid"),
        (KEY, {"exp": 1}, "expired authorization code"),
        (KEY, {"iss": "nobody"}, "client identifier invalid"),
    ],
)
def test_a_wrong_assertion_is_refused(
    org: Sandbox, key: rsa.RSAPrivateKey, changes: dict[str, object], text: str
) -> None:
    org.control("settings", jwt_public_key=PUBLIC_KEY.decode())
    claims = {"iss": CLIENT[0], "sub": "a@b.c", "aud": "https://login.salesforce.com", "exp": int(time.time()) + 60}
    answer = token(org, grant_type=JWT_GRANT, assertion=jwt.encode({**claims, **changes}, key, algorithm="RS256"))
    assert answer.status_code == 400
    assert answer.json()["error_description"] == text


@pytest.fixture
def dead_token(org: Sandbox) -> Callable[[str], None]:
    def die(how: str) -> None:
        if how == "expired by hand":
            assert org.control("tokens/expire")["expired"] >= 1
        elif how == "not used for too long":
            org.control("clock", advance_s=7300)
        else:
            org.token = "00D8d0000000001!made.up"

    return die


@pytest.mark.parametrize("how", ["expired by hand", "not used for too long", "never given"])
def test_a_dead_token_is_answered_with_the_array_that_clients_wait_for(
    org: Sandbox, dead_token: Callable[[str], None], how: str
) -> None:
    dead_token(how)
    answer = org.call("GET", "limits")
    assert answer.status_code == 401
    assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_a_revoked_token_is_dead(org: Sandbox) -> None:
    assert org.http.post(f"{org.url}/services/oauth2/revoke", data={"token": org.token}, timeout=10).status_code == 200
    assert org.call("GET", "limits").status_code == 401


def test_no_secret_reaches_the_journal(org: Sandbox) -> None:
    start = org.journal_end()
    token(org, grant_type="client_credentials", client_id=CLIENT[0], client_secret=CLIENT[1])
    (asked,) = org.journal(after=start, phase="asked")
    assert asked["path"] == "/services/oauth2/token"
    assert CLIENT[1] not in str(asked)
