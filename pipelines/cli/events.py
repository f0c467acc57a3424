"""`tieout events`: the receiver of events and the listener to Salesforce's channels, without the desk, with the database that they need."""

import uvicorn

from desk.events import create_events_app
from desk.settings import EventSettings
from pipelines.cli import output
from pipelines.services import supervisor
from resources.ledger import Ledger
from resources.listening import is_wanted, listening
from tieout.contract import load_contracts
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def serve(*, host: str, port: int) -> None:
    """Take events until Ctrl-C; whatever was not running before is stopped again.

    Raises ConfigurationError where neither a secret is set nor channels of Salesforce to listen to.
    """
    settings, events = Settings.from_environment(), EventSettings.from_environment()
    if events is None and settings.salesforce is not None and not is_wanted(settings):
        raise ConfigurationError(
            "Neither TIEOUT_EVENTS_SECRET nor SALESFORCE_PUBSUB_ADDRESS is set. Make a secret with: openssl rand -hex 32"
        )
    with supervisor.embedded(settings, say=output.say) as running:
        assert running.settings.database_url is not None
        contracts = load_contracts(running.settings.contracts)
        with (
            Ledger.opened(running.settings.database_url) as ledger,
            listening(running.settings, ledger, contracts),
        ):
            output.print_places(_places(running.settings, f"http://{host}:{port}", receives=events is not None))
            # Addresses hold the secret, so none is logged.
            uvicorn.run(
                create_events_app(ledger, events),
                host=host,
                port=port,
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_level="warning",
            )


def _places(settings: Settings, address: str, *, receives: bool) -> list[tuple[str, str]]:
    receiving = (("D365", "d365"), ("Salesforce", "salesforce")) if receives else ()
    places = [(name, f"{address}/events/{path}") for name, path in receiving]
    if settings.salesforce is not None and is_wanted(settings):
        places += [("Listens to", topic) for topic in settings.salesforce.topics]
    return places
