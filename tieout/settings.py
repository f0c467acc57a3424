"""Where everything is and how to sign in: the environment, read once into one checked value."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import overload
from urllib.parse import urlsplit

from tieout.errors import ConfigurationError
from tieout.secret import Place, Secret, secret_from

PROJECT_ROOT = Path(__file__).resolve().parent.parent
TOPICS = ("/data/AccountChangeEvent", "/data/OpportunityChangeEvent", "/event/ERP_Order_Status__e")
"""What is listened to where TIEOUT_SALESFORCE_TOPICS does not say otherwise."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    """How Salesforce is reached: `secret` is the client secret, or with `username` the RSA key (PEM) of a JWT in that user's name.

    `pubsub_address` is that of its Pub/Sub API, `HOST:PORT` with TLS or `http://HOST:PORT` on this machine; empty: nobody listens. `topics` are
    the channels that are listened to. `publishes_order_status`: whether each write-back of an order is told as a platform event, too.
    """

    instance_url: str
    client_id: str
    secret: Secret
    username: str = ""
    audience: str = "https://login.salesforce.com"
    api_version: str = "62.0"
    pubsub_address: str = ""
    topics: tuple[str, ...] = ()
    publishes_order_status: bool = False


@dataclass(frozen=True, slots=True)
class ApplicationVariables:
    """What the variables of one application in Entra are called, for reading them and for advice."""

    url: str
    tenant_id: str
    client_id: str
    client_secret: str
    client_secret_file: str
    certificate: str
    certificate_file: str
    certificate_thumbprint: str
    authority_url: str


D365_VARIABLES = ApplicationVariables(
    "D365_URL",
    "D365_TENANT_ID",
    "D365_CLIENT_ID",
    "D365_CLIENT_SECRET",
    "D365_CLIENT_SECRET_FILE",
    "D365_CERTIFICATE",
    "D365_CERTIFICATE_FILE",
    "D365_CERTIFICATE_THUMBPRINT",
    "D365_AUTHORITY_URL",
)


@dataclass(frozen=True, slots=True)
class EntraApplication:
    """An application in Entra and the address that it signs in to: `secret` is the client secret, or where `by_certificate` the private key,
    with or without its certificate.

    The thumbprint (SHA-1, hexadecimal) is needed for a key without its certificate only.
    """

    url: str
    tenant_id: str
    client_id: str
    authority_url: str
    secret: Secret
    by_certificate: bool = False
    certificate_thumbprint: str = ""
    variables: ApplicationVariables = field(default=D365_VARIABLES, repr=False)


@dataclass(frozen=True, slots=True)
class D365Settings(EntraApplication):
    """How D365 is reached."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. `salesforce` or `d365` is `None` where no tenant is set: the sandbox is used then.

    `companies`: those of TIEOUT_COMPANIES, none where it is not set. `d365_full_read_hours`: how old the last whole read of the orders may
    be before they are read whole again; 0 reads them whole on every run. `d365_export_projects`: table → the export project of D365 by which
    it is read whole, instead of by OData.
    """

    home: Path
    database_url: str | None = field(repr=False)
    lake_url: str
    contracts: Path
    salesforce: SalesforceSettings | None
    d365: D365Settings | None
    ca_bundle: Path | None
    salesforce_calls_per_run: int | None = None
    salesforce_reserve_percent: int = 10
    d365_calls_per_run: int | None = None
    reread_most_records: int = 20_000
    reread_settle_s: int = 3
    companies: tuple[str, ...] = ()
    d365_full_read_hours: int = 26
    d365_export_projects: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables that README.md lists.

        Raises ConfigurationError that names every variable that is missing or contradicts another, all in one message.
        """
        env = {name: value for name, value in (os.environ if environment is None else environment).items() if value}
        problems: list[str] = []
        home = Path(env.get("TIEOUT_HOME", str(PROJECT_ROOT / ".tieout"))).expanduser().resolve()
        settings = cls(
            home=home,
            database_url=_database_url(env, problems),
            lake_url=env.get("TIEOUT_LAKE_URL", str(home / "lake")),
            contracts=contracts_folder(env),
            salesforce=_salesforce(env, problems),
            d365=_d365(env, problems),
            ca_bundle=Path(env["TIEOUT_CA_BUNDLE"]) if "TIEOUT_CA_BUNDLE" in env else None,
            salesforce_calls_per_run=_number(env, "TIEOUT_SALESFORCE_CALLS_PER_RUN", 1, 10**9, problems),
            salesforce_reserve_percent=_number(env, "TIEOUT_SALESFORCE_RESERVE_PERCENT", 0, 99, problems, 10),
            d365_calls_per_run=_number(env, "TIEOUT_D365_CALLS_PER_RUN", 1, 10**9, problems),
            reread_most_records=_number(env, "TIEOUT_REREAD_MOST_RECORDS", 0, 10**9, problems, 20_000),
            reread_settle_s=_number(env, "TIEOUT_REREAD_SETTLE_S", 0, 3600, problems, 3),
            companies=_companies(env.get("TIEOUT_COMPANIES", "")),
            d365_full_read_hours=_number(env, "TIEOUT_D365_FULL_READ_HOURS", 0, 24 * 31, problems, 26),
            d365_export_projects=_export_projects(env, problems),
        )
        if problems:
            raise ConfigurationError(" ".join(problems))
        return settings


def contracts_folder(environment: Mapping[str, str] | None = None) -> Path:
    """TIEOUT_CONTRACTS, or the folder `contracts` of the project."""
    env = os.environ if environment is None else environment
    return Path(env.get("TIEOUT_CONTRACTS") or PROJECT_ROOT / "contracts")


def companies_with_history(environment: Mapping[str, str] | None = None) -> list[str]:
    """The D365 companies that backfills are cut by: TIEOUT_COMPANIES, names with commas between, or those of the sample data.

    The main job serves every company that it meets; those that are named have to answer every read of D365.
    """
    env = os.environ if environment is None else environment
    return list(_companies(env.get("TIEOUT_COMPANIES", "ausi,camf,demf,frsi,gbsi,usmf")))


def _companies(names: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip().lower() for name in names.split(",") if name.strip()}))


def _export_projects(env: Mapping[str, str], problems: list[str]) -> Mapping[str, str]:
    projects: dict[str, str] = {}
    for pair in filter(None, (text.strip() for text in env.get("TIEOUT_D365_EXPORT_PROJECTS", "").split(","))):
        table, equals, project = (text.strip() for text in pair.partition("="))
        if not (table and equals and project):
            problems.append(
                f"TIEOUT_D365_EXPORT_PROJECTS holds {pair!r}. Write it as table=project, such as sales_order=TIEOUT-ORDERS."
            )
        projects[table] = project
    if projects and not _companies(env.get("TIEOUT_COMPANIES", "")):
        problems.append(
            "TIEOUT_D365_EXPORT_PROJECTS is set, TIEOUT_COMPANIES is not. Set it: a package is of one company, so all have to be named."
        )
    return projects


USUAL_SCHEDULES = {"TIEOUT_MAIN_SCHEDULE": "*/15 * * * *", "TIEOUT_NIGHTLY_SCHEDULE": "30 1 * * *"}
"""When jobs run unless the variable says otherwise: cron expressions, in UTC."""


def cron_schedule(variable: str, environment: Mapping[str, str] | None = None) -> str:
    """When a job runs, as a cron expression: what the variable says, or as usual. Whether cron knows it is for the scheduler to say."""
    env = os.environ if environment is None else environment
    return env.get(variable, "").strip() or USUAL_SCHEDULES[variable]


def is_loopback(url: str) -> bool:
    """Whether `url` points at this machine, where plain http and a private certificate authority are allowed."""
    return urlsplit(url).hostname in _LOOPBACK


def _database_url(env: Mapping[str, str], problems: list[str]) -> str | None:
    """The address holds a password, so it may come from a file, too. It is read once: connections are made anew only by a restart."""
    reference = secret_from(env, "TIEOUT_DATABASE_URL", "TIEOUT_DATABASE_URL_FILE", problems)
    if reference is None:
        return None
    if reference.place is Place.KEY_VAULT:
        problems.append("TIEOUT_DATABASE_URL cannot be in Key Vault. Let the platform mount it as a file.")
        return None
    url = reference.value
    if reference.place is Place.FILE:
        try:
            url = Path(reference.where).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            problems.append(f"{reference} cannot be read.")
            return None
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        problems.append(
            "TIEOUT_DATABASE_URL is not a Postgres address. Write it as postgresql://user:password@host:5432/database."
        )
        return None
    # SQLAlchemy 2.1 reads the bare scheme as psycopg 3, which neither we nor dagster-postgres install.
    return f"postgresql+psycopg2://{rest}"


def _salesforce(env: Mapping[str, str], problems: list[str]) -> SalesforceSettings | None:
    url = env.get("SALESFORCE_INSTANCE_URL")
    if url is None:
        stray = sorted(name for name in env if name.startswith("SALESFORCE_"))
        if stray:
            problems.append(
                f"{stray[0]} is set, SALESFORCE_INSTANCE_URL is not. Set it, or unset {stray[0]} to use the sandbox."
            )
        return None
    _check_url("SALESFORCE_INSTANCE_URL", url, problems)
    _require(env, "SALESFORCE_INSTANCE_URL", ["SALESFORCE_CLIENT_ID"], problems)
    wrong_so_far = len(problems)
    key = secret_from(env, "SALESFORCE_PRIVATE_KEY", "SALESFORCE_PRIVATE_KEY_FILE", problems)
    secret = key or secret_from(env, "SALESFORCE_CLIENT_SECRET", "SALESFORCE_CLIENT_SECRET_FILE", problems)
    if key is not None:
        _require(env, key.variable, ["SALESFORCE_USERNAME"], problems)
    elif secret is None and len(problems) == wrong_so_far:
        _require(env, "SALESFORCE_INSTANCE_URL", ["SALESFORCE_CLIENT_SECRET"], problems)
    return SalesforceSettings(
        instance_url=url.rstrip("/"),
        client_id=env.get("SALESFORCE_CLIENT_ID", ""),
        secret=secret or Secret.given("SALESFORCE_CLIENT_SECRET", ""),
        username=env.get("SALESFORCE_USERNAME", "") if key else "",
        audience=env.get("SALESFORCE_AUDIENCE", "https://login.salesforce.com"),
        api_version=env.get("SALESFORCE_API_VERSION", "62.0"),
        pubsub_address=_pubsub_address(env, problems),
        topics=_topics(env, problems),
        publishes_order_status=_is_on(env, "TIEOUT_PUBLISH_ORDER_STATUS", problems),
    )


def _pubsub_address(env: Mapping[str, str], problems: list[str]) -> str:
    given = env.get("SALESFORCE_PUBSUB_ADDRESS", "").rstrip("/")
    parts = urlsplit(given if "://" in given else f"//{given}")
    try:
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:
        is_whole = False
    if given and (not is_whole or parts.scheme not in {"", "http", "https"} or parts.path):
        problems.append(
            f"SALESFORCE_PUBSUB_ADDRESS is {given!r}. Write it as api.pubsub.salesforce.com:7443, or unset it to listen to no events."
        )
    elif parts.scheme == "http" and not is_loopback(given):
        problems.append("SALESFORCE_PUBSUB_ADDRESS uses plain http, which is allowed for this machine only.")
    return given.removeprefix("https://")


def _topics(env: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    given = env.get("TIEOUT_SALESFORCE_TOPICS", ",".join(TOPICS))
    topics = tuple(dict.fromkeys(each.strip() for each in given.split(",") if each.strip()))
    if topics == ("none",):
        return ()
    for topic in topics:
        if not topic.startswith(("/data/", "/event/")):
            problems.append(
                f"TIEOUT_SALESFORCE_TOPICS holds {topic!r}. Write channels such as {TOPICS[0]} with commas between, or none."
            )
    return topics


def _d365(env: Mapping[str, str], problems: list[str]) -> D365Settings | None:
    url = env.get("D365_URL")
    if url is None:
        stray = sorted(name for name in env if name.startswith("D365_"))
        if stray:
            problems.append(f"{stray[0]} is set, D365_URL is not. Set it, or unset {stray[0]} to use the sandbox.")
        return None
    application = application_in(env, D365_VARIABLES, url, problems)
    return D365Settings(**{each.name: getattr(application, each.name) for each in fields(application)})


def application_in(
    env: Mapping[str, str], names: ApplicationVariables, url: str, problems: list[str]
) -> EntraApplication:
    """The application that these variables describe, for the address `url`. What is missing or contradicts itself is added to `problems`."""
    _check_url(names.url, url, problems)
    _require(env, names.url, [names.tenant_id, names.client_id], problems)
    wrong_so_far = len(problems)
    certificate = secret_from(env, names.certificate, names.certificate_file, problems)
    secret = certificate or secret_from(env, names.client_secret, names.client_secret_file, problems)
    if secret is None and len(problems) == wrong_so_far:
        _require(env, names.url, [names.client_secret], problems)
    tenant = env.get(names.tenant_id, "")
    return EntraApplication(
        # The audience of the token is this address to the letter: lower case, no slash at the end.
        url=url.rstrip("/").lower(),
        tenant_id=tenant,
        client_id=env.get(names.client_id, ""),
        authority_url=env.get(names.authority_url, f"https://login.microsoftonline.com/{tenant}"),
        secret=secret or Secret.given(names.client_secret, ""),
        by_certificate=certificate is not None,
        certificate_thumbprint=env.get(names.certificate_thumbprint, ""),
        variables=names,
    )


def _is_on(env: Mapping[str, str], name: str, problems: list[str]) -> bool:
    given = env.get(name, "off")
    if given not in ("on", "off"):
        problems.append(f"{name} is {given!r}. Set it to on or off.")
    return given == "on"


@overload
def _number(env: Mapping[str, str], name: str, least: int, most: int, problems: list[str]) -> int | None: ...


@overload
def _number(env: Mapping[str, str], name: str, least: int, most: int, problems: list[str], otherwise: int) -> int: ...


def _number(
    env: Mapping[str, str], name: str, least: int, most: int, problems: list[str], otherwise: int | None = None
) -> int | None:
    text = env.get(name)
    if text is None:
        return otherwise
    if not text.isdigit() or not least <= int(text) <= most:
        problems.append(f"{name} is {text!r}. Set it to a whole number from {least} to {most:,}, or unset it.")
        return otherwise
    return int(text)


def _check_url(name: str, url: str, problems: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        problems.append(f"{name} is not an address: {url!r}. Write it as https://host.")
    elif parts.scheme == "http" and not is_loopback(url):
        problems.append(
            f"{name} uses plain http. Use https; plain http is allowed for this machine's own addresses only."
        )


def _require(env: Mapping[str, str], given: str, names: list[str], problems: list[str]) -> None:
    sandbox = " to use the sandbox" if given.startswith(("SALESFORCE_", "D365_")) else ""
    problems.extend(
        f"{given} is set, {name} is not. Set it, or unset {given}{sandbox}." for name in names if name not in env
    )
