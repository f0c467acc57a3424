"""Reading the records of would-be breaks again from both systems, by key, and judging them a second time.

What is asked for and what follows is in `tieout/reconciliation/reread.py`. Rows land as in an extraction, on a DuckDB of their own, and
reach neither the lake's tables nor the watermarks: the next run reads them again anyway.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resources.d365 import D365Client
from resources.salesforce import SalesforceClient
from resources.workbench import QUARANTINE, Workbench, duckdb_connection, quarantined_relation
from tieout.contract import Contracts, Table
from tieout.crosswalk import link_customers, link_orders
from tieout.errors import TieoutError
from tieout.landing import land
from tieout.odata import any_of, equals, in_key_lists
from tieout.page_files import PageFiles
from tieout.reconciliation import ReadTimes, reconcile_customers, reconcile_orders
from tieout.reconciliation import reread as sql
from tieout.reconciliation.half_orders import has_half_orders, whole_orders_statement
from tieout.soql import by_ids_in, changed_since, is_id

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

log = logging.getLogger(__name__)

SUSPECTS_AT_ONCE = 2_000
"""Records that are read and judged together: what bounds memory, and what is lost where a system fails in the middle."""

_MEMORY_LIMIT = "200MB"
Asked = Mapping[tuple[str, str], Sequence[tuple[str | None, str]]]
"""(table, column) → (company, value) that are asked for; no company for Salesforce."""


@dataclass(slots=True)
class ReadAgain:
    """What became of it, in records: how many would be breaks, were read again, turned out in flight; `problem` says why some were not read."""

    suspects: int = 0
    read: int = 0
    in_flight: int = 0
    problem: str = ""
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def not_read(self) -> int:
        """Records whose first verdict stands unproven."""
        return self.suspects - self.read


class Rereading:
    """Reads suspects again, the largest amounts first, and keeps what follows in the workbench and in the lake."""

    def __init__(
        self, bench: Workbench, salesforce: SalesforceClient, d365: D365Client, folder: Path, run_id: str
    ) -> None:
        self._bench = bench
        self._contracts: Contracts = bench.contracts
        self._salesforce = salesforce
        self._d365 = d365
        self._folder = folder
        self._run_id = run_id
        names = sql.tables_read_again(self._contracts)
        tables = (*self._contracts.tables("salesforce"), *self._contracts.tables("d365"))
        self._tables = [table for name in names for table in tables if table.name == name]

    def run(self, most_records: int, *, settle: Callable[[], None] = lambda: None) -> ReadAgain:
        """Read at most `most_records` suspects again. `settle` is called before the first call to a system: it waits.

        A system that cannot be asked ends it: what was not read keeps its first verdict, and `problem` says why.
        """
        self._bench.customers()
        self._bench.orders()
        con = self._bench.con
        con.execute(sql.SETTLED_TABLE)
        con.execute(sql.suspect_statement())
        [(suspects,)] = con.execute("SELECT count(*) FROM suspect").fetchall()
        done = ReadAgain(suspects)
        due = self._whole_groups(min(suspects, most_records))
        if due < suspects:
            done.problem = f"only the {due:,} largest of {suspects:,} records are read again"
        if due:
            settle()
        while done.read < due:
            first, last = done.read + 1, self._whole_groups(min(done.read + SUSPECTS_AT_ONCE, due))
            try:
                self._read_and_judge(first, last)
            except TieoutError as problem:
                # The comparison stands without it, only less sure; the delivery must not wait for a second look.
                done.problem = str(problem)
                log.warning("reread.ended_early", extra={"problem": str(problem), "read": done.read})
                break
            done.read = last
        done.reasons = dict(
            con.execute("SELECT reason, count(*) FROM settled GROUP BY reason ORDER BY reason").fetchall()
        )
        done.in_flight = sum(done.reasons.values())
        self._bench.keep_read_again(self._outcomes(done.read), self._run_id)
        return done

    def _whole_groups(self, last: int) -> int:
        """`last`, moved on to the end of the group that it is in: half a group adds up to nothing."""
        query = "SELECT max(position) FROM suspect WHERE together = (SELECT together FROM suspect WHERE position = ?)"
        [(moved,)] = self._bench.con.execute(query, [last]).fetchall()
        return last if moved is None else max(last, int(moved))

    def _read_and_judge(self, first: int, last: int) -> None:
        con, part = self._bench.con, {"first": first, "last": last}
        con.execute(sql.asked_statement(self._contracts), part)
        asked: dict[tuple[str, str], list[tuple[str | None, str]]] = defaultdict(list)
        for table, by, company, value in con.execute(
            "SELECT DISTINCT table_name, column_name, company, value FROM asked ORDER BY ALL"
        ).fetchall():
            asked[table, by].append((company, value))
        with _second_workbench() as second:
            for number, table in enumerate(self._tables):
                pages = self._pages(table, asked, self._folder / f"{first}-{number}")
                self._land(second, table, pages)
            for table in self._tables:
                con.execute(
                    sql.base_statement(self._contracts, table, self._bench.relation(table), quarantined_relation(table))
                )
            con.execute(sql.changed_statement(self._contracts))
            self._judge(second)
        con.execute(sql.settled_statement(self._contracts), part)

    def _pages(self, table: Table, asked: Asked, folder: Path) -> PageFiles:
        wanted = {by: keys for (name, by), keys in asked.items() if name == table.name}
        if table.system == "salesforce":
            return self._salesforce.extract_answers(table, self._statements(table, wanted), folder)
        return self._d365.pages_of_keys(table, list(key_filters(table, wanted)), folder)

    def _statements(self, table: Table, wanted: Mapping[str, Sequence[tuple[str | None, str]]]) -> Iterator[str]:
        for by, keys in wanted.items():
            yield from by_ids_in(table, by, [value for _, value in keys if is_id(value)])
        headers = {self._contracts[entity].salesforce.table for entity in ("customer", "sales_order")}
        if table.name in headers and self._is_alone_in_d365(table):
            # A counterpart that has appeared since has no key that anybody knows; but it carries a new stamp.
            yield changed_since(table, self._bench.reads().salesforce_at, sorted_by_change=True)

    def _is_alone_in_d365(self, table: Table) -> bool:
        entity = table.contract.entity
        query = "SELECT count(*) FROM suspect WHERE entity = ? AND salesforce_key IS NULL"
        [(count,)] = self._bench.con.execute(query, [entity]).fetchall()
        return bool(count)

    def _land(self, second: "DuckDBPyConnection", table: Table, pages: PageFiles) -> None:
        """Land rows as an extraction does; they become relations of the second workbench, and `now_<table>` in the first."""
        land(second, table, pages, run_id=self._run_id, extracted_at=datetime.now(UTC))
        second.execute(f"CREATE TABLE {self._bench.relation(table)} AS SELECT * FROM good")
        second.execute(f'CREATE TABLE {quarantined_relation(table)} AS SELECT _key, _parent_key, "row" FROM bad')
        reference = sql.reference_of(self._contracts, table)
        rows = f"{sql.rows_statement(table, 'good', reference)} UNION ALL {sql.quarantined_statement('bad')}"
        _bring(self._bench.con, f"{sql.NOW}_{table.name}", second.sql(rows).to_arrow_table())

    def _judge(self, second: "DuckDBPyConnection") -> None:
        """The same statements on the rows of the second read alone; `second_verdict` in the first workbench is what they say."""
        con, contracts = self._bench.con, self._contracts
        for system in ("salesforce", "d365"):
            selects = [
                f"SELECT '{table.name}' AS table_name, _key, _parent_key AS parent_key, \"row\" FROM {quarantined_relation(table)}"
                for table in self._tables
                if table.system == system
            ]
            second.execute(f"CREATE VIEW {system}_{QUARANTINE} AS {' UNION ALL '.join(selects)}")
        if has_half_orders(contracts["sales_order"]):
            second.execute(whole_orders_statement(contracts["sales_order"]))
        # What the first judgement linked stays linked: a part of the records could never show that a link is ambiguous.
        known = " UNION ALL ".join(
            f"SELECT '{entity}' AS entity, salesforce_id, company, d365_key, found_by FROM crosswalk_{entity} "
            f"SEMI JOIN {sql.NOW}_{contracts[entity].salesforce.table} AS here ON here._key = salesforce_id"
            for entity in ("customer", "sales_order")
        )
        _bring(second, "known_crosswalk", con.sql(known).to_arrow_table())
        link_customers(second, contracts)
        link_orders(second, contracts)
        # Nothing is in flight by its stamp here: what these rows say is what counts.
        never = ReadTimes(_FAR, _FAR)
        reconcile_customers(second, contracts, never)
        reconcile_orders(second, contracts, never)
        verdicts = " UNION ALL ".join(
            f"SELECT entity, verdict, company, salesforce_key, d365_lake_key, fields FROM {entity}_verdict"
            for entity in ("customer", "sales_order")
        )
        _bring(con, "second_verdict", second.sql(verdicts).to_arrow_table())

    def _outcomes(self, read: int) -> Any:
        """One row for each suspect: in_flight, still_there, or not_read."""
        query = f"""SELECT suspect.entity, suspect.salesforce_key, suspect.d365_lake_key, suspect.company, suspect.verdict, suspect.stake, CASE
        WHEN settled.entity IS NOT NULL THEN 'in_flight' WHEN position <= {read} THEN 'still_there' ELSE 'not_read' END AS outcome, settled.reason
FROM suspect LEFT JOIN settled ON settled.entity = suspect.entity AND settled.company = suspect.company
    AND settled.salesforce_key IS NOT DISTINCT FROM suspect.salesforce_key
    AND settled.d365_lake_key IS NOT DISTINCT FROM suspect.d365_lake_key
ORDER BY position"""
        return self._bench.con.sql(query).to_arrow_table()


_FAR = datetime(9999, 1, 1, tzinfo=UTC)


def wait_for_settling(read_until: datetime, settle_s: float, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until `settle_s` seconds have passed since the first reads ended.

    What was on its way from one system to the other during the first read has arrived by then, and shows as a change.
    """
    left = settle_s - (datetime.now(UTC) - read_until).total_seconds()
    if left > 0:
        sleep(min(left, settle_s))


@contextmanager
def _second_workbench() -> Iterator["DuckDBPyConnection"]:
    with duckdb_connection() as con:
        con.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
        yield con


def key_filters(table: Table, wanted: Mapping[str, Sequence[tuple[str | None, str]]]) -> Iterator[str]:
    """The OData filters that ask for rows of a D365 table by column → (company, value)."""
    for by, keys in wanted.items():
        values: dict[str, list[str]] = defaultdict(list)
        for company, value in keys:
            values[company or ""].append(value)
        for company, its_values in values.items():
            for some in in_key_lists(its_values):
                yield f"{equals(table.key[0], company)} and {any_of(by, some)}"


def _bring(con: "DuckDBPyConnection", name: str, table: Any) -> None:
    con.register("_brought", table)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM _brought")
    con.unregister("_brought")
