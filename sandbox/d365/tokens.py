"""Access tokens for this D365: made, judged, and put to death."""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from sandbox.common.clock import Clock
from sandbox.common.credentials import Credentials

ALGORITHM = "HS256"
SHORTEST_S, LONGEST_S = 60 * 60, 90 * 60
"""Entra gives a random lifetime between 60 and 90 minutes (Microsoft: access tokens)."""
DEFAULT_PORTS = {"http": 80, "https": 443}


class Tokens:
    """Tokens signed with a key that is kept on disk, so that they outlive a restart; a new key ends them all."""

    def __init__(self, key_file: Path, clock: Clock, credentials: Credentials, urls: Collection[str]) -> None:
        self._key_file = key_file
        self._clock = clock
        self._credentials = credentials
        self._ports = {(split.scheme, split.port) for split in map(urlsplit, urls)}
        self._ends: list[float] = []
        self._judged: dict[str, float] = {}
        self._key = key_file.read_text() if key_file.exists() else self._new_key()

    def is_resource(self, resource: str) -> bool:
        """Whether this names one of the two addresses of this environment: by scheme and port, under any host name."""
        split = urlsplit(resource)
        try:
            port = split.port or DEFAULT_PORTS.get(split.scheme)
        except ValueError:
            return False
        return bool(split.hostname) and (split.scheme, port) in self._ports

    def issue(self, audience: str, lifetime_s: int) -> tuple[str, int]:
        """A token for this audience and its lifetime in seconds; lifetime 0 takes a random one."""
        lifetime = lifetime_s or random.randint(SHORTEST_S, LONGEST_S)
        now = int(self._clock.timestamp())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._credentials.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "appid": self._credentials.client_id,
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, self._credentials.client_id)),
            "tid": self._credentials.tenant_id,
            "ver": "1.0",
            "uti": secrets.token_urlsafe(8),
        }
        self._ends.append(now + lifetime)
        return jwt.encode(claims, self._key, ALGORITHM), lifetime - 1

    def is_live(self, token: str) -> bool:
        """Whether F&O would let this token in: our signature, exact audience, not expired, a service principal."""
        if token not in self._judged:
            self._judged[token] = self._end_of(token)
        return self._clock.timestamp() < self._judged[token]

    def expire_all(self) -> int:
        """Kill every token at once; returns how many were alive."""
        alive = sum(end > self._clock.timestamp() for end in self._ends)
        self._ends.clear()
        self._judged.clear()
        self._key = self._new_key()
        return alive

    def _end_of(self, token: str) -> float:
        """The second at which a token dies; 0 for one that was never alive."""
        try:
            # Time is judged by the sandbox's clock, not by the library's.
            claims = jwt.decode(
                token,
                self._key,
                [ALGORITHM],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidTokenError:
            return 0
        audience = str(claims.get("aud", ""))
        is_exact = audience == audience.lower() and not urlsplit(audience).path and self.is_resource(audience)
        if not is_exact or claims.get("tid") != self._credentials.tenant_id or not claims.get("oid"):
            return 0
        return float(claims["exp"])

    def _new_key(self) -> str:
        key = secrets.token_hex(32)
        self._key_file.touch(mode=0o600)
        self._key_file.write_text(key)
        return key
