"""Who is who: accounts to customers, opportunities to sales orders."""

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from assets.quality import QUARANTINE_KEY
from resources.connections import LakeResource, LedgerResource
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
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
    found = bench.con.execute(
        f"SELECT salesforce_id, company, d365_key, found_by FROM crosswalk_{entity} WHERE found_by <> 'ledger'"
    ).fetchall()
    return ledger.crosswalk.upsert([Link(entity, *row) for row in found], run_id)
