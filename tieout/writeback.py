"""Write-back: the smallest update of each Salesforce record, in the form that Salesforce takes.

Pure. Which fields hold a wrong copy is found by `reconciliation.mirror_changes` and, for records that were just made, by `copies.py`. An
update that would change nothing is not made: Salesforce would stamp the record as changed, and every other system would read it again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Final


class Unknown(Enum):
    """A value that nobody looked at; not the same as an empty one."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What one field of one record has to hold; `field` is the API name, None clears it. Where the present value is known, it is compared."""

    salesforce_id: str
    field: str
    wanted_value: object
    current_value: object = UNKNOWN


@dataclass(frozen=True, slots=True)
class RecordUpdate:
    """The fields of one record that change, each in the form of the API."""

    salesforce_id: str
    fields: Mapping[str, object]


def updates_of(changes: Iterable[FieldChange], *, synced_at_field: str | None, now: datetime) -> list[RecordUpdate]:
    """One update for each record that changes, in the order in which the records are first named.

    The last word on a field counts. `synced_at_field` is set to `now`, and only where something else changes.
    """
    records: dict[str, dict[str, object]] = {}
    for change in changes:
        fields = records.setdefault(change.salesforce_id, {})
        fields.pop(change.field, None)
        wanted = api_value(change.wanted_value)
        if change.current_value is UNKNOWN or not is_same(api_value(change.current_value), wanted):
            fields[change.field] = wanted
    stamp = {synced_at_field: api_value(now)} if synced_at_field is not None else {}
    return [RecordUpdate(salesforce_id, fields | stamp) for salesforce_id, fields in records.items() if fields]


def api_value(value: object) -> object:
    """A value as the REST API takes it: dates and instants as text, decimals without padding, an empty text as None.

    Salesforce trims texts and stores an empty one as nothing. Instants need a zone (ValueError), money must not be a float (TypeError).
    """
    match value:
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"{value} has no time zone")
            return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return value.isoformat()
        case Decimal():
            shortened = value.normalize()
            return shortened.quantize(Decimal(1)) if shortened == shortened.to_integral_value() else shortened
        case str():
            return value.strip() or None
        case float():
            raise TypeError(f"{value!r}: a float cannot hold money. Use Decimal.")
    return value


def is_same(current: object, wanted: object) -> bool:
    """Whether two values in the form of the API are one and the same to Salesforce; nothing is not zero, and true is not one."""
    if isinstance(current, bool) or isinstance(wanted, bool):
        return current is wanted
    return current == wanted
