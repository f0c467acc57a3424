"""Asking D365 for the companies from which a read brought nothing. What is concluded is in `tieout/companies.py`."""

from collections.abc import Collection, Mapping

from resources.d365 import D365Client
from resources.lake import Lake
from resources.workbench import duckdb_connection
from tieout.companies import has_vanished, never_answered, silent_companies
from tieout.contract import Table
from tieout.odata import equals
from tieout.sql import quoted


class Companies:
    """The companies that must answer each read: `named` in the configuration, or without any those of which the lake has rows."""

    def __init__(self, client: D365Client, lake: Lake, tables: Collection[Table], named: Collection[str]) -> None:
        self._client = client
        self._lake = lake
        self._tables = [table for table in tables if table.has_company]
        self._named = named

    def problem(self, table: Table, arrived: Mapping[str, int], *, whole: bool) -> str:
        """Which companies did not answer, in a sentence for each; empty where all did. `arrived`: company → rows of this read.

        A read of the `whole` table that brought nothing of a company that had rows is no answer, whatever a count says afterwards: the rows
        would count as deleted. A new company without orders answers by its customers or products.
        """
        known = self._known(table)
        problems = []
        for company in silent_companies(self._named, known, arrived):
            if known.get(company):
                if whole or not self._has_rows(table, company):
                    problems.append(has_vanished(table.source, company, known[company]))
            elif not any(self._has_rows(each, company) for each in self._tables):
                problems.append(never_answered(table.source, company))
        return " ".join(problems)

    def _has_rows(self, table: Table, company: str) -> bool:
        return self._client.count(table.source, equals(table.key[0], company)) > 0

    def _known(self, table: Table) -> dict[str, int]:
        if not self._lake.exists(table.lake_key):
            return {}
        with duckdb_connection() as con:
            self._lake.register(con, "known", table.lake_key)
            company = f"lower({quoted(table.key[0])})"
            return dict(con.execute(f"SELECT {company}, count(*) FROM known GROUP BY 1").fetchall())
