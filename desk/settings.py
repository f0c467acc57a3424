"""How the desk and the receiver of events are reached and who may do what: their part of the environment, read once into checked values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from resources.secrets import with_secrets
from tieout.errors import ConfigurationError
from tieout.secret import Secret, secret_from

SignIn = Literal["local", "header", "entra"]
"""`local`: whoever is at this machine. `header`: a reverse proxy says who it is. `entra`: people sign in with Microsoft Entra."""

EVERYONE = "*"
NEEDED_BY_ENTRA = (
    "TIEOUT_DESK_TENANT_ID",
    "TIEOUT_DESK_CLIENT_ID",
    "TIEOUT_DESK_URL",
)
NO_SECRET = Secret.given("TIEOUT_DESK_CLIENT_SECRET", "")
ANALYST_ROLE = "Tieout.Analyst"
"""Value of the app role in Entra that makes somebody an analyst; TIEOUT_DESK_ANALYSTS may name people beside it."""
SHORTEST_FEED_TOKEN = 32
"""Characters; nobody can guess so many while the desk answers."""


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """`analysts` are user names in small letters, or `*`; all others read only. `address` is the desk's own, as browsers see it.

    `feed_token` is what programs that read the feed send as their password; empty: only who sees the desk reads it.
    """

    sign_in: SignIn = "local"
    analysts: frozenset[str] = frozenset({EVERYONE})
    user_header: str = "x-forwarded-user"
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    address: str = ""
    tenant_id: str = ""
    client_id: str = ""
    authority_url: str = ""
    client_secret: Secret = NO_SECRET
    feed_token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "DeskSettings":
        """Read TIEOUT_DESK_…; ConfigurationError names everything that is missing or contradicts, all in one message."""
        env = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
        problems: list[str] = []
        sign_in = env.get("TIEOUT_DESK_SIGN_IN", "local")
        if sign_in not in get_args(SignIn):
            raise ConfigurationError(f"TIEOUT_DESK_SIGN_IN is {sign_in!r}. It is one of {', '.join(get_args(SignIn))}.")
        # Whoever sits at this machine may decide. Behind a proxy, nobody may until somebody is named.
        analysts = env.get("TIEOUT_DESK_ANALYSTS", EVERYONE if sign_in == "local" else "")
        proxies = tuple(
            each.strip() for each in env.get("TIEOUT_DESK_PROXIES", "127.0.0.1,::1").split(",") if each.strip()
        )
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                problems.append(f"TIEOUT_DESK_PROXIES holds {proxy!r}. Write addresses or networks such as 10.0.0.0/8.")
        address = env.get("TIEOUT_DESK_URL", "").rstrip("/")
        if address and (urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname):
            problems.append(f"TIEOUT_DESK_URL is {address!r}. Write it as https://desk.example.com.")
        secret = secret_from(env, "TIEOUT_DESK_CLIENT_SECRET", "TIEOUT_DESK_CLIENT_SECRET_FILE", problems)
        feed_token = env.get("TIEOUT_FEED_TOKEN", "")
        if feed_token and (len(feed_token) < SHORTEST_FEED_TOKEN or not feed_token.isascii()):
            problems.append(
                f"TIEOUT_FEED_TOKEN is shorter than {SHORTEST_FEED_TOKEN} characters, or has others than ASCII. Make one: "
                "python -c 'import secrets; print(secrets.token_urlsafe(32))'."
            )
        if sign_in == "entra":
            missing = [name for name in NEEDED_BY_ENTRA if name not in env]
            if secret is None and not problems:
                missing.append(NO_SECRET.variable)
            problems += [f"TIEOUT_DESK_SIGN_IN is entra, {name} is not set. Set it." for name in missing]
        if problems:
            raise ConfigurationError(" ".join(problems))
        tenant = env.get("TIEOUT_DESK_TENANT_ID", "")
        return cls(
            sign_in=sign_in,  # type: ignore[arg-type]  # checked above
            analysts=frozenset(each.strip().casefold() for each in analysts.split(",") if each.strip()),
            user_header=env.get("TIEOUT_DESK_USER_HEADER", "X-Forwarded-User").lower(),
            proxies=proxies,
            address=address,
            tenant_id=tenant,
            client_id=env.get("TIEOUT_DESK_CLIENT_ID", ""),
            authority_url=env.get(
                "TIEOUT_DESK_AUTHORITY_URL", f"https://login.microsoftonline.com/{tenant}/v2.0"
            ).rstrip("/"),
            client_secret=secret or NO_SECRET,
            feed_token=feed_token,
        )


SHORTEST_EVENTS_SECRET = 16


@dataclass(frozen=True, slots=True)
class EventSettings:
    """What senders of events have to know. `organization_id`: the Salesforce organisation whose messages are taken; empty for any."""

    secret: str = field(repr=False)
    organization_id: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "EventSettings | None":
        """Read TIEOUT_EVENTS_SECRET (a value, no reference: see `event_settings`) and TIEOUT_SALESFORCE_ORGANIZATION_ID; None where there is no secret: nothing is received then.

        Raises ConfigurationError where the secret can be guessed or the id is none.
        """
        env = os.environ if environment is None else environment
        secret, organization_id = env.get("TIEOUT_EVENTS_SECRET", ""), env.get("TIEOUT_SALESFORCE_ORGANIZATION_ID", "")
        if not secret:
            return None
        if len(secret) < SHORTEST_EVENTS_SECRET:
            raise ConfigurationError(
                f"TIEOUT_EVENTS_SECRET has fewer than {SHORTEST_EVENTS_SECRET} characters. Make one with: openssl rand -hex 32"
            )
        if organization_id and (len(organization_id) not in (15, 18) or not organization_id.startswith("00D")):
            raise ConfigurationError(
                f"TIEOUT_SALESFORCE_ORGANIZATION_ID is {organization_id!r}. An organisation's id begins with 00D and has 15 or 18 characters."
            )
        return cls(secret, organization_id)


def event_settings(ca_bundle: Path | None) -> EventSettings | None:
    """As `EventSettings.from_environment`, with the secret read from where the variable says that it is."""
    return EventSettings.from_environment(with_secrets(os.environ, ["TIEOUT_EVENTS_SECRET"], ca_bundle=ca_bundle))
