"""`tieout events`: the receiver of events alone, with the database that it needs."""

import uvicorn

from desk.events import create_events_app
from desk.settings import EventSettings
from pipelines.cli import output
from pipelines.services import supervisor
from resources.ledger import Ledger
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def serve(*, host: str, port: int) -> None:
    """Receive events until Ctrl-C; whatever was not running before is stopped again. Raises ConfigurationError without a secret."""
    settings, events = Settings.from_environment(), EventSettings.from_environment()
    if events is None:
        raise ConfigurationError("TIEOUT_EVENTS_SECRET is not set. Make one with: openssl rand -hex 32")
    with supervisor.embedded(settings, say=output.say) as running:
        assert running.settings.database_url is not None
        with Ledger.opened(running.settings.database_url) as ledger:
            output.print_places(
                [
                    (name, f"http://{host}:{port}/events/{path}")
                    for name, path in (("D365", "d365"), ("Salesforce", "salesforce"))
                ]
            )
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
