"""The outside as Dagster resources: settings read from the environment when a run starts, and clients opened from them.

Nothing is opened when the definitions are loaded. No secret is a field of a resource, so none can show in the UI.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from resources.d365 import D365Client
from resources.lake import Lake
from resources.ledger import Ledger, connect, upgrade
from resources.salesforce import SalesforceClient
from tieout.budget import Budget
from tieout.contract import Contracts, load_contracts
from tieout.errors import ConfigurationError
from tieout.log_sinks.settings import DataverseSettings, SharePointSettings, SinkName, settings_of
from tieout.settings import Settings


class SalesforceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Salesforce: SALESFORCE_INSTANCE_URL and its credentials, TIEOUT_SALESFORCE_CALLS_PER_RUN, TIEOUT_SALESFORCE_RESERVE_PERCENT."""

    _budget: Budget | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 Dagster's signature
        """A new run has a new budget; its steps share it."""
        self._budget = None

    @contextmanager
    def client(self, *, may_fall_short: bool = False) -> Iterator[SalesforceClient]:
        """A signed-in client; its sessions are closed at the end. One that `may_fall_short` has half of the calls that are left."""
        settings = Settings.from_environment()
        if settings.salesforce is None:
            raise ConfigurationError(_NOT_SET.format(name="SALESFORCE_INSTANCE_URL", system="Salesforce"))
        if self._budget is None:
            self._budget = Budget(
                "Salesforce",
                settings.salesforce_calls_per_run,
                settings.salesforce_reserve_percent,
                "TIEOUT_SALESFORCE_CALLS_PER_RUN",
            )
        waits = settings.home / "wait-salesforce"
        with (
            self._budget.halved() if may_fall_short else nullcontext(),
            SalesforceClient(
                settings.salesforce, ca_bundle=settings.ca_bundle, budget=self._budget, wait_file=waits
            ) as client,
        ):
            yield client

    def address(self) -> str:
        """Where Salesforce is, for people."""
        settings = Settings.from_environment().salesforce
        return settings.instance_url if settings else ""


class D365Resource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """D365: D365_URL, its Entra tenant and credentials, TIEOUT_D365_CALLS_PER_RUN."""

    _budget: Budget | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 Dagster's signature
        """A new run has a new budget; its steps share it."""
        self._budget = None

    @contextmanager
    def client(self, *, may_fall_short: bool = False) -> Iterator[D365Client]:
        """A client that signs in at its first call; its sessions are closed at the end. One that `may_fall_short` has half of the calls left."""
        settings = Settings.from_environment()
        if settings.d365 is None:
            raise ConfigurationError(_NOT_SET.format(name="D365_URL", system="D365"))
        if self._budget is None:
            self._budget = Budget("D365", settings.d365_calls_per_run, variable="TIEOUT_D365_CALLS_PER_RUN")
        waits = settings.home / "wait-d365"
        with (
            self._budget.halved() if may_fall_short else nullcontext(),
            D365Client(settings.d365, ca_bundle=settings.ca_bundle, budget=self._budget, wait_file=waits) as client,
        ):
            yield client

    def address(self) -> str:
        """Where D365 is, for people."""
        settings = Settings.from_environment().d365
        return settings.url if settings else ""


class LedgerResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ledger: TIEOUT_DATABASE_URL."""

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        """The ledger at its newest schema."""
        with Ledger.opened(self._url()) as ledger:
            yield ledger

    def kept(self) -> Ledger:
        """The ledger at its newest schema, with connections that stay open: for what asks every few seconds, as sensors do."""
        return _kept(self._url())

    def _url(self) -> str:
        url = Settings.from_environment().database_url
        if url is None:
            raise ConfigurationError(
                "TIEOUT_DATABASE_URL is not set. Start Tieout with `tieout up` or `tieout run`, or set it."
            )
        return url


@lru_cache(maxsize=1)
def _kept(url: str) -> Ledger:
    upgrade(url)
    return Ledger(connect(url))


class LakeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The lake: TIEOUT_LAKE_URL, a folder or an object store."""

    def lake(self) -> Lake:
        """The lake; nothing is opened until a table is named."""
        return Lake(Settings.from_environment().lake_url)


class ContractsResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The contracts: TIEOUT_CONTRACTS, the folder `contracts` of the project by default."""

    def contracts(self) -> Contracts:
        """All contracts, checked; raises ContractError with every mistake."""
        folder = Settings.from_environment().contracts
        # Every step asks; the files are read again only when one of them was changed.
        return _loaded(folder, tuple(sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.yaml"))))

    def texts(self) -> dict[str, str]:
        """The files of the contracts as they are now, by name."""
        return contract_texts(Settings.from_environment().contracts)


def contract_texts(folder: Path) -> dict[str, str]:
    """The contract files of a folder, by name."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


@lru_cache(maxsize=4)
def _loaded(folder: Path, _state: tuple[tuple[str, int], ...]) -> Contracts:
    return load_contracts(folder)


class HomeResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """TIEOUT_HOME: where raw pages pass through and reports are left."""

    def folder(self, *parts: str) -> Path:
        """A folder below the home, made if it is missing."""
        path = Settings.from_environment().home.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True)
        return path


class LogSinksResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The sinks of the log: DATAVERSE_… and SHAREPOINT_…; each is off where its variables are not set."""

    def settings(self, name: SinkName) -> DataverseSettings | SharePointSettings | None:
        """How one sink is reached; None where it is off."""
        return settings_of(name)

    def ca_bundle(self) -> Path | None:
        """TIEOUT_CA_BUNDLE."""
        return Settings.from_environment().ca_bundle

    def home(self) -> Path:
        """TIEOUT_HOME, where the processes keep how long they were asked to wait."""
        return Settings.from_environment().home


class RunOptions(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What one run is asked to do; shown in the launchpad of the UI."""

    dry_run: bool = False
    """Read, check and compare; send and write nothing to either system."""

    full: bool = False
    """Read Salesforce whole instead of what changed since the watermark, and of D365 the closed orders, too."""


_NOT_SET = "{name} is not set. Set it and its credentials, or start Tieout with `tieout up` or `tieout run`, which start the sandbox of {system}."
