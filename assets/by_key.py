"""A few records brought up to date in the lake: opportunities by id with all that an order needs, and orders by number.

Rows land as in an extraction and go through the same version-guarded merge. Nothing is concluded from what does not come: watermarks stay where
they are, and these reads prove nothing for a whole table.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from assets.landing import Read, keep_proof, landing_zone, store
from resources.connections import HomeResource
from resources.d365 import D365Client
from resources.lake import Lake
from resources.ledger import Ledger
from resources.reread import key_filters
from resources.salesforce import SalesforceClient
from resources.workbench import duckdb_connection
from tieout.contract import Contract, Contracts, Table
from tieout.page_files import PageFiles
from tieout.soql import by_ids_in, is_id

OrderKey = tuple[str, str]
"""Company in lower case, and order number."""


@dataclass(slots=True)
class Brought:
    """What was found: ids of opportunities that Salesforce has, and the rows that came in all."""

    opportunities: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    orders: set[OrderKey] = field(default_factory=set)
    rows: int = 0


@dataclass(slots=True)
class ByKey:
    """Reads records by key from both systems and stores them."""

    salesforce: SalesforceClient
    d365: D365Client
    lake: Lake
    ledger: Ledger
    contracts: Contracts
    home: HomeResource
    run_id: str
    _brought: Brought = field(default_factory=Brought, init=False)

    def bring(self, opportunities: Iterable[str], accounts: Iterable[str], orders: Iterable[OrderKey]) -> Brought:
        """Bring these records to the lake: Salesforce first, D365 afterwards, so that an order is never older than its opportunity.

        With an opportunity come its lines, products and account, and what may be its order and its customer in D365; with an order its
        opportunity, too.
        """
        self._brought = Brought()
        wanted = {*opportunities, *self._opportunities_of(set(orders))}
        found = self._read_salesforce(sorted(wanted), set(accounts))
        self._read_d365(found, sorted(wanted), set(orders))
        return self._brought

    def _read_salesforce(self, ids: list[str], accounts: set[str]) -> list[dict[str, Any]]:
        orders, customers = self.contracts["sales_order"], self.contracts["customer"]
        lines = orders.lines_table("salesforce")
        account_field = orders.field("customer").salesforce or ""
        found = self._from_salesforce(orders.table("salesforce"), orders.table("salesforce").key[0], ids)
        sold = self._from_salesforce(lines, lines.parent or "", ids)
        if any(column.name == "Product2Id" for column in lines.columns):
            product = self.contracts.table("salesforce", self.contracts["product"].salesforce.table)
            # A product that is known is as it was when the main job read it last; only one that is new keeps an order from being made.
            self._from_salesforce(product, product.key[0], self._unknown(product, _values(sold, "Product2Id")))
        account = customers.table("salesforce")
        of_opportunities = _values(found, account_field)
        its_accounts = self._from_salesforce(account, account.key[0], sorted(accounts | set(of_opportunities)))
        self._brought.opportunities = set(_values(found, orders.salesforce.key[0]))
        self._brought.accounts = set(_values(its_accounts, account.key[0]))
        by_id = {row[account.key[0]]: row for row in its_accounts}
        return [row | {"account": by_id.get(row.get(account_field), {})} for row in found]

    def _read_d365(self, found: Sequence[dict[str, Any]], ids: Sequence[str], orders: set[OrderKey]) -> None:
        contract, customers = self.contracts["sales_order"], self.contracts["customer"]
        order, lines, customer = contract.table("d365"), contract.lines_table("d365"), customers.table("d365")
        number, account = order.key[-1], customer.key[-1]
        by_number, by_account, by_reference = set(orders), set[OrderKey](), set[OrderKey]()
        links = self._links("sales_order", set(ids))
        for row in found:
            its_account = row["account"]
            opportunity_id = str(row[contract.salesforce.key[0]])
            for company in _companies(contract, row) or _companies(customers, its_account):
                by_number.update(_numbers(contract, row, company))
                by_account.update(_numbers(customers, its_account, company))
                by_reference.add((company, opportunity_id))
            by_number.update(links.get(opportunity_id, ()))
        for known in self._links("customer", self._brought.accounts).values():
            by_account.update(known)
        asked = {number: by_number, **({contract.link.reference: by_reference} if contract.link.reference else {})}
        came = self._from_d365(order, asked)
        self._brought.orders = {(str(row["dataAreaId"]).lower(), str(row[number])) for row in came}
        by_account.update(
            (str(row["dataAreaId"]).lower(), str(row[ordering]))
            for row in came
            if (ordering := contract.field("customer").d365) and row.get(ordering)
        )
        self._from_d365(lines, {lines.parent or "": self._brought.orders})
        self._from_d365(customer, {account: by_account})

    def _from_salesforce(self, table: Table, by: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        statements = list(by_ids_in(table, by, [each for each in dict.fromkeys(ids) if is_id(each)]))
        if not statements:
            return []
        with landing_zone(self.home.folder("landing")) as folder:
            return self._stored(table, self.salesforce.extract_answers(table, statements, folder))

    def _from_d365(self, table: Table, keys: dict[str, set[OrderKey]]) -> list[dict[str, Any]]:
        # A star would be read as a pattern; no record of that name can be asked for.
        asked = {
            by: [
                (company, value)
                for company, value in sorted(values)
                if company and value and "*" not in company + value
            ]
            for by, values in keys.items()
        }
        filters = list(key_filters(table, asked))
        if not filters:
            return []
        with landing_zone(self.home.folder("landing")) as folder:
            pages = self.d365.pages_of_keys(table, filters, folder)
            parents = keys[table.parent] if table.is_lines and table.parent else set()
            return self._stored(table, pages, whole_parents=parents)

    def _stored(
        self, table: Table, pages: PageFiles, whole_parents: set[OrderKey] | None = None
    ) -> list[dict[str, Any]]:
        """Store what came; returns the rows as they came. Lines of `whole_parents` that did not come are gone."""
        rows = [row for file in pages.files for row in orjson.loads(file.read_bytes())]
        gone = self._lines_gone(table, whole_parents, rows) if whole_parents else []
        if rows or gone:
            read = Read(pages, "partition")
            stored = store(self.lake, table, read, run_id=self.run_id, gone=gone)
            keep_proof(self.ledger, table, read, stored, run_id=self.run_id)
        self._brought.rows += len(rows)
        return rows

    def _lines_gone(self, table: Table, parents: set[OrderKey], came: Sequence[dict[str, Any]]) -> list[str]:
        if not self.lake.exists(table.lake_key):
            return []
        with duckdb_connection() as con:
            self.lake.register(con, "known", table.lake_key)
            headers = [f"{company}|{number}".lower() for company, number in parents]
            statement = "SELECT _key FROM known WHERE lower(_parent_key) IN (SELECT unnest(?::VARCHAR[]))"
            known = con.execute(statement, [headers]).fetchall()
        keys = {"|".join(str(row[name]) for name in table.key).lower() for row in came}
        return sorted({key for (key,) in known} - keys)

    def _unknown(self, table: Table, ids: Sequence[str]) -> list[str]:
        """The ids that the lake does not have."""
        if not ids or not self.lake.exists(table.lake_key):
            return list(ids)
        with duckdb_connection() as con:
            self.lake.register(con, "known", table.lake_key)
            query = "SELECT key FROM (SELECT unnest(?::VARCHAR[]) AS key) AS asked ANTI JOIN known ON known._key = asked.key"
            return [each for (each,) in con.execute(query, [list(ids)]).fetchall()]

    def _opportunities_of(self, orders: set[OrderKey]) -> set[str]:
        """The opportunities of orders: by the number that we gave, by the ledger's links, or by what D365 says of the others."""
        contract = self.contracts["sales_order"]
        prefix, reference = contract.create.number_prefix or "", contract.link.reference
        known = {
            (link.company.lower(), link.d365_key.lower()): link.salesforce_id
            for link in self.ledger.crosswalk.links("sales_order")
        }
        found, others = set[str](), list[tuple[str | None, str]]()
        for company, number in orders:
            ours = number[len(prefix) :] if prefix and number.startswith(prefix) else ""
            named = ours if is_id(ours) else known.get((company, number.lower()))
            if named:
                found.add(named)
            else:
                others.append((company, number))
        if reference and others:
            table = contract.table("d365")
            for where in key_filters(table, {table.key[-1]: others}):
                rows = self.d365.rows(table.source, where=where, select=[*table.key, reference])
                found.update(named for row in rows if is_id(named := str(row.get(reference) or "")))
        return found

    def _links(self, entity: str, ids: set[str]) -> dict[str, set[OrderKey]]:
        links: dict[str, set[OrderKey]] = defaultdict(set)
        for link in self.ledger.crosswalk.links(entity) if ids else ():
            if link.salesforce_id in ids:
                links[link.salesforce_id].add((link.company.lower(), link.d365_key))
        return links


def _values(rows: Iterable[dict[str, Any]], column: str) -> list[str]:
    return sorted({str(value) for row in rows if (value := row.get(column))})


def _companies(contract: Contract, row: dict[str, Any]) -> list[str]:
    company = row.get(contract.link.company or "")
    return [str(company).strip().lower()] if company else []


def _numbers(contract: Contract, row: dict[str, Any], company: str) -> Iterator[OrderKey]:
    """The numbers under which a record may be in D365: its own, ours, and that of the link that Salesforce holds."""
    own_id, own = row.get(contract.salesforce.key[0]), row.get(contract.create.number_from or "")
    if own:
        yield company, str(own)
    if own_id and contract.create.number_prefix:
        yield company, f"{contract.create.number_prefix}{own_id}"
    linked_company, _, number = str(row.get(contract.link.stored or "") or "").partition("/")
    if number:
        yield linked_company.lower(), number
