"""What a run wants beside what the ledger knows: planning deliveries, trying that out, and cancelling what nobody wants any more.

The step for each record is decided in `tieout/intended.py`; here it is carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from resources.ledger.instants import utc_now
from resources.ledger.tables import delivery
from tieout.delivery import Event, State, after
from tieout.intended import IntendedWrite, Known, Operation, Step, next_step

_LIVE = [State.PLANNED, State.CLAIMED, State.SENT, State.IN_DOUBT, State.REJECTED]


@dataclass(frozen=True, slots=True)
class Planned:
    """What planning did with one intended write. `state` and `reason` are those of its delivery afterwards."""

    intended: IntendedWrite
    step: Step
    state: State
    reason: str = ""


class Planning:
    """The first part of a delivery's life."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def plan(self, intended: Sequence[IntendedWrite], run_id: str, now: datetime | None = None) -> list[Planned]:
        """Take the next step for each intended write (of one entity and operation), in one transaction."""
        now = now or utc_now()
        with self._engine.begin() as connection:
            known = _known(connection, intended, for_update=True)
            sent = _sent_versions(connection, intended)
            planned = [_planned(write, known.get(write.business_key), sent) for write in intended]
            self._revise(connection, planned, known, run_id, now)
            still_wanted = [
                known[each.intended.business_key].id
                for each in planned
                if each.step is Step.LEAVE_REJECTED
                # A newer version that another run has planned is what this one wants as well, and must not be cancelled by it.
                or (each.step is Step.LEAVE_STALE and each.state is State.PLANNED)
            ]
            if still_wanted:
                connection.execute(update(delivery).where(delivery.c.id.in_(still_wanted)).values(run_id=run_id))
            return self._insert(connection, planned, run_id, now)

    def preview(self, intended: Sequence[IntendedWrite]) -> list[Planned]:
        """As `plan`, and nothing is changed: what a dry run shows."""
        with self._engine.connect() as connection:
            known = _known(connection, intended, for_update=False)
            sent = _sent_versions(connection, intended)
            return [_planned(write, known.get(write.business_key), sent) for write in intended]

    def cancel_unwanted(self, entity: str, operation: Operation, run_id: str, now: datetime | None = None) -> int:
        """Cancel what is planned, and refused updates, that the run `run_id` did not want. Only for runs that saw the whole scope."""
        now = now or utc_now()
        states = [State.PLANNED, State.REJECTED] if operation == "update" else [State.PLANNED]
        cancelled = 0
        with self._engine.begin() as connection:
            for state in states:
                statement = (
                    update(delivery)
                    .where(of_kind(entity, operation), delivery.c.state == state, delivery.c.run_id != run_id)
                    .values(**moved_to(after(state, Event.WANT_NO_MORE), now))
                    .returning(delivery.c.id)
                )
                cancelled += len(connection.execute(statement).all())
        return cancelled

    def give_up_merged(self, merged: Mapping[str, str], run_id: str, now: datetime | None = None) -> int:
        """End what is planned or refused for accounts that were merged (loser → master): the master's deliveries take its place.

        Updates are superseded. Creations are cancelled, from which they come back if the account does. Returns how many.
        """
        now, given_up = now or utc_now(), 0
        loser = func.split_part(delivery.c.business_key, "/", 1)
        events: tuple[tuple[Operation, Event], ...] = (("create", Event.WANT_NO_MORE), ("update", Event.WANT_OTHERWISE))
        with self._engine.begin() as connection:
            for operation, event in events:
                query = (
                    select(delivery.c.id, delivery.c.state, loser)
                    .where(
                        of_kind("customer", operation),
                        delivery.c.state.in_([State.PLANNED, State.REJECTED]),
                        loser.in_(list(merged)),
                    )
                    .with_for_update()
                )
                for delivery_id, state, account_id in connection.execute(query).all():
                    reason = f"the account was merged into {merged[account_id]}"
                    changes = moved_to(after(State(state), event), now) | {"reason": reason, "run_id": run_id}
                    connection.execute(update(delivery).where(delivery.c.id == delivery_id).values(**changes))
                    given_up += 1
        return given_up

    def _revise(
        self,
        connection: Connection,
        planned: Sequence[Planned],
        known: Mapping[str, Row[Any]],
        run_id: str,
        now: datetime,
    ) -> None:
        """Carry the steps out that change a row which is there already."""
        for step, event in (
            (Step.REFRESH, None),
            (Step.REPLACE, None),
            (Step.CORRECT, Event.CORRECT),
            (Step.REVIVE, Event.WANT_AGAIN),
        ):
            rows = []
            for each in planned:
                if each.step is not step:
                    continue
                row = known[each.intended.business_key]
                if each.intended.operation == "update" and step in {Step.REPLACE, Step.CORRECT}:
                    # Updates keep their history: the old one is superseded and `_insert` adds the new one.
                    _move_row(connection, row, Event.WANT_OTHERWISE, now)
                    continue
                state = after(State(row.state), event) if event else State(row.state)
                rows.append(_content(each.intended) | {"row_id": row.id, "new_state": state, "reason": ""})
            if rows:
                connection.execute(
                    update(delivery)
                    .where(delivery.c.id == bindparam("row_id"))
                    .values(
                        state=bindparam("new_state"),
                        run_id=run_id,
                        updated_at=now,
                        version=delivery.c.version + 1,
                        **{
                            name: bindparam(name)
                            for name in ("company", "d365_key", "payload", "fingerprint", "source_version", "reason")
                        },
                    ),
                    rows,
                )

    def _insert(self, connection: Connection, planned: Sequence[Planned], run_id: str, now: datetime) -> list[Planned]:
        new = [
            each
            for each in planned
            if each.step is Step.PLAN
            or (each.intended.operation == "update" and each.step in {Step.REPLACE, Step.CORRECT})
        ]
        if not new:
            return list(planned)
        rows = [
            _content(each.intended)
            | {
                "entity": each.intended.entity,
                "operation": each.intended.operation,
                "business_key": each.intended.business_key,
                "state": State.PLANNED,
                "created_at": now,
                "updated_at": now,
                "run_id": run_id,
            }
            for each in new
        ]
        statement = insert_or_skip(delivery).on_conflict_do_nothing().returning(delivery.c.business_key)
        inserted = set(connection.execute(statement, rows).scalars())
        # A create that another run planned between our look and our insert is that run's.
        lost = {each.intended.business_key for each in new} - inserted
        return [
            Planned(each.intended, Step.LEAVE_HELD, State.PLANNED, "planned by another run at this moment")
            if each.intended.business_key in lost
            else each
            for each in planned
        ]


def of_kind(entity: str, operation: Operation) -> ColumnElement[bool]:
    """The deliveries of one entity and operation."""
    return (delivery.c.entity == entity) & (delivery.c.operation == operation)


def moved_to(state: State, now: datetime) -> dict[str, Any]:
    """What every change of state sets. A lease belongs to claimed and sent deliveries only."""
    return {
        "state": state,
        "version": delivery.c.version + 1,
        "updated_at": now,
        "lease_owner": None,
        "lease_until": None,
    }


def _known(connection: Connection, intended: Sequence[IntendedWrite], *, for_update: bool) -> Mapping[str, Row[Any]]:
    """Business key → the newest delivery that counts: the one create there is, or the one update that is not over."""
    if not intended:
        return {}
    entity, operation = intended[0].entity, intended[0].operation
    keys = [write.business_key for write in intended]
    query = (
        select(delivery).where(of_kind(entity, operation), delivery.c.business_key.in_(keys)).order_by(delivery.c.id)
    )
    if operation == "update":
        query = query.where(delivery.c.state.in_(_LIVE))
    if for_update:
        query = query.with_for_update()
    return {row.business_key: row for row in connection.execute(query)}


def _sent_versions(connection: Connection, intended: Sequence[IntendedWrite]) -> Mapping[str, datetime]:
    """Business key → the newest version of the source record that was sent, or may have been."""
    if not intended:
        return {}
    query = (
        select(delivery.c.business_key, func.max(delivery.c.source_version))
        .where(
            of_kind(intended[0].entity, intended[0].operation),
            delivery.c.business_key.in_([write.business_key for write in intended]),
            delivery.c.state.in_([State.SENT, State.IN_DOUBT, State.CONFIRMED]),
            delivery.c.source_version.is_not(None),
        )
        .group_by(delivery.c.business_key)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _planned(intended: IntendedWrite, row: Row[Any] | None, sent: Mapping[str, datetime]) -> Planned:
    known = _as_known(row, sent.get(intended.business_key))
    step = next_step(intended, known)
    if known is None or step.sends:
        return Planned(intended, step, State.PLANNED)
    return Planned(intended, step, known.state, "" if row is None else row.reason)


def _as_known(row: Row[Any] | None, sent_version: datetime | None) -> Known | None:
    if row is None:
        # Of updates that are over only the version counts, which nothing older may follow.
        return None if sent_version is None else Known(State.CONFIRMED, "", sent_version)
    versions = [version for version in (row.source_version, sent_version) if version is not None]
    return Known(State(row.state), row.fingerprint, max(versions, default=None))


def _content(intended: IntendedWrite) -> dict[str, object]:
    return {
        "company": intended.company,
        "d365_key": intended.d365_key,
        "payload": intended.payload,
        "fingerprint": intended.fingerprint,
        "source_version": intended.source_version,
    }


def _move_row(connection: Connection, row: Row[Any], event: Event, now: datetime) -> None:
    changes = moved_to(after(State(row.state), event), now)
    connection.execute(update(delivery).where(delivery.c.id == row.id).values(**changes))
