"""Questions about deliveries: how many in which state, which ones, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select, true

from resources.ledger.tables import delivery
from tieout.delivery import State


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
    """Which deliveries; what is empty does not narrow."""

    state: State | None = None
    entity: str = ""
    operation: str = ""
    company: str = ""
    business_key: str = ""
    d365_key: str = ""
    run_id: str = ""
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
        if self.business_key:
            # The key of a customer goes on with its company; the Salesforce id alone means all of them.
            of_all_companies = delivery.c.business_key.startswith(f"{self.business_key}/", autoescape=True)
            condition = condition & ((delivery.c.business_key == self.business_key) | of_all_companies)
        return condition & delivery.c.id.in_(list(self.ids)) if self.ids else condition


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
