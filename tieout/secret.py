"""Where a secret is: in its variable, in a file, or in Azure Key Vault.

A reference can be shown, compared and logged; the value of one that was given in the environment is in no `repr`. Pure: reading is in
`resources/secrets.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

IN_FILE = "file:"
IN_KEY_VAULT = "keyvault:"
_PUBLIC_CLOUD = "https://{name}.vault.azure.net"
# As Key Vault itself allows them: the vault's name is part of a host name.
_VAULT_NAME = re.compile(r"[A-Za-z](?:-?[A-Za-z0-9]){2,23}")
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")


class Place(StrEnum):
    """What has to be asked for a secret."""

    ENVIRONMENT = "environment"
    """Nothing: the value came with the environment of this process and stays as it is until the process ends."""

    FILE = "file"
    """A file, as Docker and Kubernetes mount secrets; whoever rotates the secret writes the file anew."""

    KEY_VAULT = "key vault"
    """Azure Key Vault; the newest version of the secret is read."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to one secret.

    `variable` is what the environment calls it, for people. `where` is a path, or `https://VAULT…/NAME`; empty where `value` holds the
    secret itself.
    """

    variable: str
    place: Place
    where: str = ""
    value: str = field(default="", repr=False)

    @classmethod
    def given(cls, variable: str, value: str) -> "Secret":
        """A secret that stands in the environment itself."""
        return cls(variable, Place.ENVIRONMENT, value=value)

    @classmethod
    def in_file(cls, variable: str, path: str) -> "Secret":
        """A secret that is the content of a file."""
        return cls(variable, Place.FILE, path)

    @property
    def can_change(self) -> bool:
        """Whether another look may find another value."""
        return self.place is not Place.ENVIRONMENT

    def __str__(self) -> str:
        """The variable and the place, never the value."""
        return f"{self.variable} {self.where}".rstrip()


def secret_from(env: Mapping[str, str], variable: str, file_variable: str, problems: list[str]) -> Secret | None:
    """The secret that `variable` holds or refers to, or `file_variable` names a file of; None where neither is set.

    `variable` is the value itself, `file:PATH`, `keyvault:VAULT/NAME` (public cloud) or `keyvault:https://VAULT-ADDRESS/NAME`. What cannot be
    obeyed is added to `problems` and gives None; no problem repeats a value.
    """
    text, path = env.get(variable), env.get(file_variable)
    if text is not None and path is not None:
        problems.append(f"{variable} and {file_variable} are both set. Unset one of them.")
        return None
    if path is not None:
        return Secret.in_file(file_variable, path)
    if text is None:
        return None
    if text.startswith(IN_FILE):
        return Secret.in_file(variable, text.removeprefix(IN_FILE).removeprefix("//"))
    if text.startswith(IN_KEY_VAULT):
        where = _address_in_vault(text.removeprefix(IN_KEY_VAULT))
        if where is None:
            problems.append(
                f"{variable} begins with keyvault: and names no secret. Write keyvault:VAULT/NAME, or keyvault:https://ADDRESS/NAME for "
                "another cloud than the public one."
            )
            return None
        return Secret(variable, Place.KEY_VAULT, where)
    return Secret.given(variable, text)


def _address_in_vault(text: str) -> str | None:
    vault, _, name = text.rstrip("/").rpartition("/")
    if not _SECRET_NAME.fullmatch(name):
        return None
    if _VAULT_NAME.fullmatch(vault):
        return f"{_PUBLIC_CLOUD.format(name=vault.lower())}/{name}"
    parts = urlsplit(vault)
    is_address = parts.scheme == "https" and parts.hostname and not parts.path and not parts.query
    return f"{vault}/{name}" if is_address else None
