"""Signing in to Entra: by secret, by certificate, and what is said when it fails."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from resources.d365 import D365Client
from tests.d365_client.conftest import Sandbox
from tieout.errors import AuthenticationProblem, ConfigurationError, SourceUnavailable
from tieout.secret import Secret
from tieout.settings import D365Settings


def a_certificate(folder: Path) -> tuple[Path, bytes, str]:
    """A file with a private key and its certificate, the certificate alone, and its thumbprint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tieout")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "client.pem"
    file.write_bytes(private + pem)
    return file, pem, certificate.fingerprint(hashes.SHA1()).hex()


def by_certificate(file: Path) -> dict[str, object]:
    """Settings of a sign-in with the key in a file."""
    return {"secret": Secret.in_file("D365_CERTIFICATE_FILE", str(file)), "by_certificate": True}


def test_a_registered_certificate_signs_in(
    open_client: Callable[..., D365Client], sandbox: Sandbox, tmp_path: Path
) -> None:
    file, pem, thumbprint = a_certificate(tmp_path)
    assert requests.post(f"{sandbox.url}/_sandbox/certificate", data=pem, timeout=30).status_code == 200

    client = open_client(**by_certificate(file), certificate_thumbprint=thumbprint)

    assert client.count("CustomersV3") > 0


def test_a_certificate_that_is_not_registered_is_told(
    open_client: Callable[..., D365Client], sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    _, registered, _ = a_certificate(tmp_path / "other")
    assert requests.post(f"{sandbox.url}/_sandbox/certificate", data=registered, timeout=30).status_code == 200
    file, _, thumbprint = a_certificate(tmp_path)

    with pytest.raises(AuthenticationProblem, match=r"AADSTS700027\. The certificate is not accepted"):
        open_client(**by_certificate(file), certificate_thumbprint=thumbprint).count("CustomersV3")


def test_a_certificate_file_that_is_missing_is_named(open_client: Callable[..., D365Client], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"D365_CERTIFICATE_FILE .*none\.pem cannot be read"):
        open_client(**by_certificate(tmp_path / "none.pem")).count("CustomersV3")


def test_a_wrong_secret_is_told_with_its_code_and_without_the_secret(open_client: Callable[..., D365Client]) -> None:
    with pytest.raises(
        AuthenticationProblem, match=r"AADSTS7000215\. The secret is wrong.*D365_CLIENT_SECRET"
    ) as problem:
        open_client(secret=Secret.given("D365_CLIENT_SECRET", "canary-secret")).count("CustomersV3")

    assert "canary-secret" not in str(problem.value)


def test_a_tenant_that_does_not_exist_is_told(open_client: Callable[..., D365Client], sandbox: Sandbox) -> None:
    with pytest.raises(AuthenticationProblem, match="Check D365_TENANT_ID"):
        open_client(authority_url=f"{sandbox.tls_url}/99999999-0000-0000-0000-000000000000").count("CustomersV3")


def test_an_unknown_client_is_told(open_client: Callable[..., D365Client]) -> None:
    with pytest.raises(AuthenticationProblem, match=r"AADSTS700016\. .*Check D365_CLIENT_ID"):
        open_client(client_id="99999999-0000-0000-0000-000000000000").count("CustomersV3")


def test_an_unreachable_entra_is_named_with_the_variable_to_check(open_client: Callable[..., D365Client]) -> None:
    with pytest.raises(SourceUnavailable, match=r"Entra at 127\.0\.0\.1 cannot be reached .*D365_AUTHORITY_URL"):
        open_client(authority_url="https://127.0.0.1:9/tenant").count("CustomersV3")


def test_an_authority_that_is_not_trusted_is_told_so(settings: D365Settings) -> None:
    client = D365Client(settings)

    with pytest.raises(SourceUnavailable, match="TIEOUT_CA_BUNDLE"):
        client.count("CustomersV3")


def test_an_authority_over_plain_http_is_refused_before_a_secret_is_sent(
    open_client: Callable[..., D365Client], sandbox: Sandbox
) -> None:
    with pytest.raises(ConfigurationError, match="https only"):
        open_client(authority_url=f"{sandbox.url}/tenant").count("CustomersV3")
