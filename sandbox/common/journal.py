"""The append-only journal: what was asked of a sandbox, what took effect, what it answered."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox.common.clock import Clock, iso_ms

ASKED, EFFECT, ANSWERED = "asked", "effect", "answered"

COLUMNS = (
    "request_id", "at", "phase", "method", "path", "query", "status", "bytes", "body",
    "effect", "entity", "key", "company", "order", "fields", "values",
)  # fmt: skip
JSON_COLUMNS = frozenset({"fields", "values"})

MAX_BODY_CHARACTERS = 65_536
"""Bodies are kept up to here: a batch of 5,000 operations would otherwise be the biggest thing on the disk."""

SECRET_NAMES = (
    "client_secret", "client_assertion", "assertion", "password", "access_token", "refresh_token", "id_token", "sig",
)  # fmt: skip
MASK = "***"

_JSON_SECRET = re.compile(rf'("(?:{"|".join(SECRET_NAMES)})"\s*:\s*)"(?:[^"\\]|\\.)*"')
_XML_SECRET = re.compile(r"(<(?:\w+:)?(?:password|sessionId)>)[^<]*(</)")
_BEARER = re.compile(r"(?i)(authorization:\s*)[^\r\n]+")


def without_secrets(text: str, *, is_form: bool = False) -> str:
    """`text` of a body or a query with every secret replaced by `***`; headers inside batch parts included."""
    # Some clients send JSON under the form's content type.
    looks_like_form = is_form and not text.lstrip().startswith(("{", "[", "<"))
    if looks_like_form or any(f"{name}=" in text for name in SECRET_NAMES):
        pairs = parse_qsl(text, keep_blank_values=True)
        if pairs:
            text = urlencode([(name, MASK if name in SECRET_NAMES else value) for name, value in pairs])
    text = _JSON_SECRET.sub(rf'\1"{MASK}"', text)
    text = _XML_SECRET.sub(rf"\1{MASK}\2", text)
    return _BEARER.sub(rf"\1{MASK}", text)


class Journal:
    """An append-only SQLite table of entries; its file may be the sandbox's own or one beside it.

    Given `connection` (the sandbox's own, with its transaction open), an effect becomes durable together with the
    change that it tells of, or not at all.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        columns = ", ".join(f'"{name}"' for name in COLUMNS)
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS _journal (seq INTEGER PRIMARY KEY AUTOINCREMENT, {columns})"
        )
        for verb in ("UPDATE", "DELETE"):
            self._connection.execute(
                f"CREATE TRIGGER IF NOT EXISTS _journal_refuses_{verb.lower()} BEFORE {verb} ON _journal "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
        self._insert = f"INSERT INTO _journal ({columns}) VALUES ({', '.join('?' * len(COLUMNS))})"

    def record(self, phase: str, *, connection: sqlite3.Connection | None = None, **fields: Any) -> None:
        """Append one entry; `phase` is asked, effect or answered, `fields` are any of the journal's columns."""
        self.record_many([{"phase": phase, **fields}], connection=connection)

    def record_many(
        self, entries: Iterable[Mapping[str, Any]], *, connection: sqlite3.Connection | None = None
    ) -> None:
        """Append entries that belong together, in their order; unknown columns raise ValueError."""
        at = iso_ms(self._clock.now())
        rows = [_as_row(entry, at) for entry in entries]
        if connection is not None:
            connection.executemany(self._insert, rows)
            return
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(self._insert, rows)

    def entries(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        equal_to: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Entries with `seq` above `after`, oldest first; columns without a value are left out."""
        conditions, parameters = ["seq > ?"], list[Any]([after])
        for name, value in (equal_to or {}).items():
            if name not in COLUMNS:
                raise ValueError(f"The journal has no column {name!r}.")
            conditions.append(f'"{name}" = ?')
            parameters.append(value)
        selected = ", ".join(f'"{name}"' for name in COLUMNS)
        rows = self._connection.execute(
            f"SELECT seq, {selected} FROM _journal WHERE {' AND '.join(conditions)} ORDER BY seq LIMIT ?",
            [*parameters, limit],
        )
        return [_as_entry(row) for row in rows]

    def last(self) -> int:
        """The number of the newest entry, 0 when there is none."""
        return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM _journal").fetchone()[0])

    def close(self) -> None:
        """Close the journal's own connection."""
        self._connection.close()


def body_text(body: bytes, content_type: str = "") -> str | None:
    """A request or answer body as the journal keeps it: text, no secrets, at most 65,536 characters."""
    if not body:
        return None
    text = body[: 4 * MAX_BODY_CHARACTERS].decode("utf-8", errors="replace")
    return without_secrets(text, is_form="x-www-form-urlencoded" in content_type)[:MAX_BODY_CHARACTERS]


def _as_row(entry: Mapping[str, Any], at: str) -> list[Any]:
    unknown = set(entry) - set(COLUMNS)
    if unknown:
        raise ValueError(f"The journal has no column {sorted(unknown)}.")
    return [_stored(name, at if name == "at" and name not in entry else entry.get(name)) for name in COLUMNS]


def _stored(name: str, value: Any) -> Any:
    return json.dumps(value, default=_text_of) if name in JSON_COLUMNS and value is not None else value


def _text_of(value: object) -> str:
    if isinstance(value, datetime):
        return iso_ms(value.replace(tzinfo=value.tzinfo or UTC))
    return str(value)


def _as_entry(row: Sequence[Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"seq": row[0]}
    for name, value in zip(COLUMNS, row[1:], strict=True):
        if value is not None:
            entry[name] = json.loads(value) if name in JSON_COLUMNS else value
    return entry
