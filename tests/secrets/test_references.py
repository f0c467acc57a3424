"""How the environment refers to a secret, and that no reference shows one."""

from pathlib import Path

import pytest

from tieout.errors import ConfigurationError
from tieout.secret import Place, Secret, secret_from
from tieout.settings import Settings

CANARY = "canary-7Qm2"
SALESFORCE = {"SALESFORCE_INSTANCE_URL": "https://acme.my.salesforce.com", "SALESFORCE_CLIENT_ID": "app"}
D365 = {"D365_URL": "https://acme.operations.dynamics.com", "D365_TENANT_ID": "t", "D365_CLIENT_ID": "app"}


@pytest.mark.parametrize(
    ("env", "secret"),
    [
        ({"S": CANARY}, Secret("S", Place.ENVIRONMENT, value=CANARY)),
        ({"S": "file:/run/secrets/d365"}, Secret("S", Place.FILE, "/run/secrets/d365")),
        ({"S": "file:///run/secrets/d365"}, Secret("S", Place.FILE, "/run/secrets/d365")),
        ({"S_FILE": "/run/secrets/d365"}, Secret("S_FILE", Place.FILE, "/run/secrets/d365")),
        ({"S": "keyvault:Acme-vault/d365"}, Secret("S", Place.KEY_VAULT, "https://acme-vault.vault.azure.net/d365")),
        (
            {"S": "keyvault:https://acme.vault.azure.cn/d365"},
            Secret("S", Place.KEY_VAULT, "https://acme.vault.azure.cn/d365"),
        ),
        ({}, None),
    ],
)
def test_a_secret_is_the_value_a_file_or_a_name_in_a_key_vault(env: dict[str, str], secret: Secret | None) -> None:
    problems: list[str] = []

    assert secret_from(env, "S", "S_FILE", problems) == secret
    assert problems == []


@pytest.mark.parametrize(
    "text", ["", "vault", "vault/", "/name", "vault/a b", "http://vault/name", "ab/name", "v.x/name"]
)
def test_a_reference_to_no_secret_of_a_key_vault_is_told_with_its_form(text: str) -> None:
    problems: list[str] = []

    assert secret_from({"S": f"keyvault:{text}"}, "S", "S_FILE", problems) is None
    assert "Write keyvault:VAULT/NAME" in problems[0]


def test_a_secret_in_two_places_is_refused_without_being_repeated() -> None:
    problems: list[str] = []

    secret_from({"S": CANARY, "S_FILE": "/run/secrets/d365"}, "S", "S_FILE", problems)

    assert problems == ["S and S_FILE are both set. Unset one of them."]


def test_settings_hold_references_and_show_no_value() -> None:
    password = "postgresql://tieout:" + CANARY + "@host/db"
    settings = Settings.from_environment(
        SALESFORCE
        | D365
        | {"SALESFORCE_CLIENT_SECRET": CANARY, "D365_CLIENT_SECRET": CANARY, "TIEOUT_DATABASE_URL": password}
    )

    assert settings.d365 is not None
    assert settings.d365.secret == Secret.given("D365_CLIENT_SECRET", CANARY)
    assert CANARY not in f"{settings!r} {settings.d365.secret} {settings.d365.secret!r}"


def test_a_key_needs_the_user_that_it_stands_for() -> None:
    key = {"SALESFORCE_PRIVATE_KEY": "keyvault:acme/key"}

    with pytest.raises(ConfigurationError, match="SALESFORCE_PRIVATE_KEY is set, SALESFORCE_USERNAME is not"):
        Settings.from_environment(SALESFORCE | key)

    found = Settings.from_environment(SALESFORCE | key | {"SALESFORCE_USERNAME": "u@example.com"}).salesforce
    assert found is not None
    assert (found.username, found.secret.place) == ("u@example.com", Place.KEY_VAULT)


def test_a_certificate_wins_over_a_secret_and_needs_no_thumbprint_in_the_environment() -> None:
    found = Settings.from_environment(
        D365 | {"D365_CERTIFICATE_FILE": "/run/secrets/cert.pem", "D365_CLIENT_SECRET": CANARY}
    ).d365

    assert found is not None
    assert found.by_certificate
    assert str(found.secret) == "D365_CERTIFICATE_FILE /run/secrets/cert.pem"


@pytest.mark.parametrize("system", [SALESFORCE, D365])
def test_a_missing_secret_is_one_sentence(system: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"_CLIENT_SECRET is not\. Set it, or unset \w+ to use the sandbox\.$"):
        Settings.from_environment(system)


def test_the_address_of_the_database_may_be_a_file_because_it_holds_a_password(tmp_path: Path) -> None:
    file = tmp_path / "database-url"
    file.write_text(f"postgresql://tieout:{CANARY}@host/db\n")

    found = Settings.from_environment({"TIEOUT_DATABASE_URL_FILE": str(file)})

    assert found.database_url == f"postgresql+psycopg2://tieout:{CANARY}@host/db"
    assert CANARY not in repr(found)


def test_an_address_of_the_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"TIEOUT_DATABASE_URL_FILE .*none cannot be read"):
        Settings.from_environment({"TIEOUT_DATABASE_URL_FILE": str(tmp_path / "none")})
    with pytest.raises(ConfigurationError, match="cannot be in Key Vault"):
        Settings.from_environment({"TIEOUT_DATABASE_URL": "keyvault:vault/url"})
