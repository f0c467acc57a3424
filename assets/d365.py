"""What is read from D365: one asset for each table of the contracts, whole, because OData tells no changes."""

import dagster as dg

from assets import catalogue
from assets.landing import Read, Stored, keep_proof, landing_zone, store, told
from resources.connections import ContractsResource, D365Resource, HomeResource, LakeResource, LedgerResource
from resources.d365 import D365Client
from resources.lake import Lake
from resources.ledger import Ledger
from tieout.contract import Contracts, Table
from tieout.contract.check import check_against_d365
from tieout.errors import ContractError, RequestRefused


def extraction_of(table: Table) -> dg.AssetsDefinition:
    """The asset that keeps one D365 table in the lake up to date."""

    @dg.asset(
        key=list(table.lake_key),
        group_name=catalogue.D365,
        owners=[catalogue.OWNER],
        kinds={"dynamics365", "deltalake"},
        pool="d365",
        freshness_policy=catalogue.FRESH,
        description=(
            f"`{table.source}` of all companies as D365 has it: read whole and compared by hash, because the entity tells neither changes nor "
            "deletions. Only rows that changed are written. The count before and after the read proves that nothing is missing."
        ),
        metadata={"dagster/column_schema": catalogue.column_schema(table)},
    )
    def extraction(
        context: dg.AssetExecutionContext,
        d365: D365Resource,
        lake: LakeResource,
        ledger: LedgerResource,
        contracts: ContractsResource,
        home: HomeResource,
    ) -> dg.MaterializeResult[None]:
        with d365.client() as client, ledger.opened() as book:
            read, stored = read_whole(
                client, lake.lake(), book, contracts.contracts(), table, home, run_id=context.run_id
            )
            return told(table, stored, read, api_calls=client.api_calls)

    return extraction


def read_whole(
    client: D365Client,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    table: Table,
    home: HomeResource,
    *,
    run_id: str,
) -> tuple[Read, Stored]:
    """Read a table over all companies and store it."""
    with landing_zone(home.folder("landing")) as folder:
        try:
            made = client.pages(table, folder)
        except RequestRefused as refusal:
            raise _explained(refusal, client, contracts) from refusal
        read = Read(made.pages, "full", made.complete, made.problem)
        stored = store(lake, table, read, run_id=run_id)
    keep_proof(ledger, table, read, stored, run_id=run_id)
    return read, stored


def _explained(refusal: RequestRefused, client: D365Client, contracts: Contracts) -> Exception:
    """A property that D365 does not have is a mistake of the contract, with its file and line."""
    if "Could not find a property" not in str(refusal) and refusal.status != 404:
        return refusal
    problems = check_against_d365(contracts, client.metadata([table.source for table in contracts.tables("d365")]))
    return ContractError(" ".join(problems)) if problems else refusal
