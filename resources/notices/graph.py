"""E-mail over Microsoft Graph: `sendMail` of one mailbox, by an application with the right Mail.Send.

Limit that mailbox with an application access policy in Exchange: the right alone lets the application send as everybody.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from resources.notices.sink import NotTaken
from resources.notices.webhook import TIMEOUT_S, post_json
from resources.web_session import TimedSession, session_for
from tieout.alerting.notice import Notice, as_html
from tieout.alerting.settings import GraphSettings
from tieout.errors import AuthenticationProblem, ConfigurationError

_MICROSOFT = (".microsoftonline.com", ".microsoftonline.us", ".partner.microsoftonline.cn", ".windows.net")


class GraphMail:
    """A mailbox, and who gets the mail."""

    def __init__(self, settings: GraphSettings, to: Sequence[str], ca_bundle: Path | None = None) -> None:
        self._settings, self._to, self._ca_bundle = settings, list(to), ca_bundle

    def send(self, notice: Notice) -> None:
        """One mail; nothing is kept in the folder of sent ones."""
        url = f"{self._settings.url}/v1.0/users/{quote(self._settings.sender, safe='')}/sendMail"
        body = {
            "message": {
                "subject": notice.title,
                "body": {"contentType": "HTML", "content": as_html(notice)},
                "toRecipients": [{"emailAddress": {"address": address}} for address in self._to],
            },
            "saveToSentItems": False,
        }
        post_json(
            "Microsoft Graph", "TIEOUT_GRAPH_SENDER and the right Mail.Send", url, body, self._ca_bundle, self._token()
        )

    def _token(self) -> str:
        given = self._settings
        host = urlsplit(given.authority_url).hostname or ""
        if urlsplit(given.authority_url).scheme != "https":
            raise ConfigurationError("TIEOUT_GRAPH_AUTHORITY_URL: Entra's library signs in over https only.")
        with session_for(given.authority_url, self._ca_bundle) as http:
            try:
                answer = self._asked(http, host)
            except requests.RequestException:
                raise NotTaken(f"Entra at {host} cannot be reached. Check TIEOUT_GRAPH_AUTHORITY_URL.") from None
            except ValueError:
                raise AuthenticationProblem(
                    f"Entra at {host} does not know the tenant. Check TIEOUT_GRAPH_TENANT_ID."
                ) from None
        if "access_token" not in answer:
            code = str(answer.get("error") or "no reason given")
            raise AuthenticationProblem(
                f"Entra at {host} refuses the sign-in for Microsoft Graph ({code}). "
                "Check TIEOUT_GRAPH_CLIENT_ID and TIEOUT_GRAPH_CLIENT_SECRET."
            )
        return str(answer["access_token"])

    def _asked(self, http: TimedSession, host: str) -> dict[str, Any]:
        import msal  # imported here: only a mail pays for it

        app = msal.ConfidentialClientApplication(
            self._settings.client_id,
            authority=self._settings.authority_url,
            client_credential=self._settings.client_secret,
            # Asking Microsoft about an authority that is not Microsoft's would send its name out and fail.
            instance_discovery=None if host.endswith(_MICROSOFT) else False,
            http_client=http,
            timeout=TIMEOUT_S,
        )
        return dict(app.acquire_token_for_client(scopes=[f"{self._settings.url}/.default"]))
