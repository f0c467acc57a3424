"""Alerts in the ledger: raised, kept and ended by what a look found, and claimed for each sink, so that two processes tell it once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from resources.ledger.tables import alert, alert_notice
from tieout.alerting.evaluate import Due, Evaluation, OpenAlert, due_notice

CLAIM = timedelta(minutes=5)
"""How long a process has for sending what it claimed. It is longer than a sink may take; what a dead process claimed is sent after it."""

RECOVERIES_TOLD_FOR = timedelta(days=3)
"""A sink that could not be reached for longer is not told any more that something is over."""


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert with its life so far. `last_noticed_at`: when any sink last took a notice of it; `problems`: sink → why it has none."""

    id: int
    key: str
    rule: str
    subject: str
    severity: str
    words: str
    since: datetime
    last_on_at: datetime
    recovered_at: datetime | None
    last_noticed_at: datetime | None = None
    problems: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ClaimedNotice:
    """An alert of which one sink is to be told by whoever claimed it."""

    alert: AlertRow
    due: Due


_SHOWN = [
    alert.c[name]
    for name in ("id", "key", "rule", "subject", "severity", "words", "since", "last_on_at", "recovered_at")
]


class Alerts:
    """State of alerts and of their notices. Instants are UTC; every call is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> list[OpenAlert]:
        """What is on."""
        query = select(alert.c.id, alert.c.rule, alert.c.subject).where(alert.c.recovered_at.is_(None))
        with self._engine.connect() as connection:
            return [OpenAlert(*row) for row in connection.execute(query.order_by(alert.c.id))]

    def apply(self, evaluation: Evaluation, sinks_of: Mapping[str, Collection[str]], now: datetime) -> None:
        """Keep what a look found. `sinks_of`: rule → the sinks that are told of its alerts; they are due for what is on.

        An alert that another process raised or ended meanwhile is left as it is.
        """
        with self._engine.begin() as connection:
            if evaluation.raised:
                rows = [
                    {
                        "key": each.key,
                        "rule": each.rule,
                        "subject": each.subject,
                        "severity": each.severity,
                        "words": each.words,
                        "since": now,
                        "last_on_at": now,
                    }
                    for each in evaluation.raised
                ]
                statement = insert_or_skip(alert).on_conflict_do_nothing(
                    index_elements=[alert.c.key], index_where=alert.c.recovered_at.is_(None)
                )
                connection.execute(statement, rows)
            for kept in evaluation.still_on:
                connection.execute(
                    update(alert)
                    .where(alert.c.id == kept.id, alert.c.recovered_at.is_(None))
                    .values(severity=kept.severity, words=kept.words, last_on_at=now)
                )
            for over in evaluation.recovered:
                connection.execute(
                    update(alert)
                    .where(alert.c.id == over.id, alert.c.recovered_at.is_(None))
                    .values(recovered_at=now, words=over.words)
                )
            query = select(alert.c.id, alert.c.rule).where(alert.c.recovered_at.is_(None))
            told = [
                {"alert_id": row.id, "sink": sink}
                for row in connection.execute(query)
                for sink in sinks_of.get(row.rule, ())
            ]
            if told:
                connection.execute(insert_or_skip(alert_notice).on_conflict_do_nothing(), told)

    def claim(
        self, sink: str, again_after: Mapping[str, timedelta | None], now: datetime, *, limit: int
    ) -> list[ClaimedNotice]:
        """Take what a sink is to be told at `now`, `limit` at most; nobody else gets it before `CLAIM` is over.

        `again_after`: rule → when an alert that is still on is told again. Nothing is given while the sink wants to be left alone.
        """
        open_ = alert.c.recovered_at.is_(None)
        fresh = and_(alert.c.recovered_at > now - RECOVERIES_TOLD_FOR, alert_notice.c.recovery_noticed_at.is_(None))
        query = (
            select(*_SHOWN, alert_notice.c.last_noticed_at, alert_notice.c.recovery_noticed_at)
            .join(alert_notice, alert_notice.c.alert_id == alert.c.id)
            .where(
                alert_notice.c.sink == sink,
                or_(open_, fresh),
                func.coalesce(alert_notice.c.claimed_until <= now, True),
            )
            .order_by(alert.c.id)
            .with_for_update(of=alert_notice, skip_locked=True)
        )
        with self._engine.begin() as connection:
            waits = select(func.max(alert_notice.c.not_before)).where(alert_notice.c.sink == sink)
            not_before = connection.execute(waits).scalar_one()
            if not_before is not None and not_before > now:
                return []
            due = [(row, _due(row, again_after, now)) for row in connection.execute(query)]
            claimed = [ClaimedNotice(_row(row), why) for row, why in due if why is not None][:limit]
            if claimed:
                connection.execute(
                    update(alert_notice)
                    .where(_of(sink, [each.alert.id for each in claimed]))
                    .values(claimed_until=now + CLAIM)
                )
        return claimed

    def told(self, sink: str, claimed: Sequence[ClaimedNotice], now: datetime) -> None:
        """The sink took the notice."""
        with self._engine.begin() as connection:
            for column, of_these in (
                ("last_noticed_at", [each for each in claimed if each.due != "recovered"]),
                ("recovery_noticed_at", [each for each in claimed if each.due == "recovered"]),
            ):
                if of_these:
                    done = {column: now, "claimed_until": None, "not_before": None, "tries": 0, "problem": ""}
                    ids = [each.alert.id for each in of_these]
                    connection.execute(update(alert_notice).where(_of(sink, ids)).values(done))

    def failed(
        self, sink: str, claimed: Sequence[ClaimedNotice], problem: str, not_before: datetime | None = None
    ) -> None:
        """The sink did not take the notice: it is due again, and not before `not_before` where the sink asked for time."""
        with self._engine.begin() as connection:
            connection.execute(
                update(alert_notice)
                .where(_of(sink, [each.alert.id for each in claimed]))
                .values(claimed_until=None, not_before=not_before, tries=alert_notice.c.tries + 1, problem=problem)
            )

    def list(self, *, every: bool = False, limit: int = 50) -> list[AlertRow]:
        """What is on, the critical and the oldest first; with `every` also what is over, newest first."""
        query = select(*_SHOWN)
        if every:
            query = query.order_by(alert.c.recovered_at.desc().nulls_first(), alert.c.since.desc())
        else:
            query = query.where(alert.c.recovered_at.is_(None)).order_by(alert.c.severity, alert.c.since)
        with self._engine.connect() as connection:
            rows = list(connection.execute(query.order_by(alert.c.id).limit(limit)))
            of_these = select(alert_notice).where(alert_notice.c.alert_id.in_([row.id for row in rows]))
            noticed: dict[int, datetime] = {}
            problems: dict[int, dict[str, str]] = {}
            for each in connection.execute(of_these.order_by(alert_notice.c.sink)):
                for at in (each.last_noticed_at, each.recovery_noticed_at):
                    if at is not None:
                        noticed[each.alert_id] = max(at, noticed.get(each.alert_id, at))
                if each.problem:
                    problems.setdefault(each.alert_id, {})[each.sink] = each.problem
        return [
            AlertRow(**row._mapping, last_noticed_at=noticed.get(row.id), problems=problems.get(row.id, {}))
            for row in rows
        ]


def _due(row: Any, again_after: Mapping[str, timedelta | None], now: datetime) -> Due | None:
    return due_notice(
        recovered_at=row.recovered_at,
        last_noticed_at=row.last_noticed_at,
        recovery_noticed_at=row.recovery_noticed_at,
        again_after=again_after.get(row.rule),
        now=now,
    )


def _row(row: Any) -> AlertRow:
    named = {column.name: getattr(row, column.name) for column in _SHOWN}
    return AlertRow(**named, last_noticed_at=row.last_noticed_at)


def _of(sink: str, ids: Sequence[int]) -> Any:
    return and_(alert_notice.c.sink == sink, alert_notice.c.alert_id.in_(ids))
