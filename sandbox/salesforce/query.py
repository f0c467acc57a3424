"""Running SOQL: counts, aggregates, and pages of records behind locators that outlive the process."""

import json
import re
import sqlite3
from array import array
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any

from sandbox.salesforce import permissions, stamps
from sandbox.salesforce.errors import SalesforceError, bad_request
from sandbox.salesforce.faults import EXPIRED_LOCATOR, asked_of_call
from sandbox.salesforce.ids import make_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, json_answer, resource
from sandbox.salesforce.query_plan import ChildPlan, Plan
from sandbox.salesforce.soql import parse
from sandbox.salesforce.soql_sql import MAX_GROUPS, compile_query

LOCATOR_PREFIX = "0r8"
LOCATOR_LIFE = timedelta(days=2)
SMALLEST_BATCH = 200

_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)
_parsed = lru_cache(maxsize=256)(parse)

Rows = Iterable[int]


def query(org: Org, call: Call) -> Answer:
    """`GET query?q=`"""
    return _answer(org, call, all_rows=False)


def query_all(org: Org, call: Call) -> Answer:
    """`GET queryAll?q=`: deleted records too."""
    return _answer(org, call, all_rows=True)


def more(org: Org, call: Call, locator: str, offset: str) -> Answer:
    """`GET query/0r8…-2000` and the same under queryAll: the next page; extra parameters are ignored."""
    cursor = org.store.connection.execute(
        "SELECT soql, child, all_rows, batch_size, rows, made_at FROM _cursor WHERE locator = ?", (locator,)
    ).fetchone()
    if cursor is not None and org.faults.strike((EXPIRED_LOCATOR,), asked_of_call(call)):
        org.store.connection.execute("DELETE FROM _cursor WHERE locator = ?", (locator,))
        raise _bad_locator()
    if cursor is None or stamps.instant_of(cursor[5]) + LOCATOR_LIFE < org.now():
        raise _bad_locator()
    soql, child, all_rows, batch_size, packed, _ = cursor
    rows = array("q", packed)
    start = int(offset)
    if not 0 < start < len(rows):
        raise _bad_locator()
    plan = plan_of(org, soql, all_rows=bool(all_rows))
    if child:
        plan = next(each.plan for each in plan.children if each.relationship.name == child)
    return json_answer(_page(org, call, plan, soql, child, bool(all_rows), rows, start, batch_size, locator))


RESOURCES: tuple[Resource, ...] = (
    resource(r"query", GET=query),
    resource(r"queryAll", GET=query_all),
    resource(r"query(?:All)?/(?P<locator>[0-9A-Za-z]{15,18})-(?P<offset>\d+)", GET=more),
    resource(r"query(?:All)?/.*", GET=lambda _org, _call: _refuse_locator()),
)


def plan_of(org: Org, soql: str, *, all_rows: bool) -> Plan:
    """The compiled plan of a statement; SalesforceError where it makes no sense."""
    return compile_query(_parsed(soql), soql, org.objects, org.today(), all_rows=all_rows)


def rows_of(connection: sqlite3.Connection, plan: Plan) -> "array[int]":
    """The snapshot of a query: the row numbers of all its records, in order."""
    sql = f"SELECT t0._row {plan.source()} WHERE {plan.where}{_ordered(plan)}{_limited(plan)}"
    return array("q", (row[0] for row in connection.execute(sql, plan.parameters)))


def read_rows(connection: sqlite3.Connection, plan: Plan, rows: Rows, *, all_rows: bool) -> sqlite3.Cursor:
    """The present values of some rows, in the given order; rows deleted since are left out unless `all_rows`."""
    live = "" if all_rows or not plan.sobject.has("IsDeleted") else ' AND t0."IsDeleted" = 0'
    sql = (
        f'SELECT {", ".join(plan.columns)} FROM json_each(?) wanted CROSS JOIN "{plan.sobject.name}" t0{plan.joins} '
        f"WHERE t0._row = wanted.value{live} ORDER BY wanted.key"
    )
    return connection.execute(sql, (json.dumps(list(rows)),))


def _answer(org: Org, call: Call, *, all_rows: bool) -> Answer:
    soql = call.query.get("q", "")
    if not soql.strip():
        raise bad_request("MALFORMED_QUERY", "A query string has to be specified")
    parsed = _parsed(soql)
    if permissions.is_asked_for(parsed):
        return permissions.user_permissions(org, parsed)
    plan = plan_of(org, soql, all_rows=all_rows)
    if call.query.get("columns", "").lower() == "true":
        return json_answer(_column_metadata(plan))
    connection = org.store.connection
    with org.late.hidden():
        if plan.kind == "count":
            return json_answer({"totalSize": _count(connection, plan), "done": True, "records": []})
        if plan.kind == "aggregate":
            return json_answer(_aggregates(connection, plan))
        rows = rows_of(connection, plan)
    return json_answer(_page(org, call, plan, soql, None, all_rows, rows, 0, _batch_size(org, call), None))


def _batch_size(org: Org, call: Call) -> int:
    largest = int(org.switches["page_size"])
    wanted = _BATCH_SIZE.search(call.headers.get("sforce-query-options", ""))
    return min(largest, max(SMALLEST_BATCH, int(wanted[1]))) if wanted else largest


def _count(connection: sqlite3.Connection, plan: Plan) -> int:
    sql = f"SELECT count(*) {plan.source()} WHERE {plan.where}"
    total = int(connection.execute(sql, plan.parameters).fetchone()[0])
    total = max(0, total - plan.offset)
    return total if plan.limit is None else min(total, plan.limit)


def _aggregates(connection: sqlite3.Connection, plan: Plan) -> dict[str, Any]:
    group = f" GROUP BY {plan.group}" if plan.group else ""
    having = f" HAVING {plan.having}" if plan.having else ""
    sql = f"SELECT {', '.join(plan.columns)} {plan.source()} WHERE {plan.where}{group}{having}{_ordered(plan)}{_limited(plan)}"
    found = connection.execute(sql, [*plan.parameters, *plan.having_parameters]).fetchall()
    if len(found) > MAX_GROUPS:
        raise bad_request(
            "EXCEEDED_ID_LIMIT",
            "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch",
        )
    booleans = [position for _, position, field in plan.leaves if field.type == "boolean"]
    records = []
    for row in found:
        values = [bool(value) if place in booleans else value for place, value in enumerate(row)]
        records.append({"attributes": {"type": "AggregateResult"}, **dict(zip(plan.names, values, strict=True))})
    return {"totalSize": len(records), "done": True, "records": records}


def _page(
    org: Org, call: Call, plan: Plan, soql: str, child: str | None, all_rows: bool,
    rows: "array[int]", start: int, batch_size: int, locator: str | None,
) -> dict[str, Any]:  # fmt: skip
    end = start + batch_size
    answer: dict[str, Any] = {"totalSize": len(rows), "done": end >= len(rows)}
    if end < len(rows):
        locator = locator or _keep(org, soql, child, all_rows, batch_size, rows)
        answer["nextRecordsUrl"] = call.url(f"query/{locator}-{end}")
    answer["records"] = _records(org, call, plan, soql, all_rows, rows[start:end])
    return answer


def _records(org: Org, call: Call, plan: Plan, soql: str, all_rows: bool, rows: Rows) -> list[dict[str, Any]]:
    assert plan.shape is not None
    with org.late.hidden():
        found = read_rows(org.store.connection, plan, rows, all_rows=all_rows).fetchall()
    record = plan.shape.seal(call.version).record
    records = [record(row) for row in found]
    for child in plan.children:
        below = _children(org, call, child, soql, all_rows, [row[0] for row in found])
        for row, parent in zip(found, records, strict=True):
            parent[child.relationship.name] = below.get(row[0])
    return records


def _children(
    org: Org, call: Call, child: ChildPlan, soql: str, all_rows: bool, parents: list[str]
) -> dict[str, dict[str, Any]]:
    """The child records of each parent that has some; long lists go on behind a locator of their own."""
    plan = child.plan
    assert plan.shape is not None
    record = plan.shape.seal(call.version).record
    sql = (
        f"SELECT {', '.join(plan.columns)}, t0._row {plan.source()} "
        f'WHERE t0."{child.relationship.field}" IN (SELECT value FROM json_each(?)) AND {plan.where}{_ordered(plan)}'
    )
    with org.late.hidden():
        below_all = org.store.connection.execute(sql, [json.dumps(parents), *plan.parameters]).fetchall()
    grouped: dict[str, list[Any]] = {}
    for row in below_all:
        grouped.setdefault(row[-2], []).append(row)
    size = int(org.switches["child_page_size"])
    below = {}
    for parent, all_found in grouped.items():
        found = all_found[: plan.limit]
        if not found:
            continue
        answer: dict[str, Any] = {"totalSize": len(found), "done": len(found) <= size}
        if len(found) > size:
            rows = array("q", (row[-1] for row in found))
            locator = _keep(org, soql, child.relationship.name, all_rows, size, rows)
            answer["nextRecordsUrl"] = call.url(f"query/{locator}-{size}")
        answer["records"] = [record(row) for row in found[:size]]
        below[parent] = answer
    return below


def _keep(org: Org, soql: str, child: str | None, all_rows: bool, batch_size: int, rows: "array[int]") -> str:
    """Keeps a snapshot for its two days; returns its locator."""
    locator = make_id(LOCATOR_PREFIX, org.store.next_number("locator"))
    with org.store.transaction() as connection:
        connection.execute("DELETE FROM _cursor WHERE made_at < ?", (stamps.written(org.now() - LOCATOR_LIFE),))
        connection.execute(
            "INSERT INTO _cursor (locator, made_at, soql, child, all_rows, batch_size, rows) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (locator, org.stamp(), soql, child, int(all_rows), batch_size, rows.tobytes()),
        )
    return locator


def _ordered(plan: Plan) -> str:
    return f" ORDER BY {plan.order}" if plan.order else ""


def _limited(plan: Plan) -> str:
    if plan.limit is None and not plan.offset:
        return ""
    return f" LIMIT {-1 if plan.limit is None else plan.limit} OFFSET {plan.offset}"


def _column_metadata(plan: Plan) -> dict[str, Any]:
    columns: list[dict[str, Any]] = [
        {
            "columnName": name, "displayName": name, "aggregate": plan.kind != "records", "apexType": field.type,
            "booleanType": field.type == "boolean", "custom": field.custom, "foreignKeyName": field.relationship,
            "insertable": field.createable, "joinColumns": [], "numberType": field.precision > 0,
            "textType": field.type == "string", "updatable": field.updateable,
        }
        for name, _, field in plan.leaves
    ]  # fmt: skip
    return {
        "columnMetadata": columns, "entityName": plan.sobject.name, "groupBy": bool(plan.group),
        "idSelected": any(name == "Id" for name, *_ in plan.leaves), "keyPrefix": plan.sobject.prefix,
    }  # fmt: skip


def _bad_locator() -> SalesforceError:
    return bad_request("INVALID_QUERY_LOCATOR", "invalid query locator")


def _refuse_locator() -> Answer:
    raise _bad_locator()
