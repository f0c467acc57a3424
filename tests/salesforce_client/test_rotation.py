"""A secret or key of Salesforce that is rotated while a client works."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from resources.salesforce import SalesforceClient
from resources.secrets import read_secret
from tests.salesforce_client.test_sign_in import EXPIRED, in_file, sign_ins
from tests.sandbox_salesforce.running_org import CLIENT, Sandbox
from tests.secrets.vault import StaticCredential, running_vault
from tieout.errors import AuthenticationProblem
from tieout.secret import Place, Secret
from tieout.settings import SalesforceSettings

OLD, NEW = CLIENT[1], "canary-rotated-8Kd1"
MakeClient = Callable[..., SalesforceClient]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A mounted secret that holds the one of today."""
    file = tmp_path / "salesforce-secret"
    file.write_text(f"{OLD}\n")
    return file


@pytest.fixture
def client(client_for: MakeClient, file: Path) -> SalesforceClient:
    """A client that has signed in and worked with the secret of today."""
    client = client_for(secret=Secret.in_file("SALESFORCE_CLIENT_SECRET_FILE", str(file)))
    assert client.describe("Account")["name"] == "Account"
    return client


def rotate(org: Sandbox, secret: str = NEW) -> None:
    """The app has another secret, and the sessions of the old one have ended."""
    org.control("settings", client_secret=secret)
    org.control("tokens/expire")


def test_a_secret_that_is_rotated_in_its_file_goes_on_without_a_restart(
    client: SalesforceClient, org: Sandbox, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = org.journal_end()
    rotate(org)
    file.write_text(NEW)

    assert client.describe("Account")["name"] == "Account"

    assert sign_ins(org, before) == 2, "one with the old secret, one with the new"
    assert OLD not in caplog.text
    assert NEW not in caplog.text


def test_a_secret_that_is_rotated_nowhere_else_is_one_clear_error(
    client: SalesforceClient, org: Sandbox, file: Path
) -> None:
    before = org.journal_end()
    rotate(org)

    with pytest.raises(AuthenticationProblem) as problem:
        client.describe("Account")

    assert f"SALESFORCE_CLIENT_SECRET_FILE {file} was read again: it holds no other value" in str(problem.value)
    assert OLD not in str(problem.value)
    assert sign_ins(org, before) == 1, "the same secret is not tried twice"


def test_sessions_that_are_refused_at_once_are_followed_by_one_fresh_read(
    client: SalesforceClient, org: Sandbox, file: Path
) -> None:
    """Two sessions of the old secret are refused; the third, of the new one, is the last."""
    org.control("faults", kind="refuse", status=401, body=EXPIRED, times=99, path="/data/v")
    before = org.journal_end()
    org.control("settings", client_secret=NEW)
    file.write_text(NEW)

    with pytest.raises(AuthenticationProblem, match=r"refused .* at once .*was read again"):
        client.describe("Account")

    assert sign_ins(org, before) <= 3


def test_a_key_that_is_rotated_in_its_file_goes_on_without_a_restart(
    client_for: MakeClient, org: Sandbox, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    org.control("settings", jwt_public_key=new_key(file))
    client = client_for(username="integration@example.com", secret=in_file(file))
    assert client.describe("Account")["name"] == "Account"

    org.control("settings", jwt_public_key=new_key(file))
    org.control("tokens/expire")

    assert client.describe("Account")["name"] == "Account"


def new_key(file: Path) -> str:
    """Write a new private key into a file; returns its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_key_vault_that_has_the_new_secret_is_read_again(
    settings: SalesforceSettings, org: Sandbox, tmp_path: Path
) -> None:
    with running_vault(tmp_path) as vault:
        vault.secrets["salesforce"] = OLD
        secret = Secret("SALESFORCE_CLIENT_SECRET", Place.KEY_VAULT, f"{vault.url}/salesforce")
        read = partial(read_secret, ca_bundle=vault.ca, credential=StaticCredential())
        with SalesforceClient(
            SalesforceSettings(settings.instance_url, settings.client_id, secret), read=read
        ) as client:
            assert client.describe("Account")["name"] == "Account"

            rotate(org)
            vault.secrets["salesforce"] = NEW

            assert client.describe("Account")["name"] == "Account"
        assert vault.read == 2
