"""Who is who: a Salesforce id and the company and key that the same record has in D365, with how that was found."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects.postgresql import insert

from resources.ledger.instants import utc_now
from resources.ledger.tables import crosswalk


@dataclass(frozen=True, slots=True)
class Link:
    """One match. `found_by`: delivery, stored_link, account_number, our_number, reference or decision."""

    entity: str
    salesforce_id: str
    company: str
    d365_key: str
    found_by: str


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
                Link(row.entity, row.salesforce_id, row.company, row.d365_key, row.found_by)
                for row in connection.execute(query)
            ]


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
            "since": at,
            "run_id": run_id,
        }
        for link in newest.values()
    ]
    if not rows:
        return 0
    statement = insert(crosswalk)
    statement = statement.on_conflict_do_update(
        index_elements=[crosswalk.c.entity, crosswalk.c.salesforce_id, crosswalk.c.slot],
        set_={name: statement.excluded[name] for name in ("company", "d365_key", "found_by", "since", "run_id")},
        where=(crosswalk.c.company != statement.excluded.company)
        | (crosswalk.c.d365_key != statement.excluded.d365_key),
    )
    return len(connection.execute(statement.returning(crosswalk.c.salesforce_id), rows).all())


def _slot(link: Link) -> str:
    """An account is a customer in each company that sells to it; an opportunity is one order."""
    return link.company if link.entity == "customer" else ""
