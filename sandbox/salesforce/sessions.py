"""Sessions: tokens that were handed out and still live. The life of a token begins anew with every use."""

import secrets
from datetime import datetime, timedelta

from sandbox.salesforce import stamps
from sandbox.salesforce.catalogue import ORGANIZATION_ID
from sandbox.salesforce.org import Org


class Sessions:
    """The live tokens of an org; they survive a restart."""

    def __init__(self, org: Org) -> None:
        self._org = org
        rows = org.store.connection.execute("SELECT token, issued_at FROM _session")
        self._last_used: dict[str, datetime] = {token: stamps.instant_of(issued_at) for token, issued_at in rows}

    def open(self) -> str:
        """A new token: the 15-character id of the org, `!`, and what nobody can guess."""
        token = f"{ORGANIZATION_ID[:15]}!{secrets.token_urlsafe(72).replace('-', '.')}"
        self._last_used[token] = self._org.now()
        self._org.store.connection.execute("INSERT INTO _session VALUES (?, ?)", (token, self._org.stamp()))
        return token

    def is_live(self, authorization: str) -> bool:
        """Whether an Authorization header (`Bearer …` or `OAuth …`) names a live session."""
        scheme, _, token = authorization.partition(" ")
        used = self._last_used.get(token.strip())
        if scheme.lower() not in ("bearer", "oauth") or used is None:
            return False
        now = self._org.now()
        if used + timedelta(seconds=self._org.switches["session_timeout_s"]) < now:
            self.close(token.strip())
            return False
        self._last_used[token.strip()] = now
        return True

    def close(self, token: str) -> None:
        """Ends one session."""
        self._last_used.pop(token, None)
        self._org.store.connection.execute("DELETE FROM _session WHERE token = ?", (token,))

    def close_all(self) -> int:
        """Ends every session; returns how many there were."""
        ended = len(self._last_used)
        self._last_used.clear()
        self._org.store.connection.execute("DELETE FROM _session")
        return ended
