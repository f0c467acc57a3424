"""Calls to a target of the log: signed in, at the pace that the target asks for, each answer a value.

Every call may be made again, because a target knows each row by its key; when that helps is decided by who asks.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from resources.bearer import Bearer
from resources.entra import EntraSignIn
from resources.wait_gate import WaitGate
from resources.web_session import CONNECT_TIMEOUT_S, session_for
from tieout.answer import Answer, NoAnswer
from tieout.errors import AuthenticationProblem, RequestRefused, SourceUnavailable
from tieout.log_sinks.outcome import Again, Refused, Taken, meaning_of
from tieout.retry_after import seconds_to_wait
from tieout.settings import EntraApplication

READ_TIMEOUT_S = 150.0
"""Dataverse itself ends an operation after two minutes."""
PATIENCE_S = 60.0
"""A longer wait ends the pass; the next one comes when it is over."""
TRIES = 5
"""Failures in a row that end a pass, within seconds: the next one comes a minute later."""
MOST_WAITS = 20
"""How often in a row a target may ask to wait before the pass ends."""


class AskedToWait(SourceUnavailable):
    """The target wants to be left alone for `wait_s` seconds, which is longer than a pass waits."""

    def __init__(self, message: str, wait_s: float) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(slots=True)
class Patience:
    """How often in a row a target has failed, and how often it has asked to wait, which is no failure."""

    failures: int = 0
    waits: int = 0

    def is_at_its_end(self, wait_s: float | None) -> bool:
        """Count one more; whether that is enough."""
        if wait_s is None:
            self.failures += 1
        else:
            self.waits += 1
        return self.failures >= TRIES or self.waits >= MOST_WAITS

    def renew(self) -> None:
        """The target has taken something."""
        self.failures = self.waits = 0


class Calls:
    """Calls to one address. `name` is the target's in messages, `rights` what to give it where it refuses."""

    def __init__(
        self,
        name: str,
        application: EntraApplication,
        rights: str,
        *,
        root: str,
        ca_bundle: Path | None = None,
        wait_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = f"{name} at {urlsplit(application.url).hostname or application.url}"
        self._rights = rights
        self._root = f"{application.url}{root}"
        self._client_id = application.client_id
        self._sign_in = EntraSignIn(application, ca_bundle)
        self._session = session_for(application.url, ca_bundle)
        self._sleep = sleep
        self._gate = WaitGate(self.name, file=wait_file, sleep=sleep, patience_s=PATIENCE_S)
        self.calls = 0

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
        self._sign_in.close()

    def get(self, path: str, *, absent_is_none: bool = False) -> bytes | None:
        """The body of a GET, asked for again while that may help. Raises SourceUnavailable, AuthenticationProblem or RequestRefused."""
        patience = Patience()
        while True:
            answer = self.once("GET", path)
            match meaning_of(answer):
                case Taken():
                    return answer.body if isinstance(answer, Answer) else b""
                case Refused(why, status):
                    if status == 404 and absent_is_none:
                        return None
                    raise RequestRefused(f"{self.name}: {why}", status=status)
                case Again(_, wait_s):
                    if patience.is_at_its_end(wait_s):
                        raise SourceUnavailable(f"{self.name}: {_words(answer)}")
                    self.pause(patience.failures, wait_s)

    def once(self, method: str, path: str, body: bytes | None = None) -> Answer | NoAnswer:
        """One call and its answer, whatever it is. Raises AuthenticationProblem, AskedToWait, or what signing in raises."""
        version = self._sign_in.secret.version
        answer = self._call(method, path, body)
        if isinstance(answer, Answer) and answer.status == 401:
            self._sign_in.forget()
            answer = self._call(method, path, body)
            if isinstance(answer, Answer) and answer.status == 401 and self._sign_in.secret.renewed(since=version):
                answer = self._call(method, path, body)
        if isinstance(answer, Answer):
            self.check_rights(answer)
        return answer

    def check_rights(self, answer: Answer) -> None:
        """Raises AuthenticationProblem for an answer that says that we are not who may do this."""
        if answer.status in {401, 403}:
            raise AuthenticationProblem(
                f"{self.name} does not let client {self._client_id} do this (HTTP {answer.status}: {answer.message}). {self._rights}"
                f"{self._sign_in.secret.told()}"
            )

    def pause(self, failures: int, wait_s: float | None) -> None:
        """Wait before another try: as long as the target says, which the gate does, else a little longer each time."""
        if wait_s is None:
            self._sleep(0.125 * 2**failures)
        elif wait_s > PATIENCE_S:
            self._gate.close_for(wait_s)
            raise AskedToWait(f"{self.name} asks to be left alone for {wait_s:,.0f} seconds.", wait_s)
        else:
            self._gate.close_for(wait_s)

    def _call(self, method: str, path: str, body: bytes | None) -> Answer | NoAnswer:
        try:
            self._gate.wait()
        except SourceUnavailable as problem:
            raise AskedToWait(str(problem), PATIENCE_S) from None
        token = self._sign_in.token()
        self.calls += 1
        headers = {"Accept": "application/json", "OData-Version": "4.0", "OData-MaxVersion": "4.0"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._session.request(
                method,
                self._root + path,
                headers=headers,
                data=body,
                auth=Bearer(token),
                # A redirect could carry the token to a foreign host.
                allow_redirects=False,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            )
        except requests.RequestException as error:
            return NoAnswer(_kind_of(error))
        wait_s = seconds_to_wait(response.headers.get("Retry-After"))
        return Answer(response.status_code, response.headers.get("Content-Type", ""), response.content, wait_s)


def _words(answer: Answer | NoAnswer) -> str:
    return answer.reason if isinstance(answer, NoAnswer) else f"HTTP {answer.status}, {answer.message}"


def _kind_of(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; TIEOUT_CA_BUNDLE names further authorities"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "it cannot be reached, or broke off before its answer was complete"
