"""Where the rules of alerts are, and how each kind of sink is reached: the environment, read when a notice is sent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tieout.errors import ConfigurationError
from tieout.settings import PROJECT_ROOT, is_loopback

SMTP_SECURITIES = ("starttls", "tls", "none")
_SMTP_PORTS = {"starttls": 587, "tls": 465, "none": 25}


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """A mail server. `security`: `starttls`, `tls` from the first byte, or `none`, which is for this machine's own server."""

    host: str
    port: int
    security: str
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """An application with the right Mail.Send, and the mailbox that it sends from."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)
    sender: str
    url: str
    authority_url: str


def alerts_file(environment: Mapping[str, str] | None = None) -> Path:
    """TIEOUT_ALERTS, or `alerts.yaml` of the project."""
    return Path(_env(environment).get("TIEOUT_ALERTS") or PROJECT_ROOT / "alerts.yaml")


def installation_name(environment: Mapping[str, str] | None = None) -> str:
    """TIEOUT_ALERTS_NAME: how this installation calls itself in notices; empty where it is the only one."""
    return _env(environment).get("TIEOUT_ALERTS_NAME", "")


def ca_bundle(environment: Mapping[str, str] | None = None) -> Path | None:
    """TIEOUT_CA_BUNDLE, as for the two systems."""
    named = _env(environment).get("TIEOUT_CA_BUNDLE")
    return Path(named) if named else None


def smtp_settings(environment: Mapping[str, str] | None = None) -> SmtpSettings:
    """The mail server. ConfigurationError names what is missing or contradicts itself."""
    env = _env(environment)
    _require(env, "SMTP", ("TIEOUT_SMTP_HOST", "TIEOUT_SMTP_FROM"))
    security = env.get("TIEOUT_SMTP_SECURITY") or "starttls"
    if security not in SMTP_SECURITIES:
        raise ConfigurationError(f"TIEOUT_SMTP_SECURITY is {security!r}. It is one of {', '.join(SMTP_SECURITIES)}.")
    host, user = env["TIEOUT_SMTP_HOST"], env.get("TIEOUT_SMTP_USER", "")
    if security == "none" and user and not is_loopback(f"smtp://{host}"):
        raise ConfigurationError(
            "TIEOUT_SMTP_USER would be sent in the clear. Set TIEOUT_SMTP_SECURITY to starttls or tls, or unset TIEOUT_SMTP_USER."
        )
    port = env.get("TIEOUT_SMTP_PORT") or str(_SMTP_PORTS[security])
    if not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise ConfigurationError(f"TIEOUT_SMTP_PORT is {port!r}. Set it to a port from 1 to 65535, or unset it.")
    password = env.get("TIEOUT_SMTP_PASSWORD", "")
    if bool(user) != bool(password):
        raise ConfigurationError("TIEOUT_SMTP_USER and TIEOUT_SMTP_PASSWORD go together. Set both, or unset both.")
    return SmtpSettings(host, int(port), security, env["TIEOUT_SMTP_FROM"], user, password)


def graph_settings(environment: Mapping[str, str] | None = None) -> GraphSettings:
    """The application for Microsoft Graph. ConfigurationError names what is missing or no address."""
    env = _env(environment)
    names = ("TIEOUT_GRAPH_TENANT_ID", "TIEOUT_GRAPH_CLIENT_ID", "TIEOUT_GRAPH_CLIENT_SECRET", "TIEOUT_GRAPH_SENDER")
    _require(env, "Microsoft Graph", names)
    tenant = env["TIEOUT_GRAPH_TENANT_ID"]
    url = env.get("TIEOUT_GRAPH_URL") or "https://graph.microsoft.com"
    authority = env.get("TIEOUT_GRAPH_AUTHORITY_URL") or f"https://login.microsoftonline.com/{tenant}"
    return GraphSettings(
        tenant,
        env["TIEOUT_GRAPH_CLIENT_ID"],
        env["TIEOUT_GRAPH_CLIENT_SECRET"],
        env["TIEOUT_GRAPH_SENDER"],
        checked_url("TIEOUT_GRAPH_URL", url).rstrip("/"),
        checked_url("TIEOUT_GRAPH_AUTHORITY_URL", authority),
    )


def webhook_url(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """The address in `variable`, which is a secret: whoever has it can post. ConfigurationError never repeats it."""
    return checked_url(variable, secret_in(variable, environment))


def secret_in(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """What `variable` holds. ConfigurationError where it holds nothing."""
    found = _env(environment).get(variable, "").strip()
    if not found:
        raise ConfigurationError(f"{variable} is not set. Set it, or take the sink out of the alerts file.")
    return found


def checked_url(variable: str, url: str) -> str:
    """`url` where it is https, or http on this machine. ConfigurationError never repeats it."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{variable} holds no address. Write it as https://host.")
    if parts.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{variable} uses plain http. Use https; plain http is for this machine's own addresses."
        )
    return url


def _env(environment: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environment is None else environment


def _require(env: Mapping[str, str], what: str, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not env.get(name)]
    if missing:
        raise ConfigurationError(
            f"{what} needs {', '.join(missing)}. Set them, or take the sink out of the alerts file."
        )
