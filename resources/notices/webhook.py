"""One HTTP post of JSON, for the sinks that are reached so: time-outs, `Retry-After`, and problems that never repeat the address."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from resources.notices.sink import NotTaken
from resources.web_session import TimedSession, session_for
from tieout.errors import AuthenticationProblem
from tieout.retry_after import seconds_to_wait

TIMEOUT_S = (5.0, 15.0)
LONGEST_WAIT_S = 24 * 3600.0
"""A sink that asks for more is asked after a day."""


def post_json(
    what: str, variable: str, url: str, body: Mapping[str, Any], ca_bundle: Path | None, token: str | None = None
) -> None:
    """Post `body` to `url`, once. `what` and `variable` name the sink and its address in problems.

    Raises NotTaken, or AuthenticationProblem where the address or token is not accepted.
    """
    with session_for(url, ca_bundle) as http:
        answer = _answer(http, what, url, body, token)
    if answer.is_success:
        return
    status = answer.status
    if status == 429 or (status >= 500 and answer.wait_s is not None):
        raise NotTaken(f"{what} asks to wait (HTTP {status}).", answer.wait_s)
    if status in (401, 403, 404, 410):
        raise AuthenticationProblem(
            f"{what} does not accept the address or credentials (HTTP {status}{answer.code}). Check {variable}."
        )
    raise NotTaken(f"{what} did not take the notice (HTTP {status}{answer.code}).")


class _Answer:
    """What counts of an answer. Bodies may repeat what was sent or name people, so only a short error code is taken from them."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.is_success = 200 <= self.status < 300
        wait_s = seconds_to_wait(response.headers.get("Retry-After"))
        self.wait_s = None if wait_s is None else min(wait_s, LONGEST_WAIT_S)
        self.code = "" if self.is_success else _code_in(response)


def _answer(http: TimedSession, what: str, url: str, body: Mapping[str, Any], token: str | None) -> _Answer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A redirect would carry the notice to an address that nobody has checked.
        return _Answer(http.post(url, json=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False))
    except requests.exceptions.SSLError:
        raise NotTaken(f"{what}: its certificate is not trusted; TIEOUT_CA_BUNDLE names further authorities.") from None
    except requests.Timeout:
        raise NotTaken(f"{what} did not answer in time.") from None
    except (requests.RequestException, ValueError):
        # The library's own message holds the address, which is a secret.
        raise NotTaken(f"{what} cannot be reached.") from None


def _code_in(response: requests.Response) -> str:
    """The error code that Graph, Teams and Slack give, such as `ErrorAccessDenied` or `invalid_payload`."""
    try:
        told = response.json()
    except ValueError:
        told = response.text.strip()
    if isinstance(told, dict):
        inner = told.get("error")
        told = inner.get("code") if isinstance(inner, dict) else inner
    known = isinstance(told, str) and len(told) <= 60 and told.replace("_", "").replace(".", "").isalnum()
    return f", {told}" if known else ""
