"""Signing in to Microsoft Entra as an application: a token for D365, Dataverse or Graph, by secret or by certificate."""

import re
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from resources.client_certificate import credential_of
from resources.secrets import HeldSecret, ReadSecret, read_secret
from resources.web_session import session_for
from tieout.errors import AuthenticationProblem, ConfigurationError, SourceUnavailable
from tieout.settings import EntraApplication

_MICROSOFT = (".microsoftonline.com", ".microsoftonline.us", ".partner.microsoftonline.cn", ".windows.net")
_CODE = re.compile(r"AADSTS\d+")

_ADVICE = {
    "AADSTS7000215": "The secret is wrong. Put the secret's value (not its id) into {names.client_secret}.",
    "AADSTS7000222": "The secret has expired. Make a new one in Entra and put its value into {names.client_secret}.",
    "AADSTS700016": "The tenant has no such application. Check {names.client_id} and {names.tenant_id}.",
    "AADSTS90002": "There is no such tenant. Check {names.tenant_id}.",
    "AADSTS500011": "The tenant has no such environment. {names.url} must be its address to the letter, without a slash at the end.",
    "AADSTS65001": "Nobody has consented to the application. Ask an administrator of the tenant.",
    "AADSTS65005": "The environment is not a valid resource. {names.url} must be its address to the letter.",
    "AADSTS700027": "The certificate is not accepted. Check {names.certificate_file}, {names.certificate_thumbprint} and its registration.",
}


class EntraSignIn:
    """Tokens for one address, kept by msal until shortly before they end."""

    def __init__(
        self, settings: EntraApplication, ca_bundle: Path | None = None, *, read: ReadSecret | None = None
    ) -> None:
        self._settings = settings
        self._host = urlsplit(settings.authority_url).hostname or settings.authority_url
        self._http = session_for(settings.authority_url, ca_bundle)
        self.secret = HeldSecret(settings.secret, read or partial(read_secret, ca_bundle=ca_bundle))
        self._lock = threading.Lock()
        self._app: Any = None
        self._version_of_app = 0

    def token(self) -> str:
        """A token that is valid now. A refusal is followed by one fresh read of the secret, and by another try where it has changed.

        Raises AuthenticationProblem with what to do, ConfigurationError or SourceUnavailable.
        """
        version = self.secret.version
        answer = self._asked()
        if "access_token" not in answer and self.secret.renewed(since=version):
            answer = self._asked()
        if "access_token" not in answer:
            raise AuthenticationProblem(self._refusal(answer))
        return str(answer["access_token"])

    def forget(self) -> None:
        """Drop the kept tokens, because one was refused."""
        with self._lock:
            if self._app is not None:
                self._app.remove_tokens_for_client()

    def _asked(self) -> Mapping[str, object]:
        try:
            with self._lock:
                # The application keeps its credential and its tokens: another secret needs another application.
                if self._app is None or self._version_of_app != self.secret.version:
                    self._version_of_app = self.secret.version
                    self._app = self._application()
                app = self._app
            answer: Mapping[str, object] = app.acquire_token_for_client(scopes=[f"{self._settings.url}/.default"])
        except requests.RequestException as error:
            raise SourceUnavailable(
                f"Entra at {self._host} cannot be reached ({_kind_of(error)}). Check {self._settings.variables.authority_url} and the network."
            ) from None
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _application(self) -> Any:
        import msal  # imported here: loading the definitions must not pay for it

        if urlsplit(self._settings.authority_url).scheme != "https":
            raise ConfigurationError(
                f"{self._settings.variables.authority_url} is {self._settings.authority_url!r}. Entra's library signs in over https only: use the TLS address."
            )
        try:
            return msal.ConfidentialClientApplication(
                self._settings.client_id,
                authority=self._settings.authority_url,
                client_credential=self._credential(),
                # Asking Microsoft about an authority that is not Microsoft's would send its name out and fail.
                instance_discovery=None if self._host.endswith(_MICROSOFT) else False,
                http_client=self._http,
            )
        except ValueError as error:
            raise AuthenticationProblem(
                f"Entra at {self._host} does not know the tenant of {self._settings.authority_url}. "
                f"Check {self._settings.variables.tenant_id} and {self._settings.variables.authority_url}."
            ) from error

    def _credential(self) -> str | dict[str, str]:
        if not self._settings.by_certificate:
            return self.secret.value()
        return credential_of(self.secret.value(), self._settings.secret, self._settings.certificate_thumbprint)

    def _refusal(self, answer: Mapping[str, object]) -> str:
        description = str(answer.get("error_description") or answer.get("error") or "no reason given")
        code = next(iter(_CODE.findall(description)), str(answer.get("error")))
        known = _ADVICE.get(code)
        advice = known.format(names=self._settings.variables) if known else description.splitlines()[0]
        return f"Entra at {self._host} refuses the sign-in of client {self._settings.client_id}: {code}. {advice}{self.secret.told()}"


def _kind_of(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; TIEOUT_CA_BUNDLE names further authorities"
    return "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
