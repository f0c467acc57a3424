"""One HTTP call to D365: signed in, timed, counted, repeated where that is harmless, its errors sorted.

What is asked is in `d365.py`; here is how asking goes wrong.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
import tenacity
import urllib3

from resources.bearer import Bearer
from resources.entra import EntraSignIn
from resources.wait_gate import WaitGate
from resources.web_session import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, session_for
from tieout.answer import Answer, NoAnswer
from tieout.batch import BatchRequest, parse_reads
from tieout.budget import Budget
from tieout.errors import AuthenticationProblem, RequestRefused, SourceUnavailable
from tieout.retry_after import seconds_to_wait
from tieout.settings import D365Settings

READ_TRIES = 5
LONGEST_PAUSE_S = 160.0


class _PassingError(Exception):
    """Something that may be over in a moment."""

    def __init__(self, problem: str, retry_after_s: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s
        self.throttled = throttled


class D365Http:
    """Calls to one environment. Counts every one that is sent; safe to use from several threads."""

    def __init__(
        self,
        settings: D365Settings,
        sign_in: EntraSignIn,
        *,
        ca_bundle: Path | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        budget: Budget | None = None,
        wait_file: Path | None = None,
    ) -> None:
        parts = urlsplit(settings.url)
        self.service_root = f"{settings.url}/data"
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.host = parts.hostname or settings.url
        self._client_id = settings.client_id
        self._sign_in = sign_in
        self._session = session_for(settings.url, ca_bundle)
        self._timeout = (CONNECT_TIMEOUT_S, read_timeout_s)
        self._sleep = sleep
        self.gate = WaitGate(f"D365 at {self.host}", file=wait_file, sleep=sleep)
        self._budget = budget
        self._lock = threading.Lock()
        self._calls = 0

    @property
    def calls(self) -> int:
        """Calls sent so far, repetitions included."""
        return self._calls

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._sign_in.close()

    def read(
        self,
        url: str,
        *,
        accept: str = "application/json",
        absent_is_none: bool = False,
        batch: tuple[bytes, str] | None = None,
    ) -> "Page | None":
        """The whole body of a GET, repeated while that may help.

        `absent_is_none` makes a 404 a `None`. `batch` (body, type) makes it a POST that is harmless to repeat: a batch of nothing but GETs.
        Raises SourceUnavailable, AuthenticationProblem or RequestRefused.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(READ_TRIES),
            wait=_pause,
            sleep=self._nap,
            reraise=True,
        )
        try:
            return retrying(self._read_once, url, accept, absent_is_none, batch)
        except _PassingError as problem:
            raise SourceUnavailable(f"D365 at {self.host}: {problem}") from problem.__cause__

    def ask(self, url: str, body: bytes) -> "Page":
        """The answer to a POST of JSON that may be repeated without harm. Raises as `read`."""
        page = self.read(url, batch=(body, "application/json"))
        assert page is not None, "only a GET can find nothing"
        return page

    def write(self, url: str, body: bytes, content_type: str) -> tuple[Answer | NoAnswer, int]:
        """The answer to one POST, sent once, and the calls that it took: who sends a create has to decide what its end means.

        Only a refused token is followed by another try, because a 401 comes before anything runs. Raises AuthenticationProblem when a
        fresh token, and a fresh secret if there is one, are refused as well.
        """
        headers = {
            "Content-Type": content_type,
            "Accept": "application/json",
            "OData-Version": "4.0",
            "OData-MaxVersion": "4.0",
        }
        calls = 0
        try:
            response, calls = self._signed_in("POST", url, headers, body)
            content = _body(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return NoAnswer(f"D365 at {self.host}: {_kind_of(error)}", may_have_run=not _never_left(error)), calls or 1
        answer = _answer(response, content)
        if answer.status in {401, 403}:
            raise self._not_allowed(answer)
        return answer, calls

    def _read_once(self, url: str, accept: str, absent_is_none: bool, batch: tuple[bytes, str] | None) -> "Page | None":
        headers = {"Accept": accept, "OData-MaxVersion": "4.0"}
        try:
            if batch is None:
                response, _ = self._signed_in("GET", url, headers, None)
            else:
                body, content_type = batch
                response, _ = self._signed_in("POST", url, headers | {"Content-Type": content_type}, body)
            body = _body(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            advice = " Check D365_URL and the network." if _never_left(error) else ""
            raise _PassingError(f"{_kind_of(error)}.{advice}") from error
        answer = _answer(response, body)
        if answer.status == 200 or (batch is not None and answer.status == 202):
            return Page(body, answer.content_type, _time_of(response))
        if answer.status == 404 and absent_is_none:
            return None
        if answer.status in {401, 403}:
            raise self._not_allowed(answer)
        if answer.status == 429 or (answer.status >= 500 and not answer.has_error_envelope):
            raise _PassingError(answer.message, answer.retry_after_s, throttled=answer.status == 429)
        if answer.status < 400:
            raise SourceUnavailable(
                f"D365 at {self.host} sends us elsewhere (HTTP {answer.status}). Check D365_URL: it is the environment's own address."
            )
        raise RequestRefused(f"D365 at {self.host}: {answer.message}", status=answer.status)

    def read_parts(self, url: str, batch: BatchRequest, parts: int) -> list[bytes]:
        """The bodies of the GETs of a batch, in their order; asked for again while a part may still come.

        Raises as `read`.
        """
        for tries_left in reversed(range(READ_TRIES)):
            page = self.read(url, accept="multipart/mixed", batch=(batch.body, batch.content_type))
            answers = parse_reads(page.content_type, page.body, parts) if page is not None else []
            waits = [each.retry_after_s for each in answers if isinstance(each, Answer) and each.status == 429]
            refused = [each for each in answers if isinstance(each, Answer) and each.status >= 400]
            if len(answers) == parts and all(isinstance(each, Answer) for each in answers) and not refused:
                return [each.body for each in answers if isinstance(each, Answer)]
            final = [each for each in refused if each.status != 429 and (each.status < 500 or each.has_error_envelope)]
            if final:
                raise RequestRefused(f"D365 at {self.host}: {final[0].message}", status=final[0].status)
            if tries_left:
                self.gate.close_for(max((seconds for seconds in waits if seconds is not None), default=0.5))
        raise SourceUnavailable(f"D365 at {self.host} did not answer all parts of a batch of reads.")

    def _signed_in(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[requests.Response, int]:
        """One call, or two or three: with a fresh token where it was refused for its token, and then with a fresh secret, if there is one."""
        version = self._sign_in.secret.version
        response = self._call(method, url, headers, body)
        if response.status_code != 401:
            return response, 1
        response.close()
        self._sign_in.forget()
        response = self._call(method, url, headers, body)
        if response.status_code != 401 or not self._sign_in.secret.renewed(since=version):
            return response, 2
        response.close()
        return self._call(method, url, headers, body), 3

    def _nap(self, seconds: float) -> None:
        if seconds:  # what the server asked for is waited at the gate
            self._sleep(seconds)

    def _call(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> requests.Response:
        token = self._sign_in.token()
        self.gate.wait()
        if self._budget is not None:
            self._budget.spend()
        with self._lock:
            self._calls += 1
        response = self._session.request(
            method,
            url,
            headers=headers,
            data=body,
            auth=Bearer(token),
            stream=True,
            # A redirect could carry the token to a foreign host.
            allow_redirects=False,
            timeout=self._timeout,
        )
        asked_s = seconds_to_wait(response.headers.get("Retry-After")) if response.status_code in {429, 503} else None
        if asked_s is not None:
            self.gate.close_for(asked_s)
        return response

    def _not_allowed(self, answer: Answer) -> AuthenticationProblem:
        if answer.status == 401:
            return AuthenticationProblem(
                f"D365 at {self.host} does not accept the application ({answer.message}). Register client {self._client_id} in D365 under "
                "System administration > Setup > Microsoft Entra ID applications, and check that D365_URL is the environment's address."
                f"{self._sign_in.secret.told()}"
            )
        return AuthenticationProblem(
            f"D365 at {self.host} does not allow this ({answer.message}). Give the user of client {self._client_id} a role for the entity."
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A body with its type and the server's time (UTC) when it was sent."""

    body: bytes
    content_type: str
    at: datetime


def _pause(state: tenacity.RetryCallState) -> float:
    """Nothing where the server says how long: the gate waits for that. Otherwise twice as long each time, with full jitter."""
    problem = state.outcome.exception() if state.outcome else None
    if isinstance(problem, _PassingError) and problem.retry_after_s is not None:
        return 0.0
    throttled = isinstance(problem, _PassingError) and problem.throttled
    # Practitioners measured minutes of 429 without a header; other troubles are often over in a moment.
    first_s = 10.0 if throttled else 0.5
    return tenacity.wait_random_exponential(multiplier=first_s, min=first_s / 2, max=LONGEST_PAUSE_S)(state)


def _body(response: requests.Response) -> bytes:
    # `.content` reads slices of 10 KiB, which costs a third of the speed when several threads read.
    with response:
        body: bytes = response.raw.read(decode_content=True)
    return body


def _answer(response: requests.Response, body: bytes) -> Answer:
    headers = response.headers
    wait_s = seconds_to_wait(headers.get("Retry-After"))
    return Answer(response.status_code, headers.get("Content-Type", ""), body, wait_s)


def _time_of(response: requests.Response) -> datetime:
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _never_left(error: Exception) -> bool:
    """Whether the request surely did not reach the server: no connection was ever made."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    cause = getattr(reason, "reason", reason)
    return isinstance(cause, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _kind_of(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; TIEOUT_CA_BUNDLE names further authorities"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return "it cannot be reached" if _never_left(error) else "the connection broke before the answer was complete"
