"""Who is who: a Salesforce id and the company and key that the same record has in D365, with how that was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.instants import utc_now
from resources.ledger.tables import crosswalk


@dataclass(frozen=True, slots=True)
class Link:
    """One match. `found_by`: delivery, stored_link, account_number, our_number, reference, decision, merged or renumbered.

    `party` is the PartyNumber of the customer, in lower case, which outlives a new number; empty where it is not known.
    """

    entity: str
    salesforce_id: str
    company: str
    d365_key: str
    found_by: str
    party: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """A link that followed a merge of accounts or a new number: what it is now, and which account and number it had before."""

    link: Link
    former_id: str
    former_key: str


class Crosswalk:
    """Links that were found once and are kept, also over merges of accounts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upsert(self, links: Iterable[Link], run_id: str, at: datetime | None = None) -> int:
        """Keep links; returns how many were new or changed. An equal link keeps its first `found_by` and `since`."""
        with self._engine.begin() as connection:
            return upsert_links(connection, links, run_id, at or utc_now())

    def links(self, entity: str) -> list[Link]:
        """All links of an entity, by Salesforce id."""
        query = select(crosswalk).where(crosswalk.c.entity == entity).order_by(crosswalk.c.salesforce_id)
        with self._engine.connect() as connection:
            return [
                Link(row.entity, row.salesforce_id, row.company, row.d365_key, row.found_by, row.party)
                for row in connection.execute(query)
            ]

    def follow(self, moved: Sequence[Moved], run_id: str, at: datetime | None = None) -> int:
        """Move links, each with a decision that tells what it was; returns how many changed.

        The link of a merged account becomes its master's and is the loser's no longer. Doing it again changes nothing.
        """
        at = at or utc_now()
        changed = 0
        with self._engine.begin() as connection:
            for each in moved:
                if upsert_links(connection, [each.link], run_id, at) + _forget(connection, each):
                    changed += 1
                    append_decisions(connection, [_decision(each, run_id, at)])
        return changed

    def learn_parties(self, links: Iterable[Link]) -> int:
        """Fill in the party of links that were kept without one; returns how many. Nothing else of them changes."""
        statement = (
            update(crosswalk)
            .where(
                crosswalk.c.entity == bindparam("of_entity"),
                crosswalk.c.salesforce_id == bindparam("of_id"),
                crosswalk.c.slot == bindparam("of_slot"),
                func.lower(crosswalk.c.d365_key) == bindparam("of_key"),
                crosswalk.c.party == "",
            )
            .values(party=bindparam("new_party"))
        )
        rows = [
            {
                "of_entity": link.entity,
                "of_id": link.salesforce_id,
                "of_slot": _slot(link),
                "of_key": link.d365_key.lower(),
                "new_party": link.party,
            }
            for link in links
            if link.party
        ]
        if rows:
            with self._engine.begin() as connection:
                connection.execute(statement, rows)
        return len(rows)


def upsert_links(connection: Connection, links: Iterable[Link], run_id: str, at: datetime) -> int:
    """As `Crosswalk.upsert`, inside the transaction that confirms a delivery."""
    # A statement may touch a row once only; the last link of a Salesforce id (and company, where it has one in each) wins.
    newest = {(link.entity, link.salesforce_id, _slot(link)): link for link in links}
    rows = [
        {
            "entity": link.entity,
            "salesforce_id": link.salesforce_id,
            "slot": _slot(link),
            "company": link.company,
            "d365_key": link.d365_key,
            "found_by": link.found_by,
            "party": link.party,
            "since": at,
            "run_id": run_id,
        }
        for link in newest.values()
    ]
    if not rows:
        return 0
    statement = insert(crosswalk)
    is_other = (crosswalk.c.company != statement.excluded.company) | (
        crosswalk.c.d365_key != statement.excluded.d365_key
    )
    statement = statement.on_conflict_do_update(
        index_elements=[crosswalk.c.entity, crosswalk.c.salesforce_id, crosswalk.c.slot],
        set_={
            name: statement.excluded[name] for name in ("company", "d365_key", "found_by", "since", "run_id", "party")
        },
        where=is_other,
    )
    return len(connection.execute(statement.returning(crosswalk.c.salesforce_id), rows).all())


def _forget(connection: Connection, moved: Moved) -> int:
    """The loser of a merge has its link no longer; returns how many rows went."""
    if moved.former_id == moved.link.salesforce_id:
        return 0
    statement = delete(crosswalk).where(
        crosswalk.c.entity == moved.link.entity,
        crosswalk.c.salesforce_id == moved.former_id,
        crosswalk.c.slot == _slot(moved.link),
    )
    return len(connection.execute(statement.returning(crosswalk.c.salesforce_id)).all())


def _decision(moved: Moved, run_id: str, at: datetime) -> Decision:
    link = moved.link
    merged = moved.former_id != link.salesforce_id
    what = (
        f"account {moved.former_id} was merged into {link.salesforce_id}" if merged else "the same party, a new number"
    )
    return Decision(
        "crosswalk",
        f"{link.salesforce_id}/{link.company}",
        link.found_by,
        "tieout",
        f"{what}; run {run_id}",
        before={"salesforce_id": moved.former_id, "company": link.company, "d365_key": moved.former_key},
        after={"salesforce_id": link.salesforce_id, "company": link.company, "d365_key": link.d365_key},
        at=at,
    )


def _slot(link: Link) -> str:
    """An account is a customer in each company that sells to it; an opportunity is one order."""
    return link.company if link.entity == "customer" else ""
