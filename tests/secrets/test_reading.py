"""Secrets out of files and out of a Key Vault, through Microsoft's own client."""

import builtins
import logging
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from resources.secrets import HeldSecret, read_secret
from tests.secrets.vault import TENANT, StaticCredential, Vault, running_vault
from tieout.errors import AuthenticationProblem, ConfigurationError, SourceUnavailable
from tieout.secret import Place, Secret

CANARY = "canary-7Qm2"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture
def vault(running: Vault) -> Vault:
    """The module's vault, which holds one secret."""
    running.secrets = {"d365": CANARY}
    running.asked.clear()
    return running


def in_vault(vault: Vault, name: str = "d365") -> Secret:
    return Secret("D365_CLIENT_SECRET", Place.KEY_VAULT, f"{vault.url}/{name}")


def test_a_file_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"\ufeff {CANARY} \r\n".encode())

    assert read_secret(Secret.in_file("D365_CLIENT_SECRET_FILE", str(file))) == f" {CANARY} "


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read"), (b" \n", "is empty"), (b"\xff\xfe" + CANARY.encode(), "is no text")],
)
def test_a_file_that_holds_no_secret_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=rf"^D365_CLIENT_SECRET_FILE {file} {problem}") as told:
        read_secret(Secret.in_file("D365_CLIENT_SECRET_FILE", str(file)))

    assert CANARY not in str(told.value)
    assert told.value.__suppress_context__ or content != b"\xff\xfe" + CANARY.encode()


def test_a_vault_is_answered_its_challenge_and_gives_the_newest_version(
    vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credential = StaticCredential()

    value = read_secret(in_vault(vault), ca_bundle=vault.ca, credential=credential)

    assert value == CANARY
    assert [status for status, _ in vault.asked] == [401, 200]
    assert credential.asked == [(("https://vault.azure.net/.default",), TENANT)]
    assert caplog.records
    assert CANARY not in caplog.text
    assert "vault-token" not in caplog.text


@pytest.mark.parametrize(
    ("name", "token", "kind", "problem"),
    [
        ("other", "vault-token", ConfigurationError, "does not exist"),
        ("d365", "no-right", AuthenticationProblem, "Key Vault Secrets User"),
        ("off", "vault-token", AuthenticationProblem, "may not be read"),
    ],
)
def test_what_a_vault_refuses_is_told_with_the_variable_and_the_way_out(
    vault: Vault, name: str, token: str, kind: type[Exception], problem: str
) -> None:
    vault.secrets["off"] = None

    with pytest.raises(kind, match=rf"^D365_CLIENT_SECRET {vault.url}/{name} .*{problem}"):
        read_secret(in_vault(vault, name), ca_bundle=vault.ca, credential=StaticCredential(token))


def test_a_vault_that_is_not_trusted_or_not_there_is_unavailable(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # between the repeats of the library

    with pytest.raises(SourceUnavailable, match=r"^D365_CLIENT_SECRET .* cannot be reached"):
        read_secret(in_vault(vault), credential=StaticCredential())


def test_missing_packages_name_the_extra(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith("azure.")]:
        monkeypatch.delitem(sys.modules, name)
    importing = builtins.__import__

    def without_azure(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("azure"):
            raise ImportError(name)
        return importing(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without_azure)
    with pytest.raises(ConfigurationError, match=r"D365_CLIENT_SECRET refers to Azure Key Vault.* extra `azure`"):
        read_secret(in_vault(vault), credential=StaticCredential())


def test_a_held_secret_is_read_once_and_once_more_after_each_refusal(vault: Vault) -> None:
    held = HeldSecret(in_vault(vault), partial(read_secret, ca_bundle=vault.ca, credential=StaticCredential()))
    assert [held.value(), held.value()] == [CANARY, CANARY]
    assert vault.read == 1

    assert not held.renewed(since=0)
    assert vault.read == 2

    vault.secrets["d365"] = "rotated"
    assert held.renewed(since=0)
    assert held.renewed(since=0), "another thread, refused with the old value, is told of the new one without a read"
    assert (held.value(), held.version, vault.read) == ("rotated", 1, 3)


def test_a_secret_of_the_environment_is_never_read_again() -> None:
    asked: list[Secret] = []

    def read(secret: Secret) -> str:
        asked.append(secret)
        return secret.value

    held = HeldSecret(Secret.given("D365_CLIENT_SECRET", CANARY), read)
    held.value()

    assert not held.renewed(since=0)
    assert len(asked) == 1
    assert held.told() == ""
