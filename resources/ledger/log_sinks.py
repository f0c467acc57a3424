"""How far the log is in each of its targets, and which rows it waits for.

A target has a position, up to which every attempt is done, and the set of attempts behind it that are done already. A number alone would not
do: attempts become visible in another order than that of their numbers, and one that is not answered yet must not hold up the others.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.tables import SCHEMA, log_sink, log_sink_row
from tieout.log_sinks import LogRow

UNANSWERED_AFTER = timedelta(hours=1)
"""An attempt without a result is told as unanswered after this time: the longest call with all its waits is over long before."""
SETTLED_AFTER = timedelta(hours=6)
"""The position stays behind attempts younger than this, so that one whose transaction ends late is still found. No run takes as long."""
MOST_COUNTED = 100_000
"""Rows that wait are counted up to here; a first fill may have millions."""


@dataclass(frozen=True, slots=True)
class SinkState:
    """One target as the ledger knows it. `position`: every attempt up to it is done."""

    id: int
    sink: str
    target: str
    position: int
    sent: int
    sent_at: datetime | None
    problem: str
    problem_since: datetime | None
    tries: int
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows that a target does not have: how many (at most MOST_COUNTED), since when the oldest, and how many it refuses for good."""

    rows: int
    oldest_at: datetime | None
    refused: int


class LogSinks:
    """Reading what waits, and keeping what is done."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, sink: str, target: str) -> SinkState:
        """The target, made known at its first use, when the whole log waits for it."""
        with self._engine.begin() as connection:
            connection.execute(insert(log_sink).values(sink=sink, target=target).on_conflict_do_nothing())
            row = connection.execute(select(log_sink).where(log_sink.c.sink == sink, log_sink.c.target == target)).one()
            return SinkState(**row._mapping)

    def waits(self, state: SinkState, now: datetime) -> bool:
        """Whether any row waits."""
        with self._engine.connect() as connection:
            return bool(
                connection.execute(
                    text(f"select exists (select 1 {_WAITING})"), _given(connection, state, now)
                ).scalar_one()
            )

    def next_rows(self, state: SinkState, limit: int, now: datetime) -> list[LogRow]:
        """The first rows that wait, in the order of their numbers: answered, or older than UNANSWERED_AFTER."""
        names = ", ".join(f"log.{each.name}" for each in fields(LogRow))
        query = text(f"select {names} {_WAITING} order by log.attempt_id limit :limit")
        with self._engine.connect() as connection:
            rows = connection.execute(query, {**_given(connection, state, now), "limit": limit}).mappings()
            return [LogRow(**row) for row in rows]

    def waiting(self, state: SinkState, now: datetime) -> Waiting:
        """What waits, and what was refused."""
        first = f"select log.at {_WAITING} order by log.attempt_id limit {MOST_COUNTED}"
        with self._engine.connect() as connection:
            rows, oldest_at = connection.execute(
                text(f"select count(*), min(at) from ({first}) as waiting"), _given(connection, state, now)
            ).one()
            refused = connection.execute(
                select(func.count()).where(log_sink_row.c.sink_id == state.id, log_sink_row.c.refused != "")
            ).scalar_one()
        return Waiting(rows, oldest_at, refused)

    def done(self, state: SinkState, taken: Collection[int], refused: Mapping[int, str], at: datetime) -> int:
        """Keep that these attempts are in the target, and that it refuses those for what is in them. Returns how many it has taken anew."""
        rows = [{"sink_id": state.id, "attempt_id": each, "refused": ""} for each in sorted(taken)]
        rows += [{"sink_id": state.id, "attempt_id": each, "refused": why} for each, why in sorted(refused.items())]
        if not rows:
            return 0
        statement = insert(log_sink_row).on_conflict_do_nothing().returning(log_sink_row.c.refused)
        with self._engine.begin() as connection:
            kept = connection.execute(statement, rows).scalars().all()
            new = sum(not why for why in kept)
            if new:
                connection.execute(
                    update(log_sink).where(log_sink.c.id == state.id).values(sent=log_sink.c.sent + new, sent_at=at)
                )
        return new

    def advance(self, state: SinkState, now: datetime) -> int:
        """Move the position over what is done and old enough, and forget the single rows up to it. Returns the last attempt before the first
        one that waits."""
        parameters = {"id": state.id, "young": now - SETTLED_AFTER}
        with self._engine.begin() as connection:
            position, reached = connection.execute(_ADVANCE, parameters).one()
            connection.execute(_FORGET, {"id": state.id, "position": position})
        return int(reached)

    def failed(self, state: SinkState, problem: str, not_before: datetime, at: datetime) -> None:
        """A pass broke off: why, and when the next one may begin."""
        self._change(
            state,
            problem=problem,
            problem_since=func.coalesce(log_sink.c.problem_since, at),
            tries=log_sink.c.tries + 1,
            not_before=not_before,
        )

    def went_well(self, state: SinkState) -> None:
        """A pass came to its end: nothing is wrong any more."""
        self._change(state, problem="", problem_since=None, tries=0, not_before=None)

    def _change(self, state: SinkState, **values: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(update(log_sink).where(log_sink.c.id == state.id).values(**values))


def _given(connection: Connection, state: SinkState, now: datetime) -> dict[str, object]:
    """The position as it is now, and as a value: a subquery in its place would hide from Postgres how few rows are behind it."""
    position = connection.execute(select(log_sink.c.position).where(log_sink.c.id == state.id)).scalar_one()
    return {"id": state.id, "position": position, "unanswered": now - UNANSWERED_AFTER}


# A result has a duration; without one the attempt is not answered.
_WAITING = f"""
from {SCHEMA}.integration_log as log
where log.attempt_id > :position
    and (log.duration_ms is not null or log.at < :unanswered)
    and not exists (
        select 1 from {SCHEMA}.log_sink_row as done where done.sink_id = :id and done.attempt_id = log.attempt_id
    )
"""

_ADVANCE = text(f"""
with
sink as (select id, position from {SCHEMA}.log_sink where id = :id),
newest as (select coalesce(max(id), 0) as id from {SCHEMA}.attempt),
-- The first attempt that is not done; where all are, the one that does not exist yet.
open as (
    select coalesce(min(attempt.id), max(newest.id) + 1) as id
    from newest left join (
        select attempt.id from {SCHEMA}.attempt, sink
        where attempt.id > sink.position and not exists (
            select 1 from {SCHEMA}.log_sink_row as done where done.sink_id = sink.id and done.attempt_id = attempt.id
        )
        order by attempt.id limit 1
    ) as attempt on true
),
young as (
    select min(attempt.id) as id from {SCHEMA}.attempt, sink where attempt.id > sink.position and attempt.at >= :young
),
-- An old attempt that is there, and not the number before the first young one: that may be one whose transaction is still open.
old as (
    select max(attempt.id) as id from {SCHEMA}.attempt, sink, open, young
    where attempt.id > sink.position and attempt.id < least(open.id, coalesce(young.id, open.id))
)
update {SCHEMA}.log_sink
set position = coalesce(old.id, log_sink.position)
from open, old
where log_sink.id = :id
returning log_sink.position, greatest(open.id - 1, log_sink.position)
""")

_FORGET = text(f"""
delete from {SCHEMA}.log_sink_row where sink_id = :id and attempt_id <= :position and refused = ''
""")
