"""Who did what to a break, a delivery, a match or a flow. Append-only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, Engine, func, insert, select

from resources.ledger.instants import utc_now
from resources.ledger.tables import decision
from tieout.errors import RecordError

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

    def newest(self) -> int:
        """The place of the newest decision about anything; 0 before the first. A page says with it what its reader has seen."""
        with self._engine.connect() as connection:
            return int(connection.execute(select(func.coalesce(func.max(decision.c.id), 0))).scalar_one())

    def refuse_what_others_decided(self, subject: Subject, keys: Sequence[str], seen: int | None, who: str) -> None:
        """As the function of this name, for what is decided about something else because of what a page showed of these."""
        with self._engine.connect() as connection:
            refuse_what_others_decided(connection, subject, keys, seen, who)

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


def refuse_what_others_decided(
    connection: Connection, subject: Subject, keys: Sequence[str], seen: int | None, who: str
) -> None:
    """RecordError where somebody else has decided about one of `keys` after the decision `seen`; with None nothing is asked.

    Call it once the rows are locked: a decision that is being taken is committed or not begun by then.
    """
    if seen is None:
        return
    query = (
        select(decision.c.who, decision.c.action, decision.c.subject_key)
        .where(
            decision.c.subject == subject,
            decision.c.subject_key.in_(keys),
            decision.c.id > seen,
            decision.c.who != who,
        )
        .order_by(decision.c.id.desc())
        .limit(1)
    )
    other = connection.execute(query).first()
    if other is not None:
        raise RecordError(
            f"{other.who} has decided about it meanwhile ({other.action}), so nothing was changed. Load the page again, look, and repeat."
        )


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
