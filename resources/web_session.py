"""HTTP sessions: time-outs always set, and this machine's own addresses never sent through a proxy."""

from pathlib import Path
from typing import Any

import requests

from tieout.settings import is_loopback

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 300.0
"""The first call after a D365 application server restarted builds its metadata for minutes; that is no failure."""


class TimedSession(requests.Session):
    """A session in which a call without a time-out of its own gets one."""

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As of `requests.Session`."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        return super().request(*args, **kwargs)


def session_for(url: str, ca_bundle: Path | None) -> TimedSession:
    """A session for `url`; `ca_bundle` is a file of certificate authorities to trust instead of the usual ones."""
    session = TimedSession()
    if ca_bundle is not None:
        session.verify = str(ca_bundle)
    if is_loopback(url):
        # Proxy variables must not catch loopback, and REQUESTS_CA_BUNDLE would silently win over `verify`.
        session.trust_env = False
    return session
