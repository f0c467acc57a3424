"""Where the org's records are kept: one SQLite table per sObject, one column per field, under their API names."""

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from sandbox.salesforce import stamps
from sandbox.salesforce.catalogue import (
    CATALOGUE,
    CORPORATE_CURRENCY,
    CURRENCIES,
    ORGANIZATION_ID,
    SETUP_OBJECTS,
    STAGES,
    USER_ID,
    USERNAME,
)
from sandbox.salesforce.ids import id18, ids_of, is_id, make_id, number_of
from sandbox.salesforce.opportunity_rules import derived
from sandbox.salesforce.schema import NUMBER_TYPES, Field, SObject

FILE_NAME = "salesforce.sqlite"

# Ids are handed out from blocks, so that a hundred thousand of them need no hundred thousand writes. What is left of
# a block when the process ends is never given to anybody, like the gaps in real ids.
ID_BLOCK = 1000
INSERT_CHUNK = 5000

_NUMBER = re.compile(r"^[+-]?\d+(\.\d+)?$")
_WORKING_TABLES = """
CREATE TABLE IF NOT EXISTS _counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _session (token TEXT PRIMARY KEY, issued_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _cursor (
    locator TEXT PRIMARY KEY, made_at TEXT NOT NULL, soql TEXT NOT NULL, child TEXT, all_rows INTEGER NOT NULL,
    batch_size INTEGER NOT NULL, rows BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS _bulk_job (
    id TEXT PRIMARY KEY, made_at TEXT NOT NULL, changed_at TEXT NOT NULL, operation TEXT NOT NULL, soql TEXT NOT NULL,
    object TEXT NOT NULL, version TEXT NOT NULL, delimiter TEXT NOT NULL, line_ending TEXT NOT NULL,
    state TEXT NOT NULL, polls INTEGER NOT NULL DEFAULT 0, records INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE TABLE IF NOT EXISTS _usage (hour TEXT PRIMARY KEY, calls INTEGER NOT NULL) WITHOUT ROWID;
"""


class Store:
    """The records of one org in the file `path`; made with the org's own set-up records when it is new.

    `now` gives the present instant (UTC aware), so that a server can live by a clock of its own.
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = stamps.utc_now) -> None:
        self.path = path
        self.now = now
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = connect(path)
        self._free_ids: dict[str, range] = {}
        self.connection.executescript(_WORKING_TABLES)
        for sobject in CATALOGUE.values():
            self._make_table(sobject)
        if not self.connection.execute('SELECT 1 FROM "Organization"').fetchone():
            self._set_up()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; inside another one it is a part that can fail alone."""
        begin, end, undo = (
            ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part")
            if self.connection.in_transaction
            else ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        )
        self.connection.execute(begin)
        try:
            yield self.connection
        except BaseException:
            for statement in undo.split("; "):
                self.connection.execute(statement)
            # The reservation of a block may have been undone too.
            self._free_ids.clear()
            raise
        self.connection.execute(end)

    def counts(self) -> dict[str, int]:
        """Rows per sObject, deleted ones included, without the org's own set-up records (users, stages, currencies)."""
        return {
            name: self.connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in CATALOGUE
            if name not in SETUP_OBJECTS
        }

    def next_id(self, sobject: str) -> str:
        """A new 18-character id for a record of `sobject`; KeyError when there is no such object."""
        return make_id(CATALOGUE[sobject].prefix, self.next_number(sobject))

    def next_number(self, name: str) -> int:
        """The next number of a counter; never the same twice, gaps are possible."""
        free = self._free_ids.get(name)
        if not free:
            with self.transaction() as connection:
                reserved = connection.execute("SELECT value FROM _counter WHERE name = ?", (name,)).fetchone()
                last = max(reserved[0] if reserved else 0, self._highest_given_number(name))
                connection.execute("INSERT OR REPLACE INTO _counter VALUES (?, ?)", (name, last + ID_BLOCK))
            free = range(last + 1, last + ID_BLOCK + 1)
        self._free_ids[name] = free[1:]
        return free[0]

    def insert_many(self, table: str, rows: Iterable[Mapping[str, object]]) -> int:
        """Put rows in as they are and quickly: nothing is validated, so dirt of every kind can be had; returns how many.

        Keys are API names. A missing Id, stamp or default is filled in; so is what follows from other fields of the
        same row (IsWon from StageName, TotalPrice from UnitPrice, …). Dates and instants may be text or objects.
        """
        sobject = CATALOGUE[table]
        fields = {field.name: field for field in sobject.columns()}
        statement = f'INSERT INTO "{table}" ({_listed(fields)}) VALUES ({", ".join("?" * len(fields))})'
        defaults = self._defaults(sobject)
        in_order = itemgetter(*fields)
        inserted = 0

        def values_of(row: Mapping[str, object]) -> tuple[object, ...]:
            full = dict(defaults)
            for name, value in row.items():
                if name not in fields:
                    raise KeyError(f"{table} has no field {name}.")
                if value is not None and value != "":
                    full[name] = stored_value(fields[name], value)
            if full["Id"] is None:
                full["Id"] = self.next_id(table)
            for name, value in derived(table, full).items():
                if row.get(name) is None:
                    full[name] = stored_value(fields[name], value)
            ordered: tuple[object, ...] = in_order(full)
            return ordered

        source = iter(rows)
        with self.transaction() as connection:
            while chunk := [values_of(row) for row in islice(source, INSERT_CHUNK)]:
                connection.executemany(statement, chunk)
                inserted += len(chunk)
            if table == "OpportunityLineItem":
                connection.execute(
                    'UPDATE "Opportunity" SET "HasOpportunityLineItem" = 1 WHERE "HasOpportunityLineItem" = 0'
                    ' AND "Id" IN (SELECT "OpportunityId" FROM "OpportunityLineItem" WHERE "IsDeleted" = 0)'
                )
        return inserted

    def _highest_given_number(self, name: str) -> int:
        """The highest number among the ids of a table: seeds may bring ids that an org like this one has made."""
        if name not in CATALOGUE:
            return 0
        pattern = ids_of(CATALOGUE[name].prefix)
        highest = self.connection.execute(f'SELECT max("Id") FROM "{name}" WHERE "Id" GLOB ?', (pattern,)).fetchone()[0]
        return number_of(highest) if highest else 0

    def _defaults(self, sobject: SObject) -> dict[str, object]:
        """Every column's value in a record that says nothing of it."""
        defaults = {each.name: stored_value(each, each.default) for each in sobject.columns()}
        return defaults | dict.fromkeys(
            ("CreatedDate", "LastModifiedDate", "SystemModstamp"), stamps.written(self.now())
        )

    def _make_table(self, sobject: SObject) -> None:
        # Columns have no type: real orgs never hold text in Amount, but the records that come from elsewhere do.
        columns = ", ".join(f'"{each.name}"' for each in sobject.columns() if each.name != "Id")
        execute = self.connection.execute
        execute(
            f'CREATE TABLE IF NOT EXISTS "{sobject.name}" (_row INTEGER PRIMARY KEY, "Id" TEXT NOT NULL UNIQUE, {columns})'
        )
        for field in sobject.columns():
            indexed = (
                field.type == "reference" and field.refers_to in CATALOGUE and field.refers_to not in SETUP_OBJECTS
            )
            if indexed or field.name == "SystemModstamp":
                execute(
                    f'CREATE INDEX IF NOT EXISTS "{sobject.name}_{field.name}" ON "{sobject.name}" ("{field.name}")'
                )
            elif field.external_id:
                # Not unique in SQLite: the rule is kept when records are written, and a seed may break it on purpose.
                execute(
                    f'CREATE INDEX IF NOT EXISTS "{sobject.name}_{field.name}" '
                    f'ON "{sobject.name}" ("{field.name}" COLLATE NOCASE)'
                )

    def _set_up(self) -> None:
        zone = {"TimeZoneSidKey": "GMT", "LanguageLocaleKey": "en_US"}
        self.insert_many("Organization", [{
            "Id": ORGANIZATION_ID, "Name": "Sandbox", "IsSandbox": True, "InstanceName": "SBX1", **zone,
            "OrganizationType": "Enterprise Edition", "DefaultLocaleSidKey": "en_US", "FiscalYearStartMonth": 1,
        }])  # fmt: skip
        self.insert_many("User", [{
            "Id": USER_ID, "Username": USERNAME, "LastName": "Integration", "Name": "Integration", "Email": USERNAME,
            "Alias": "integr", "UserType": "Standard", "LocaleSidKey": "en_US", "EmailEncodingKey": "UTF-8", **zone,
        }])  # fmt: skip
        self.insert_many("OpportunityStage", (
            {
                "MasterLabel": name, "ApiName": name, "SortOrder": order, "IsClosed": closed, "IsWon": won,
                "ForecastCategory": category, "ForecastCategoryName": category_name, "DefaultProbability": probability,
            }
            for order, (name, (probability, closed, won, category, category_name)) in enumerate(STAGES.items(), 1)
        ))  # fmt: skip
        self.insert_many("CurrencyType", (
            {"IsoCode": code, "ConversionRate": 1, "DecimalPlaces": 0 if code == "JPY" else 2,
             "IsCorporate": code == CORPORATE_CURRENCY}
            for code in CURRENCIES
        ))  # fmt: skip


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the org's file with the functions that SOQL needs."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("folded", 1, folded, deterministic=True)
    return connection


def folded(value: Any) -> Any:
    """Text as Salesforce compares and sorts it: without case."""
    if not isinstance(value, str):
        return value
    return value.lower() if value.isascii() else value.casefold()


def stored_value(field: Field, value: object) -> object:
    """A value as its column keeps it; what does not fit the field's type is kept as it is."""
    if value is None or value == "":
        return None
    if field.type == "boolean":
        return {"true": 1, "false": 0}.get(str(value).lower(), value)
    if field.type in NUMBER_TYPES or field.type == "int":
        return _number(field, value)
    if field.type == "datetime":
        return _instant(value)
    if field.type == "date":
        return value.date().isoformat() if isinstance(value, datetime) else str(value)
    if field.type in ("id", "reference"):
        return id18(value) if isinstance(value, str) and is_id(value) else value
    return value if isinstance(value, str) else str(value)


def _number(field: Field, value: object) -> object:
    if isinstance(value, str) and not _NUMBER.match(value):
        return value
    if isinstance(value, (str, int, float, Decimal)):
        return int(value) if field.type == "int" and float(value).is_integer() else float(value)
    return value


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return stamps.written(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, date):
        return stamps.written(datetime(value.year, value.month, value.day, tzinfo=UTC))
    try:
        return stamps.written(stamps.instant_of(str(value)))
    except ValueError:
        return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
