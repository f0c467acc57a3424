"""The one list of the Graph sandbox: its columns, what they hold, and its items."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

SITE_ID = "contoso.sharepoint.com,8f52f9ad-4f4f-4739-b682-7c0283207937,a8c8bd0a-4c3e-4d26-a1ff-1f6b0a5bd9d5"
LIST_ID = "b57af081-936c-4803-a120-d94887b03864"
KEY = "LogKey"
CHOICES = ("To D365", "To Salesforce")
LONGEST_LINE, LONGEST_NOTE = 255, 63_999
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z")


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its facet, and whether it may hold several lines."""

    name: str
    facet: str
    is_note: bool = False

    def described(self, *, key_is_unique: bool) -> dict[str, Any]:
        """As Graph describes it."""
        facet: dict[str, Any] = {}
        match self.facet:
            case "text":
                facet = {"allowMultipleLines": self.is_note, "textType": "plain"}
                if not self.is_note:
                    facet["maxLength"] = LONGEST_LINE
            case "choice":
                facet = {"choices": list(CHOICES), "allowTextEntry": False}
        is_unique = self.name == KEY and key_is_unique
        return {
            "name": self.name,
            "displayName": self.name,
            "indexed": is_unique,
            "enforceUniqueValues": is_unique,
            self.facet: facet,
        }


FIELDS = {
    each.name: each
    for each in (
        *(
            Field(name, "text")
            for name in (
                "Title", KEY, "RunId", "Entity", "Operation", "Company", "BusinessKey", "D365Key", "Outcome", "State",
            )
        ),
        Field("Reason", "text", is_note=True),
        Field("Direction", "choice"),
        Field("At", "dateTime"),
        *(Field(name, "number") for name in ("AttemptId", "HttpStatus", "DurationMs", "ApiCalls")),
    )
}  # fmt: skip


class ItemRefusedError(Exception):
    """A request is refused: Graph's code and words."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Items:
    """The items of the list in SQLite; the key is unique only where the list says so."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TABLE IF NOT EXISTS sharepoint_items (id INTEGER PRIMARY KEY AUTOINCREMENT, log_key TEXT COLLATE NOCASE, "
            "fields TEXT NOT NULL, created TEXT NOT NULL)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS sharepoint_items_log_key ON sharepoint_items (log_key)")

    def add(self, fields: Mapping[str, Any], now: str) -> int:
        """Make an item; returns its id."""
        made = self._connection.execute(
            "INSERT INTO sharepoint_items (log_key, fields, created) VALUES (?, ?, ?)",
            [fields.get(KEY), json.dumps(fields, default=float, ensure_ascii=False), now],
        )
        return int(made.lastrowid or 0)

    def read(self, key: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """Items with their fields, in the order in which they were made."""
        condition, parameters = ("WHERE log_key = ?", [key]) if key is not None else ("", [])
        found = self._connection.execute(
            f"SELECT id, fields FROM sharepoint_items {condition} ORDER BY id LIMIT ?", [*parameters, limit]
        )
        return [{"id": str(row[0]), "fields": json.loads(row[1])} for row in found]

    def count(self) -> int:
        """How many items there are."""
        return int(self._connection.execute("SELECT count(*) FROM sharepoint_items").fetchone()[0])


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item as they are kept. Raises ItemRefusedError for the first that does not fit."""
    return {name: _fitting(name, value) for name, value in fields.items()}


def _fitting(name: str, value: Any) -> Any:
    field = FIELDS.get(name)
    if field is None:
        raise ItemRefusedError("invalidRequest", f"Field '{name}' is not recognized")
    if value is None:
        return None
    match field.facet:
        case "number":
            if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
                raise _general()
            # SharePoint keeps a number as a binary fraction of 15 digits.
            return float(value)
        case "dateTime":
            if not isinstance(value, str) or not _INSTANT.fullmatch(value):
                raise _general()
            return f"{datetime.fromisoformat(value):%Y-%m-%dT%H:%M:%SZ}"
        case "choice":
            if value not in CHOICES:
                raise _general()
            return value
    if not isinstance(value, str) or _NOT_XML.search(value):
        raise _general()
    longest = LONGEST_NOTE if field.is_note else LONGEST_LINE
    if len(value.encode("utf-16-le")) // 2 > longest or (not field.is_note and re.search("[\r\n]", value)):
        raise _general()
    return value


def _general() -> ItemRefusedError:
    """Graph says no more than this of a value that SharePoint does not take."""
    return ItemRefusedError("generalException", "General exception while processing")
