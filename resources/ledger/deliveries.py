"""Deliveries in the ledger: claimed with a lease, marked as sent before the request leaves, ended, looked up, sent again.

The rules are in `tieout/delivery.py`; here they are applied inside one transaction for each call. A run that lost its lease cannot change
anything any more: every change names the fencing token of the claim that it belongs to.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    bindparam,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from resources.ledger.attempts import AttemptResult, NewAttempt, begin_attempts, end_attempts
from resources.ledger.crosswalk import Link, upsert_links
from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.delivery_queries import DeliveryQueries
from resources.ledger.instants import utc_now
from resources.ledger.planning import Planning, moved_to, of_kind
from resources.ledger.tables import delivery
from tieout.delivery import Event, State, after
from tieout.intended import Operation


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery in the hands of this run, or in doubt. `token` proves which claim a change belongs to."""

    id: int
    token: int
    entity: str
    operation: Operation
    business_key: str
    company: str
    d365_key: str
    header: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    reason: str = ""
    doubt_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that was written down as sent, with the attempt that stands for the request."""

    held: Held
    attempt_id: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How one attempt of a delivery ended. `event` moves the delivery; `reason` is kept with it where it is not confirmed.

    `d365_key` is the number that D365 gave, where that was only learnt now.
    """

    held: Held
    attempt_id: int
    event: Event
    outcome: str
    duration_ms: int
    api_calls: Decimal
    http_status: int | None = None
    reason: str = ""
    d365_key: str = ""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What D365 holds after a confirmation. `amount` is the sum of the line amounts, in the order's currency."""

    delivery_id: int
    status: Mapping[str, Any]
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Adopted:
    """A record of ours that was found in D365, whatever the ledger knows of it."""

    entity: str
    business_key: str
    company: str
    d365_key: str

    def as_row(self, now: datetime) -> dict[str, Any]:
        """A confirmed creation that no known run has wanted; what was sent is not known any more."""
        return {
            "entity": self.entity,
            "operation": "create",
            "business_key": self.business_key,
            "company": self.company,
            "d365_key": self.d365_key,
            "payload": {"header": {}, "lines": []},
            "fingerprint": "",
            "state": State.CONFIRMED,
            "reason": _UNKNOWN,
            "created_at": now,
            "updated_at": now,
            "run_id": "",
        }


class Deliveries(DeliveryQueries, Planning):
    """The life of deliveries after planning (`planning.py`). Questions about them are answered in `delivery_queries.py`."""

    def recover(self, now: datetime) -> Mapping[State, int]:
        """Take back what dead runs held: claimed with an expired lease → planned, sent with an expired lease → in doubt."""
        recovered: dict[State, int] = {}
        with self._engine.begin() as connection:
            for state in (State.CLAIMED, State.SENT):
                new = after(state, Event.LEASE_RAN_OUT)
                doubt = {"doubt_since": now, "reason": _LOST} if new is State.IN_DOUBT else {}
                statement = (
                    update(delivery)
                    .where(delivery.c.state == state, delivery.c.lease_until < now)
                    .values(**moved_to(new, now), **doubt)
                    .returning(delivery.c.id)
                )
                recovered[new] = len(connection.execute(statement).all())
        return recovered

    def let_go(self, run_ids: Sequence[str], now: datetime | None = None) -> int:
        """End the leases of runs that are known to be dead, so that `recover` need not wait for them. Returns how many there were."""
        statement = (
            update(delivery)
            .where(delivery.c.run_id.in_(list(run_ids)), delivery.c.state.in_([State.CLAIMED, State.SENT]))
            .values(lease_until=now or utc_now())
            .returning(delivery.c.id)
        )
        with self._engine.begin() as connection:
            return len(connection.execute(statement).all())

    def claim(
        self,
        entity: str,
        operation: Operation,
        run_id: str,
        *,
        owner: str,
        lease_s: float,
        limit: int,
        shut: Collection[str] = (),
        only: str | None = None,
        now: datetime | None = None,
    ) -> list[Held]:
        """Take up to `limit` planned deliveries that the run wants; nobody else gets them while the lease lasts.

        Companies in `shut` keep theirs; with `only` nothing but that company's is taken.
        """
        now = now or utc_now()
        wanted = of_kind(entity, operation) & (delivery.c.state == State.PLANNED) & (delivery.c.run_id == run_id)
        if shut:
            wanted &= delivery.c.company.not_in(list(shut))
        if only is not None:
            wanted &= delivery.c.company == only
        free = (
            select(delivery.c.id)
            .where(wanted)
            # The least tried first: a record that D365 never answers for must not take every probe of a circuit breaker.
            .order_by(delivery.c.fencing_token, delivery.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(delivery)
            .where(delivery.c.id.in_(free.scalar_subquery()))
            .values(
                **moved_to(after(State.PLANNED, Event.CLAIM), now)
                | {"lease_owner": owner, "lease_until": now + timedelta(seconds=lease_s)},
                fencing_token=delivery.c.fencing_token + 1,
            )
            .returning(delivery)
        )
        with self._engine.begin() as connection:
            return sorted((_held(row) for row in connection.execute(statement)), key=lambda held: held.id)

    def companies_waiting(self, entity: str, operation: Operation, run_id: str) -> list[str]:
        """The companies of which the run wants planned deliveries."""
        query = (
            select(delivery.c.company)
            .where(of_kind(entity, operation), delivery.c.state == State.PLANNED, delivery.c.run_id == run_id)
            .distinct()
            .order_by(delivery.c.company)
        )
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def mark_sent(
        self,
        held: Sequence[Held],
        run_id: str,
        *,
        correlation_id: str,
        request: str,
        lease_s: float,
        with_keys: bool = False,
        now: datetime | None = None,
    ) -> list[Sent]:
        """Write down, before the request leaves, that these are sent. What another run took meanwhile is left out.

        `with_keys` keeps the D365 numbers that `held` come with, too.
        """
        now = now or utc_now()
        lease = {"lease_until": now + timedelta(seconds=lease_s)}
        with self._engine.begin() as connection:
            moved = _move(connection, held, State.CLAIMED, Event.SEND, now, keep_lease=True, **lease)
            ours = [each for each in held if each.id in moved]
            if with_keys:
                _keep_keys(connection, [(each.id, each.d365_key) for each in ours])
            attempts = [_attempt(each, each.operation, request, correlation_id) for each in ours]
            ids = begin_attempts(connection, attempts, run_id, now)
        return [Sent(each, attempt_id) for each, attempt_id in zip(ours, ids, strict=True)]

    def end(
        self, ended: Sequence[Ended], run_id: str, *, links: Iterable[Link] = (), now: datetime | None = None
    ) -> frozenset[int]:
        """Write down how a request ended for each of its deliveries, and the links that its confirmations make, all in one transaction.

        Returns the ids that were moved. The others had been taken over by another run; their attempts are logged all the same.
        """
        now = now or utc_now()
        with self._engine.begin() as connection:
            moved = self._apply(connection, ended, State.SENT, now)
            end_attempts(connection, [_result(each, moved, State.SENT) for each in ended], now)
            upsert_links(connection, links, run_id, now)
        return moved

    def release(self, held: Sequence[Held], now: datetime | None = None) -> None:
        """Give back what was claimed and not sent."""
        with self._engine.begin() as connection:
            _move(connection, held, State.CLAIMED, Event.NOT_PROCESSED, now or utc_now())

    def in_doubt(self, entity: str, operation: Operation) -> list[Held]:
        """The deliveries whose answer was lost, longest doubt first."""
        query = (
            select(delivery)
            .where(of_kind(entity, operation), delivery.c.state == State.IN_DOUBT)
            .order_by(delivery.c.doubt_since, delivery.c.id)
        )
        with self._engine.connect() as connection:
            return [_held(row) for row in connection.execute(query)]

    def numbered(self, ended: Sequence[Ended], run_id: str, *, request: str, now: datetime | None = None) -> list[Sent]:
        """Keep the numbers that D365 gave to headers, and write down, before it leaves, the request with their lines.

        The deliveries stay sent. What another run took over meanwhile is left out.
        """
        now = now or utc_now()
        with self._engine.begin() as connection:
            ours: list[Held] = []
            for each in ended:
                statement = (
                    update(delivery)
                    .where(
                        delivery.c.id == each.held.id,
                        delivery.c.fencing_token == each.held.token,
                        delivery.c.state == State.SENT,
                    )
                    .values(d365_key=each.d365_key, version=delivery.c.version + 1, updated_at=now)
                    .returning(delivery.c.id)
                )
                if connection.execute(statement).first() is not None:
                    ours.append(replace(each.held, d365_key=each.d365_key))
            end_attempts(connection, [_result(each, frozenset(), State.SENT) for each in ended], now)
            ids = begin_attempts(
                connection, [_attempt(each, each.operation, request, "") for each in ours], run_id, now
            )
        return [Sent(each, attempt_id) for each, attempt_id in zip(ours, ids, strict=True)]

    def looked_up(
        self,
        looks: Sequence[Ended],
        run_id: str,
        *,
        state: State = State.IN_DOUBT,
        undecided: Sequence[Ended] = (),
        links: Iterable[Link] = (),
        now: datetime | None = None,
    ) -> frozenset[int]:
        """Write down what looking found for deliveries that are in `state`: in doubt, or claimed and looked for before they are sent.

        `undecided` ones are logged and stay as they are. Ids as from `end`.
        """
        now = now or utc_now()
        everything = [*looks, *undecided]
        with self._engine.begin() as connection:
            attempts = [_attempt(each.held, "look_up", "GET", "") for each in everything]
            ids = begin_attempts(connection, attempts, run_id, now)
            moved = self._apply(connection, looks, state, now)
            results = [
                _result(each, moved, state, attempt_id) for each, attempt_id in zip(everything, ids, strict=True)
            ]
            end_attempts(connection, results, now)
            upsert_links(connection, links, run_id, now)
        return moved

    def adopt(self, entity: str, business_keys: Sequence[str], now: datetime | None = None) -> int:
        """Confirm planned creates whose record was found in D365 before anything was sent. Returns how many there were."""
        statement = (
            update(delivery)
            .where(
                of_kind(entity, "create"),
                delivery.c.business_key.in_(list(business_keys)),
                delivery.c.state == State.PLANNED,
            )
            .values(**moved_to(after(State.PLANNED, Event.FIND_OURS), now or utc_now()))
            .returning(delivery.c.id)
        )
        with self._engine.begin() as connection:
            return len(connection.execute(statement).all())

    def adopt_unknown(self, found: Sequence[Adopted], run_id: str, now: datetime) -> int:
        """Confirm the creations of records that D365 has under our number or reference. Returns how many of them the ledger did not know.

        What is sent or in doubt is left to the look; what was refused is left to a person.
        """
        new = 0
        with self._engine.begin() as connection:
            for start in range(0, len(found), _ADOPTED_AT_ONCE):
                chunk = found[start : start + _ADOPTED_AT_ONCE]
                new += len(_confirm_planned(connection, chunk, now))
                rows = [each.as_row(now) for each in chunk]
                statement = insert_or_skip(delivery).on_conflict_do_nothing().returning(delivery.c.business_key)
                new += len(connection.execute(statement, rows).all())
            if new:
                decision = Decision("ledger", run_id, "adopt", "tieout", _UNKNOWN, after={"records": new}, at=now)
                append_decisions(connection, [decision])
        return new

    def keep_read_back(self, read: Sequence[ReadBack]) -> None:
        """Keep what D365 holds after the confirmations."""
        if not read:
            return
        statement = (
            update(delivery)
            .where(delivery.c.id == bindparam("delivery"))
            .values(d365_status=bindparam("status"), d365_amount=bindparam("amount"), version=delivery.c.version + 1)
        )
        rows = [{"delivery": each.delivery_id, "status": dict(each.status), "amount": each.amount} for each in read]
        with self._engine.begin() as connection:
            connection.execute(statement, rows)

    def redrive(self, ids: Sequence[int], *, who: str, note: str = "", now: datetime | None = None) -> list[int]:
        """Plan refused deliveries again because a person says so. Others are left alone; returns the ids that were moved."""
        now = now or utc_now()
        new = after(State.REJECTED, Event.REDRIVE)
        with self._engine.begin() as connection:
            refused = connection.execute(
                select(delivery.c.id, delivery.c.reason)
                .where(delivery.c.id.in_(list(ids)), delivery.c.state == State.REJECTED)
                .with_for_update()
            ).all()
            moved = [row.id for row in refused]
            connection.execute(update(delivery).where(delivery.c.id.in_(moved)).values(**moved_to(new, now), reason=""))
            append_decisions(
                connection,
                [
                    Decision(
                        "delivery",
                        str(row.id),
                        "redrive",
                        who,
                        note,
                        before={"state": State.REJECTED, "reason": row.reason},
                        after={"state": new},
                        at=now,
                    )
                    for row in refused
                ],
            )
        return moved

    def _apply(self, connection: Connection, ended: Sequence[Ended], state: State, now: datetime) -> frozenset[int]:
        moved: set[int] = set()
        for event in {each.event for each in ended}:
            new = after(state, event)
            held = [each.held for each in ended if each.event is event]
            doubt = {"doubt_since": now} if new is State.IN_DOUBT else {"doubt_since": null()}
            moved |= _move(connection, held, state, event, now, reason="", **doubt)
        reasons = [
            {"row_id": each.held.id, "words": each.reason} for each in ended if each.reason and each.held.id in moved
        ]
        if reasons:
            statement = update(delivery).where(delivery.c.id == bindparam("row_id")).values(reason=bindparam("words"))
            connection.execute(statement, reasons)
        _keep_keys(
            connection, [(each.held.id, each.d365_key) for each in ended if each.d365_key and each.held.id in moved]
        )
        return frozenset(moved)


def _confirm_planned(connection: Connection, found: Sequence[Adopted], now: datetime) -> Sequence[int]:
    keys = [(each.entity, each.business_key) for each in found]
    statement = (
        update(delivery)
        .where(
            tuple_(delivery.c.entity, delivery.c.business_key).in_(keys),
            delivery.c.operation == "create",
            delivery.c.state == State.PLANNED,
        )
        .values(**moved_to(after(State.PLANNED, Event.FIND_OURS), now), reason=_UNKNOWN)
        .returning(delivery.c.id)
    )
    return connection.execute(statement).scalars().all()


_ADOPTED_AT_ONCE = 1000
_UNKNOWN = "adopted: D365 has it, and this ledger did not know"
_LOST = "the run that sent it ended before the answer came"


def _held(row: Row[Any]) -> Held:
    return Held(
        id=row.id,
        token=row.fencing_token,
        entity=row.entity,
        operation=row.operation,
        business_key=row.business_key,
        company=row.company,
        d365_key=row.d365_key,
        header=row.payload["header"],
        lines=row.payload["lines"],
        reason=row.reason,
        doubt_since=row.doubt_since,
    )


def _move(
    connection: Connection,
    held: Sequence[Held],
    state: State,
    event: Event,
    now: datetime,
    *,
    keep_lease: bool = False,
    **values: Any,
) -> frozenset[int]:
    """Move those of `held` that are still in `state` and still ours; returns their ids."""
    if not held:
        return frozenset()
    changes = moved_to(after(state, event), now) | values
    if keep_lease:
        del changes["lease_owner"]
    statement = (
        update(delivery)
        .where(
            tuple_(delivery.c.id, delivery.c.fencing_token).in_([(each.id, each.token) for each in held]),
            delivery.c.state == state,
        )
        .values(**changes)
        .returning(delivery.c.id)
    )
    return frozenset(connection.execute(statement).scalars())


def _keep_keys(connection: Connection, keys: Sequence[tuple[int, str]]) -> None:
    if keys:
        statement = update(delivery).where(delivery.c.id == bindparam("row_id")).values(d365_key=bindparam("number"))
        connection.execute(statement, [{"row_id": row_id, "number": number} for row_id, number in keys])


def _attempt(held: Held, operation: str, request: str, correlation_id: str) -> NewAttempt:
    return NewAttempt(
        entity=held.entity,
        operation=operation,
        business_key=held.business_key,
        direction="to_d365",
        company=held.company,
        d365_key=held.d365_key,
        delivery_id=held.id,
        request=request,
        correlation_id=correlation_id,
    )


def _result(ended: Ended, moved: frozenset[int], state: State, attempt_id: int | None = None) -> AttemptResult:
    return AttemptResult(
        attempt_id=ended.attempt_id if attempt_id is None else attempt_id,
        outcome=ended.outcome,
        state=after(state, ended.event) if ended.held.id in moved else state,
        duration_ms=ended.duration_ms,
        api_calls=ended.api_calls,
        http_status=ended.http_status,
        message=ended.reason,
    )
