"""Values between the wire, Python and the columns: decimals exact, dates at noon, enums by member name."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.d365.catalogue import Property, catalogue
from sandbox.d365.errors import bad_request

Stored = str | int | None
"""What a column holds: text, also for decimals and instants; whole numbers for Int32 and Int64; None for the default."""

NOON = time(12, tzinfo=UTC)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})", re.IGNORECASE)
_INT_RANGES = {"Int32": 2**31, "Int64": 2**63}


def decimal_text(value: Decimal | int | str | float) -> str:
    """`value` as D365 writes numbers: no exponent, no closing zeros, whole ones without a point."""
    number = Decimal(str(value))
    if not number.is_finite():
        raise InvalidOperation(f"{value} is not a number.")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def instant_text(moment: datetime) -> str:
    """`moment` to the second, in UTC, as `2026-08-14T12:00:00Z`."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_text(day: date) -> str:
    """`day` as a value of AX type Date: noon UTC."""
    return instant_text(datetime.combine(day, NOON))


def stored(of: Property, value: Any) -> Stored:
    """A Python value as the column keeps it; None stands for the default.

    Takes what seeds have: Decimal, int, float, str, date, datetime. Raises ValueError or InvalidOperation.
    """
    if value is None:
        return None
    if of.kind == "Decimal":
        return decimal_text(value)
    if of.kind in _INT_RANGES:
        return int(value)
    if of.kind == "DateTimeOffset":
        return _stored_instant(of, value)
    if isinstance(value, bool) and of.enum == "NoYes":
        return "Yes" if value else "No"
    return str(value)


def _stored_instant(of: Property, value: Any) -> str | None:
    if isinstance(value, str):
        if not value:
            return None
        value = datetime.fromisoformat(value)
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
    if isinstance(value, datetime):
        if of.is_utc_date_time:
            return instant_text(value)
        value = value.astimezone(UTC).date() if value.tzinfo else value.date()
    return date_text(value) if not of.is_utc_date_time else instant_text(datetime.combine(value, time(tzinfo=UTC)))


def from_wire(of: Property, value: Any) -> Stored:
    """A value of a written row (JSON, decimals read exactly) as the column keeps it; refuses what does not fit the type."""
    if value is None:
        if of.kind in ("String", "Enum"):
            return None
        raise bad_request(
            f"A null value was found for the property named '{of.name}', which has the expected type "
            f"'{of.edm_type}[Nullable=False]'. The expected type '{of.edm_type}[Nullable=False]' does not allow null values."
        )
    if of.kind in ("Decimal", "Int32", "Int64"):
        return _number_from_wire(of, value)
    if not isinstance(value, str):
        raise bad_request(
            f"Cannot convert a primitive value to the expected type '{of.edm_type}'. "
            "See the inner exception for more details."
        )
    if of.kind == "DateTimeOffset":
        return instant_from_wire(of, value)
    if of.enum:
        return enum_member(of, value)
    if of.kind == "Guid":
        try:
            return str(uuid.UUID(value))
        except ValueError:
            raise _cannot_convert(value, of) from None
    return value


def instant_from_wire(of: Property, value: str) -> str:
    """An instant with its offset; a property of AX type Date keeps the day and moves to noon."""
    if not _INSTANT.fullmatch(value):
        raise _cannot_convert(value, of)
    try:
        return _stored_instant(of, value) or ""
    except ValueError:
        raise _cannot_convert(value, of) from None


def enum_member(of: Property, value: str) -> str:
    """The member's name, also where its number was given."""
    members = catalogue().enums[str(of.enum)]
    if value in members:
        return value
    if value.isdigit() and int(value) in members.values():
        return next(name for name, number in members.items() if number == int(value))
    raise _cannot_convert(value, of)


def _number_from_wire(of: Property, value: Any) -> Stored:
    if isinstance(value, str) and of.kind != "Int32":
        raise bad_request(
            f"Cannot convert a value to target type '{of.edm_type}' because of conflict between input format "
            "string/number and parameter 'IEEE754Compatible' false/true."
        )
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _cannot_convert(value, of)
    if of.kind == "Decimal":
        return decimal_text(value)
    if value != int(value) or not -_INT_RANGES[of.kind] <= value < _INT_RANGES[of.kind]:
        raise _cannot_convert(value, of)
    return int(value)


def _cannot_convert(value: object, of: Property) -> Exception:
    return bad_request(f"Cannot convert the literal '{value}' to the expected type '{of.edm_type}'.")
