"""Who is who: accounts to customers, opportunities to sales orders."""

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from assets.quality import QUARANTINE_KEY
from resources.connections import LakeResource, LedgerResource
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link, Moved
from resources.workbench import Workbench, WorkbenchResource

_PROMISES = {
    "customer": "Which account is which customer: by the link that the ledger or Salesforce holds, then by the account number. What is claimed twice is listed and linked to nothing.",
    "sales_order": "Which won opportunity is which sales order: by the link that the ledger or Salesforce holds, by our own number, then by the reference that the order carries.",
}


def crosswalk_of(entity: str) -> dg.AssetsDefinition:
    """The asset that links one entity over both systems."""

    @dg.asset(
        key=["crosswalk", entity],
        group_name=catalogue.CROSSWALK,
        owners=[catalogue.OWNER],
        kinds={"duckdb", "deltalake"},
        pool="lake",
        deps=[*catalogue.EXTRACTED, QUARANTINE_KEY],
        description=_PROMISES[entity],
    )
    def crosswalk(
        context: dg.AssetExecutionContext, workbench: WorkbenchResource, lake: LakeResource, ledger: LedgerResource
    ) -> dg.MaterializeResult[None]:
        bench = workbench.bench()
        customers, orders = bench.links()
        counts = customers if entity == "customer" else orders
        lake.lake().replace(["crosswalk", entity], bench.con.sql(f"SELECT * FROM crosswalk_{entity}"))
        lake.lake().replace(["crosswalk", f"{entity}_open"], bench.con.sql(f"SELECT * FROM crosswalk_{entity}_open"))
        with ledger.opened() as book:
            new = keep_links(bench, book, entity, context.run_id)
        return outcome(
            f"{counts.linked:,} linked, {new:,} of them new or changed, {counts.open:,} open",
            rows=counts.linked,
            columns=lake.lake().schema(["crosswalk", entity]),
            linked=counts.linked,
            open=counts.open,
        )

    return crosswalk


def keep_links(bench: Workbench, ledger: Ledger, entity: str, run_id: str) -> int:
    """Write the links that this run found into the ledger, where they survive; returns how many are new or changed."""
    if entity != "customer":
        found = bench.con.execute(
            f"SELECT salesforce_id, company, d365_key, found_by FROM crosswalk_{entity} WHERE found_by <> 'ledger'"
        ).fetchall()
        return ledger.crosswalk.upsert([Link(entity, *row) for row in found], run_id)
    moved = _moved_customers(bench)
    new, unknown = _customers(bench, "linked.found_by <> 'ledger'"), _customers(bench, _PARTY_IS_NEW)
    ledger.crosswalk.learn_parties(unknown)
    return ledger.crosswalk.follow(moved, run_id) + ledger.crosswalk.upsert(new, run_id)


# Links that were kept before their customer was ever read: when it was created, or before the ledger had parties.
_PARTY_IS_NEW = """linked.found_by = 'ledger' AND party.party <> '' AND EXISTS (
    SELECT 1 FROM known_crosswalk AS known
    WHERE known.entity = 'customer' AND known.salesforce_id = linked.salesforce_id AND lower(known.company) = linked.company AND known.party = ''
)"""


def _customers(bench: Workbench, which: str) -> list[Link]:
    rows = bench.con.execute(
        f"""SELECT linked.salesforce_id, linked.company, linked.d365_key, linked.found_by, party.party
FROM crosswalk_customer AS linked
JOIN crosswalk_customer_party AS party ON party.salesforce_id = linked.salesforce_id AND party.company = linked.company
WHERE {which}"""
    ).fetchall()
    return [Link("customer", *row) for row in rows]


def _moved_customers(bench: Workbench) -> list[Moved]:
    rows = bench.con.execute(
        """SELECT moved.salesforce_id, moved.company, moved.d365_key, moved.found_by, party.party, moved.former_id, moved.former_key
FROM crosswalk_customer_moved AS moved
JOIN crosswalk_customer_party AS party ON party.salesforce_id = moved.salesforce_id AND party.company = moved.company
ORDER BY ALL"""
    ).fetchall()
    return [Moved(Link("customer", *row[:5]), former_id, former_key) for *row, former_id, former_key in rows]
