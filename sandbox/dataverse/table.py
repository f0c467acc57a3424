"""The one table of the Dataverse sandbox: its columns, what they hold, and its rows."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

TABLE, ENTITY_SET, ID, KEY = "new_integrationlog", "new_integrationlogs", "new_integrationlogid", "new_logkey"
MOST = 100_000_000_000
CHOICES = (100_000_000, 100_000_001)
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z")
_KEY_PATH = re.compile(rf"/?{ENTITY_SET}\({KEY}='((?:[^']|'')*)'\)")
_NOT_IN_KEYS = set("/<>*%&:\\?+")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A column: `kind` as the metadata calls it, `longest` in UTF-16 units."""

    name: str
    kind: str
    longest: int = 0


ATTRIBUTES = {
    each.name: each
    for each in (
        Attribute(ID, "Uniqueidentifier"),
        Attribute("createdon", "DateTime"),
        Attribute("modifiedon", "DateTime"),
        Attribute(KEY, "String", 100),
        Attribute("new_name", "String", 200),
        Attribute("new_attemptid", "Decimal"),
        Attribute("new_at", "DateTime"),
        Attribute("new_runid", "String", 100),
        Attribute("new_direction", "Picklist"),
        Attribute("new_entity", "String", 100),
        Attribute("new_operation", "String", 100),
        Attribute("new_company", "String", 100),
        Attribute("new_businesskey", "String", 200),
        Attribute("new_d365key", "String", 200),
        Attribute("new_outcome", "String", 100),
        Attribute("new_state", "String", 100),
        Attribute("new_reason", "Memo", 4000),
        Attribute("new_httpstatus", "Integer"),
        Attribute("new_durationms", "Integer"),
        Attribute("new_apicalls", "Decimal"),
    )
}


class RowRefusedError(Exception):
    """A row, or the call that holds it, is refused: Dataverse's number and words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Rows:
    """The rows of the table in SQLite, one for each value of the alternate key."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {ENTITY_SET} (id TEXT PRIMARY KEY, log_key TEXT NOT NULL COLLATE NOCASE UNIQUE, "
            "columns TEXT NOT NULL, created_on TEXT NOT NULL, modified_on TEXT NOT NULL)"
        )

    def upsert(self, key: str, values: Mapping[str, Any], now: str) -> bool:
        """Make the row of this key, or change it; returns whether it was made."""
        found = self._connection.execute(f"SELECT id, columns FROM {ENTITY_SET} WHERE log_key = ?", [key]).fetchone()
        if found is None:
            self._connection.execute(
                f"INSERT INTO {ENTITY_SET} VALUES (?, ?, ?, ?, ?)",
                [str(uuid.uuid4()), key, _written({KEY: key, **values}), now, now],
            )
            return True
        changed = json.loads(found[1], parse_float=str) | json.loads(_written(values))
        self._connection.execute(
            f"UPDATE {ENTITY_SET} SET columns = ?, modified_on = ? WHERE id = ?",
            [json.dumps(changed, ensure_ascii=False), now, found[0]],
        )
        return False

    def read(self, key: str | None = None, limit: int = 5000) -> list[dict[str, Any]]:
        """Rows as a client reads them, in the order in which they were made."""
        condition, parameters = ("WHERE log_key = ?", [key]) if key is not None else ("", [])
        found = self._connection.execute(
            f"SELECT id, columns, created_on, modified_on FROM {ENTITY_SET} {condition} ORDER BY rowid LIMIT ?",
            [*parameters, limit],
        )
        return [{ID: row[0], **json.loads(row[1]), "createdon": row[2], "modifiedon": row[3]} for row in found]

    def count(self) -> int:
        """How many rows there are."""
        return int(self._connection.execute(f"SELECT count(*) FROM {ENTITY_SET}").fetchone()[0])


def key_of(target: Mapping[str, Any]) -> str:
    """The alternate key that a target names. Raises RowRefusedError."""
    if target.get("@odata.type") != f"Microsoft.Dynamics.CRM.{TABLE}":
        raise RowRefusedError(
            "0x80048d19", f"A type named '{target.get('@odata.type')}' could not be resolved by the model."
        )
    found = _KEY_PATH.fullmatch(str(target.get("@odata.id", "")))
    if found is None:
        raise RowRefusedError("0x80060891", f"The entity key '{target.get('@odata.id')}' is not a key of {TABLE}.")
    key = found[1].replace("''", "'")
    if _NOT_IN_KEYS & set(key):
        raise RowRefusedError("0x80060891", f"The value '{key}' of {KEY} holds a character that no key may have.")
    return key


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row as they are kept. Raises RowRefusedError for the first that does not fit."""
    return {name: _fitting(name, value) for name, value in values.items() if not name.startswith("@")}


def _fitting(name: str, value: Any) -> Any:
    attribute = ATTRIBUTES.get(name)
    if attribute is None:
        raise RowRefusedError(
            "0x80048d19",
            f"Error identified in Payload provided by the user for Entity :'{ENTITY_SET}'. Invalid property '{name}' was found in "
            f"entity 'Microsoft.Dynamics.CRM.{TABLE}'.",
        )
    if value is None:
        return None
    match attribute.kind:
        case "String" | "Memo":
            return _text(attribute, value)
        case "Picklist":
            if value not in CHOICES or isinstance(value, bool):
                raise _invalid(f"The value {value} of '{name}' is outside the valid range. Accepted Values: {CHOICES}")
        case "Integer":
            if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
                raise _invalid(f"'{name}' takes whole numbers of 32 bits, not {value!r}.")
        case "Decimal":
            if not isinstance(value, (int, Decimal)) or isinstance(value, bool) or abs(Decimal(value)) > MOST:
                raise _invalid(f"'{name}' takes numbers up to {MOST}, not {value!r}.")
        case "DateTime":
            return _second(name, value)
        case _:
            raise _invalid(f"'{name}' is given by the system.")
    return value


def _text(attribute: Attribute, value: Any) -> str | None:
    if not isinstance(value, str):
        raise _invalid(f"Cannot convert {value!r} to the type of '{attribute.name}'.")
    bad = _NOT_XML.search(value)
    if bad is not None:
        raise RowRefusedError(
            "0x80040203", f"'{attribute.name}': hexadecimal value 0x{ord(bad[0]):02X}, is an invalid character."
        )
    if len(value.encode("utf-16-le")) // 2 > attribute.longest:
        raise RowRefusedError(
            "0x80044331",
            f"A validation error occurred.  The length of the '{attribute.name}' attribute of the '{TABLE}' entity exceeded the maximum "
            f"allowed length of '{attribute.longest}'.",
        )
    # An empty text is none.
    return value or None


def _second(name: str, value: Any) -> str:
    """Dataverse keeps whole seconds."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _invalid(f"Cannot convert the literal '{value}' to the expected type 'Edm.DateTimeOffset' of '{name}'.")
    return f"{datetime.fromisoformat(value):%Y-%m-%dT%H:%M:%SZ}"


def _invalid(message: str) -> RowRefusedError:
    return RowRefusedError("0x8004431a", f"A validation error occurred. {message}")


def _written(values: Mapping[str, Any]) -> str:
    # Decimals are kept as texts, so that not a digit is lost.
    return json.dumps(values, default=str, ensure_ascii=False)
