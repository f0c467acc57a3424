"""What is read from Salesforce: one asset for each table of the contracts, by watermark with an overlap."""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from assets import catalogue
from assets.landing import Read, Stored, keep_proof, landing_zone, store, told
from resources.completeness import missing_keys, prove
from resources.connections import (
    ContractsResource,
    HomeResource,
    LakeResource,
    LedgerResource,
    RunOptions,
    SalesforceResource,
)
from resources.lake import Lake
from resources.ledger import Ledger
from resources.salesforce import SalesforceClient
from tieout.alerting.facts import QuotaRead
from tieout.completeness import Proof
from tieout.contract import Contracts, Table
from tieout.contract.check import check_against_salesforce
from tieout.errors import ContractError, RequestRefused
from tieout.landing import landing_rules

log = logging.getLogger(__name__)

# A row becomes visible when its transaction commits, ten minutes after the stamp that it carries as a rule, and twenty at times. The proof of
# completeness would notice a late record or amount, and not a late change of a text, so the overlap has to be longer than they are late.
OVERLAP = timedelta(minutes=25)


def extraction_of(table: Table) -> dg.AssetsDefinition:
    """The asset that keeps one Salesforce table in the lake up to date."""

    @dg.asset(
        key=list(table.lake_key),
        group_name=catalogue.SALESFORCE,
        owners=[catalogue.OWNER],
        kinds={"salesforce", "deltalake"},
        pool="salesforce",
        freshness_policy=catalogue.FRESH,
        description=(
            f"`{table.source}` as Salesforce has it: everything that changed since the last read, and 25 minutes more, because rows become "
            "visible later than their stamp says. Merged by Id; an older version never replaces a newer one. Deleted records stay, marked."
        ),
        metadata={"dagster/column_schema": catalogue.column_schema(table)},
    )
    def extraction(
        context: dg.AssetExecutionContext,
        salesforce: SalesforceResource,
        lake: LakeResource,
        ledger: LedgerResource,
        contracts: ContractsResource,
        home: HomeResource,
        options: RunOptions,
    ) -> dg.MaterializeResult[None]:
        with salesforce.client() as client, ledger.opened() as book:
            try:
                done = read_changes(
                    client,
                    lake.lake(),
                    book,
                    contracts.contracts(),
                    table,
                    home,
                    run_id=context.run_id,
                    full=options.full,
                )
            finally:
                # Also where the read stopped because too few calls were left: that is when somebody wants to know.
                keep_quota(client, book)
            return told(table, done.stored, done.read, api_calls=client.api_calls, quota=client.quota, proof=done.proof)

    return extraction


def keep_quota(client: SalesforceClient, ledger: Ledger) -> None:
    """Keep in the ledger what the organisation has left of its calls, for the alerts."""
    if client.quota is not None:
        read = QuotaRead("salesforce", client.quota.used, client.quota.allowed, datetime.now(UTC))
        ledger.alert_queries.keep_quota(read)


@dataclass(frozen=True, slots=True)
class Extracted:
    """One read of a table, what became of it, and the proof that the lake has all of the table."""

    read: Read
    stored: Stored
    proof: Proof


def read_changes(
    client: SalesforceClient,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    table: Table,
    home: HomeResource,
    *,
    run_id: str,
    full: bool,
) -> Extracted:
    """Read a table from its watermark on, store it, prove it, and move the watermark.

    It is read whole where `full`, for the first time, and where the contract lands its rows otherwise than when they were read. Where the
    proof fails, every key is read and what is missing is read by its key; what does not agree even then makes the read incomplete.
    """
    rules = landing_rules(table)
    watermark = ledger.watermarks.get("salesforce", table.name, rules) if lake.exists(table.lake_key) else None
    since: datetime | None = None if full or watermark is None else watermark - OVERLAP
    landing = home.folder("landing")
    with landing_zone(landing) as folder:
        try:
            pages = client.extract(table, since, folder, keep=landing / f"kept-{table.name}")
        except RequestRefused as refusal:
            raise _explained(refusal, client, contracts) from refusal
        read = Read(pages, "full" if since is None else "incremental")
        stored = store(lake, table, read, run_id=run_id)
        proof = prove(client, lake, table, pages.started_at)
        if proof.problem:
            log.warning("salesforce.proof_failed", extra={"table": table.name, "problem": proof.problem})
            missed, gone = missing_keys(client, lake, table, pages.started_at, folder / "keys")
            if missed or gone:
                brought = Read(client.extract_by_id(table, missed, folder / "missed"), "incremental")
                stored = stored.followed_by(store(lake, table, brought, run_id=run_id, gone=gone))
                proof = replace(prove(client, lake, table, pages.started_at), missed=len(missed), gone=len(gone))
    read = replace(read, complete=not proof.problem, problem=proof.problem)
    keep_proof(ledger, table, read, stored, run_id=run_id, proof=proof)
    # Last: a watermark that is ahead of the rows would lose them for ever.
    ledger.watermarks.set("salesforce", table.name, pages.started_at, run_id, rules)
    return Extracted(read, stored, proof)


def _explained(refusal: RequestRefused, client: SalesforceClient, contracts: Contracts) -> Exception:
    """A field that Salesforce does not have is a mistake of the contract, with its file and line."""
    if refusal.code not in {"INVALID_FIELD", "INVALID_TYPE"}:
        return refusal
    problems = check_against_salesforce(
        contracts, {table.source: client.describe(table.source) for table in contracts.tables("salesforce")}
    )
    return ContractError(" ".join(problems)) if problems else refusal
