"""Proposals of who may be the same company: found by a run, accepted or refused by a person, and remembered either way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.crosswalk import Link, upsert_links
from resources.ledger.decisions import Decision, append_decisions, refuse_what_others_decided
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

        A link of the account or of the customer that is older than the proposal gives way: the run knew it, and found that it leads nowhere.
        RecordError where one of the two was linked since, and where a later run no longer found the pair.
        """
        [accepted] = self.decide([(kind, left_key, right_key)], "accepted", who=who, note=note)
        return accepted

    def refuse(self, kind: str, left_key: str, right_key: str, *, who: str, note: str = "") -> MatchRow:
        """Say that it is not true; it is never proposed again. Of an accepted proposal, the link is taken out of the crosswalk.

        A number that was written into the account since stays there, and the next run finds the link by it: empty it, too.
        RecordError where the link stands without the decision.
        """
        [refused] = self.decide([(kind, left_key, right_key)], "refused", who=who, note=note)
        return refused

    def decide(
        self,
        pairs: Sequence[tuple[str, str, str]],
        state: Literal["accepted", "refused"],
        *,
        who: str,
        note: str = "",
        seen: int | None = None,
    ) -> list[MatchRow]:
        """Accept or refuse several proposals (kind, left key, right key) in one transaction: all of them or none, as `accept` and `refuse` do.

        `seen`: the newest decision that who decides has seen; what others decided after it is RecordError.
        """
        act = _accept if state == "accepted" else _refuse
        with self._engine.begin() as connection:
            done = [act(connection, *pair, who, note) for pair in pairs]
            refuse_what_others_decided(connection, "match", ["/".join(pair) for pair in pairs], seen, who)
            return done


def _accept(connection: Connection, kind: str, left_key: str, right_key: str, who: str, note: str) -> MatchRow:
    before = _locked(connection, kind, left_key, right_key)
    if before.state == "withdrawn":
        raise RecordError(
            f"The proposal of {left_key} and {right_key} is withdrawn: a later run no longer found it. Look at both records first."
        )
    replaced = _link(connection, before, who) if kind == "link" and before.state != "accepted" else []
    return _decided(connection, before, "accepted", who, note, replaced)


def _refuse(connection: Connection, kind: str, left_key: str, right_key: str, who: str, note: str) -> MatchRow:
    before = _locked(connection, kind, left_key, right_key)
    removed = _unlink(connection, before) if kind == "link" and before.state == "accepted" else []
    return _decided(connection, before, "refused", who, note, removed)


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


def _locked(connection: Connection, kind: str, left_key: str, right_key: str) -> MatchRow:
    """The proposal, while nobody else decides: two proposals may be about one customer, so that a lock on one row is not enough."""
    connection.execute(text("select pg_advisory_xact_lock(hashtextextended('tieout match decisions', 0))"))
    return _one(connection, kind, left_key, right_key)


def _decided(
    connection: Connection, before: MatchRow, state: MatchState, who: str, note: str, links_before: Sequence[str]
) -> MatchRow:
    now = utc_now()
    values = {"state": state, "decided_at": now, "decided_by": who, "note": note}
    pair = (before.kind, before.left_key, before.right_key)
    connection.execute(update(match_proposal).where(_is(*pair)).values(values))
    action = {"accepted": "accept", "refused": "refuse"}[state]
    was = {"state": before.state} | ({"links": list(links_before)} if links_before else {})
    append_decisions(connection, [Decision("match", "/".join(pair), action, who, note, was, {"state": state}, now)])
    return _one(connection, *pair)


def _link(connection: Connection, row: MatchRow, who: str) -> list[str]:
    """Write the link of a proposal; returns the links that gave way to it."""
    link = _link_of(row)
    others = connection.execute(select(crosswalk).where(_rival_of(link)).order_by(crosswalk.c.salesforce_id)).all()
    for other in others:
        if other.since <= row.last_seen:
            continue
        if other.salesforce_id == link.salesforce_id:
            taken = f"Account {link.salesforce_id} is customer {other.d365_key} in {row.company} already"
        else:
            taken = f"Customer {link.d365_key} in {row.company} is account {other.salesforce_id} already"
        raise RecordError(
            f"{taken}, since {other.since:%Y-%m-%d %H:%M} UTC. Run once more to see what is left to link."
        )
    connection.execute(delete(crosswalk).where(_rival_of(link)))
    upsert_links(connection, [link], f"decision of {who}", utc_now())
    return [_as_text(other.salesforce_id, other.company, other.d365_key) for other in others]


def _unlink(connection: Connection, row: MatchRow) -> list[str]:
    """Take the link of an accepted proposal back; returns it, where it was still there."""
    link = _link_of(row)
    is_it = and_(
        _of_account(link), func.lower(crosswalk.c.d365_key) == link.d365_key.lower(), crosswalk.c.entity == link.entity
    )
    found_by = connection.execute(select(crosswalk.c.found_by).where(is_it)).scalar_one_or_none()
    if found_by is None:
        return []
    if found_by != link.found_by:
        raise RecordError(
            f"Account {link.salesforce_id} is customer {link.d365_key} in {row.company} by {found_by}, whatever is decided here. "
            "Put it right in Salesforce or D365."
        )
    connection.execute(delete(crosswalk).where(is_it))
    return [_as_text(link.salesforce_id, link.company, link.d365_key)]


def _link_of(row: MatchRow) -> Link:
    return Link("customer", row.left_key, row.company.lower(), str(row.right["number"]), "decision")


def _as_text(salesforce_id: str, company: str, number: str) -> str:
    return f"{salesforce_id} = {company}/{number}"


def _of_account(link: Link) -> ColumnElement[bool]:
    return and_(crosswalk.c.salesforce_id == link.salesforce_id, func.lower(crosswalk.c.company) == link.company)


def _rival_of(link: Link) -> ColumnElement[bool]:
    """Links that cannot stand beside this one: of the account to another number, of the number to another account."""
    is_number = func.lower(crosswalk.c.d365_key) == link.d365_key.lower()
    is_account = crosswalk.c.salesforce_id == link.salesforce_id
    return and_(
        crosswalk.c.entity == link.entity,
        func.lower(crosswalk.c.company) == link.company,
        or_(and_(is_account, ~is_number), and_(is_number, ~is_account)),
    )
