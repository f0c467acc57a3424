"""What the rules of alerts ask the ledger: groups and newest rows by an index, each query with a bound on its rows and its time."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Engine, Select, and_, case, func, or_, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from resources.ledger.tables import attempt, attempt_result, break_, delivery, quota, sweep
from tieout.alerting import model
from tieout.alerting.facts import Attempts, Doubts, OldBreaks, OpenMoney, QuotaRead, TableRead
from tieout.breaker import is_failure
from tieout.delivery import State
from tieout.flow import Flow
from tieout.outcome import Outcome

MOST_GROUPS = 2_000
"""Companies times currencies that a rule tells apart; the groups beyond are those with the fewest breaks."""
_MOST_TIME_MS = 10_000


class AlertQueries:
    """Reading only, but for the quota, which is kept here because alerts alone ask for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep_quota(self, read: QuotaRead) -> None:
        """Keep what a system said of its calls; an older reading changes nothing."""
        row = {"system": read.system, "used": read.used, "allowed": read.allowed, "at": read.at}
        statement = upsert(quota).values(row)
        newer = statement.on_conflict_do_update(
            index_elements=[quota.c.system],
            set_={name: statement.excluded[name] for name in ("used", "allowed", "at")},
            where=quota.c.at <= statement.excluded.at,
        )
        with self._engine.begin() as connection:
            connection.execute(newer)

    def quotas(self) -> list[QuotaRead]:
        """The last reading of each system."""
        return [QuotaRead(row.system, row.used, row.allowed, row.at) for row in self._rows(select(quota))]

    def old_breaks(self, rule: model.BreakAge, now: datetime) -> list[OldBreaks]:
        """The breaks that the rule is about, by company."""
        old = break_.c.first_seen < now - timedelta(days=rule.days)
        wanted = and_(_breaks_of(rule, now), old, _has_money(rule))
        found: dict[str, OldBreaks] = {}
        for row in self._rows(_breaks_by_company(wanted)):
            before = found.get(row.company)
            money = dict(before.money) if before else {}
            if row.money:
                money[row.currency] = row.money
            found[row.company] = OldBreaks(
                row.company,
                row.breaks + (before.breaks if before else 0),
                min(row.oldest, before.oldest) if before else row.oldest,
                money,
            )
        return list(found.values())

    def open_money(self, rule: model.BreakMoney, now: datetime) -> list[OpenMoney]:
        """The money of the breaks that the rule is about, by company and currency."""
        wanted = and_(_breaks_of(rule, now), break_.c.amount.is_not(None))
        return [
            OpenMoney(row.company, row.currency, row.breaks, row.money or Decimal(0))
            for row in self._rows(_breaks_by_company(wanted))
        ]

    def attempts(self, rule: model.ErrorRate, now: datetime) -> list[Attempts]:
        """What became of the writes of the rule's time; looks are none. Failures are those of the circuit breakers."""
        named = (attempt.c.direction, attempt.c.entity, attempt.c.company)
        query = (
            select(*named, attempt_result.c.outcome, attempt_result.c.http_status, func.count().label("attempts"))
            .join(attempt_result, attempt_result.c.attempt_id == attempt.c.id)
            .where(attempt.c.at > now - rule.within, attempt.c.operation.in_(["create", "update"]))
            .group_by(*named, attempt_result.c.outcome, attempt_result.c.http_status)
        )
        found: dict[tuple[str, str, str], list[int]] = {}
        for row in self._rows(query):
            failed = is_failure(Outcome(row.outcome), row.http_status)
            if failed is not None:
                counts = found.setdefault((row.direction, row.entity, row.company), [0, 0])
                counts[0] += row.attempts
                counts[1] += row.attempts if failed else 0
        return [Attempts(*key, *counts) for key, counts in found.items()]

    def doubts(self, rule: model.InDoubt, now: datetime) -> list[Doubts]:
        """Deliveries in doubt beyond the rule's bound, and those that were sent by a run that died and that no run has looked at since."""
        since = func.coalesce(delivery.c.doubt_since, delivery.c.lease_until)
        lost = and_(delivery.c.state == State.SENT, delivery.c.lease_until < now)
        query = (
            select(
                delivery.c.entity, delivery.c.company, func.count().label("deliveries"), func.min(since).label("oldest")
            )
            .where(
                # All three are named, so that the index leads to these few and the many confirmed ones are not read.
                delivery.c.entity.in_([flow.delivered for flow in Flow if flow.delivered]),
                delivery.c.operation.in_(["create", "update"]),
                delivery.c.state.in_([State.IN_DOUBT, State.SENT]),
                or_(delivery.c.state == State.IN_DOUBT, lost),
                since < now - rule.longer_than,
            )
            .group_by(delivery.c.entity, delivery.c.company)
        )
        return [Doubts(row.entity, row.company, row.deliveries, row.oldest) for row in self._rows(query)]

    def table_reads(self, tables: Sequence[tuple[str, str]]) -> list[TableRead]:
        """The last complete read of each (system, table). Tables that nobody ever tried to read are left out; partitions do not count."""
        found = []
        for system, table in tables:
            of_table = and_(sweep.c.system == system, sweep.c.table_name == table, sweep.c.mode != "partition")
            newest = select(sweep.c.ended_at).where(of_table, sweep.c.complete).order_by(sweep.c.id.desc()).limit(1)
            first = select(sweep.c.started_at).where(of_table).order_by(sweep.c.id).limit(1)
            for row in self._rows(
                select(newest.scalar_subquery().label("read_at"), first.scalar_subquery().label("first"))
            ):
                if row.first is not None:
                    found.append(TableRead(system, table, row.read_at, row.first))
        return found

    def _rows(self, query: Select[Any]) -> list[Any]:
        with self._engine.begin() as connection:
            connection.execute(text(f"set local statement_timeout = {_MOST_TIME_MS}"))
            return list(connection.execute(query.limit(MOST_GROUPS)))


def _breaks_by_company(wanted: ColumnElement[bool]) -> Select[Any]:
    counted = func.count()
    return (
        select(
            break_.c.company,
            break_.c.currency,
            counted.label("breaks"),
            func.min(break_.c.first_seen).label("oldest"),
            func.sum(func.abs(break_.c.amount)).label("money"),
        )
        .where(wanted)
        .group_by(break_.c.company, break_.c.currency)
        .order_by(counted.desc(), break_.c.company, break_.c.currency)
    )


def _breaks_of(rule: model.BreakAge | model.BreakMoney, now: datetime) -> ColumnElement[bool]:
    tests: list[ColumnElement[bool]] = [break_.c.state == "open"]
    if rule.breaks == "waiting":
        accepted = func.coalesce(break_.c.accepted_until >= now.astimezone(UTC).date(), False)
        tests += [break_.c.needs_a_person, ~accepted]
    for column, names in (
        (break_.c.company, rule.companies),
        (break_.c.cause, rule.causes),
        (break_.c.entity, rule.entities),
    ):
        if names:
            tests.append(column.in_(names))
    return and_(*tests)


def _has_money(rule: model.BreakAge) -> ColumnElement[bool]:
    if rule.money_at_least is None:
        return break_.c.identity.is_not(None)
    otherwise = rule.money_at_least.get(model.EVERY_CURRENCY)
    named = [
        (break_.c.currency == currency, amount)
        for currency, amount in rule.money_at_least.items()
        if currency != model.EVERY_CURRENCY
    ]
    least = case(*named, else_=otherwise) if named else otherwise
    return func.abs(break_.c.amount) >= least
