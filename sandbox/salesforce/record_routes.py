"""`sobjects/…`: one record at a time, by id or by external id, and what was changed or deleted in a span of time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from sandbox.salesforce import platform_events, stamps
from sandbox.salesforce.describe import known_object, metadata
from sandbox.salesforce.errors import SalesforceError, bad_request, entity_is_deleted, not_found
from sandbox.salesforce.faults import struck_rows
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import Answer, Call, Resource, json_answer, no_content, resource
from sandbox.salesforce.query import plan_of, read_rows
from sandbox.salesforce.records import Records, SeveralMatches
from sandbox.salesforce.schema import Field, SObject

HISTORY = timedelta(days=30)


def create(org: Org, call: Call, name: str) -> Answer:
    event = platform_events.known(name)
    if event is not None:
        _meet_faults(org, call)
        return platform_events.published(org, call, event)
    sobject = known_object(org, name)
    _meet_faults(org, call)
    created = Records(org, call.request_id).create(sobject, call.json_object())
    location = call.url(f"sobjects/{sobject.name}/{created}")
    return json_answer({"id": created, "success": True, "errors": []}, 201, Location=location)


def read(org: Org, call: Call, name: str, record_id: str) -> Answer:
    sobject = known_object(org, name)
    record = one_record(org, call, sobject, record_id, _wanted(call))
    if record is None:
        raise _missing(org, call, sobject, record_id)
    return json_answer(record)


def update(org: Org, call: Call, name: str, record_id: str) -> Answer:
    _meet_faults(org, call, record_id)
    Records(org, call.request_id).update(known_object(org, name), record_id, call.json_object())
    return no_content()


def delete(org: Org, call: Call, name: str, record_id: str) -> Answer:
    sobject = known_object(org, name)
    if not record_id.startswith(sobject.prefix):
        raise not_found()
    _meet_faults(org, call, record_id)
    Records(org, call.request_id).delete(record_id)
    return no_content()


def read_by_external_id(org: Org, call: Call, name: str, field_name: str, value: str) -> Answer:
    sobject, field = _external(org, name, field_name)
    found = _found(org, call, sobject, field, value)
    if isinstance(found, Answer):
        return found
    record = one_record(org, call, sobject, found, _wanted(call)) if found else None
    if record is None:
        raise not_found()
    return json_answer(record)


def upsert(org: Org, call: Call, name: str, field_name: str, value: str) -> Answer:
    sobject, field = _external(org, name, field_name)
    body = call.json_object()
    if any(key.lower() == field.name.lower() for key in body):
        raise SalesforceError(
            400, "INVALID_FIELD", f"The {field.name} field should not be specified in the sobject data.", [field.name]
        )
    _meet_faults(org, call)
    records = Records(org, call.request_id)
    if field.name == "Id":
        return _upserted(call, sobject, records.update(sobject, unquote(value), body), created=False)
    update_only = call.query.get("updateOnly", "").lower() == "true"
    try:
        written, created = records.upsert(sobject, field, unquote(value), body, update_only=update_only)
    except SeveralMatches as several:
        return _choices(call, sobject, several.ids)
    return _upserted(call, sobject, written, created=created)


def _upserted(call: Call, sobject: SObject, written: str, *, created: bool) -> Answer:
    body = {"id": written, "success": True, "errors": [], "created": created}
    headers = {"Location": call.url(f"sobjects/{sobject.name}/{written}")} if created else {}
    return json_answer(body, 201 if created else 200, **headers)


def delete_by_external_id(org: Org, call: Call, name: str, field_name: str, value: str) -> Answer:
    sobject, field = _external(org, name, field_name)
    found = _found(org, call, sobject, field, value)
    if isinstance(found, Answer):
        return found
    if found is None:
        raise not_found()
    _meet_faults(org, call, found)
    Records(org, call.request_id).delete(found)
    return no_content()


def updated(org: Org, call: Call, name: str) -> Answer:
    sobject, start, end = _span(org, call, name)
    covered = min(end, org.now(), *(late.written_at for late in org.late.now()))
    with org.late.hidden():
        rows = org.store.connection.execute(
            f'SELECT "Id" FROM "{sobject.name}" WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? '
            'AND "IsDeleted" = 0 ORDER BY "SystemModstamp", "Id"',
            (stamps.written(start), stamps.written(end)),
        ).fetchall()
    # Salesforce's own watermark stays at the start of the oldest transaction that is still open.
    return json_answer({"ids": [row[0] for row in rows], "latestDateCovered": stamps.written(covered)})


def deleted(org: Org, call: Call, name: str) -> Answer:
    sobject, start, end = _span(org, call, name)
    with org.late.hidden():
        rows = org.store.connection.execute(
            f'SELECT "Id", "SystemModstamp" FROM "{sobject.name}" WHERE "SystemModstamp" >= ? '
            'AND "SystemModstamp" < ? AND "IsDeleted" = 1 ORDER BY "SystemModstamp", "Id"',
            (stamps.written(start), stamps.written(end)),
        ).fetchall()
    return json_answer({
        "deletedRecords": [{"id": row[0], "deletedDate": row[1]} for row in rows],
        "earliestDateAvailable": stamps.written(org.now() - HISTORY),
        "latestDateCovered": stamps.written(min(end, org.now())),
    })  # fmt: skip


RESOURCES: tuple[Resource, ...] = (
    resource(r"sobjects/(?P<name>\w+)", GET=metadata, POST=create),
    resource(r"sobjects/(?P<name>\w+)/updated", GET=updated),
    resource(r"sobjects/(?P<name>\w+)/deleted", GET=deleted),
    resource(r"sobjects/(?P<name>\w+)/(?P<record_id>[^/]+)", GET=read, PATCH=update, DELETE=delete),
    resource(
        r"sobjects/(?P<name>\w+)/(?P<field_name>\w+)/(?P<value>[^/]+)",
        GET=read_by_external_id, PATCH=upsert, DELETE=delete_by_external_id,
    ),
)  # fmt: skip


def one_record(
    org: Org, call: Call, sobject: SObject, record_id: str, fields: Sequence[str] | None
) -> dict[str, Any] | None:
    """The live record with the wanted fields, all of them when None; None when there is no such record."""
    return records_by_id(org, call, sobject, [record_id], fields)[0]


def records_by_id(
    org: Org, call: Call, sobject: SObject, ids: Sequence[str], fields: Sequence[str] | None
) -> list[dict[str, Any] | None]:
    """The live records of these ids in their order, None for each that is not there."""
    names = list(dict.fromkeys(fields or [field.name for field in sobject.fields]))
    for name in names:
        if "." not in name and not sobject.has(name):
            raise bad_request("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
    plan = plan_of(org, f"SELECT {', '.join(names)} FROM {sobject.name}", all_rows=False)
    assert plan.shape is not None
    numbers = {
        row[1]: row[0]
        for chunk in (ids[start : start + 500] for start in range(0, len(ids), 500))
        for row in org.store.connection.execute(
            f'SELECT _row, "Id" FROM "{sobject.name}" WHERE "Id" IN ({", ".join("?" * len(chunk))})',
            [id18(each) if is_id(each) else each for each in chunk],
        )
    }
    shape = plan.shape.seal(call.version)
    found = {
        row[0]: shape.record(row)
        for row in read_rows(org.store.connection, plan, numbers.values(), all_rows=False)
    }  # fmt: skip
    return [found.get(id18(each) if is_id(each) else each) for each in ids]


def _meet_faults(org: Org, call: Call, record_id: str = "") -> None:
    """Refuse a write of one record when a fault says so."""
    for refusal in struck_rows(org.faults, call, [record_id]).values():
        raise refusal


def _wanted(call: Call) -> list[str] | None:
    named = [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]
    return named or None


def _missing(org: Org, call: Call, sobject: SObject, record_id: str) -> SalesforceError:
    row = Records(org, call.request_id).row(sobject, id18(record_id)) if is_id(record_id) else None
    if row is not None and row.get("IsDeleted"):
        return entity_is_deleted()
    return not_found(
        "The requested resource does not exist"
        if is_id(record_id)
        else f"Provided external ID field does not exist or is not accessible: {record_id}"
    )


def _external(org: Org, name: str, field_name: str) -> tuple[SObject, Field]:
    sobject = known_object(org, name)
    field = sobject.by_name.get(field_name.lower())
    if field is None or not (field.external_id or field.name == "Id"):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {field_name}")
    return sobject, field


def _found(org: Org, call: Call, sobject: SObject, field: Field, value: str) -> str | Answer | None:
    if field.name == "Id":
        return unquote(value)
    try:
        return Records(org, call.request_id).by_external_id(sobject, field, unquote(value))
    except SeveralMatches as several:
        return _choices(call, sobject, several.ids)


def _choices(call: Call, sobject: SObject, ids: Sequence[str]) -> Answer:
    return json_answer([call.url(f"sobjects/{sobject.name}/{each}") for each in ids], 300)


def _span(org: Org, call: Call, name: str) -> tuple[SObject, datetime, datetime]:
    sobject = known_object(org, name)
    if not sobject.has("IsDeleted"):
        raise SalesforceError(400, "INVALID_REPLICATION_DATE", f"{sobject.name} is not replicateable")
    try:
        # An unencoded plus sign arrives as a blank.
        start, end = (stamps.instant_of(call.query[key].replace(" ", "+")) for key in ("start", "end"))
    except (KeyError, ValueError):
        raise bad_request("INVALID_REPLICATION_DATE", "startDate and endDate must be valid instants") from None
    if start >= end:
        raise bad_request("INVALID_REPLICATION_DATE", "startDate should be before endDate")
    if start < org.now() - HISTORY:
        raise bad_request("INVALID_REPLICATION_DATE", "startDate cannot be more than 30 days ago")
    return sobject, start, end
