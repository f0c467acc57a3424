"""A secret or certificate of D365 that is rotated while a client works."""

import base64
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from resources.client_certificate import end_of
from resources.d365 import D365Client
from resources.entra import EntraSignIn
from resources.secrets import read_secret
from sandbox.common.credentials import DEFAULT_CLIENT_SECRET
from tests.d365_client.conftest import Sandbox
from tests.d365_client.test_signing_in import a_certificate
from tests.secrets.vault import StaticCredential, running_vault
from tieout.errors import AuthenticationProblem, ConfigurationError
from tieout.secret import Place, Secret
from tieout.settings import D365Settings

A_KEY = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"
OLD, NEW = DEFAULT_CLIENT_SECRET, "canary-rotated-5Rt9"
OpenClient = Callable[..., D365Client]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A mounted secret that holds the one of today."""
    file = tmp_path / "d365-secret"
    file.write_text(f"{OLD}\n")
    return file


@pytest.fixture
def client(open_client: OpenClient, file: Path) -> D365Client:
    """A client that has signed in and worked with the secret of today."""
    client = open_client(secret=Secret.in_file("D365_CLIENT_SECRET_FILE", str(file)))
    assert client.count("CustomersV3") > 0
    return client


def rotate(sandbox: Sandbox, secret: str = NEW) -> None:
    """The app has another secret, and the tokens of the old one have died."""
    sandbox.post("settings", {"client_secret": secret})
    sandbox.post("tokens/expire")


def sign_ins(sandbox: Sandbox, after: int) -> int:
    return sum("/oauth2/" in entry["path"] for entry in sandbox.journal(after, phase="asked"))


def test_a_secret_that_is_rotated_in_its_file_goes_on_without_a_restart(
    client: D365Client, sandbox: Sandbox, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = sandbox.position()
    rotate(sandbox)
    file.write_text(NEW)

    assert client.count("CustomersV3") > 0

    assert sign_ins(sandbox, before) == 2, "one with the old secret, one with the new"
    assert [each.message for each in caplog.records if each.name == "resources.secrets"] == ["secret.renewed"]
    assert OLD not in caplog.text
    assert NEW not in caplog.text


def test_a_second_rotation_goes_on_as_well(client: D365Client, sandbox: Sandbox, file: Path) -> None:
    for secret in (NEW, OLD, NEW):
        rotate(sandbox, secret)
        file.write_text(secret)
        assert client.count("CustomersV3") > 0


def test_a_secret_that_is_rotated_nowhere_else_is_one_clear_error(
    client: D365Client, sandbox: Sandbox, file: Path
) -> None:
    before = sandbox.position()
    rotate(sandbox)

    with pytest.raises(AuthenticationProblem) as problem:
        client.count("CustomersV3")

    assert f"D365_CLIENT_SECRET_FILE {file} was read again: it holds no other value" in str(problem.value)
    assert "AADSTS7000215" in str(problem.value)
    assert OLD not in str(problem.value)
    assert sign_ins(sandbox, before) == 1, "the same secret is not tried twice"


def test_a_new_secret_that_is_refused_as_well_ends_after_one_more_try(
    client: D365Client, sandbox: Sandbox, file: Path
) -> None:
    before = sandbox.position()
    rotate(sandbox)
    file.write_text("canary-typo")

    with pytest.raises(AuthenticationProblem, match="was read again: its new value is refused as well") as problem:
        client.count("CustomersV3")

    assert "canary-typo" not in str(problem.value)
    assert sign_ins(sandbox, before) == 2


def test_threads_that_meet_a_rotation_together_all_go_on(client: D365Client, sandbox: Sandbox, file: Path) -> None:
    rotate(sandbox)
    file.write_text(NEW)
    together = threading.Barrier(6)

    def count(_: int) -> int:
        together.wait()
        return client.count("CustomersV3")

    with ThreadPoolExecutor(6) as threads:
        assert min(threads.map(count, range(6))) > 0


def test_a_401_that_fresh_tokens_do_not_cure_is_followed_by_one_fresh_read(
    client: D365Client, sandbox: Sandbox
) -> None:
    sandbox.fault("refuse", status=401, times=9, path="/data")
    before = sandbox.position()

    with pytest.raises(AuthenticationProblem, match=r"does not accept the application .*holds no other value"):
        client.count("CustomersV3")
    asked = [entry for entry in sandbox.journal(before, phase="asked") if entry["path"].startswith("/data")]
    assert len(asked) == 2


def test_a_401_that_fresh_tokens_do_not_cure_ends_with_a_new_secret(
    client: D365Client, sandbox: Sandbox, file: Path
) -> None:
    sandbox.fault("refuse", status=401, times=2, path="/data")
    sandbox.post("settings", {"client_secret": NEW})
    file.write_text(NEW)

    assert client.count("CustomersV3") > 0


def test_a_key_vault_that_has_the_new_secret_is_read_again(
    open_client: OpenClient, sandbox: Sandbox, settings: D365Settings, tmp_path: Path
) -> None:
    with running_vault(tmp_path) as vault:
        vault.secrets["d365"] = OLD
        secret = Secret("D365_CLIENT_SECRET", Place.KEY_VAULT, f"{vault.url}/d365")
        read = partial(read_secret, ca_bundle=vault.ca, credential=StaticCredential())
        client = open_client(sign_in=EntraSignIn(with_secret(settings, secret), sandbox.ca, read=read))
        assert client.count("CustomersV3") > 0
        assert vault.read == 1

        rotate(sandbox)
        vault.secrets["d365"] = NEW

        assert client.count("CustomersV3") > 0
        assert vault.read == 2


def with_secret(settings: D365Settings, secret: Secret) -> D365Settings:
    return replace(settings, secret=secret)


def test_a_renewed_certificate_goes_on_without_a_restart_or_a_thumbprint(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "next").mkdir()
    file, pem, _ = a_certificate(tmp_path)
    following, following_pem, _ = a_certificate(tmp_path / "next")
    register(sandbox, pem)
    client = open_client(secret=Secret.in_file("D365_CERTIFICATE_FILE", str(file)), by_certificate=True)
    assert client.count("CustomersV3") > 0

    register(sandbox, following_pem)
    sandbox.post("tokens/expire")
    file.write_bytes(following.read_bytes())

    assert client.count("CustomersV3") > 0


def test_a_certificate_as_key_vault_hands_it_out_signs_in(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    file, pem, _ = a_certificate(tmp_path)
    register(sandbox, pem)
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    packed = pkcs12.serialize_key_and_certificates(
        None, key, x509.load_pem_x509_certificate(pem), None, serialization.NoEncryption()
    )
    secret = Secret.given("D365_CERTIFICATE", base64.b64encode(packed).decode())

    assert open_client(secret=secret, by_certificate=True).count("CustomersV3") > 0
    assert end_of(secret.value, secret) == end_of(file.read_text(), secret) is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("canary", "is no certificate with its key"),
        ("-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----", "is no certificate with its key"),
        (A_KEY, "D365_CERTIFICATE_THUMBPRINT is not set"),
        ("-----BEGIN PUBLIC KEY-----\ncanary", "holds no private key"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named_and_not_shown(
    open_client: OpenClient, text: str, problem: str
) -> None:
    client = open_client(secret=Secret.given("D365_CERTIFICATE", text), by_certificate=True)

    with pytest.raises(ConfigurationError, match=f"D365_CERTIFICATE .*{problem}") as told:
        client.count("CustomersV3")

    assert "canary" not in str(told.value)


def test_a_key_that_is_none_is_not_taken_for_a_wrong_tenant(open_client: OpenClient) -> None:
    secret = Secret.given("D365_CERTIFICATE", A_KEY)
    client = open_client(secret=secret, by_certificate=True, certificate_thumbprint="ab" * 20)

    with pytest.raises(ConfigurationError, match="D365_CERTIFICATE is no certificate with its key"):
        client.count("CustomersV3")


def register(sandbox: Sandbox, pem: bytes) -> None:
    assert requests.post(f"{sandbox.url}/_sandbox/certificate", data=pem, timeout=30).status_code == 200
