"""Every call made for a record, in either direction: written before it is made, never changed, read as the integration log."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, insert, select, text

from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.instants import utc_now
from resources.ledger.tables import SCHEMA, attempt, attempt_result

Direction = Literal["to_d365", "to_salesforce"]


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """A call that is about to be made. `request` says what is asked, without values of the record."""

    entity: str
    operation: str
    business_key: str
    direction: Direction
    company: str = ""
    d365_key: str = ""
    delivery_id: int | None = None
    request: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How a call ended. `state` is where it left the record; `api_calls` a fraction where several records shared a call."""

    attempt_id: int
    outcome: str
    state: str
    duration_ms: int
    api_calls: Decimal
    http_status: int | None = None
    message: str = ""


class Attempts:
    """Writing attempts and their results, and reading the log of a run."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, attempts: Sequence[NewAttempt], run_id: str, at: datetime | None = None) -> list[int]:
        """Write down what is about to be called; returns the attempts' ids in the same order."""
        with self._engine.begin() as connection:
            return begin_attempts(connection, attempts, run_id, at or utc_now())

    def end(self, results: Sequence[AttemptResult], at: datetime | None = None) -> None:
        """Write down how the calls ended, once for each."""
        with self._engine.begin() as connection:
            end_attempts(connection, results, at or utc_now())

    def taken(self) -> list[tuple[str, str, str, datetime]]:
        """(entity, operation, company, when last) of every kind of write that D365 has ever confirmed as made by us."""
        query = (
            select(attempt.c.entity, attempt.c.operation, attempt.c.company, func.max(attempt_result.c.at))
            .join(attempt_result, attempt_result.c.attempt_id == attempt.c.id)
            .where(
                attempt.c.direction == "to_d365",
                attempt.c.operation.in_(["create", "update"]),
                attempt_result.c.outcome == "confirmed",
            )
            .group_by(attempt.c.entity, attempt.c.operation, attempt.c.company)
            .order_by(attempt.c.entity, attempt.c.operation, attempt.c.company)
        )
        with self._engine.connect() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    def newest_id(self) -> int:
        """The highest id of all attempts; 0 where nothing was ever attempted."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.coalesce(func.max(attempt.c.id), 0))).scalar_one())

    def go_on_behind(self, attempt_id: int, *, problem: str, adopted: int, now: datetime) -> None:
        """Number further attempts behind `attempt_id`, the last one of a time that this ledger has lost, and keep why.

        The attempt that stands for the lost ones makes the ledger the newest again.
        """
        lost = NewAttempt(
            "ledger", "restore", "", "to_d365", request="stands for the attempts of a later ledger that was lost"
        )
        with self._engine.begin() as connection:
            sequence = text("select setval(pg_get_serial_sequence(:table, 'id'), greatest(:behind, 1))")
            connection.execute(sequence, {"table": f"{SCHEMA}.{attempt.name}", "behind": attempt_id})
            begin_attempts(connection, [lost], "", now)
            append_decisions(
                connection,
                [
                    Decision(
                        "ledger",
                        str(attempt_id),
                        "declare_current",
                        "tieout",
                        problem,
                        after={"adopted": adopted},
                        at=now,
                    )
                ],
            )

    def attempts_of_run(self, run_id: str) -> Any:
        """The integration log of one run as a pyarrow Table: one row for each record and attempt, in the order of the calls."""
        import pyarrow as pa  # imported here: loading the definitions must not pay for it

        schema = pa.schema(
            [
                ("attempt_id", pa.int64()),
                ("at", pa.timestamp("us", tz="UTC")),
                *(
                    (name, pa.string())
                    for name in ("run_id", "direction", "entity", "operation", "company", "business_key")
                ),
                *((name, pa.string()) for name in ("d365_key", "outcome", "state", "reason")),
                ("http_status", pa.int32()),
                ("duration_ms", pa.int32()),
                ("api_calls", pa.decimal128(12, 6)),
            ]
        )
        query = text(
            f"select {', '.join(schema.names)} from {SCHEMA}.integration_log where run_id = :run_id order by attempt_id"
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query, {"run_id": run_id}).mappings().all()
        return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)

    def of_business_key(self, business_key: str) -> list[dict[str, Any]]:
        """Every attempt for one record, oldest first, as the integration log tells it."""
        return self._log("log.business_key = :value", business_key)

    def to_salesforce_of_run(self, run_id: str) -> list[dict[str, Any]]:
        """The write-backs of one run with the names of the fields that were written (`request`), oldest first."""
        return self._log("log.run_id = :value and log.direction = 'to_salesforce'", run_id)

    def _log(self, condition: str, value: str) -> list[dict[str, Any]]:
        query = text(
            f"select log.*, attempt.request from {SCHEMA}.integration_log as log "
            f"join {SCHEMA}.attempt as attempt on attempt.id = log.attempt_id "
            f"where {condition} order by log.attempt_id"
        )
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query, {"value": value}).mappings()]


def begin_attempts(connection: Connection, attempts: Sequence[NewAttempt], run_id: str, at: datetime) -> list[int]:
    """As `Attempts.begin`, inside the transaction that marks the deliveries as sent."""
    if not attempts:
        return []
    rows = [asdict(made) | {"run_id": run_id, "at": at} for made in attempts]
    statement = insert(attempt).returning(attempt.c.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def end_attempts(connection: Connection, results: Sequence[AttemptResult], at: datetime) -> None:
    """As `Attempts.end`, inside the transaction that moves the deliveries."""
    if results:
        connection.execute(insert(attempt_result), [asdict(result) | {"at": at} for result in results])
