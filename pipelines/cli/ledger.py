"""The ledger for commands: its Postgres is started when it is embedded and not running, and stopped again."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.services import postgres
from pipelines.services.home import Home
from resources.ledger import Ledger
from tieout.settings import Settings


@contextmanager
def opened_ledger() -> Iterator[Ledger]:
    """The ledger of this installation."""
    with reached_database() as url, Ledger.opened(url) as ledger:
        yield ledger


@contextmanager
def reached_database() -> Iterator[str]:
    """The address of the ledger's database, which runs for the length of the block."""
    settings = Settings.from_environment()
    home = Home(settings.home)
    url, started = settings.database_url, False
    if url is None:
        url, started = postgres.start(home)
    try:
        yield url
    finally:
        if started:
            postgres.stop(home)


def who() -> str:
    """The person at the keyboard, for the decisions in the ledger."""
    return getpass.getuser()
