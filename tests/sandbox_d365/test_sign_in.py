"""Signing in: msal unchanged against the sandbox's Entra, and what F&O says to tokens that it does not like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msal
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID
from tests.sandbox_d365.environment import Caller, Process


def an_app(process: Process, credential: object = DEFAULT_CLIENT_SECRET, **changes: str):
    http = requests.Session()
    http.trust_env = False
    http.verify = process.ca
    return msal.ConfidentialClientApplication(
        changes.get("client_id", DEFAULT_CLIENT_ID),
        authority=f"{process.tls_url}/{changes.get('tenant', DEFAULT_TENANT_ID)}",
        client_credential=credential,
        http_client=http,
        # msal asks login.microsoftonline.com about every authority host that Microsoft does not own.
        instance_discovery=False,
    )


def asked_with(process: Process, token: str, base: str | None = None) -> requests.Response:
    http = requests.Session()
    http.trust_env = False
    return http.get(
        f"{base or process.url}/data/Companies", headers={"Authorization": f"Bearer {token}"}, verify=process.ca
    )


@pytest.mark.parametrize("address", ["url", "tls_url"])
def test_msal_gets_a_token_by_secret_that_opens_both_addresses(process: Process, address: str):
    result = an_app(process).acquire_token_for_client([f"{getattr(process, address)}/.default"])

    assert result["token_type"] == "Bearer"
    assert asked_with(process, result["access_token"]).status_code == 200
    assert asked_with(process, result["access_token"], process.tls_url).status_code == 200


def test_msal_works_with_the_sandbox_as_instance_discovery_too(process: Process):
    app = an_app(process)
    http = app.http_client
    again = msal.ConfidentialClientApplication(
        DEFAULT_CLIENT_ID,
        authority=f"{process.tls_url}/{DEFAULT_TENANT_ID}",
        client_credential=DEFAULT_CLIENT_SECRET,
        http_client=http,
        instance_discovery=f"{process.tls_url}/common/discovery/instance",
    )

    assert "access_token" in again.acquire_token_for_client([f"{process.url}/.default"])


@pytest.mark.parametrize("by", ["sha1 thumbprint", "public certificate"])
def test_msal_gets_a_token_by_certificate(process: Process, d365: Caller, by: str):
    key, certificate = a_certificate()
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    d365.http.post(f"{process.url}/_sandbox/certificate", data=pem).raise_for_status()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    thumbprint = {"thumbprint": certificate.fingerprint(hashes.SHA1()).hex()}
    credential = {
        "private_key": private,
        **(thumbprint if by == "sha1 thumbprint" else {"public_certificate": pem.decode()}),
    }

    result = an_app(process, credential).acquire_token_for_client([f"{process.url}/.default"])

    assert asked_with(process, result["access_token"]).status_code == 200


def test_an_assertion_of_an_unknown_certificate_is_refused(process: Process, d365: Caller):
    _, registered = a_certificate()
    key, other = a_certificate()
    d365.http.post(
        f"{process.url}/_sandbox/certificate", data=registered.public_bytes(serialization.Encoding.PEM)
    ).raise_for_status()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    result = an_app(
        process, {"private_key": private, "thumbprint": other.fingerprint(hashes.SHA1()).hex()}
    ).acquire_token_for_client([f"{process.url}/.default"])

    assert result["error"] == "invalid_client"
    assert "AADSTS700027" in result["error_description"]


@pytest.mark.parametrize(
    ("changes", "scope", "error", "number"),
    [
        ({"credential": "wrong"}, "{url}/.default", "invalid_client", 7000215),
        ({"client_id": "stranger"}, "{url}/.default", "unauthorized_client", 700016),
        ({}, "https://other.operations.dynamics.com/.default", "invalid_resource", 500011),
        ({}, "{url}/user_impersonation", "invalid_scope", 1002012),
    ],
)
def test_entra_refuses_with_its_number(process: Process, changes: dict[str, str], scope: str, error: str, number: int):
    result = an_app(process, **changes).acquire_token_for_client([scope.format(url=process.url)])

    assert result["error"] == error
    assert result["error_codes"] == [number]
    assert f"AADSTS{number}" in result["error_description"]
    assert result["correlation_id"]


def test_an_unknown_tenant_has_no_configuration(process: Process):
    with pytest.raises(ValueError, match="double check your tenant"):
        an_app(process, tenant="99999999-0000-0000-0000-000000000000").acquire_token_for_client(
            [f"{process.url}/.default"]
        )


def test_the_older_endpoint_gives_tokens_for_a_resource(process: Process, d365: Caller):
    answer = d365.http.post(
        f"{process.url}/{DEFAULT_TENANT_ID}/oauth2/token",
        data={
            "grant_type": "client_credentials",
            "client_id": DEFAULT_CLIENT_ID,
            "client_secret": DEFAULT_CLIENT_SECRET,
            "resource": process.url,
        },
    ).json()

    assert answer["resource"] == process.url
    assert asked_with(process, answer["access_token"]).status_code == 200


def test_an_audience_with_a_closing_slash_gets_a_token_but_is_not_let_in(process: Process):
    result = an_app(process).acquire_token_for_client([f"{process.url}//.default"])

    assert asked_with(process, result["access_token"]).status_code == 401


def test_a_call_without_a_good_token_gets_the_body_of_f_and_o(process: Process):
    answer = asked_with(process, "rubbish")

    assert answer.status_code == 401
    assert answer.json() == {
        "Message": "Authentication failed.",
        "StackTrace": None,
        "ExceptionType": "System.InvalidOperationException",
    }


def test_expired_tokens_are_dead_at_once_and_a_new_one_works(d365: Caller):
    assert d365.get("Companies").status_code == 200

    assert d365.control("tokens/expire")["expired"] >= 1

    assert d365.get("Companies").status_code == 401
    d365.sign_in()
    assert d365.get("Companies").status_code == 200


def test_a_token_dies_when_its_time_is_over(d365: Caller):
    d365.control("settings", {"token_lifetime_s": 600})
    d365.sign_in()
    assert d365.get("Companies").status_code == 200

    d365.control("clock", {"advance_s": 601})

    assert d365.get("Companies").status_code == 401
    d365.control("clock", {"now": None})


def a_certificate() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "integration")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate
