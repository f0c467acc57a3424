"""Values of a write, checked as Salesforce checks them: types, lengths, picklists, references, what may be written."""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from sandbox.salesforce import stamps
from sandbox.salesforce.catalogue import BY_PREFIX, CATALOGUE
from sandbox.salesforce.errors import SalesforceError, bad_request, refused
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, SObject
from sandbox.salesforce.store import Store

_EMAIL = re.compile(r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$")
_JSON_NAMES = {
    str: "VALUE_STRING", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT",
    dict: "START_OBJECT", list: "START_ARRAY",
}  # fmt: skip


def checked_values(
    store: Store, sobject: SObject, body: Mapping[str, Any], *, creating: bool, objects: Mapping[str, SObject]
) -> dict[str, object]:
    """The columns of a write, in stored form; SalesforceError for the first rule that the values break.

    Absent fields stay absent, null and "" clear a field, text is trimmed.
    """
    values: dict[str, object] = {}
    read_only = []
    for key, value in body.items():
        if key.lower() == "attributes":
            continue
        field = sobject.by_name.get(key.lower())
        if field is None:
            name, found = _by_external_id(store, sobject, key, value, objects)
            values[name] = found
        elif field.name == "Id":
            raise refused("INVALID_FIELD", "The Id field should not be specified in the sobject data.", "Id")
        elif not (field.createable if creating else field.updateable):
            read_only.append(field.name)
        else:
            values[field.name] = _parsed(field, value)
    if read_only:
        raise refused(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            f"Unable to create/update fields: {', '.join(read_only)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set.",
            *read_only,
        )
    _require(sobject, values, creating)
    for name, value in values.items():
        if value is not None:
            _check(store, sobject.by_name[name.lower()], value)
    return values


def _require(sobject: SObject, values: Mapping[str, object], creating: bool) -> None:
    missing = [
        field.name for field in sobject.fields
        if field.required and (values.get(field.name) is None if creating else values.get(field.name, "") is None)
    ]  # fmt: skip
    if missing:
        raise refused("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", *missing)


def _parsed(field: Field, value: Any) -> object:
    """A JSON value in stored form; JSON_PARSER_ERROR where the type does not fit."""
    if value is None:
        return None
    if field.type in TEXT_TYPES or field.type == "reference":
        if not isinstance(value, str):
            raise _wrong_type(field, value)
        text = value.strip() or None
        return id18(text) if text and field.type == "reference" and is_id(text) else text
    if value == "":
        return None
    try:
        if field.type == "boolean":
            return {"true": 1, "false": 0}[str(value).lower()]
        if field.type in NUMBER_TYPES or field.type == "int":
            return _number(field, value)
        if not isinstance(value, str):
            raise ValueError(value)
        if field.type == "date":
            # An instant is accepted for a date field, and cut.
            return stamps.date_of(value[:10] if "T" in value else value).isoformat()
        return stamps.written(stamps.instant_of(value if "T" in value else f"{value}T00:00:00Z"))
    except (KeyError, ValueError, InvalidOperation):
        raise _wrong_type(field, value) from None


def _number(field: Field, value: Any) -> float | int:
    if isinstance(value, bool):
        raise ValueError(value)
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(value)
    whole_digits = (field.precision - field.scale) if field.precision else field.length
    if whole_digits and abs(number) >= 10**whole_digits:
        raise refused(
            "NUMBER_OUTSIDE_VALID_RANGE",
            f"{field.label}: value outside of valid range on numeric field: {value}",
            field.name,
        )
    if field.type == "int":
        if number != int(number):
            raise ValueError(value)
        return int(number)
    return float(number.quantize(Decimal(1).scaleb(-field.scale), ROUND_HALF_UP))


def _wrong_type(field: Field, value: Any) -> SalesforceError:
    shown = str(value).lower() if isinstance(value, bool) else value
    kind = f"VALUE_{shown}".upper() if isinstance(value, bool) else _JSON_NAMES[type(value)]
    wanted = "string" if field.type in TEXT_TYPES else field.type
    return bad_request(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {wanted} from {kind} value {shown} or request may be missing a required field at "
        "[line:1, column:2]",
    )


def _check(store: Store, field: Field, value: object) -> None:
    if field.type == "reference":
        _check_reference(store, field, str(value))
    if field.type not in TEXT_TYPES:
        return
    text = str(value)
    if field.length and len(text) > field.length:
        raise refused(
            "STRING_TOO_LONG", f"{field.label}: data value too large: {text} (max length={field.length})", field.name
        )
    if field.restricted and text not in field.values:
        raise refused(
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{field.label}: bad value for restricted picklist field: {text}",
            field.name,
        )
    if field.type == "email" and not _EMAIL.match(text):
        raise refused("INVALID_EMAIL_ADDRESS", f"{field.label}: invalid email address: {text}", field.name)


def _check_reference(store: Store, field: Field, value: str) -> None:
    target = CATALOGUE.get(str(field.refers_to))
    known = BY_PREFIX.get(value[:3])
    if not is_id(value) or (target is not None and known is not target):
        raise refused("MALFORMED_ID", f"{field.label}: id value of incorrect type: {value}", field.name)
    row = None
    if target is not None:
        deleted = '"IsDeleted"' if target.has("IsDeleted") else "0"
        row = store.connection.execute(
            f'SELECT {deleted} FROM "{target.name}" WHERE "Id" = ?', (id18(value),)
        ).fetchone()
    if row is None:
        raise refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", field.name)
    if row[0]:
        raise refused("ENTITY_IS_DELETED", "entity is deleted", field.name)


def _by_external_id(
    store: Store, sobject: SObject, key: str, value: Any, objects: Mapping[str, SObject]
) -> tuple[str, str | None]:
    """`"Account": {"ERP_Number__c": "C-100"}` → AccountId and the id that it names."""
    reference = sobject.by_relationship.get(key.lower())
    if reference is None or not isinstance(value, (dict, type(None))):
        raise bad_request("INVALID_FIELD", f"No such column '{key}' on sobject of type {sobject.name}")
    if value is None:
        return reference.name, None
    target = objects.get(str(reference.refers_to).lower())
    named = {name: each for name, each in value.items() if name.lower() != "attributes"}
    if target is None or len(named) != 1:
        raise bad_request("INVALID_FIELD", f"The relationship {key} takes exactly one external id")
    ((name, wanted),) = named.items()
    field = target.by_name.get(name.lower())
    if field is None or not (field.external_id or field.name == "Id"):
        raise bad_request("INVALID_FIELD", f"{name} is not an External ID or indexed field for {target.name}")
    found = ids_by_external_id(store, target, field, str(wanted))
    if len(found) != 1:
        raise refused(
            "INVALID_FIELD",
            f"Foreign key external ID: {str(wanted).lower()} not found for field {field.name} in entity {target.name}",
        )
    return reference.name, found[0]


def ids_by_external_id(store: Store, sobject: SObject, field: Field, value: str) -> list[str]:
    """Ids of the live records with this external id; upper and lower case are the same."""
    found = store.connection.execute(
        f'SELECT "Id" FROM "{sobject.name}" WHERE "{field.name}" = ? COLLATE NOCASE AND "IsDeleted" = 0 ORDER BY _row',
        (value,),
    )
    return [row[0] for row in found]
