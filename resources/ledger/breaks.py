"""Breaks in the ledger: opened, seen again, closed, opened again; with an owner and a comment that people give them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, case, func, literal_column, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from resources.ledger.decisions import Decision, append_decisions, refuse_what_others_decided
from resources.ledger.instants import utc_now
from resources.ledger.tables import break_
from tieout.errors import RecordError
from tieout.reconciliation import Verdict

_CHUNK = 5_000
# What stands in `field` where a break is about the whole record.
_VERDICTS = [verdict.value for verdict in Verdict]


@dataclass(frozen=True, slots=True)
class FoundBreak:
    """One difference as a reconciliation found it. `identity` is stable over runs; `amount` is in `currency`."""

    identity: str
    entity: str
    company: str
    verdict: str
    currency: str = ""
    salesforce_key: str = ""
    d365_key: str = ""
    line_key: str = ""
    field: str = ""
    salesforce_value: str | None = None
    d365_value: str | None = None
    amount: Decimal | None = None
    cause: str = ""
    reason: str = ""
    label: str = ""
    month: str = ""
    field_owner: str = ""
    fix: str = ""
    needs_a_person: bool = True


@dataclass(frozen=True, slots=True)
class BreakRow(FoundBreak):
    """A break with its life so far."""

    state: str = "open"
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    closed_at: datetime | None = None
    times_opened: int = 1
    owner: str = ""
    comment: str = ""
    accepted_until: date | None = None
    run_id: str = ""

    @property
    def life(self) -> str:
        """Where it is in its life: opened (by the run that saw it last), still_open, reopened or closed."""
        if self.state == "closed":
            return "closed"
        if self.first_seen == self.last_seen:
            return "opened"
        return "reopened" if self.times_opened > 1 else "still_open"


@dataclass(frozen=True, slots=True)
class BreakCounts:
    """What became of the breaks in one reconciliation."""

    opened: int = 0
    still_open: int = 0
    reopened: int = 0
    closed: int = 0


_FOUND = tuple(FoundBreak.__slots__)
SHOWN = (
    *_FOUND,
    "state",
    "first_seen",
    "last_seen",
    "closed_at",
    "times_opened",
    "owner",
    "comment",
    "accepted_until",
    "run_id",
)


class Breaks:
    """Recording what a run found, and what people say about it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(
        self,
        found: Iterable[FoundBreak],
        run_id: str,
        at: datetime,
        *,
        whole_entities: Collection[str] = (),
        unjudged_keys: Collection[str] = (),
    ) -> BreakCounts:
        """Open, keep or reopen what was found, in one transaction.

        Open breaks of `whole_entities` that were not found are closed: name only entities that were compared as a whole. Those of records
        in `unjudged_keys` (Salesforce ids and D365 keys, in flight or in quarantine) were not looked at and stay as they are, except that
        a record has one verdict at a time: a new one about the whole record takes the place of the old one.
        """
        counted = {"opened": 0, "still_open": 0, "reopened": 0}
        rows = list({each.identity: asdict(each) | {"run_id": run_id} for each in found}.values())
        with self._engine.begin() as connection:
            for start in range(0, len(rows), _CHUNK):
                chunk = rows[start : start + _CHUNK]
                identities = [row["identity"] for row in chunk]
                query = (
                    select(break_.c.identity, break_.c.state).where(break_.c.identity.in_(identities)).with_for_update()
                )
                before = {row.identity: row.state for row in connection.execute(query)}
                for identity in identities:
                    counted[{"open": "still_open", "closed": "reopened"}.get(before.get(identity, ""), "opened")] += 1
                connection.execute(_opening(at), chunk)
            closed = 0
            if whole_entities:
                judged = break_.c.salesforce_key.not_in(list(unjudged_keys)) & break_.c.d365_key.not_in(
                    list(unjudged_keys)
                )
                statement = (
                    update(break_)
                    .where(break_.c.entity.in_(list(whole_entities)), break_.c.state == "open", break_.c.last_seen < at)
                    .where(judged | _has_another_verdict(at))
                    .values(state="closed", closed_at=at, run_id=run_id)
                    .returning(break_.c.identity)
                )
                closed = len(connection.execute(statement).all())
        return BreakCounts(**counted, closed=closed)

    def find(
        self,
        *,
        entity: str = "",
        company: str = "",
        state: str = "open",
        owner: str = "",
        cause: str = "",
        limit: int | None = None,
    ) -> list[BreakRow]:
        """Breaks, largest amount first; empty arguments do not narrow."""
        query = select(*(break_.c[name] for name in SHOWN)).order_by(
            func.abs(break_.c.amount).desc().nulls_last(), break_.c.identity
        )
        for column, value in (
            (break_.c.entity, entity),
            (func.lower(break_.c.company), company),
            (break_.c.state, state),
            (break_.c.owner, owner),
            (break_.c.cause, cause),
        ):
            if value:
                query = query.where(column == value)
        with self._engine.connect() as connection:
            return [BreakRow(**row) for row in connection.execute(query.limit(limit)).mappings()]

    def get(self, identity: str) -> BreakRow:
        """One break, by its identity or a beginning of it that is unique; RecordError where there is none."""
        with self._engine.connect() as connection:
            whole = _whole_identity(connection, identity)
            query = select(*(break_.c[name] for name in SHOWN)).where(break_.c.identity == whole)
            return BreakRow(**connection.execute(query).mappings().one())

    def counts(self) -> Mapping[str, int]:
        """State → number of breaks."""
        query = select(break_.c.state, func.count()).group_by(break_.c.state)
        with self._engine.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in ("open", "closed")}

    def accept(
        self, identity: str | Sequence[str], until: date | None, who: str, note: str = "", *, seen: int | None = None
    ) -> None:
        """Leave breaks alone through the day `until` (they are seen again the day after, if still there); None takes it back.

        `seen`, here and below: the newest decision that who decides has seen; what others decided after it is RecordError.
        """
        action = "accept" if until else "take back acceptance"
        self._decide(identity, "accepted_until", until, action, who, note, seen=seen)

    def comment(self, identity: str | Sequence[str], text: str, who: str, *, seen: int | None = None) -> None:
        """Say something about breaks; what was said before is in the decisions."""
        self._decide(identity, "comment", text, "comment", who, seen=seen)

    def assign(self, identity: str | Sequence[str], owner: str, who: str, *, seen: int | None = None) -> None:
        """Give breaks to a person; an empty owner takes them back."""
        self._decide(identity, "owner", owner, "assign", who, seen=seen)

    def _decide(
        self,
        identity: str | Sequence[str],
        column: str,
        value: object,
        action: str,
        who: str,
        note: str = "",
        *,
        seen: int | None,
    ) -> None:
        """One decision about one break (identity as in `get`) or several (whole identities): for all of them, or for none."""
        with self._engine.begin() as connection:
            wanted = [_whole_identity(connection, identity)] if isinstance(identity, str) else list(identity)
            query = select(break_.c.identity, break_.c[column]).where(break_.c.identity.in_(wanted)).with_for_update()
            before = {row[0]: row[1] for row in connection.execute(query.order_by(break_.c.identity))}
            if missing := next((each for each in wanted if each not in before), None):
                raise RecordError(f"There is no break {missing!r}, so nothing was changed.")
            refuse_what_others_decided(connection, "break", wanted, seen, who)
            connection.execute(update(break_).where(break_.c.identity.in_(wanted)).values({column: value}))
            now = utc_now()
            made = [
                Decision(
                    "break",
                    each,
                    action,
                    who,
                    note,
                    before={column: _as_json(was)},
                    after={column: _as_json(value)},
                    at=now,
                )
                for each, was in before.items()
            ]
            append_decisions(connection, made)


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _opening(at: datetime) -> Any:
    """One statement that opens a new break, keeps an open one and reopens a closed one."""
    statement = upsert(break_).values(state="open", first_seen=at, last_seen=at)
    changed = {name: statement.excluded[name] for name in (*_FOUND[1:], "run_id", "last_seen", "state")}
    return statement.on_conflict_do_update(
        index_elements=[break_.c.identity],
        set_=changed
        | {
            "closed_at": literal_column("null"),
            "times_opened": break_.c.times_opened + case((break_.c.state == "closed", 1), else_=0),
        },
    )


def _has_another_verdict(at: datetime) -> ColumnElement[bool]:
    """Whether a break about a whole record was followed by one with another verdict on the same record, seen at `at`."""

    def followed(*columns: str) -> ColumnElement[bool]:
        named = [break_.c[name] for name in ("entity", *columns)]
        return tuple_(*named).in_(select(*named).where(break_.c.last_seen == at, break_.c.field.in_(_VERDICTS)))

    of_salesforce = break_.c.salesforce_key != ""
    same_record = case((of_salesforce, followed("company", "salesforce_key")), else_=followed("company", "d365_key"))
    return break_.c.field.in_(_VERDICTS) & same_record


def _whole_identity(connection: Connection, beginning: str) -> str:
    """The identity of the one break that begins so: tables show twelve characters of it, which are as good as all."""
    query = select(break_.c.identity).where(break_.c.identity.startswith(beginning, autoescape=True)).limit(2)
    found = list(connection.execute(query.order_by(break_.c.identity)).scalars()) if beginning else []
    # Sorted, a whole identity stands before those that only begin with it.
    if found[:1] == [beginning]:
        return beginning
    if not found:
        raise RecordError(f"There is no break {beginning!r}. `tieout breaks list` lists them.")
    if len(found) > 1:
        raise RecordError(f"More than one break begins with {beginning!r}. Give more characters of its identity.")
    return str(found[0])
