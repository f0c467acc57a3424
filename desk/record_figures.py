"""Everything that is known of one record: both systems' values field by field, lines, rows as they were read, and what was sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.lake import Lake
from resources.workbench import duckdb_connection, quarantine_key
from tieout.contract import Contract, Field, System, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_FOUND = 50
MOST_LINES = 500


@dataclass(frozen=True, slots=True)
class Where:
    """Which record: its Salesforce id, and company and number in D365; empty on the side that has none."""

    entity: str
    salesforce_id: str = ""
    company: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field on both sides, as stored."""

    label: str
    owner: System
    salesforce: str | None
    d365: str | None
    differs: bool


@dataclass(frozen=True, slots=True)
class RecordView:
    """What the page shows; `*_row` is the row as it was read (None where there is none), `*_lines` those of its lines.

    `group`: the opportunities and orders that are judged together with this one, where it is not one to one.
    """

    where: Where
    label: str
    verdict: str
    reason: str
    fields: Sequence[FieldValue]
    salesforce_row: Mapping[str, Any] | None
    d365_row: Mapping[str, Any] | None
    salesforce_lines: Sequence[Mapping[str, Any]]
    d365_lines: Sequence[Mapping[str, Any]]
    links: Sequence[Mapping[str, Any]]
    group: Sequence[Mapping[str, Any]]
    quarantined: Sequence[Mapping[str, Any]]


def find_records(lake: Lake, entities: Sequence[str], words: str) -> list[dict[str, Any]]:
    """Records whose key or name holds `words`, in any case; those whose key begins so come first. MOST_FOUND at most."""
    found: list[dict[str, Any]] = []
    with duckdb_connection() as con:
        for entity in entities:
            table = ("reconciliation", f"{entity}_verdict")
            if not lake.exists(table):
                continue
            lake.register(con, "verdict_of_record", table)
            rows = con.execute(
                """SELECT entity, company, salesforce_key, d365_key, label, verdict FROM verdict_of_record
WHERE contains(lower(coalesce(salesforce_key, '')), lower($words)) OR contains(lower(coalesce(d365_key, '')), lower($words))
    OR contains(lower(coalesce(label, '')), lower($words))
ORDER BY NOT (starts_with(lower(coalesce(salesforce_key, '')), lower($words)) OR starts_with(lower(coalesce(d365_key, '')), lower($words))),
    label, salesforce_key, d365_key LIMIT $most""",
                {"words": words, "most": MOST_FOUND},
            )
            names = [column[0] for column in rows.description]
            found += [dict(zip(names, row, strict=True)) for row in rows.fetchall()]
    return found


def record_view(lake: Lake, contract: Contract, wanted: Where) -> RecordView | None:
    """The record, the missing side found through the crosswalk; None where neither system nor any reconciliation knows it."""
    with duckdb_connection() as con:
        verdict = _verdict(lake, con, wanted)
        links = _links(lake, con, wanted)
        where = _completed(wanted, verdict, links)
        salesforce, d365 = contract.table("salesforce"), contract.table("d365")
        lake_key = f"{where.company}|{where.number}".lower() if where.number else ""
        salesforce_row = _row(lake, con, salesforce, where.salesforce_id)
        d365_row = _row(lake, con, d365, lake_key)
        quarantined = [
            row
            for table, key in ((salesforce, where.salesforce_id), (d365, lake_key))
            for row in _quarantined(lake, con, table, key)
        ]
        if verdict is None and salesforce_row is None and d365_row is None and not quarantined:
            return None
        lines: dict[System, list[dict[str, Any]]] = {"salesforce": [], "d365": []}
        if contract.lines is not None:
            lines["salesforce"] = _lines(lake, con, contract.lines_table("salesforce"), where.salesforce_id)
            lines["d365"] = _lines(lake, con, contract.lines_table("d365"), lake_key)
        return RecordView(
            where=where,
            label=(verdict or {}).get("label") or "",
            verdict=(verdict or {}).get("verdict") or "",
            reason=(verdict or {}).get("reason") or "",
            fields=_fields(contract, salesforce_row, d365_row, set((verdict or {}).get("fields") or ()), lines["d365"]),
            salesforce_row=_plain(salesforce_row),
            d365_row=_plain(d365_row),
            salesforce_lines=[_plain(row) or {} for row in lines["salesforce"]],
            d365_lines=[_plain(row) or {} for row in lines["d365"]],
            links=links,
            group=_group(con, (verdict or {}).get("group_key")),
            quarantined=quarantined,
        )


def as_json(value: Any) -> str:
    """A row or a payload for reading: indented, decimals exact, names as they are."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_json_text)


def _verdict(lake: Lake, con: "DuckDBPyConnection", wanted: Where) -> dict[str, Any] | None:
    table = ("reconciliation", f"{wanted.entity}_verdict")
    if not lake.exists(table):
        return None
    lake.register(con, "verdict_of_record", table)
    tests, values = [], {}
    if wanted.salesforce_id:
        tests.append("salesforce_key = $salesforce_id")
        values["salesforce_id"] = wanted.salesforce_id
        # A customer has a verdict in each company that its account is sold to by.
        if wanted.company:
            tests.append("lower(company) IN (lower($company), '')")
            values["company"] = wanted.company
    else:
        tests.append("lower(company) = lower($company) AND lower(d365_key) = lower($number)")
        values |= {"company": wanted.company, "number": wanted.number}
    return _first(
        con, f"SELECT * FROM verdict_of_record WHERE {' AND '.join(tests)} ORDER BY d365_key NULLS LAST LIMIT 1", values
    )


def _group(con: "DuckDBPyConnection", key: str | None) -> list[dict[str, Any]]:
    if not key:
        return []
    rows = con.execute(
        f"""SELECT entity, salesforce_key, company, d365_key, label, verdict, salesforce_amount, d365_amount, currency
FROM verdict_of_record WHERE group_key = $key ORDER BY salesforce_key, d365_key LIMIT {MOST_FOUND}""",
        {"key": key},
    )
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def _links(lake: Lake, con: "DuckDBPyConnection", wanted: Where) -> list[dict[str, Any]]:
    table = ("crosswalk", wanted.entity)
    if not lake.exists(table):
        return []
    lake.register(con, "links_of_record", table)
    rows = con.execute(
        """SELECT salesforce_id, company, d365_key, found_by FROM links_of_record
WHERE ($salesforce_id <> '' AND salesforce_id = $salesforce_id)
    OR ($number <> '' AND lower(company) = lower($company) AND lower(d365_key) = lower($number))
ORDER BY company, d365_key LIMIT 100""",
        {"salesforce_id": wanted.salesforce_id, "company": wanted.company, "number": wanted.number},
    )
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def _completed(wanted: Where, verdict: Mapping[str, Any] | None, links: Sequence[Mapping[str, Any]]) -> Where:
    known = verdict or {}
    link: Mapping[str, Any] = next(
        (each for each in links if not wanted.company or each["company"].lower() == wanted.company.lower()), {}
    )
    return Where(
        wanted.entity,
        wanted.salesforce_id or known.get("salesforce_key") or link.get("salesforce_id") or "",
        wanted.company or known.get("company") or link.get("company") or "",
        wanted.number or known.get("d365_key") or link.get("d365_key") or "",
    )


def _row(lake: Lake, con: "DuckDBPyConnection", table: Table, key: str) -> dict[str, Any] | None:
    if not key or not lake.exists(table.lake_key):
        return None
    lake.register(con, "rows_of_table", table.lake_key)
    return _first(con, "SELECT * FROM rows_of_table WHERE _key = $key LIMIT 1", {"key": key})


def _lines(lake: Lake, con: "DuckDBPyConnection", table: Table, parent: str) -> list[dict[str, Any]]:
    if not parent or not lake.exists(table.lake_key):
        return []
    lake.register(con, "lines_of_table", table.lake_key)
    rows = con.execute(
        f"SELECT * FROM lines_of_table WHERE _parent_key = $key ORDER BY _key LIMIT {MOST_LINES}", {"key": parent}
    )
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def _quarantined(lake: Lake, con: "DuckDBPyConnection", table: Table, key: str) -> list[dict[str, Any]]:
    where = quarantine_key(table)
    if not key or not lake.exists(where):
        return []
    lake.register(con, "quarantined_rows", where)
    rows = con.execute(
        'SELECT "row", violations FROM quarantined_rows WHERE _key = $key LIMIT 10', {"key": key}
    ).fetchall()
    return [
        {
            "table": table.name,
            "system": table.system,
            "row": json.loads(row or "{}"),
            "violations": json.loads(broken or "[]"),
        }
        for row, broken in rows
    ]


def _fields(
    contract: Contract,
    salesforce: Mapping[str, Any] | None,
    d365: Mapping[str, Any] | None,
    differing: set[str],
    d365_lines: Sequence[Mapping[str, Any]],
) -> list[FieldValue]:
    return [
        FieldValue(
            field.label,
            field.owner,
            _stored(field, "salesforce", salesforce),
            _stored(field, "d365", d365) if field.d365_sum_of is None else _sum_of_lines(contract, field, d365_lines),
            field.name in differing,
        )
        for field in contract.fields
        if field.sources("salesforce") or field.sources("d365")
    ]


def _sum_of_lines(contract: Contract, field: Field, lines: Sequence[Mapping[str, Any]]) -> str | None:
    """What the comparison takes for the value of the header: D365 keeps none. None where not all lines are at hand."""
    if contract.lines is None or not lines or len(lines) >= MOST_LINES:
        return None
    column = contract.lines.field(field.d365_sum_of or "").d365 or ""
    live = (line for line in lines if str(line.get("SalesOrderLineStatus") or "").lower() != "canceled")
    return str(_text(sum((line[column] for line in live if line.get(column) is not None), Decimal(0))))


def _stored(field: Field, system: System, row: Mapping[str, Any] | None) -> str | None:
    columns = field.sources(system)
    if row is None or not columns:
        return None
    values = [row.get(column) for column in columns]
    return " / ".join("" if value is None else str(_text(value)) for value in values)


def _plain(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The source's own columns and when they were read; what we made of them for comparing is left out."""
    if row is None:
        return None
    kept = {name: value for name, value in row.items() if not name.startswith(("cmp_", "_"))}
    return kept | {name: row[name] for name in ("_extracted_at", "_run_id") if name in row}


def _first(con: "DuckDBPyConnection", statement: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    rows = con.execute(statement, dict(values))
    names = [column[0] for column in rows.description]
    row = rows.fetchone()
    return dict(zip(names, row, strict=True)) if row else None


def _text(value: Any) -> str:
    if isinstance(value, Decimal):
        exact = value.normalize()
        return f"{exact:f}"
    return str(value)


def _json_text(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return _text(value)
