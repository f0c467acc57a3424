"""One DuckDB for the length of a run, on which the lake and the ledger stand under the names that the rules use.

The steps of a run share it, so nothing is linked or compared twice. A step that is started alone makes what it needs for itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from resources.connections import ContractsResource, LakeResource, LedgerResource
from resources.lake import Lake
from resources.ledger import Ledger
from tieout import countries
from tieout.contract import Contracts, Table
from tieout.crosswalk import LinkCounts, link_customers, link_orders
from tieout.errors import SourceUnavailable
from tieout.landing import stage_sql, typed_sql
from tieout.reconciliation import ReadTimes, VerdictCounts, reconcile_customers, reconcile_orders
from tieout.reconciliation.half_orders import EVERY_ORDER, has_half_orders, whole_orders_statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# DuckDB's limit bounds its buffers, not the process: Python, Dagster and Arrow come on top and have to stay below 1 GiB together.
MEMORY_LIMIT = "400MB"
THREADS = 2

QUARANTINE = "quarantined"
_QUARANTINED_COLUMNS = {"_key": "VARCHAR", "_parent_key": "VARCHAR", "row": "VARCHAR"}


@contextmanager
def duckdb_connection() -> Iterator["DuckDBPyConnection"]:
    """An empty connection in UTC with bounded memory that spills to disk."""
    import duckdb  # imported here: loading the definitions must not pay for it

    con = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "threads": THREADS})
    try:
        con.execute("SET TimeZone = 'UTC'")
        yield con
    finally:
        con.close()


class Workbench:
    """Relations registered, records linked, sides compared: each once, in this order, when it is first asked for."""

    def __init__(self, con: "DuckDBPyConnection", lake: Lake, ledger: Ledger, contracts: Contracts) -> None:
        self.con = con
        self.contracts = contracts
        self._lake = lake
        self._ledger = ledger
        self._versions: dict[str, int] | None = None
        self._links: tuple[LinkCounts, LinkCounts] | None = None
        self._customers: VerdictCounts | None = None
        self._orders: VerdictCounts | None = None

    @property
    def versions(self) -> dict[str, int]:
        """Lake table → the version that is compared; tables that were never read are missing."""
        if self._versions is None:
            self._versions = self._register()
        return self._versions

    def links(self) -> tuple[LinkCounts, LinkCounts]:
        """Link customers and orders; the tables are those of `tieout.crosswalk`."""
        if self._links is None:
            assert self.versions is not None
            self._links = (link_customers(self.con, self.contracts), link_orders(self.con, self.contracts))
        return self._links

    def customers(self) -> VerdictCounts:
        """Compare customers; the tables are those of `tieout.reconciliation`."""
        if self._customers is None:
            self.links()
            self._customers = reconcile_customers(self.con, self.contracts, self.reads())
        return self._customers

    def orders(self) -> VerdictCounts:
        """Compare sales orders; the tables are those of `tieout.reconciliation`."""
        if self._orders is None:
            self.links()
            self._orders = reconcile_orders(self.con, self.contracts, self.reads())
        return self._orders

    def reads(self) -> ReadTimes:
        """When each system was read: the earliest start of the newest reads of its tables."""
        starts = []
        for system in ("salesforce", "d365"):
            sweeps = [
                self._ledger.watermarks.latest_sweep(system, table.name) for table in self.contracts.tables(system)
            ]
            known = [sweep.started_at for sweep in sweeps if sweep is not None]
            if not known:
                raise SourceUnavailable(f"Nothing was read from {system} yet. Materialize its assets first.")
            starts.append(min(known))
        return ReadTimes(*starts)

    def _register(self) -> dict[str, int]:
        versions: dict[str, int] = {}
        orders = self.contracts["sales_order"]
        halved = {orders.d365.table} if has_half_orders(orders) else set()
        countries.register(self.con)
        for system in ("salesforce", "d365"):
            tables = self.contracts.tables(system)
            for table in tables:
                name = EVERY_ORDER if table.name in halved else table.name
                version = self._lake.register(self.con, name, table.lake_key, empty=_columns(self.con, table))
                if version is not None:
                    versions["/".join(table.lake_key)] = version
            self._register_quarantined(system, tables)
        if halved:
            self.con.execute(whole_orders_statement(orders))
        self._register_links()
        return versions

    def _register_quarantined(self, system: str, tables: tuple[Table, ...]) -> None:
        selects = []
        for table in tables:
            view = f"_{QUARANTINE}_{table.name}"
            self._lake.register(self.con, view, quarantine_key(table), empty=_QUARANTINED_COLUMNS)
            selects.append(f"SELECT '{table.name}' AS table_name, _key, _parent_key AS parent_key, \"row\" FROM {view}")
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {system}_{QUARANTINE} AS {' UNION ALL '.join(selects)}")

    def _register_links(self) -> None:
        import pyarrow as pa

        names = ("entity", "salesforce_id", "company", "d365_key", "found_by", "party")
        links = [link for entity in ("customer", "sales_order") for link in self._ledger.crosswalk.links(entity)]
        known = pa.table({name: pa.array([getattr(link, name) for link in links], pa.string()) for name in names})
        self.con.register("_known_crosswalk", known)
        self.con.execute("CREATE OR REPLACE TEMP TABLE known_crosswalk AS SELECT * FROM _known_crosswalk")
        self.con.unregister("_known_crosswalk")


class WorkbenchResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workbench of a run: opened when a step first needs it, closed when the run ends (or the step, in a process of its own)."""

    lake: dg.ResourceDependency[LakeResource]
    ledger: dg.ResourceDependency[LedgerResource]
    contracts: dg.ResourceDependency[ContractsResource]

    _closing: ExitStack = PrivateAttr(default_factory=ExitStack)
    _bench: Workbench | None = PrivateAttr(default=None)

    def bench(self) -> Workbench:
        """The one workbench of this run."""
        if self._bench is None:
            con = self._closing.enter_context(duckdb_connection())
            ledger = self._closing.enter_context(self.ledger.opened())
            self._bench = Workbench(con, self.lake.lake(), ledger, self.contracts.contracts())
        return self._bench

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 Dagster's signature
        """Close what was opened."""
        self._bench = None
        self._closing.close()


def quarantine_key(table: Table) -> tuple[str, str]:
    """The lake table that holds the rows of `table` that wait for correction."""
    return (QUARANTINE, f"{table.system}_{table.name}")


def _columns(con: "DuckDBPyConnection", table: Table) -> dict[str, str]:
    """Column → DuckDB type of a landed table, from the SQL that lands it."""
    con.execute(f"CREATE OR REPLACE TEMP VIEW _no_rows AS {stage_sql(table, (), 'json')}")
    described = con.execute(f"DESCRIBE {typed_sql(table, '_no_rows')}").fetchall()
    con.execute("DROP VIEW _no_rows")
    landed = {name: kind for name, kind, *_ in described if name != "as_received"}
    return landed | {"_extracted_at": "TIMESTAMPTZ", "_run_id": "VARCHAR"}
