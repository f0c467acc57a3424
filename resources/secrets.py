"""Reading secrets from where they are, and reading one again after it was refused.

What a reference means is in `tieout/secret.py`. A client holds its secret as a `HeldSecret`, asks for the value when it signs in, and after a
refusal asks once whether there is another one.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tieout.errors import AuthenticationProblem, ConfigurationError, SourceUnavailable
from tieout.secret import Place, Secret, secret_from
from tieout.settings import is_loopback

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

log = logging.getLogger(__name__)

ReadSecret = Callable[[Secret], str]


class HeldSecret:
    """One secret in the hands of one client, read at the first need. Safe to use from several threads."""

    def __init__(self, secret: Secret, read: ReadSecret) -> None:
        self.secret = secret
        self._read = read
        self._lock = threading.Lock()
        self._value: str | None = None
        self._version = 0
        self._has_changed = False

    @property
    def version(self) -> int:
        """How often another value was found. Note it before signing in, for `renewed`."""
        return self._version

    def value(self) -> str:
        """The secret. Raises as `read_secret`."""
        with self._lock:
            if self._value is None:
                self._value = self._read(self.secret)
            return self._value

    def renewed(self, since: int) -> bool:
        """Whether there is another value than the one of version `since`, which was refused: one fresh read, unless another thread made it.

        With the same value another try would only be refused again. Raises as `read_secret`.
        """
        with self._lock:
            if self._version > since:
                return True
            if not self.secret.can_change:
                return False
            fresh = self._read(self.secret)
            self._has_changed = fresh != self._value
            if not self._has_changed:
                return False
            self._value = fresh
            self._version += 1
        log.info("secret.renewed", extra={"variable": self.secret.variable, "place": str(self.secret.place)})
        return True

    def told(self) -> str:
        """For the end of a refusal: a sentence about the fresh read, empty where none could be made."""
        if not self.secret.can_change:
            return ""
        found = "its new value is refused as well" if self._has_changed else "it holds no other value"
        return f" {self.secret} was read again: {found}. Put the right one there."


def read_secret(secret: Secret, *, ca_bundle: Path | None = None, credential: "TokenCredential | None" = None) -> str:
    """The value, without the line break that editors and mounts put behind it.

    `credential` opens Key Vault; without one it is the identity that Azure finds for this process. Raises ConfigurationError,
    AuthenticationProblem or SourceUnavailable, each with the variable and never with the value.
    """
    match secret.place:
        case Place.ENVIRONMENT:
            value = secret.value
        case Place.FILE:
            value = _from_file(secret)
        case Place.KEY_VAULT:
            value = _from_key_vault(secret, ca_bundle, credential)
    value = value.strip("\r\n")
    if not value.strip():
        raise ConfigurationError(f"{secret} is empty. Put the secret there.")
    return value


def with_secrets(
    environment: Mapping[str, str], variables: Iterable[str], *, ca_bundle: Path | None = None
) -> dict[str, str]:
    """The environment in which each of these variables holds the secret itself, wherever it or its `…_FILE` said that it is.

    For what is read anew each time that it is needed, such as the address of a channel when a notice is sent. Raises as `read_secret`.
    """
    resolved = dict(environment)
    problems: list[str] = []
    for variable in variables:
        secret = secret_from(environment, variable, f"{variable}_FILE", problems)
        if problems:
            raise ConfigurationError(" ".join(problems))
        if secret is not None and secret.place is not Place.ENVIRONMENT:
            resolved[variable] = read_secret(secret, ca_bundle=ca_bundle)
    return resolved


def _from_file(secret: Secret) -> str:
    try:
        return Path(secret.where).expanduser().read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise ConfigurationError(f"{secret} cannot be read ({problem.strerror}).") from problem
    except UnicodeDecodeError:
        # Not `from`: the error holds the bytes that it could not read.
        raise ConfigurationError(f"{secret} is no text. Secrets are UTF-8, keys and certificates PEM.") from None


def _from_key_vault(secret: Secret, ca_bundle: Path | None, credential: "TokenCredential | None") -> str:
    try:
        from azure.core.exceptions import (
            AzureError,
            ClientAuthenticationError,
            HttpResponseError,
            ResourceNotFoundError,
        )
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.secrets import SecretClient
    except ImportError as problem:
        raise ConfigurationError(
            f"{secret.variable} refers to Azure Key Vault, whose packages are not installed. Install Tieout with its extra `azure`."
        ) from problem

    vault, _, name = secret.where.rpartition("/")
    at_home = is_loopback(vault)
    refused = (
        f"{secret} may not be read by this identity. Give it the role Key Vault Secrets User on the vault, and let the vault's network "
        "rules admit this machine."
    )
    try:
        with ExitStack() as ours:
            client = ours.enter_context(
                SecretClient(
                    vault,
                    credential or ours.enter_context(DefaultAzureCredential()),
                    connection_verify=True if ca_bundle is None else str(ca_bundle),
                    # A vault of this machine, as in tests, has no domain that its challenge could be held against, and needs no proxy.
                    verify_challenge_resource=not at_home,
                    use_env_settings=not at_home,
                )
            )
            return client.get_secret(name).value or ""
    except ResourceNotFoundError as problem:
        raise ConfigurationError(
            f"{secret} does not exist. Check the name, and that its newest version is enabled."
        ) from problem
    except ClientAuthenticationError as problem:
        raise AuthenticationProblem(refused) from problem
    except HttpResponseError as problem:
        if problem.status_code in {401, 403}:
            raise AuthenticationProblem(refused) from problem
        raise SourceUnavailable(
            f"{secret} cannot be read now (HTTP {problem.status_code}). Run it again later."
        ) from problem
    except AzureError as problem:
        raise SourceUnavailable(
            f"{secret} cannot be reached ({type(problem).__name__}). Check the name of the vault, the network and the identity."
        ) from problem
