"""One DuckDB for the length of a run, on which the lake and the ledger stand under the names that the rules use.

The steps of a run share it, so nothing is linked or compared twice. A step that is started alone makes what it needs for itself.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

from resources.connections import ContractsResource, LakeResource, LedgerResource
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
from tieout.contract import Contracts, Table
from tieout.crosswalk import LinkCounts, link_customers, link_orders
from tieout.errors import SourceUnavailable
from tieout.landing import register_functions, stage_sql, typed_sql
from tieout.reconciliation import ReadTimes, VerdictCounts, reconcile_customers, reconcile_orders
from tieout.reconciliation.half_orders import EVERY_ORDER, has_half_orders, whole_orders_statement
from tieout.reconciliation.reread import SETTLED_TABLE, apply_settled
from tieout.sql import quoted

if TYPE_CHECKING:
    import pyarrow
    from duckdb import DuckDBPyConnection

# DuckDB's limit bounds its buffers, not the process: Python, Dagster and Arrow come on top and have to stay below 1 GiB together.
MEMORY_LIMIT = "400MB"
THREADS = 2

READ_AGAIN_KEY = ("reconciliation", "read_again")
"""The lake table of what was read again: one row for each record whose verdict would have become a break."""

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


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a reconciliation is made from, besides the contracts: enough to make it again.

    `versions`: lake table → version, of all tables that it may read; those that were not there are missing. `links`: what the crosswalk of
    the ledger knew. `reads`: when each system was read.
    """

    versions: Mapping[str, int]
    links: Sequence[Link]
    reads: ReadTimes

    def fingerprint(self, tables: Collection[str]) -> str:
        """One text for the rows that were compared: the same only where tables, versions and times of the reads are."""
        versions = {name: version for name, version in self.versions.items() if name in tables}
        times = [self.reads.salesforce_at.isoformat(), self.reads.d365_at.isoformat()]
        return json.dumps([versions, times], sort_keys=True)


class Workbench:
    """Relations registered, records linked, sides compared: each once, in this order, when it is first asked for.

    With `inputs` an earlier reconciliation is made again, from the lake alone; otherwise the newest versions and the ledger are taken.
    """

    def __init__(
        self,
        con: "DuckDBPyConnection",
        lake: Lake,
        ledger: Ledger | None,
        contracts: Contracts,
        inputs: Inputs | None = None,
    ) -> None:
        self.con = con
        self.contracts = contracts
        self._lake = lake
        self._ledger = ledger
        self._inputs = inputs
        self._versions: dict[str, int] | None = None
        self._links: tuple[LinkCounts, LinkCounts] | None = None
        self._customers: VerdictCounts | None = None
        self._orders: VerdictCounts | None = None

    @classmethod
    def of_rows_just_read(
        cls, con: "DuckDBPyConnection", lake: Lake, ledger: Ledger, contracts: Contracts, reads: ReadTimes
    ) -> "Workbench":
        """The newest of everything, judged by `reads` and not by when the tables were last read whole: for records that were just read by key."""
        return cls(con, lake, ledger, contracts, replace(cls(con, lake, ledger, contracts).inputs, reads=reads))

    @property
    def versions(self) -> dict[str, int]:
        """Lake table → the version that is compared; tables that were never read are missing."""
        if self._versions is None:
            self._versions = self._register()
        return self._versions

    @property
    def inputs(self) -> Inputs:
        """What is compared; gathered once, when it is first asked for."""
        if self._inputs is None:
            assert self._ledger is not None, "without a ledger the inputs have to be given"
            links = [link for entity in ("customer", "sales_order") for link in self._ledger.crosswalk.links(entity)]
            keys = [*self._tables(), *(quarantine_key(table) for table in self._contract_tables()), READ_AGAIN_KEY]
            found = {"/".join(key): self._lake.version(key) for key in keys}
            versions = {name: version for name, version in found.items() if version is not None}
            self._inputs = Inputs(versions, links, self._read_times(self._ledger))
        return self._inputs

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
            self._customers = self._settle("customer") or self._customers
        return self._customers

    def orders(self) -> VerdictCounts:
        """Compare sales orders; the tables are those of `tieout.reconciliation`."""
        if self._orders is None:
            self.links()
            self._orders = reconcile_orders(self.con, self.contracts, self.reads())
            self._orders = self._settle("sales_order") or self._orders
        return self._orders

    def reads(self) -> ReadTimes:
        """When each system was read: the earliest start of the newest reads of its tables."""
        return self.inputs.reads

    def relation(self, table: Table) -> str:
        """The relation that holds all good rows of a table."""
        orders = self.contracts["sales_order"]
        return EVERY_ORDER if has_half_orders(orders) and table.name == orders.d365.table else table.name

    @property
    def fingerprint(self) -> str:
        """What tells the rows that are compared here from all others; see `Inputs.fingerprint`."""
        return self.inputs.fingerprint({"/".join(key) for key in self._tables()})

    def changed_since(self, table: Table) -> set[str]:
        """The keys of rows that are new or another in the newest version of the lake than in the one that is compared."""
        compared = self.versions.get("/".join(table.lake_key))
        if self._lake.version(table.lake_key) in (None, compared):
            return set()
        self._lake.register(self.con, "_newest", table.lake_key)
        before = (
            self.relation(table)
            if compared is not None
            else f"(SELECT * FROM {quoted(self.relation(table))} WHERE false)"
        )
        rows = self.con.execute(
            f"SELECT _key FROM _newest LEFT JOIN {before} AS compared USING (_key) WHERE compared._row_hash IS DISTINCT FROM _newest._row_hash"
        ).fetchall()
        return {key for (key,) in rows}

    def keep_read_again(self, table: "pyarrow.Table", run_id: str) -> None:
        """Keep what a second read settled, so that every later step judges by it: rows of `settled`, with `outcome`."""
        import pyarrow as pa

        count = table.num_rows
        for name, value in (("run_id", run_id), ("compared", self.fingerprint)):
            table = table.append_column(name, pa.array([value] * count, pa.string()))
        version = self._lake.replace(READ_AGAIN_KEY, table)
        inputs = self.inputs
        self._inputs = replace(inputs, versions={**inputs.versions, "/".join(READ_AGAIN_KEY): version})
        self._customers = self._settle("customer") or self.customers()
        self._orders = self._settle("sales_order") or self.orders()

    def _settle(self, entity: str) -> VerdictCounts | None:
        """Put in flight what the second read of these very rows settled; the new counts, or None where it settled nothing."""
        self.con.execute(SETTLED_TABLE)
        version = self.inputs.versions.get("/".join(READ_AGAIN_KEY))
        if version is None:
            return None
        self._lake.register(self.con, "_read_again", READ_AGAIN_KEY, version)
        self.con.execute(
            "INSERT INTO settled SELECT entity, salesforce_key, d365_lake_key, company, reason FROM _read_again "
            "WHERE outcome = 'in_flight' AND compared = ?",
            [self.fingerprint],
        )
        return apply_settled(self.con, self.contracts, entity)

    def _read_times(self, ledger: Ledger) -> ReadTimes:
        starts = []
        for system in ("salesforce", "d365"):
            sweeps = [ledger.watermarks.latest_sweep(system, table.name) for table in self.contracts.tables(system)]
            known = [sweep.started_at for sweep in sweeps if sweep is not None]
            if not known:
                raise SourceUnavailable(f"Nothing was read from {system} yet. Materialize its assets first.")
            starts.append(min(known))
        return ReadTimes(*starts)

    def _contract_tables(self) -> tuple[Table, ...]:
        return (*self.contracts.tables("salesforce"), *self.contracts.tables("d365"))

    def _tables(self) -> list[tuple[str, str]]:
        return [table.lake_key for table in self._contract_tables()]

    def _register(self) -> dict[str, int]:
        versions: dict[str, int] = {}
        orders = self.contracts["sales_order"]
        for system in ("salesforce", "d365"):
            tables = self.contracts.tables(system)
            for table in tables:
                register_functions(self.con, table)
                version = self._view(self.relation(table), table.lake_key, _columns(self.con, table))
                if version is not None:
                    versions["/".join(table.lake_key)] = version
            self._register_quarantined(system, tables)
        if has_half_orders(orders):
            self.con.execute(whole_orders_statement(orders))
        self._register_links()
        return versions

    def _view(self, name: str, key: tuple[str, str], columns: Mapping[str, str]) -> int | None:
        """Register a table in the version of the inputs; without one, as a table without rows."""
        version = self.inputs.versions.get("/".join(key))
        if version is None:
            listed = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in columns.items())
            self.con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {listed} WHERE FALSE")
            return None
        return self._lake.register(self.con, name, key, version, empty=columns)

    def _register_quarantined(self, system: str, tables: tuple[Table, ...]) -> None:
        selects = []
        for table in tables:
            view = quarantined_relation(table)
            self._view(view, quarantine_key(table), _QUARANTINED_COLUMNS)
            selects.append(f"SELECT '{table.name}' AS table_name, _key, _parent_key AS parent_key, \"row\" FROM {view}")
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {system}_{QUARANTINE} AS {' UNION ALL '.join(selects)}")

    def _register_links(self) -> None:
        import pyarrow as pa

        names = ("entity", "salesforce_id", "company", "d365_key", "found_by", "party")
        links = self.inputs.links
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


def quarantined_relation(table: Table) -> str:
    """The relation of the rows of `table` that are in quarantine."""
    return f"_{QUARANTINE}_{table.name}"


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
