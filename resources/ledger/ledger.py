"""The door to the ledger: one object with one room for each subject."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select, text

from resources.ledger.alert_queries import AlertQueries
from resources.ledger.alerts import Alerts
from resources.ledger.attempts import Attempts
from resources.ledger.break_queries import BreakQueries
from resources.ledger.breaks import Breaks
from resources.ledger.crosswalk import Crosswalk
from resources.ledger.decisions import Decisions
from resources.ledger.deliveries import Deliveries
from resources.ledger.events import Events
from resources.ledger.flows import Flows
from resources.ledger.log_sinks import LogSinks
from resources.ledger.matches import Matches
from resources.ledger.periods import Periods
from resources.ledger.schema import connect, upgrade
from resources.ledger.source_schemas import SourceSchemas
from resources.ledger.watermarks import Watermarks


class Ledger:
    """All subjects over one engine. Every call is one transaction; instants are UTC and passed in where a rule depends on them."""

    def __init__(self, engine: Engine) -> None:
        self.deliveries = Deliveries(engine)
        self.attempts = Attempts(engine)
        self.crosswalk = Crosswalk(engine)
        self.watermarks = Watermarks(engine)
        self.breaks = Breaks(engine)
        self.break_queries = BreakQueries(engine)
        self.decisions = Decisions(engine)
        self.events = Events(engine)
        self.flows = Flows(engine)
        self.periods = Periods(engine)
        self.matches = Matches(engine)
        self.source_schemas = SourceSchemas(engine)
        self.alerts = Alerts(engine)
        self.alert_queries = AlertQueries(engine)
        self.log_sinks = LogSinks(engine)
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

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Nobody else is inside a block of this name meanwhile; another run waits. A process that dies leaves at once."""
        with self._engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(hashtextextended(:name, 0))"), {"name": f"tieout {name}"})
            # The lock belongs to the session; an open transaction would only keep old rows alive.
            connection.commit()
            try:
                yield
            finally:
                connection.execute(
                    text("select pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": f"tieout {name}"}
                )
                connection.commit()

    @contextmanager
    def if_alone(self, name: str) -> Iterator[Callable[[], bool] | None]:
        """As `alone`, but nobody waits: None where somebody else is inside. Else a question: whether the place is still ours.

        It is no longer where the connection broke, with whatever the database then raises.
        """
        name = f"tieout {name}"
        with self._engine.connect() as connection:
            taken = connection.execute(text("select pg_try_advisory_lock(hashtextextended(:name, 0))"), {"name": name})
            mine = bool(taken.scalar_one())
            connection.commit()
            if not mine:
                yield None
                return

            def is_held() -> bool:
                connection.execute(text("select 1"))
                connection.commit()
                return True

            try:
                yield is_held
            finally:
                connection.execute(text("select pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name})
                connection.commit()

    @contextmanager
    def read_only(self, *, timeout_s: int) -> Iterator[Connection]:
        """One moment of the whole ledger for statements that change nothing; each is cut off after `timeout_s` (OperationalError)."""
        with self._engine.connect().execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        ) as connection:
            connection.execute(select(func.set_config("statement_timeout", f"{timeout_s}s", True)))
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()
