"""Who did what to a break, a delivery, a match or a flow. Append-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, insert, select

from resources.ledger.instants import utc_now
from resources.ledger.tables import decision

Subject = Literal["break", "delivery", "crosswalk", "flow", "ledger", "match", "period"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of a person: `before` and `after` hold what it changed."""

    subject: Subject
    subject_key: str
    action: str
    who: str
    note: str = ""
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    at: datetime | None = None


class Decisions:
    """Adding decisions and reading them back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, *decisions: Decision) -> None:
        """Write down what was decided."""
        with self._engine.begin() as connection:
            append_decisions(connection, decisions)

    def of(self, subject: Subject, subject_key: str) -> list[Decision]:
        """All decisions about one thing, oldest first."""
        query = (
            select(decision)
            .where(decision.c.subject == subject, decision.c.subject_key == subject_key)
            .order_by(decision.c.id)
        )
        with self._engine.connect() as connection:
            return [
                Decision(row.subject, row.subject_key, row.action, row.who, row.note, row.before, row.after, row.at)
                for row in connection.execute(query)
            ]


def append_decisions(connection: Connection, decisions: Sequence[Decision]) -> None:
    """As `Decisions.append`, inside the transaction that carries the decision out."""
    now = utc_now()
    rows = [
        {
            "at": made.at or now,
            "who": made.who,
            "subject": made.subject,
            "subject_key": made.subject_key,
            "action": made.action,
            "note": made.note,
            "before": made.before,
            "after": made.after,
        }
        for made in decisions
    ]
    if rows:
        connection.execute(insert(decision), rows)
