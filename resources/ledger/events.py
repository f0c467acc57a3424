"""Events received from the systems (change data capture, business events), each of them once."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, func, select, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.instants import utc_now
from resources.ledger.tables import event


class Events:
    """Receiving an event and marking it as handled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def receive(
        self, source: str, event_id: str, kind: str, payload: Mapping[str, object], at: datetime | None = None
    ) -> bool:
        """Keep an event; False when it was received before."""
        statement = (
            insert(event)
            .values(source=source, event_id=event_id, kind=kind, payload=dict(payload), received_at=at or utc_now())
            .on_conflict_do_nothing()
            .returning(event.c.id)
        )
        with self._engine.begin() as connection:
            return connection.execute(statement).first() is not None

    def handled(self, source: str, event_id: str, at: datetime | None = None) -> None:
        """Mark an event as done."""
        statement = (
            update(event)
            .where(event.c.source == source, event.c.event_id == event_id, event.c.handled_at.is_(None))
            .values(handled_at=at or utc_now())
        )
        with self._engine.begin() as connection:
            connection.execute(statement)

    def waiting(self) -> int:
        """How many events were received and not handled."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).where(event.c.handled_at.is_(None))).scalar_one()
