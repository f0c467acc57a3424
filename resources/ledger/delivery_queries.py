"""Questions about deliveries: how many in which state, which ones, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Engine, false, func, select, true

from resources.ledger.tables import attempt, attempt_result, delivery
from tieout.delivery import State
from tieout.errors import RecordError
from tieout.intended import Operation
from tieout.outcome import Outcome


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as people see it; the payload stays in the ledger."""

    id: int
    entity: str
    operation: str
    business_key: str
    company: str
    d365_key: str
    state: State
    reason: str
    d365_status: Mapping[str, Any] | None
    d365_amount: Decimal | None
    created_at: datetime
    updated_at: datetime
    run_id: str


_SHOWN = [delivery.c[name] for name in DeliveryRow.__slots__]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries; what is empty does not narrow. `reason` is any part of the reason's words, in any case."""

    state: State | None = None
    entity: str = ""
    operation: str = ""
    company: str = ""
    business_key: str = ""
    d365_key: str = ""
    run_id: str = ""
    reason: str = ""
    ids: Sequence[int] = ()

    def condition(self) -> ColumnElement[bool]:
        """As a condition on the table."""
        condition: ColumnElement[bool] = true()
        for column, value in (
            (delivery.c.state, self.state),
            (delivery.c.entity, self.entity),
            (delivery.c.operation, self.operation),
            (delivery.c.company, self.company),
            (delivery.c.d365_key, self.d365_key),
            (delivery.c.run_id, self.run_id),
        ):
            if value:
                condition = condition & (column == value)
        if self.reason:
            condition = condition & delivery.c.reason.icontains(self.reason, autoescape=True)
        if self.business_key:
            # The key of a customer goes on with its company; the Salesforce id alone means all of them.
            of_all_companies = delivery.c.business_key.startswith(f"{self.business_key}/", autoescape=True)
            condition = condition & ((delivery.c.business_key == self.business_key) | of_all_companies)
        return condition & delivery.c.id.in_(list(self.ids)) if self.ids else condition


@dataclass(frozen=True, slots=True)
class Waiting:
    """What of one company is not done: planned, in doubt (the oldest since `oldest_doubt`), refused for good."""

    queued: int = 0
    in_doubt: int = 0
    dead_letters: int = 0
    oldest_doubt: datetime | None = None


class DeliveryQueries:
    """Reading only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def counts(self, entity: str = "") -> dict[str, int]:
        """State → number of deliveries, of all time; every state is there, also with 0."""
        query = (
            select(delivery.c.state, func.count())
            .where(DeliveryFilter(entity=entity).condition())
            .group_by(delivery.c.state)
        )
        with self._engine.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {state.value: found.get(state.value, 0) for state in State}

    def waiting(self, entity: str) -> dict[str, Waiting]:
        """Company → what of it is not done; only companies of which something is not."""

        def counted(state: State) -> ColumnElement[int]:
            return func.count().filter(delivery.c.state == state)

        query = (
            select(
                delivery.c.company,
                counted(State.PLANNED),
                counted(State.IN_DOUBT),
                counted(State.REJECTED),
                func.min(delivery.c.doubt_since).filter(delivery.c.state == State.IN_DOUBT),
            )
            .where(
                delivery.c.entity == entity,
                # Named, so that the index leads to these few and the many confirmed ones are not read.
                delivery.c.operation.in_(["create", "update"]),
                delivery.c.state.in_([State.PLANNED, State.IN_DOUBT, State.REJECTED]),
            )
            .group_by(delivery.c.company)
        )
        with self._engine.connect() as connection:
            return {company: Waiting(*figures) for company, *figures in connection.execute(query)}

    def companies(self, entity: str, operation: Operation | None = None) -> list[str]:
        """Every company that a delivery of this entity, or one of its operations, was ever planned for."""
        query = select(delivery.c.company).where(delivery.c.entity == entity).distinct().order_by(delivery.c.company)
        if operation is not None:
            query = query.where(delivery.c.operation == operation)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def find(
        self, wanted: DeliveryFilter | None = None, *, limit: int | None = 100, offset: int = 0
    ) -> list[DeliveryRow]:
        """Deliveries, newest change first; all of them where `limit` is None."""
        query = (
            select(*_SHOWN)
            .where((wanted or DeliveryFilter()).condition())
            .order_by(delivery.c.updated_at.desc(), delivery.c.id.desc())
            .limit(limit)
            .offset(offset)
        )
        with self._engine.connect() as connection:
            return [_row(row) for row in connection.execute(query).mappings()]

    def ids(self, wanted: DeliveryFilter) -> list[int]:
        """The ids of all deliveries that fit, for a redrive by filter."""
        query = select(delivery.c.id).where(wanted.condition()).order_by(delivery.c.id)
        with self._engine.connect() as connection:
            return list(connection.execute(query).scalars())

    def confirmed_payloads(self, entity: str, business_keys: Sequence[str]) -> list[tuple[str, Any, datetime]]:
        """(business key, payload, when it was confirmed) of what D365 has taken for these keys, oldest first."""
        if not business_keys:
            return []
        query = (
            select(delivery.c.business_key, delivery.c.payload, delivery.c.updated_at)
            .where(delivery.c.entity == entity, delivery.c.state == State.CONFIRMED)
            .where(delivery.c.business_key.in_(list(business_keys)))
            .order_by(delivery.c.id)
        )
        with self._engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def payload(self, delivery_id: int) -> Any:
        """What is to be written, or was: `header` and `lines`, under D365's names. RecordError where there is no such delivery."""
        with self._engine.connect() as connection:
            found = connection.execute(
                select(delivery.c.payload).where(delivery.c.id == delivery_id)
            ).scalar_one_or_none()
        if found is None:
            raise RecordError(f"There is no delivery {delivery_id}. `tieout deliveries list` lists them.")
        return found

    def known_creations(self, entity: str) -> frozenset[str]:
        """The business keys of all creations of an entity that are more than planned."""
        query = select(delivery.c.business_key).where(
            delivery.c.entity == entity, delivery.c.operation == "create", delivery.c.state != State.PLANNED
        )
        with self._engine.connect() as connection:
            return frozenset(connection.execute(query).scalars())

    def creations_under_way(self, entity: str) -> frozenset[str]:
        """The business keys of the creations that a run has in its hands, or whose answer was lost."""
        query = select(delivery.c.business_key).where(
            delivery.c.entity == entity,
            delivery.c.operation == "create",
            delivery.c.state.in_([State.CLAIMED, State.SENT, State.IN_DOUBT]),
        )
        with self._engine.connect() as connection:
            return frozenset(connection.execute(query).scalars())

    def last_sent_with(self, entity: str, business_keys: Sequence[str], name: str, value: str) -> frozenset[str]:
        """Those of `business_keys` whose newest update that may have taken effect set the header property `name` to `value`.

        An update that was refused, or that never left for want of a sign-in, took no effect; one whose answer was lost may have.
        """
        took_none = attempt_result.c.outcome.in_([Outcome.REJECTED, Outcome.SIGN_IN])
        may_have_run = (
            select(attempt.c.id)
            .outerjoin(attempt_result, attempt_result.c.attempt_id == attempt.c.id)
            .where(attempt.c.delivery_id == delivery.c.id, func.coalesce(took_none, false()).is_(False))
        )
        newest = (
            select(delivery.c.business_key, delivery.c.payload["header"][name].astext.label("held"))
            .where(delivery.c.entity == entity, delivery.c.operation == "update")
            .where(delivery.c.business_key.in_(list(business_keys)), may_have_run.exists())
            .distinct(delivery.c.business_key)
            .order_by(delivery.c.business_key, delivery.c.id.desc())
        )
        if not business_keys:
            return frozenset()
        with self._engine.connect() as connection:
            return frozenset(row.business_key for row in connection.execute(newest) if row.held == value)

    def as_table(self) -> Any:
        """All deliveries without payloads as a pyarrow Table, for the causes of breaks."""
        import pyarrow as pa  # imported here: loading the definitions must not pay for it

        text_columns = ("entity", "operation", "business_key", "company", "d365_key", "state", "reason", "run_id")
        schema = pa.schema(
            [
                ("id", pa.int64()),
                *((name, pa.string()) for name in text_columns),
                ("d365_amount", pa.decimal128(28, 6)),
                ("updated_at", pa.timestamp("us", tz="UTC")),
            ]
        )
        with self._engine.connect() as connection:
            rows = connection.execute(select(*(delivery.c[name] for name in schema.names))).mappings().all()
        return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def _row(row: Any) -> DeliveryRow:
    return DeliveryRow(**{**row, "state": State(row["state"])})
