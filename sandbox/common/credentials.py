"""The credentials that the sandboxes accept, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_CLIENT_ID = "tieout-sandbox"
DEFAULT_CLIENT_SECRET = "sandbox-secret"
DEFAULT_TENANT_ID = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Credentials:
    """One registered client of the sandbox, and the Entra tenant it lives in."""

    client_id: str = DEFAULT_CLIENT_ID
    client_secret: str = DEFAULT_CLIENT_SECRET
    tenant_id: str = DEFAULT_TENANT_ID

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Credentials:
        """SANDBOX_CLIENT_ID, SANDBOX_CLIENT_SECRET and SANDBOX_TENANT_ID, each with its default."""
        return cls(
            client_id=environment.get("SANDBOX_CLIENT_ID") or DEFAULT_CLIENT_ID,
            client_secret=environment.get("SANDBOX_CLIENT_SECRET") or DEFAULT_CLIENT_SECRET,
            tenant_id=environment.get("SANDBOX_TENANT_ID") or DEFAULT_TENANT_ID,
        )
