"""The event bus: what was published on each channel, kept for 72 hours, in the order in which it took effect.

An event is written by the transaction that makes the change, so none is missed and none tells of what did not happen. Replay ids rise and are not
contiguous within a channel, as on a real org; what they are made of is nobody's business but the bus's.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

from sandbox.common.clock import Clock
from sandbox.common.switches import Switches
from sandbox.salesforce.avro_schemas import EventSchema
from sandbox.salesforce.store import Store

ALL_CHANGES = "/data/ChangeEvents"
"""The channel on which the changes of every object are."""

_TABLES = """
CREATE TABLE IF NOT EXISTS _bus_event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, topic TEXT NOT NULL, id TEXT NOT NULL,
    schema_id TEXT NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS _bus_event_topic ON _bus_event (topic, seq);
CREATE TABLE IF NOT EXISTS _bus_schema (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
"""
_REPLAY_ID_BYTES = 10
_NOTHING = ""
"""The channel of what is no event: it only gives a quiet bus a place that is not too old."""


@dataclass(frozen=True, slots=True)
class BusEvent:
    """One event; `seq` is its place on the whole bus."""

    seq: int
    id: str
    schema_id: str
    payload: bytes


class EventBus:
    """The events of one org. `published` counts what was put on the bus since the process began, so that readers see when to look."""

    def __init__(self, store: Store, clock: Clock, switches: Switches) -> None:
        self._store = store
        self._clock = clock
        self._switches = switches
        store.connection.executescript(_TABLES)
        self.published = 0

    def publish(self, topic: str, schema: EventSchema, payload: bytes, event_id: str = "") -> str:
        """Put one event on a channel, in the transaction that is open, if one is; returns the event's id."""
        self._store.connection.execute("INSERT OR IGNORE INTO _bus_schema VALUES (?, ?)", (schema.id, schema.json))
        return self._put(topic, schema.id, payload, event_id or str(uuid4()))

    def publish_as_it_is(self, topic: str, schema_id: str, payload: bytes) -> str:
        """Put bytes on a channel that nobody has looked at."""
        return self._put(topic, schema_id, payload, str(uuid4()))

    def repeat(self, topic: str) -> str | None:
        """Deliver the newest event of a channel once more, under a replay id of its own; None where there is none."""
        row = self._store.connection.execute(
            "SELECT schema_id, payload, id FROM _bus_event WHERE topic = ? ORDER BY seq DESC LIMIT 1", (topic,)
        ).fetchone()
        return None if row is None else self._put(topic, *row)

    def after(self, topic: str, seq: int, limit: int) -> list[BusEvent]:
        """The events of a channel behind a place, oldest first."""
        here, wanted = ("topic GLOB ?", "/data/*") if topic == ALL_CHANGES else ("topic = ?", topic)
        rows = self._store.connection.execute(
            f"SELECT seq, id, schema_id, payload FROM _bus_event WHERE {here} AND seq > ? ORDER BY seq LIMIT ?",
            (wanted, seq, limit),
        )
        return [BusEvent(*row) for row in rows]

    def schema(self, schema_id: str) -> str | None:
        """The JSON of a schema that was ever used."""
        row = self._store.connection.execute("SELECT json FROM _bus_schema WHERE id = ?", (schema_id,)).fetchone()
        return str(row[0]) if row else None

    def newest(self) -> int:
        """The place behind everything so far; one that can be asked for again for as long as events are kept."""
        self._forget_old()
        if self._oldest() is None:
            self._put(_NOTHING, "", b"", "")
        return self.last()

    def oldest(self) -> int:
        """The place before everything that is kept."""
        self._forget_old()
        return (self._oldest() or self.last() + 1) - 1

    def is_kept(self, seq: int) -> bool:
        """Whether reading can go on behind this place: it is not in the future, and nothing behind it was forgotten."""
        self._forget_old()
        oldest = self._oldest()
        return oldest is not None and oldest <= seq <= self.last()

    def forget_all(self) -> None:
        """Every replay id so far is too old from now on."""
        self._store.connection.execute("DELETE FROM _bus_event")
        self._put(_NOTHING, "", b"", "")

    def _put(self, topic: str, schema_id: str, payload: bytes, event_id: str) -> str:
        self._store.connection.execute(
            "INSERT INTO _bus_event (at, topic, id, schema_id, payload) VALUES (?, ?, ?, ?, ?)",
            (self._clock.timestamp(), topic, event_id, schema_id, payload),
        )
        self.published += 1
        return event_id

    def _forget_old(self) -> None:
        kept_for = timedelta(hours=self._switches["event_retention_h"])
        before = (self._clock.now() - kept_for).timestamp()
        oldest = self._store.connection.execute("SELECT at FROM _bus_event ORDER BY seq LIMIT 1").fetchone()
        if oldest is not None and oldest[0] < before:
            self._store.connection.execute("DELETE FROM _bus_event WHERE at < ?", (before,))

    def _oldest(self) -> int | None:
        found = self._store.connection.execute("SELECT min(seq) FROM _bus_event").fetchone()[0]
        return None if found is None else int(found)

    def last(self) -> int:
        """The place of the newest event, whether it is kept or not; 0 before the first."""
        row = self._store.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = '_bus_event'").fetchone()
        return int(row[0]) if row else 0


def replay_id(seq: int) -> bytes:
    """A place on the bus as clients keep it."""
    return seq.to_bytes(_REPLAY_ID_BYTES - 2) + b"\x00\x00"


def place_of(given: bytes) -> int | None:
    """The place that a replay id means; None for bytes that are none."""
    if len(given) != _REPLAY_ID_BYTES or given[-2:] != b"\x00\x00":
        return None
    return int.from_bytes(given[:-2])
