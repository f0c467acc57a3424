"""`composite/sobjects`: up to 200 records in one call, each with an answer of its own, or all or none."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.salesforce.catalogue import BY_PREFIX
from sandbox.salesforce.describe import known_object
from sandbox.salesforce.errors import SalesforceError, bad_request, not_found, refused
from sandbox.salesforce.faults import struck_rows
from sandbox.salesforce.ids import is_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, json_answer, resource
from sandbox.salesforce.record_routes import records_by_id
from sandbox.salesforce.records import Records, SeveralMatches
from sandbox.salesforce.schema import SObject

MAX_RECORDS = 200
MAX_READ = 2000
MAX_TYPE_CHUNKS = 10

Record = dict[str, Any]
Result = dict[str, Any]
Write = Callable[[Record], Result]

_ROLLED_BACK = SalesforceError(
    400,
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
    (),
)


class _RolledBack(Exception):
    """All or none, and one was not."""


def create(org: Org, call: Call) -> Answer:
    """`POST composite/sobjects`"""
    body, rows = _records_of(call)
    records = Records(org, call.request_id)

    def write(row: Record) -> Result:
        return _done(records.create(_type_of(org, row), row))

    return _written(records, call, rows, write, body)


def update(org: Org, call: Call) -> Answer:
    """`PATCH composite/sobjects`: each record names its `id`."""
    body, rows = _records_of(call)
    records = Records(org, call.request_id)

    def write(row: Record) -> Result:
        record_id = next((str(value) for key, value in row.items() if key.lower() == "id"), "")
        if not is_id(record_id):
            raise refused("MISSING_ARGUMENT", "Id not specified in an update call", "Id")
        changes = {key: value for key, value in row.items() if key.lower() != "id"}
        sobject = _type_of(org, row)
        if not record_id.startswith(sobject.prefix):
            raise refused("MALFORMED_ID", f"{sobject.label} ID: id value of incorrect type: {record_id}", "Id")
        return _done(records.update(sobject, record_id, changes))

    return _written(records, call, rows, write, body)


def upsert(org: Org, call: Call, name: str, field_name: str) -> Answer:
    """`PATCH composite/sobjects/Account/ERP_Number__c`"""
    sobject = known_object(org, name)
    field = sobject.by_name.get(field_name.lower())
    if field is None or not (field.external_id or field.name == "Id"):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {field_name}")
    body, rows = _records_of(call)
    records = Records(org, call.request_id)

    def value_of(row: Record) -> str:
        return next((str(value) for key, value in row.items() if key.lower() == field.name.lower() and value), "")

    seen = Counter(value_of(row).lower() for row in rows)

    def write(row: Record) -> Result:
        value = value_of(row)
        rest = {key: each for key, each in row.items() if key.lower() != field.name.lower()}
        if not value and field.name != "Id":
            raise refused("MISSING_ARGUMENT", f"{field.name} not specified", field.name)
        if value and seen[value.lower()] > 1:
            raise refused("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", field.name)
        if field.name == "Id":
            written = records.update(sobject, value, rest) if value else records.create(sobject, rest)
            return _done(written) | {"created": not value}
        try:
            written, created = records.upsert(sobject, field, value, rest)
        except SeveralMatches as several:
            raise refused(
                "DUPLICATE_EXTERNAL_ID",
                f"{field.name}: more than one record found for external id field: {several.ids}",
            ) from None
        return _done(written) | {"created": created}

    return _written(records, call, rows, write, body)


def delete(org: Org, call: Call) -> Answer:
    """`DELETE composite/sobjects?ids=a,b&allOrNone=false`"""
    ids = [each.strip() for each in call.query.get("ids", "").split(",") if each.strip()]
    _limit(ids)
    records = Records(org, call.request_id)
    wanted = {"allOrNone": call.query.get("allOrNone", "").lower() == "true"}
    return _written(records, call, [{"id": each} for each in ids], lambda row: _done(records.delete(row["id"])), wanted)


def read(org: Org, call: Call, name: str) -> Answer:
    """`GET composite/sobjects/Account?ids=…&fields=…`, or the same as a POST body."""
    sobject = known_object(org, name)
    if call.method == "POST":
        body = call.json_object()
        ids, fields = body.get("ids") or [], body.get("fields") or []
    else:
        ids = [each for each in call.query.get("ids", "").split(",") if each]
        fields = [each.strip() for each in call.query.get("fields", "").split(",") if each.strip()]
    if not ids or not fields:
        raise bad_request("MALFORMED_QUERY", "ids and fields must be specified")
    if len(ids) > MAX_READ:
        raise bad_request("EXCEEDED_ID_LIMIT", f"cannot retrieve more than {MAX_READ} records in this request")
    return json_answer(records_by_id(org, call, sobject, [str(each) for each in ids], [str(each) for each in fields]))


RESOURCES: tuple[Resource, ...] = (
    resource(r"composite/sobjects", POST=create, PATCH=update, DELETE=delete),
    resource(r"composite/sobjects/(?P<name>\w+)", GET=read, POST=read),
    resource(r"composite/sobjects/(?P<name>\w+)/(?P<field_name>\w+)", PATCH=upsert),
)


def _records_of(call: Call) -> tuple[dict[str, Any], list[Record]]:
    body = call.json_object()
    rows = body.get("records")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad_request("JSON_PARSER_ERROR", "The records list is required at [line:1, column:1]")
    _limit(rows)
    types = [str((row.get("attributes") or {}).get("type")).lower() for row in rows]
    chunks = sum(1 for place, each in enumerate(types) if place == 0 or types[place - 1] != each)
    if chunks > MAX_TYPE_CHUNKS:
        raise bad_request("INVALID_INPUT", f"Cannot have more than {MAX_TYPE_CHUNKS} chunks in a single operation.")
    return body, rows


def _limit(rows: Sequence[object]) -> None:
    if len(rows) > MAX_RECORDS:
        raise bad_request(
            "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {MAX_RECORDS} records in this request"
        )


def _type_of(org: Org, row: Record) -> SObject:
    attributes = row.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    sobject = org.objects.get(str(name).lower()) if name else BY_PREFIX.get(str(row.get("id", row.get("Id")))[:3])
    if sobject is None:
        raise refused("INVALID_TYPE", f"sObject type '{name}' is not supported.")
    seen = org.objects.get(sobject.name.lower())
    if seen is None:
        raise refused("INVALID_TYPE", f"sObject type '{sobject.name}' is not supported.")
    return seen


def _done(record_id: str) -> Result:
    return {"id": record_id, "success": True, "errors": []}


def _failed(error: SalesforceError) -> Result:
    return {"success": False, "errors": [error.row_error()]}


def _written(records: Records, call: Call, rows: list[Record], write: Write, options: dict[str, Any]) -> Answer:
    """Writes row by row; the status is 200 even when every row failed."""
    ids = [next((str(value) for key, value in row.items() if key.lower() == "id"), "") for row in rows]
    struck = struck_rows(records.org.faults, call, ids)
    results: list[Result] = []
    try:
        with records.writing():
            results = [
                _failed(struck[place]) if place in struck else _attempt(write, row) for place, row in enumerate(rows)
            ]
            if options.get("allOrNone") is True and not all(result["success"] for result in results):
                raise _RolledBack
    except _RolledBack:
        results = [_failed(_ROLLED_BACK) if result["success"] else result for result in results]
    return json_answer(results)


def _attempt(write: Write, row: Record) -> Result:
    try:
        return write(row)
    except SalesforceError as refusal:
        return _failed(refusal)
