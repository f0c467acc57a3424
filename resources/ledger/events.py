"""Events received from the systems (business events, outbound messages, change events), each of them once, until the records that they name were read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.instants import utc_now
from resources.ledger.tables import SCHEMA, event, replay
from tieout.events import Hint

SWEEP = "sweep_wanted"
"""Kind of the rows that name no record and ask for a run of the main job."""


@dataclass(frozen=True, slots=True)
class WaitingHint:
    """A hint that nobody has followed yet; `id` rises with the order in which hints came."""

    id: int
    hint: Hint
    received_at: datetime


@dataclass(frozen=True, slots=True)
class WantedSweep:
    """A run of the main job that is asked for, because events do not tell which records changed."""

    id: int
    reason: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a record took, as instants: changed in Salesforce, seen by us (`seen_by` event or schedule), sent, confirmed by D365."""

    business_key: str
    company: str
    d365_key: str
    changed_at: datetime | None
    seen_at: datetime
    seen_by: str
    sent_at: datetime | None
    confirmed_at: datetime | None


class Events:
    """Receiving events, and marking them as handled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def receive(
        self, source: str, event_id: str, kind: str, payload: Mapping[str, object], at: datetime | None = None
    ) -> bool:
        """Keep an event; False when it was received before."""
        row = {"source": source, "event_id": event_id, "kind": kind, "payload": dict(payload), "record_key": ""}
        return self._keep([row], at or utc_now()) == 1

    def receive_hints(self, hints: Collection[Hint], at: datetime | None = None) -> int:
        """Keep hints, all or none; returns how many were not received before."""
        return self._keep([_row(hint) for hint in hints], at or utc_now())

    def receive_from(
        self,
        topic: str,
        hints: Collection[Hint],
        reasons: Mapping[str, str],
        replay_id: bytes | None,
        at: datetime | None = None,
    ) -> int:
        """Keep what came of a channel of Salesforce together with how far it was read, all or none; returns how many hints are new.

        `reasons` (event id: why) ask for a run of the main job. Without a `replay_id` the place is forgotten: reading begins with what is newest.
        """
        now = at or utc_now()
        asked = [
            {"source": "salesforce", "event_id": event_id, "kind": SWEEP, "payload": {"reason": why}, "record_key": ""}
            for event_id, why in reasons.items()
        ]
        with self._engine.begin() as connection:
            new = _insert(connection, [_row(hint) for hint in hints], now)
            _insert(connection, asked, now)
            _go_on_behind(connection, topic, replay_id, now)
        return new

    def replay_id(self, topic: str) -> bytes | None:
        """How far a channel of Salesforce was read; None where nobody knows."""
        query = select(replay.c.replay_id).where(replay.c.source == "salesforce", replay.c.topic == topic)
        with self._engine.connect() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else bytes(found)

    def sweeps_wanted(self) -> list[WantedSweep]:
        """Why runs of the main job are asked for that none has answered yet, oldest first."""
        query = (
            select(event.c.id, event.c.payload, event.c.received_at)
            .where(event.c.handled_at.is_(None), event.c.kind == SWEEP, event.c.record_key == "")
            .order_by(event.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [WantedSweep(row.id, str(row.payload["reason"]), row.received_at) for row in rows]

    def handled(self, source: str, event_id: str, at: datetime | None = None) -> None:
        """Mark an event as done."""
        self._mark(event.c.source == source, event.c.event_id == event_id, at=at)

    def all_handled(self, ids: Sequence[int], at: datetime | None = None) -> int:
        """Mark these hints as done; returns how many were not yet."""
        return self._mark(event.c.id.in_(ids), at=at) if ids else 0

    def handled_before(self, began_at: datetime, at: datetime | None = None) -> int:
        """Mark what was received before `began_at` as done: whoever began to read everything then has seen it. Returns how many."""
        return self._mark(event.c.received_at < began_at, at=at)

    def forget_before(self, instant: datetime) -> int:
        """Remove what was handled before `instant`; a repeat of one of these would count as new. Returns how many."""
        with self._engine.begin() as connection:
            return connection.execute(delete(event).where(event.c.handled_at < instant)).rowcount

    def waiting(self) -> int:
        """How many events were received and not handled."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).where(event.c.handled_at.is_(None))).scalar_one()

    def waiting_span(self) -> tuple[int, int] | None:
        """The ids of the oldest and the newest hint that wait; None where none does."""
        query = select(func.min(event.c.id), func.max(event.c.id)).where(
            event.c.handled_at.is_(None), event.c.record_key != ""
        )
        with self._engine.connect() as connection:
            oldest, newest = connection.execute(query).one()
        return None if oldest is None else (oldest, newest)

    def waiting_hints(self, limit: int) -> list[WaitingHint]:
        """The hints that wait, oldest first, at most `limit`."""
        query = (
            select(event)
            .where(event.c.handled_at.is_(None), event.c.record_key != "")
            .order_by(event.c.id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [WaitingHint(row.id, _hint(row), row.received_at) for row in connection.execute(query)]

    def latencies(self, entity: str, run_id: str) -> list[Latency]:
        """How long each record took that a run delivered anew, in the order of their keys: the view `delivery_latency`."""
        names = ", ".join(Latency.__dataclass_fields__)
        query = text(
            f"select {names} from {SCHEMA}.delivery_latency where entity = :entity and run_id = :run_id order by business_key"
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query, {"entity": entity, "run_id": run_id}).mappings()
            return [Latency(**row) for row in rows]

    def _keep(self, rows: Sequence[Mapping[str, object]], at: datetime) -> int:
        with self._engine.begin() as connection:
            return _insert(connection, rows, at)

    def _mark(self, *conditions: Any, at: datetime | None) -> int:
        statement = update(event).where(event.c.handled_at.is_(None), *conditions).values(handled_at=at or utc_now())
        with self._engine.begin() as connection:
            return connection.execute(statement).rowcount


def _insert(connection: Connection, rows: Sequence[Mapping[str, object]], at: datetime) -> int:
    if not rows:
        return 0
    statement = insert(event).on_conflict_do_nothing().returning(event.c.id)
    # One message may hold an event twice; all take their places in the same order, so that two messages cannot wait for each other.
    kept = {(row["source"], row["event_id"]): dict(row) | {"received_at": at} for row in reversed(rows)}
    return len(connection.execute(statement, [kept[key] for key in sorted(kept)]).all())


def _go_on_behind(connection: Connection, topic: str, replay_id: bytes | None, at: datetime) -> None:
    if replay_id is None:
        connection.execute(delete(replay).where(replay.c.source == "salesforce", replay.c.topic == topic))
        return
    place = {"replay_id": replay_id, "kept_at": at}
    connection.execute(
        insert(replay)
        .values(source="salesforce", topic=topic, **place)
        .on_conflict_do_update(index_elements=[replay.c.source, replay.c.topic], set_=place)
    )


def _row(hint: Hint) -> dict[str, object]:
    return {
        "source": hint.source,
        "event_id": hint.event_id,
        "kind": hint.kind,
        "payload": hint.as_json(),
        "record_key": hint.key,
    }


def _hint(row: Any) -> Hint:
    payload = row.payload
    changed_at = payload.get("changed_at")
    return Hint(
        row.source,
        row.event_id,
        row.kind,
        payload["entity"],
        payload["key"],
        payload.get("company", ""),
        None if changed_at is None else datetime.fromisoformat(changed_at),
    )
