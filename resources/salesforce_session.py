"""Signing in to Salesforce and asking it: tokens, repeats after passing trouble, and errors that say what to do.

`simple_salesforce` speaks the protocol, `salesforce_transport.py` carries it. Everything asked through a session may be asked again: reads,
updates by id, and query jobs, which change nothing.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import jwt
import requests
import tenacity
import urllib3

from resources.salesforce_transport import PassingError, SalesforceTransport, words_of
from resources.secrets import HeldSecret, ReadSecret, read_secret
from tieout.budget import Budget
from tieout.errors import AuthenticationProblem, ConfigurationError, RequestRefused, SourceUnavailable
from tieout.settings import SalesforceSettings

if TYPE_CHECKING:
    # Brings a SOAP library with it, which loading the definitions must not pay for.
    from simple_salesforce.api import Salesforce
    from simple_salesforce.exceptions import SalesforceError

T = TypeVar("T")

CLIENT_NAME = "tieout"
LOGINS_IN_A_ROW = 2
TRIES = 4
LONGEST_PAUSE_S = 20.0
_ASSERTION_LIFE_S = 180
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_TRANSPORT_FAULTS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError,
                     requests.exceptions.ContentDecodingError, urllib3.exceptions.HTTPError)  # fmt: skip
_NOT_ALLOWED = frozenset(
    {"API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "INSUFFICIENT_ACCESS", "FUNCTIONALITY_NOT_ENABLED"}
)

# What to do about the refusals of the token endpoint, by a part of what it says.
_ADVICE = {
    "client identifier invalid": "Check SALESFORCE_CLIENT_ID. A new app takes up to ten minutes to become known.",
    "invalid client credentials": "Check SALESFORCE_CLIENT_SECRET.",
    "no client credentials user": "Name a run-as user in the client credentials flow of the app.",
    "client credentials flow": "Switch the client credentials flow on in the app.",
    "not supported on this domain": "SALESFORCE_INSTANCE_URL must be the My Domain address of the organisation, not login or test.",
    "hasn't approved": "Pre-authorise the app for SALESFORCE_USERNAME, and give the app the certificate of SALESFORCE_PRIVATE_KEY_FILE.",
    "audience": "Check SALESFORCE_AUDIENCE: https://login.salesforce.com, or https://test.salesforce.com for a sandbox.",
    "assertion": "Check that SALESFORCE_PRIVATE_KEY_FILE belongs to the certificate of the app, and the clock of this machine.",
    "not admin approved": "Give the run-as user a permission set that allows the app.",
}


@dataclass(frozen=True, slots=True)
class Access:
    """A session token, and whose it is: ids of organisation and user, of 18 characters."""

    token: str = field(repr=False)
    instance_url: str
    organization_id: str
    user_id: str


class SalesforceSession:
    """One signed-in conversation with one Salesforce. It signs in at the first question."""

    def __init__(
        self,
        settings: SalesforceSettings,
        ca_bundle: Path | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        budget: Budget | None = None,
        wait_file: Path | None = None,
        read: ReadSecret | None = None,
    ) -> None:
        self._settings = settings
        self._secret = HeldSecret(settings.secret, read or partial(read_secret, ca_bundle=ca_bundle))
        self._version_of_session = 0
        self._identity = ""
        self.sleep = sleep
        self.transport = SalesforceTransport(
            settings.instance_url, ca_bundle, sleep=sleep, budget=budget, wait_file=wait_file
        )
        # On the session and not on the calls: the library drops a call's own headers when it repeats it after signing in again.
        self.transport.headers["Sforce-Call-Options"] = f"client={CLIENT_NAME}"

    @cached_property
    def salesforce(self) -> "Salesforce":
        """The library's client; its calls sign in again when the token has died."""
        from simple_salesforce.api import Salesforce

        token, _ = self._sign_in()
        made = Salesforce(
            session_id=token,
            instance_url=self._settings.instance_url,
            version=self._settings.api_version,
            session=self.transport,
            parse_float=Decimal,
            object_pairs_hook=dict,
        )
        made._salesforce_login_partial = partial(self._sign_in)
        return made

    def access(self) -> Access:
        """A new session, for a protocol that the library does not speak. Raises what `asked` raises."""
        token, _ = self.asked(self._sign_in)
        *_, organization_id, user_id = ["", "", *self._identity.split("/")]
        if not organization_id.startswith("00D") or not user_id.startswith("005"):
            raise AuthenticationProblem(
                f"Salesforce at {self._settings.instance_url} gave a token and did not say whose it is. Give the app the scope `api`."
            )
        return Access(token, self._settings.instance_url, organization_id, user_id)

    def asked(self, question: Callable[[], T]) -> T:
        """What `question()` gives, asked again while the trouble is a passing one.

        Raises SourceUnavailable, AuthenticationProblem, or RequestRefused with Salesforce's own words.
        """
        from simple_salesforce.exceptions import SalesforceError

        repeated = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passes),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=_pause,
            sleep=self._nap,
            reraise=True,
        )
        try:
            given: T = repeated(question)
        except PassingError as trouble:
            raise SourceUnavailable(
                f"Salesforce at {self._settings.instance_url} answered {TRIES} times with HTTP {trouble.status} "
                f"({trouble.words or 'no text'}). Wait, then run it again."
            ) from trouble
        except SalesforceError as refusal:
            self._refuse(refusal)
        except requests.JSONDecodeError as problem:
            # We are signed in, so it is a Salesforce; a page for people stands in the place of its data.
            raise SourceUnavailable(
                f"Salesforce at {self._settings.instance_url} answered with something that is no JSON, such as a web page. Run it again "
                "later, and check that SALESFORCE_INSTANCE_URL is the My Domain address and that it is not under maintenance."
            ) from problem
        except (requests.RequestException, urllib3.exceptions.HTTPError) as fault:
            raise self._unreachable(fault) from fault
        return given

    def call(self, method: str, path: str, *, accept: str = "application/json", **options: Any) -> requests.Response:
        """One HTTP call, for use inside `asked`. `path` starts at the host (`/services/…`), or at the API version (`jobs/query`).

        The library's own lower level is used because its public calls read every answer into memory as Python objects.
        """
        client = self.salesforce
        url = f"https://{client.sf_instance}{path}" if path.startswith("/") else f"{client.base_url}{path}"
        return client._call_salesforce(method, url, headers={"Accept": accept}, **options)

    def _nap(self, seconds: float) -> None:
        if seconds:  # what Salesforce asked for is waited at the gate
            self.sleep(seconds)

    def server_time(self) -> datetime:
        """Salesforce's clock at its latest answer, UTC."""
        return self.transport.server_time or datetime.now(UTC)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def _sign_in(self) -> tuple[str, str]:
        """A new token, and the host as the library wants it. After a refusal the secret is read again once, and tried if it has changed."""
        self._check_that_sessions_are_accepted()
        version = self._secret.version
        said = self._asked_for_token()
        if "access_token" not in said and self._secret.renewed(since=version):
            said = self._asked_for_token()
        if "access_token" not in said:
            raise AuthenticationProblem(self._refusal_of_sign_in(said))
        self._version_of_session = self._secret.version
        self._identity = str(said.get("id", ""))
        self.transport.logins_in_a_row += 1
        return str(said["access_token"]), self._settings.instance_url.split("://", 1)[1]

    def _check_that_sessions_are_accepted(self) -> None:
        in_a_row = self.transport.logins_in_a_row
        if in_a_row < LOGINS_IN_A_ROW:
            return
        if in_a_row == LOGINS_IN_A_ROW and self._secret.renewed(since=self._version_of_session):
            return
        # Some calls of the library would sign in for ever where every token is refused.
        raise AuthenticationProblem(
            f"Salesforce at {self._settings.instance_url} gave {in_a_row} sessions and refused {'both' if in_a_row == 2 else 'all'} at once "
            "(INVALID_SESSION_ID). Check the session settings of the app's run-as user, such as allowed IP addresses."
            f"{self._secret.told()}"
        )

    def _asked_for_token(self) -> Mapping[str, object]:
        """What the token endpoint says: an object with `access_token`, or with `error`."""
        form, credentials = self._grant()
        answer = self.transport.post(
            f"{self._settings.instance_url}/services/oauth2/token", data=form, auth=credentials
        )
        try:
            said = answer.json()
        except requests.JSONDecodeError as problem:
            raise self._not_a_salesforce() from problem
        if answer.status_code != 200:
            said.pop("access_token", None)
        return dict(said)

    def _grant(self) -> tuple[dict[str, str], tuple[str, str] | None]:
        """Form and basic credentials of the token request."""
        settings, secret = self._settings, self._secret.value()
        if not settings.username:
            return {"grant_type": "client_credentials"}, (settings.client_id, secret)
        claims = {
            "iss": settings.client_id,
            "sub": settings.username,
            "aud": settings.audience,
            "exp": int(time.time()) + _ASSERTION_LIFE_S,
        }
        try:
            assertion = jwt.encode(claims, secret, algorithm="RS256")
        except (jwt.InvalidKeyError, ValueError, TypeError):
            # Not `from`: such errors may repeat a part of the key.
            raise ConfigurationError(
                f"{settings.secret} holds no RSA key in PEM form, or one with a password."
            ) from None
        return {"grant_type": _JWT_GRANT, "assertion": assertion}, None

    def _refusal_of_sign_in(self, said: Mapping[str, object]) -> str:
        error, description = str(said.get("error", "no error")), str(said.get("error_description", "no reason given"))
        otherwise = (
            "Check SALESFORCE_CLIENT_ID, SALESFORCE_CLIENT_SECRET (or the JWT key), and the run-as user of the app."
        )
        advice = next((text for words, text in _ADVICE.items() if words in description), otherwise)
        return f"Salesforce at {self._settings.instance_url} refuses the sign-in: {error} ({description}). {advice}{self._secret.told()}"

    def _refuse(self, refusal: "SalesforceError") -> NoReturn:
        code, words = words_of(refusal.content)
        told = f"{code or f'HTTP {refusal.status}'}: {words}"
        if code in _NOT_ALLOWED:
            raise AuthenticationProblem(
                f"Salesforce at {self._settings.instance_url} does not let the integration user do this. {told}. "
                "Give its permission set what is missing."
            ) from refusal
        if code == "REQUEST_LIMIT_EXCEEDED":
            quota = self.transport.quota
            spent = f"{quota.used:,} of {quota.allowed:,} calls" if quota else "all calls"
            told += (
                f" The organisation has used {spent} of the last 24 hours, for all its applications together. "
                "Nothing more was sent, and nothing is lost: run it again later, or ask Salesforce for more calls."
            )
        raise RequestRefused(f"Salesforce refused. {told}", status=refusal.status, code=code or None) from refusal

    def _not_a_salesforce(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._settings.instance_url} does not answer as a Salesforce does: no JSON. "
            "SALESFORCE_INSTANCE_URL must be the My Domain address, such as https://acme.my.salesforce.com."
        )

    def _unreachable(self, fault: Exception) -> SourceUnavailable:
        place = f"Salesforce at {self._settings.instance_url}"
        if isinstance(fault, requests.exceptions.SSLError):
            return SourceUnavailable(
                f"The certificate of {place} is not trusted. TIEOUT_CA_BUNDLE names a file of further authorities."
            )
        if isinstance(fault, requests.Timeout | urllib3.exceptions.TimeoutError):
            return SourceUnavailable(f"{place} did not answer in time, {TRIES} times. Run it again later.")
        return SourceUnavailable(
            f"{place} cannot be reached ({type(fault).__name__}). Check SALESFORCE_INSTANCE_URL and the network."
        )


def _passes(trouble: BaseException) -> bool:
    if isinstance(trouble, requests.exceptions.SSLError):
        return False
    return isinstance(trouble, (PassingError, *_TRANSPORT_FAULTS))


def _pause(state: tenacity.RetryCallState) -> float:
    trouble = state.outcome.exception() if state.outcome else None
    if isinstance(trouble, PassingError) and trouble.wait_s is not None:
        return 0.0
    return tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE_S)(state)
