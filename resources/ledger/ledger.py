"""The door to the ledger: one object with one room for each subject."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from resources.ledger.attempts import Attempts
from resources.ledger.breaks import Breaks
from resources.ledger.crosswalk import Crosswalk
from resources.ledger.decisions import Decisions
from resources.ledger.deliveries import Deliveries
from resources.ledger.events import Events
from resources.ledger.schema import connect, upgrade
from resources.ledger.watermarks import Watermarks


class Ledger:
    """All subjects over one engine. Every call is one transaction; instants are UTC and passed in where a rule depends on them."""

    def __init__(self, engine: Engine) -> None:
        self.deliveries = Deliveries(engine)
        self.attempts = Attempts(engine)
        self.crosswalk = Crosswalk(engine)
        self.watermarks = Watermarks(engine)
        self.breaks = Breaks(engine)
        self.decisions = Decisions(engine)
        self.events = Events(engine)
        self._engine = engine

    @classmethod
    @contextmanager
    def opened(cls, database_url: str) -> Iterator["Ledger"]:
        """The ledger at `database_url`, brought to the newest schema, its connections closed at the end."""
        upgrade(database_url)
        ledger = cls(connect(database_url))
        try:
            yield ledger
        finally:
            ledger.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()
