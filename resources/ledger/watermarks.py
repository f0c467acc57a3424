"""How far each extraction is, and the proof of completeness of each read."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Engine, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from resources.ledger.instants import utc_now
from resources.ledger.tables import sweep, watermark

SweepMode = Literal["full", "incremental", "partition"]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One read of one table: what the system counted, what arrived, and whether the two prove that nothing is missing.

    `proof`: of Salesforce, what its figures and those of the lake were (`tieout.completeness.Proof`).
    """

    run_id: str
    system: str
    table_name: str
    mode: SweepMode
    started_at: datetime
    ended_at: datetime
    rows_reported: int | None
    rows_read: int
    complete: bool
    problem: str = ""
    lake_version: int | None = None
    proof: Mapping[str, Any] | None = None


class Watermarks:
    """Watermarks that never go back, and sweeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, system: str, table_name: str, landing_rules: str | None = None) -> datetime | None:
        """The instant up to which a table was read; `None` before the first read.

        With `landing_rules`: `None` also where its rows were landed by other rules, so that they are all read again.
        """
        query = select(watermark.c.value).where(watermark.c.system == system, watermark.c.table_name == table_name)
        if landing_rules is not None:
            query = query.where(watermark.c.landing_rules == landing_rules)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def all(self) -> Mapping[tuple[str, str], datetime]:
        """(system, table) → watermark."""
        with self._engine.connect() as connection:
            return {(row.system, row.table_name): row.value for row in connection.execute(select(watermark))}

    def set(self, system: str, table_name: str, value: datetime, run_id: str, landing_rules: str = "") -> None:
        """Move a watermark forward. An older value changes nothing: two runs may end in any order."""
        row = {
            "system": system,
            "table_name": table_name,
            "value": value,
            "landing_rules": landing_rules,
            "run_id": run_id,
            "updated_at": utc_now(),
        }
        statement = upsert(watermark).values(row)
        with self._engine.begin() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[watermark.c.system, watermark.c.table_name],
                    set_={
                        "value": statement.excluded.value,
                        "landing_rules": statement.excluded.landing_rules,
                        "run_id": statement.excluded.run_id,
                        "updated_at": statement.excluded.updated_at,
                    },
                    where=watermark.c.value <= statement.excluded.value,
                )
            )

    def reset(self, system: str, table_name: str) -> None:
        """Forget a watermark, so that the next read is a full one."""
        with self._engine.begin() as connection:
            connection.execute(
                watermark.delete().where(watermark.c.system == system, watermark.c.table_name == table_name)
            )

    def record_sweep(self, made: Sweep) -> None:
        """Keep the proof of one read."""
        with self._engine.begin() as connection:
            connection.execute(insert(sweep).values(asdict(made)))

    def tables_read_by(self, run_id: str) -> frozenset[tuple[str, str]]:
        """(system, table) of which a run read everything, or everything that had changed."""
        query = select(sweep.c.system, sweep.c.table_name).where(sweep.c.run_id == run_id, sweep.c.mode != "partition")
        with self._engine.connect() as connection:
            return frozenset((row.system, row.table_name) for row in connection.execute(query))

    def began_by(self, run_id: str) -> Mapping[str, datetime]:
        """System → when a run began to read it, parts of tables included; a system that it has not read is missing."""
        query = (
            select(sweep.c.system, func.min(sweep.c.started_at).label("at"))
            .where(sweep.c.run_id == run_id)
            .group_by(sweep.c.system)
        )
        with self._engine.connect() as connection:
            return {row.system: row.at for row in connection.execute(query)}

    def latest_whole(self, system: str, table_name: str) -> Sweep | None:
        """The newest read of a whole table that was proven complete."""
        return self._newest(
            sweep.c.system == system, sweep.c.table_name == table_name, sweep.c.mode == "full", sweep.c.complete
        )

    def latest_sweep(self, system: str, table_name: str) -> Sweep | None:
        """The newest read of a table, complete or not. What reads some of its records says nothing of the table, and does not count."""
        return self._newest(sweep.c.system == system, sweep.c.table_name == table_name, sweep.c.mode != "partition")

    def _newest(self, *conditions: ColumnElement[bool]) -> Sweep | None:
        query = select(sweep).where(*conditions).order_by(sweep.c.id.desc()).limit(1)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Sweep(**{name: value for name, value in row.items() if name != "id"})
