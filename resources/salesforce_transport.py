"""What goes over the wire to Salesforce: plain http on this machine, our certificate authority, and what each answer tells in passing.

Every answer is counted and read for the quota and the server's clock. Answers that may be another in a moment become `PassingError`, tokens
that no new sign-in can help become AuthenticationProblem; everything else is left to those who asked.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from resources.wait_gate import WaitGate
from resources.web_session import TimedSession
from tieout.budget import Budget
from tieout.errors import AuthenticationProblem, ConfigurationError
from tieout.retry_after import seconds_to_wait
from tieout.settings import is_loopback

# 406, 420 and 429 come from Salesforce's edge while it sets things up.
_PASSING_STATUSES = frozenset({406, 420, 429, 500, 502, 503, 504})
# Refusals of the moment: too many long calls at once, and a query that took more than 120 seconds on a busy instance.
_PASSING_WORDS = (b"ConcurrentRequests", b"QUERY_TIMEOUT")
# 401 answers that a new token would get just the same.
_LASTING_WORDS = (b"not valid for use with the REST API", b"Connected app is not attached to Agent")
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")
_LONGEST_PLAIN_TEXT = 300


class PassingError(Exception):
    """An answer that may be another one in a moment."""

    def __init__(self, status: int, words: str, wait_s: float | None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Quota:
    """API calls of the whole organisation in the last 24 hours, and how many it may make."""

    used: int
    allowed: int


class SalesforceTransport(TimedSession):
    """A session for one Salesforce address. `calls` counts API calls as Salesforce does: sign-ins and the version list are free."""

    def __init__(
        self,
        base: str,
        ca_bundle: Path | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        budget: Budget | None = None,
        wait_file: Path | None = None,
    ) -> None:
        super().__init__()
        if base.startswith("http://") and not is_loopback(base):
            raise ConfigurationError(
                "SALESFORCE_INSTANCE_URL uses plain http. Use https; plain http is allowed for this machine only."
            )
        self._base = base
        # `simple_salesforce` writes https:// before every host.
        self._secure = f"https://{base.split('://', 1)[1]}/"
        self._ca = None if ca_bundle is None else str(ca_bundle)
        # A proxy variable must not catch this machine's own addresses.
        self.trust_env = not is_loopback(base)
        self.gate = WaitGate(f"Salesforce at {base}", file=wait_file, sleep=sleep)
        self._budget = budget
        self.calls = 0
        self.logins_in_a_row = 0
        self.quota: Quota | None = None
        self.server_time: datetime | None = None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As of `requests.Session`; raises PassingError and AuthenticationProblem."""
        if request.url and request.url.startswith(self._secure):
            request.url = f"{self._base}/{request.url[len(self._secure) :]}"
        if self._ca is not None:
            # Given with the call, because REQUESTS_CA_BUNDLE silently wins over the session's own `verify`.
            options["verify"] = self._ca
        path = urlsplit(request.url or "").path
        self.gate.wait()
        if self._budget is not None and _is_api(path):
            quota = self.quota
            self._budget.spend(*((quota.used, quota.allowed) if quota else ()))
        response = super().send(request, **options)
        self._note(response, path)
        return response

    def _note(self, response: requests.Response, path: str) -> None:
        if "Date" in response.headers:
            self.server_time = _instant(response.headers["Date"])
        is_api = _is_api(path)
        if is_api:
            self.calls += 1
            usage = _USAGE.search(response.headers.get("Sforce-Limit-Info", ""))
            self.quota = Quota(int(usage[1]), int(usage[2])) if usage else self.quota
        status = response.status_code
        if status in _PASSING_STATUSES or (status in (400, 403) and _has(response, _PASSING_WORDS)):
            wait_s = seconds_to_wait(response.headers.get("Retry-After"))
            self.gate.close_for(wait_s or 0.0)
            raise PassingError(status, words_of(_content(response))[1], wait_s)
        if status != 401:
            self.logins_in_a_row = 0 if is_api else self.logins_in_a_row
        elif is_api and (code_and_words := _lasting_refusal(response)):
            raise AuthenticationProblem(
                f"Salesforce at {self._base} does not accept the session: {code_and_words}. "
                "Give the app the scope `api`, and its run-as user the permission API Enabled."
            )


def _is_api(path: str) -> bool:
    return path.startswith("/services/data/v")


def words_of(content: object) -> tuple[str, str]:
    """Code and message of a refusal in any of Salesforce's forms: an array of errors, an object, or text."""
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, Mapping):
        code = str(first.get("errorCode") or first.get("statusCode") or first.get("error") or "")
        return code, _one_line(first.get("message") or first.get("error_description") or "")
    if isinstance(first, bytes):
        first = first.decode("utf-8", "replace")
    text = _one_line(first)
    return "", "a web page instead of data" if text.startswith("<") else text[:_LONGEST_PLAIN_TEXT]


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _content(response: requests.Response) -> object:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text


def _has(response: requests.Response, words: tuple[bytes, ...]) -> bool:
    return any(word in response.content for word in words)


def _lasting_refusal(response: requests.Response) -> str | None:
    """What a 401 says that signing in again will not change; None where the token has simply died."""
    content = _content(response)
    code, words = words_of(content)
    has_died = isinstance(content, list) and code == "INVALID_SESSION_ID" and not _has(response, _LASTING_WORDS)
    return None if has_died else f"{code} ({words})"


def _instant(header: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
