"""`tieout events`: the receiver of events and the listener to Salesforce's channels, without the desk, with the database that they need."""

import uvicorn

from desk.events import create_events_app
from desk.settings import event_settings
from pipelines.cli import output
from pipelines.services import supervisor
from resources.ledger import Ledger
from resources.listening import is_wanted, listening
from tieout.contract import load_contracts
from tieout.errors import ConfigurationError
from tieout.settings import Settings

_NOTHING_TO_DO = (
    "Neither TIEOUT_EVENTS_SECRET is set nor are there channels of Salesforce to listen to (SALESFORCE_PUBSUB_ADDRESS, TIEOUT_SALESFORCE_TOPICS). "
    "Make a secret with: openssl rand -hex 32"
)


def serve(*, host: str, port: int) -> None:
    """Take events until Ctrl-C; whatever was not running before is stopped again.

    Raises ConfigurationError where neither a secret is set nor channels of Salesforce to listen to.
    """
    settings = Settings.from_environment()
    events = event_settings(settings.ca_bundle)
    if events is None and settings.salesforce is not None and not is_wanted(settings):
        raise ConfigurationError(_NOTHING_TO_DO)
    with supervisor.embedded(settings, say=output.say) as running:
        if events is None and not is_wanted(running.settings):
            raise ConfigurationError(_NOTHING_TO_DO)
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
