"""What is read from D365: one asset for each table of the contracts.

OData tells no changes, so tables are read whole; of orders a run reads what is open, and the nightly sweep all of them.
"""

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from assets import catalogue
from assets.landing import Read, Stored, keep_proof, landing_zone, store, told
from resources.companies import Companies
from resources.connections import (
    ContractsResource,
    D365Resource,
    HomeResource,
    LakeResource,
    LedgerResource,
    RunOptions,
)
from resources.d365 import D365Client, TableRead
from resources.lake import Lake
from resources.ledger import Ledger
from resources.open_orders import read_open
from resources.packages import PackageExports
from tieout.companies import Answered
from tieout.contract import Contracts, Table
from tieout.contract.check import check_against_d365
from tieout.errors import AuthenticationProblem, ContractError, RequestRefused, SourceUnavailable
from tieout.landing import landing_rules
from tieout.open_orders import can_be_read_open, open_filter
from tieout.settings import Settings

log = logging.getLogger(__name__)

# An order becomes visible when its transaction commits, which may be long after the instant that it carries.
OVERLAP = timedelta(hours=1)

_WHOLE = "read whole and compared by hash, because the entity tells neither changes nor deletions"
_OPEN = (
    "what is open, or was made since the read before, and by key what is open no longer; all of it every night, compared by hash, because the "
    "entity tells neither changes nor deletions"
)


@dataclass(frozen=True, slots=True)
class Extracted:
    """One read of a table, what became of it, and the companies that answered."""

    read: Read
    stored: Stored
    proof: Answered


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
            f"`{table.source}` of all companies as D365 has it: {_OPEN if can_be_read_open(table) else _WHOLE}. Only rows that changed are "
            "written. The count before and after the read proves that nothing is missing, and every company has to have answered."
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
        options: RunOptions,
    ) -> dg.MaterializeResult[None]:
        with d365.client() as client, ledger.opened() as book:
            outside = (client, lake.lake(), book, contracts.contracts(), table, home)
            done = (None if options.full else read_what_is_open(*outside, run_id=context.run_id)) or read_whole(
                *outside, run_id=context.run_id, nightly=options.full
            )
            return told(table, done.stored, done.read, api_calls=client.api_calls, proof=done.proof)

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
    nightly: bool = False,
) -> Extracted:
    """Read a table over all companies and store it. A company that had rows and shows none makes the read incomplete.

    Data packages are for what is read whole seldom: at night, or of orders. What every run reads whole would wait for them every time.
    """
    seldom = nightly or can_be_read_open(table)
    companies = _companies(client, lake, contracts)
    with landing_zone(home.folder("landing")) as folder:
        try:
            made, by_package = _all_rows(client, table, folder, packages=seldom)
        except RequestRefused as refusal:
            raise _explained(refusal, client, contracts) from refusal
        read = Read(made.pages, "full", made.complete, made.problem)
        stored = store(
            lake,
            table,
            read,
            run_id=run_id,
            judge=(lambda rows: companies.problem(table, rows, whole=True)) if table.has_company else None,
        )
    return _kept(
        ledger,
        table,
        _with_problem(read, stored.problem),
        stored,
        Answered(stored.companies, by_package=by_package),
        run_id,
    )


def _all_rows(client: D365Client, table: Table, folder: Path, *, packages: bool) -> tuple[TableRead, str]:
    """All rows of a table, and what came of the packages where there is an export project for it.

    A package that fails or is not proven complete is no reason to be without the table: it is read by OData then.
    """
    settings = Settings.from_environment()
    project = settings.d365_export_projects.get(table.name) if packages else None
    if project is None:
        return client.pages(table, folder / "pages"), ""
    try:
        exports = PackageExports(client, ca_bundle=settings.ca_bundle)
        made = exports.pages(table, project, settings.companies, folder / "packages")
        problem = made.problem
    except (SourceUnavailable, RequestRefused, AuthenticationProblem) as error:
        problem = str(error)
    if not problem:
        return made, f"export project {project}"
    log.warning("d365.package_not_used", extra={"table": table.name, "project": project, "problem": problem})
    return client.pages(table, folder / "pages"), f"OData, because the packages failed: {problem}"


def read_what_is_open(
    client: D365Client,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    table: Table,
    home: HomeResource,
    *,
    run_id: str,
) -> Extracted | None:
    """Read the open orders, or their lines, and store them; closed ones keep the row that they had.

    `None` where the table has to be read whole: it is no table of orders; it was not read whole within TIEOUT_D365_FULL_READ_HOURS, or by other
    landing rules; the lake is older than the ledger; D365 refuses the filter; or more has closed than is well asked for by key.
    """
    since = _open_since(ledger, lake, table)
    if since is None:
        return None
    companies = _companies(client, lake, contracts)
    with landing_zone(home.folder("landing")) as folder:
        try:
            made = read_open(client, lake, table, open_filter(table, since), folder)
        except RequestRefused as refusal:
            # Not every environment takes every filter. What is wrong with the contract shows in the whole read, too.
            log.warning("d365.filter_refused", extra={"table": table.name, "problem": str(refusal)})
            return None
        if made is None:
            return None
        read = Read(made.open.pages, "incremental", made.open.complete, made.open.problem)
        stored = store(lake, table, read, run_id=run_id)
        closed = 0
        if made.by_key is not None:
            brought = store(lake, table, Read(made.by_key, "incremental"), run_id=run_id)
            closed = brought.landed.rows
            stored = stored.followed_by(brought)
        problem = companies.problem(table, stored.companies, whole=False)
        gone = () if problem or not read.complete else made.gone
        if gone and made.by_key is not None:
            nothing = replace(made.by_key, files=(), rows=0)
            stored = stored.followed_by(store(lake, table, Read(nothing, "incremental"), run_id=run_id, gone=gone))
    proof = Answered(stored.companies, open_only=True, read_by_key=closed, gone=len(gone))
    return _kept(ledger, table, _with_problem(read, problem), stored, proof, run_id)


def _open_since(ledger: Ledger, lake: Lake, table: Table) -> datetime | None:
    """From when on orders are read whatever their status; `None` where the table has to be read whole."""
    hours = Settings.from_environment().d365_full_read_hours
    if not hours or not can_be_read_open(table) or not lake.exists(table.lake_key):
        return None
    watermark = ledger.watermarks.get("d365", table.name, landing_rules(table))
    whole = ledger.watermarks.latest_whole("d365", table.name)
    if watermark is None or whole is None or datetime.now(UTC) - whole.started_at > timedelta(hours=hours):
        return None
    newest = ledger.watermarks.latest_sweep("d365", table.name) or whole
    if (lake.version(table.lake_key) or 0) < (newest.lake_version or 0):
        return None  # a lake that was put back from a copy lacks what the ledger takes for read
    return watermark - OVERLAP


def _kept(ledger: Ledger, table: Table, read: Read, stored: Stored, proof: Answered, run_id: str) -> Extracted:
    keep_proof(ledger, table, read, stored, run_id=run_id, proof=proof)
    if read.complete and can_be_read_open(table):
        # Last, and only after a read that is complete: what was made since an incomplete one is asked for again.
        ledger.watermarks.set("d365", table.name, read.pages.started_at, run_id, landing_rules(table))
    return Extracted(read, stored, proof)


def _with_problem(read: Read, problem: str) -> Read:
    if not problem:
        return read
    return replace(read, complete=False, problem=" ".join(filter(None, (read.problem, problem))))


def _companies(client: D365Client, lake: Lake, contracts: Contracts) -> Companies:
    return Companies(client, lake, contracts.tables("d365"), Settings.from_environment().companies)


def _explained(refusal: RequestRefused, client: D365Client, contracts: Contracts) -> Exception:
    """A property that D365 does not have is a mistake of the contract, with its file and line."""
    if "Could not find a property" not in str(refusal) and refusal.status != 404:
        return refusal
    problems = check_against_d365(contracts, client.metadata([table.source for table in contracts.tables("d365")]))
    return ContractError(" ".join(problems)) if problems else refusal
