"""Proposals of who may be the same company: found by a run, accepted or refused by a person, and remembered either way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.crosswalk import Link, upsert_links
from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.instants import utc_now
from resources.ledger.tables import crosswalk, match_proposal
from tieout.errors import RecordError
from tieout.matching.proposals import Proposal

MatchState = Literal["proposed", "accepted", "refused", "withdrawn"]
SORTS = ("weight", "probability", "left_key", "right_key", "company", "found_by", "first_seen", "decided_at")
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class MatchRow:
    """One proposal with what became of it. `explanation` is a list of comparison, words and weight (bits), and the `prior`."""

    kind: str
    left_key: str
    right_key: str
    company: str
    probability: float
    weight: Decimal
    found_by: str
    explanation: Mapping[str, Any]
    left: Mapping[str, str | None]
    right: Mapping[str, str | None]
    state: str
    first_seen: datetime
    last_seen: datetime
    decided_at: datetime | None
    decided_by: str
    note: str
    run_id: str


_SHOWN = [match_proposal.c[name] for name in MatchRow.__slots__]


class Matches:
    """Recording what a run proposes, and what people decide about it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, found: Iterable[Proposal], kinds: Sequence[str], run_id: str, at: datetime) -> dict[str, int]:
        """Keep proposals of `kinds`, all that there are today; returns how many of them are in which state.

        A pair that was refused stays refused, however often it is found. One that is no longer found and was not decided is withdrawn.
        """
        rows = [_as_row(each, run_id, at) for each in found]
        states: dict[str, int] = {}
        with self._engine.begin() as connection:
            for start in range(0, len(rows), _AT_ONCE):
                statement = insert(match_proposal)
                renewed = (
                    "company",
                    "probability",
                    "weight",
                    "found_by",
                    "explanation",
                    "left",
                    "right",
                    "last_seen",
                    "run_id",
                )
                was_withdrawn = match_proposal.c.state == "withdrawn"
                keeping = statement.on_conflict_do_update(
                    index_elements=[match_proposal.c.kind, match_proposal.c.left_key, match_proposal.c.right_key],
                    set_={name: statement.excluded[name] for name in renewed}
                    | {"state": case((was_withdrawn, "proposed"), else_=match_proposal.c.state)},
                ).returning(match_proposal.c.state)
                for state in connection.execute(keeping, rows[start : start + _AT_ONCE]).scalars():
                    states[state] = states.get(state, 0) + 1
            gone = and_(
                match_proposal.c.state == "proposed",
                match_proposal.c.kind.in_(list(kinds)),
                match_proposal.c.last_seen < at,
            )
            connection.execute(update(match_proposal).where(gone).values(state="withdrawn", run_id=run_id))
        return states

    def page(
        self,
        *,
        state: str = "proposed",
        kind: str = "",
        search: str = "",
        sort: str = "weight",
        descending: bool = True,
        offset: int = 0,
        limit: int = 50,
    ) -> tuple[list[MatchRow], int]:
        """One page of the proposals that fit, and how many fit; empty arguments do not narrow."""
        if sort not in SORTS:
            raise RecordError(f"Matches cannot be sorted by {sort!r}, but by {', '.join(SORTS)}.")
        if state and state not in get_args(MatchState):
            raise RecordError(f"There is no state {state!r}. It is one of {', '.join(get_args(MatchState))}.")
        tests: list[ColumnElement[bool]] = [match_proposal.c.kind.is_not(None)]
        if state:
            tests.append(match_proposal.c.state == state)
        if kind:
            tests.append(match_proposal.c.kind == kind)
        if words := search.strip():
            tests.append(match_proposal.c.searched.contains(words.lower(), autoescape=True))
        column: ColumnElement[Any] = match_proposal.c[sort]
        ordered = column.desc().nulls_last() if descending else column.asc().nulls_last()
        query = select(*_SHOWN).where(*tests).order_by(ordered, match_proposal.c.left_key, match_proposal.c.right_key)
        with self._engine.connect() as connection:
            total = connection.execute(select(func.count()).select_from(match_proposal).where(*tests)).scalar_one()
            rows = connection.execute(query.offset(offset).limit(limit)).mappings()
            return [MatchRow(**row) for row in rows], int(total)

    def counts(self) -> dict[str, int]:
        """State → number of proposals; every state is there, also with 0."""
        query = select(match_proposal.c.state, func.count()).group_by(match_proposal.c.state)
        with self._engine.connect() as connection:
            found = {row[0]: int(row[1]) for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in get_args(MatchState)}

    def get(self, kind: str, left_key: str, right_key: str) -> MatchRow:
        """One proposal; RecordError where there is none."""
        with self._engine.connect() as connection:
            return _one(connection, kind, left_key, right_key)

    def accept(self, kind: str, left_key: str, right_key: str, *, who: str, note: str = "") -> MatchRow:
        """Say that it is true. A link goes into the crosswalk (`found_by` decision) in the same transaction; the next run follows it.

        RecordError where the account has another customer in that company: that link has to go first.
        """
        with self._engine.begin() as connection:
            row = _decided(connection, kind, left_key, right_key, "accepted", who, note)
            if kind == "link":
                link = Link("customer", left_key, row.company.lower(), str(row.right["number"]), "decision")
                taken = connection.execute(_other_link(link)).scalar_one_or_none()
                if taken is not None:
                    raise RecordError(
                        f"Account {left_key} is customer {taken} in {row.company} already. Take that link back first, if it is wrong."
                    )
                upsert_links(connection, [link], f"decision of {who}", utc_now())
            return row

    def refuse(self, kind: str, left_key: str, right_key: str, *, who: str, note: str = "") -> MatchRow:
        """Say that it is not true; it is never proposed again."""
        with self._engine.begin() as connection:
            return _decided(connection, kind, left_key, right_key, "refused", who, note)


def _as_row(each: Proposal, run_id: str, at: datetime) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "left_key": each.left_key,
        "right_key": each.right_key,
        "company": each.company,
        "probability": each.probability,
        "weight": each.weight,
        "found_by": each.found_by,
        "explanation": {"prior": each.prior, "evidence": [asdict(part) for part in each.evidence]},
        "left": dict(each.left),
        "right": dict(each.right),
        "state": "proposed",
        "first_seen": at,
        "last_seen": at,
        "run_id": run_id,
    }


def _is(kind: str, left_key: str, right_key: str) -> ColumnElement[bool]:
    return and_(
        match_proposal.c.kind == kind, match_proposal.c.left_key == left_key, match_proposal.c.right_key == right_key
    )


def _one(connection: Connection, kind: str, left_key: str, right_key: str) -> MatchRow:
    found = connection.execute(select(*_SHOWN).where(_is(kind, left_key, right_key))).mappings().one_or_none()
    if found is None:
        raise RecordError(f"Nobody proposed {left_key} and {right_key}. `tieout matches list` lists the proposals.")
    return MatchRow(**found)


def _decided(
    connection: Connection, kind: str, left_key: str, right_key: str, state: MatchState, who: str, note: str
) -> MatchRow:
    before = _one(connection, kind, left_key, right_key)
    now = utc_now()
    values = {"state": state, "decided_at": now, "decided_by": who, "note": note}
    connection.execute(update(match_proposal).where(_is(kind, left_key, right_key)).values(values))
    action = {"accepted": "accept", "refused": "refuse"}[state]
    key = f"{kind}/{left_key}/{right_key}"
    made = Decision("match", key, action, who, note, before={"state": before.state}, after={"state": state}, at=now)
    append_decisions(connection, [made])
    return _one(connection, kind, left_key, right_key)


def _other_link(link: Link) -> Any:
    """The number that the account is linked to in that company, where it is another one."""
    return select(crosswalk.c.d365_key).where(
        crosswalk.c.entity == link.entity,
        crosswalk.c.salesforce_id == link.salesforce_id,
        func.lower(crosswalk.c.company) == link.company,
        func.lower(crosswalk.c.d365_key) != link.d365_key.lower(),
    )
