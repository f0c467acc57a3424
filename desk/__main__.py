"""`python -m desk`: serves the desk on 127.0.0.1 until it is told to stop; says its address when it is ready."""

import argparse
import contextlib
import os
import secrets
import sys
from pathlib import Path

import uvicorn

from desk.access import Access
from desk.app import create_app
from desk.desk import Desk
from desk.links import Links
from desk.settings import DeskSettings, event_settings
from resources.lake import Lake
from resources.ledger import Ledger
from resources.listening import listening
from resources.log_file import keep_log
from resources.secrets import with_secrets
from tieout.contract import load_contracts
from tieout.errors import ConfigurationError, TieoutError
from tieout.settings import Settings

PORT = 3001
SHORTEST_SECRET = 32


def main() -> None:
    """Open what the desk needs, and serve."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=PORT)
    asked = arguments.parse_args()
    settings = Settings.from_environment()
    desk_settings = DeskSettings.from_environment(
        with_secrets(os.environ, ["TIEOUT_FEED_TOKEN"], ca_bundle=settings.ca_bundle)
    )
    events = event_settings(settings.ca_bundle)
    keep_log(settings.home / "logs")
    if settings.database_url is None:
        raise ConfigurationError("TIEOUT_DATABASE_URL is not set. Start the desk with `tieout desk`, or set it.")
    secret = kept_secret(settings.home / "desk-secret")
    with Ledger.opened(settings.database_url) as ledger:
        desk = Desk(
            settings=desk_settings,
            access=Access(desk_settings, secret),
            lake=Lake(settings.lake_url),
            ledger=ledger,
            contracts=load_contracts(settings.contracts),
            links=Links(
                settings.salesforce.instance_url if settings.salesforce else "",
                settings.d365.url if settings.d365 else "",
            ),
        )
        with listening(settings, ledger, desk.contracts):
            uvicorn.run(
                create_app(desk, secret, events),
                host="127.0.0.1",
                port=asked.port,
                # A proxy's word about who is calling is not taken: `Access` looks at the real peer.
                proxy_headers=False,
                server_header=False,
                # Addresses hold ids and names of records; the decisions are in the ledger.
                access_log=False,
            )


def kept_secret(path: Path) -> str:
    """The secret that signs forms and sessions: made once, readable by its owner only, the same over restarts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    secret = path.read_text().strip()
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(f"{path} is no secret of ours. Remove it; a new one is made.")
    return secret


if __name__ == "__main__":
    try:
        main()
    except TieoutError as problem:
        sys.exit(str(problem))
