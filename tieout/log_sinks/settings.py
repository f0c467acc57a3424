"""Which sinks the log goes to besides lake and ledger, and how each is reached: the environment, read when it is needed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tieout.errors import ConfigurationError
from tieout.settings import (
    D365_VARIABLES,
    ApplicationVariables,
    EntraApplication,
    application_in,
    is_loopback,
)

SinkName = Literal["dataverse", "sharepoint"]
SINKS: tuple[SinkName, ...] = ("dataverse", "sharepoint")
TITLES: Mapping[SinkName, str] = {"dataverse": "Dataverse", "sharepoint": "SharePoint"}
SWITCHES: Mapping[SinkName, str] = {"dataverse": "DATAVERSE_URL", "sharepoint": "SHAREPOINT_SITE_ID"}
"""The variable that switches a sink on."""

SANDBOX = "sandbox"
"""As the value of a switch: the one that the D365 sandbox brings along. `tieout` puts its address in the place of the word."""

_TABLE = re.compile(r"[a-z][a-z0-9]*_[a-z0-9_]+")

DATAVERSE_VARIABLES = ApplicationVariables(
    "DATAVERSE_URL",
    "DATAVERSE_TENANT_ID",
    "DATAVERSE_CLIENT_ID",
    "DATAVERSE_CLIENT_SECRET",
    "DATAVERSE_CLIENT_SECRET_FILE",
    "DATAVERSE_CERTIFICATE",
    "DATAVERSE_CERTIFICATE_FILE",
    "DATAVERSE_CERTIFICATE_THUMBPRINT",
    "DATAVERSE_AUTHORITY_URL",
)
SHAREPOINT_VARIABLES = ApplicationVariables(
    "SHAREPOINT_GRAPH_URL",
    "SHAREPOINT_TENANT_ID",
    "SHAREPOINT_CLIENT_ID",
    "SHAREPOINT_CLIENT_SECRET",
    "SHAREPOINT_CLIENT_SECRET_FILE",
    "SHAREPOINT_CERTIFICATE",
    "SHAREPOINT_CERTIFICATE_FILE",
    "SHAREPOINT_CERTIFICATE_THUMBPRINT",
    "SHAREPOINT_AUTHORITY_URL",
)


@dataclass(frozen=True, slots=True)
class DataverseSettings:
    """An environment, the application that signs in to it, and the logical name of the table."""

    application: EntraApplication
    table: str

    @property
    def target(self) -> str:
        """What the position belongs to: another table is filled from the beginning."""
        return f"{self.application.url} {self.table}"


@dataclass(frozen=True, slots=True)
class SharePointSettings:
    """A list of a site, and the application that signs in to Graph."""

    application: EntraApplication
    site_id: str
    list_id: str

    @property
    def target(self) -> str:
        """What the position belongs to: another list is filled from the beginning."""
        return f"{self.site_id} {self.list_id}".lower()


def dataverse_settings(environment: Mapping[str, str] | None = None) -> DataverseSettings | None:
    """The table in Dataverse; None where DATAVERSE_URL is not set. Raises ConfigurationError with every mistake."""
    env = _env(environment)
    problems: list[str] = []
    url = env.get("DATAVERSE_URL")
    if url is None:
        _nothing_stray(env, "DATAVERSE_", "DATAVERSE_URL")
        return None
    _no_word(env, "DATAVERSE_URL")
    table = env.get("DATAVERSE_TABLE", "new_integrationlog")
    if not _TABLE.fullmatch(table):
        problems.append(
            f"DATAVERSE_TABLE is {table!r}. Set it to the logical name of the table, such as new_integrationlog."
        )
    application = _application(env, DATAVERSE_VARIABLES, url, problems)
    _raise(problems)
    return DataverseSettings(application, table)


def sharepoint_settings(environment: Mapping[str, str] | None = None) -> SharePointSettings | None:
    """The list in SharePoint; None where SHAREPOINT_SITE_ID is not set. Raises ConfigurationError with every mistake."""
    env = _env(environment)
    problems: list[str] = []
    site = env.get("SHAREPOINT_SITE_ID")
    if site is None:
        _nothing_stray(env, "SHAREPOINT_", "SHAREPOINT_SITE_ID")
        return None
    _no_word(env, "SHAREPOINT_SITE_ID")
    list_id = env.get("SHAREPOINT_LIST_ID", "")
    if not list_id:
        problems.append("SHAREPOINT_SITE_ID is set, SHAREPOINT_LIST_ID is not. Set it to the id of the list.")
    url = env.get("SHAREPOINT_GRAPH_URL", "https://graph.microsoft.com")
    application = _application(env, SHAREPOINT_VARIABLES, url, problems)
    _raise(problems)
    return SharePointSettings(application, site, list_id)


def settings_of(
    name: SinkName, environment: Mapping[str, str] | None = None
) -> DataverseSettings | SharePointSettings | None:
    """The settings of one sink; None where it is off. Raises ConfigurationError with every mistake."""
    return dataverse_settings(environment) if name == "dataverse" else sharepoint_settings(environment)


def wants_sandbox(environment: Mapping[str, str]) -> list[SinkName]:
    """The sinks that are switched on with the word `sandbox`."""
    return [name for name in SINKS if environment.get(SWITCHES[name]) == SANDBOX]


def _application(
    env: Mapping[str, str], names: ApplicationVariables, url: str, problems: list[str]
) -> EntraApplication:
    """The sink's own application, or where none is described that of D365."""
    own = (
        names.tenant_id,
        names.client_id,
        names.client_secret,
        names.client_secret_file,
        names.certificate,
        names.certificate_file,
    )
    if any(name in env for name in own):
        return application_in(env, names, url, problems)
    if D365_VARIABLES.client_id not in env:
        problems.append(
            f"No application signs in to {url}. Set {names.tenant_id}, {names.client_id} and {names.client_secret}; "
            "where D365 has one (D365_CLIENT_ID), that is used."
        )
        problems_of_d365: list[str] = []
    else:
        problems_of_d365 = problems
    # In messages the address stays the sink's.
    found = application_in(env, replace(D365_VARIABLES, url=names.url), url, problems_of_d365)
    if is_loopback(found.authority_url) and not is_loopback(url):
        problems.append(
            f"{names.url} is no sandbox, and D365 is one. Set {names.tenant_id}, {names.client_id} and {names.client_secret}."
        )
    return found


def _nothing_stray(env: Mapping[str, str], beginning: str, switch: str) -> None:
    stray = sorted(name for name in env if name.startswith(beginning))
    if stray:
        raise ConfigurationError(
            f"{stray[0]} is set, {switch} is not. Set it, or unset {stray[0]} to keep the log out of there."
        )


def _no_word(env: Mapping[str, str], switch: str) -> None:
    if env[switch] == SANDBOX:
        raise ConfigurationError(
            f"{switch} is {SANDBOX!r}, and no D365 sandbox runs. Start Tieout with `tieout up` or `tieout run` without D365_URL, or set an address."
        )


def _raise(problems: list[str]) -> None:
    if problems:
        raise ConfigurationError(" ".join(dict.fromkeys(problems)))


def _env(environment: Mapping[str, str] | None) -> Mapping[str, str]:
    return {name: value for name, value in (os.environ if environment is None else environment).items() if value}
