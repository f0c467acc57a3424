"""Rows that a query sees later than their SystemModstamp says, as those of a long transaction on a real org.

Salesforce stamps a row when it is written and shows it when its transaction is committed. Here the write is committed at
once and its client told; queries, counts, Bulk jobs and `sobjects/…/updated` see what was there before until the time has
come. Reading a record by its id shows the new version at once, as the one who wrote it sees it. What is late lives in
the process: a sandbox that starts anew shows everything.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.common.clock import Clock


@dataclass(frozen=True, slots=True)
class LateRow:
    """One row whose new version is not seen before `seen_from`; `before` is the version until then, None for no row."""

    sobject: str
    record_id: str
    written_at: datetime
    seen_from: datetime
    before: dict[str, Any] | None


class LateRows:
    """The rows of one org that are late at present."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._rows: dict[tuple[str, str], LateRow] = {}
        self._delay: timedelta | None = None

    @contextmanager
    def writing(self, delay_s: float) -> Iterator[None]:
        """Rows that are written within are late by `delay_s`."""
        self._delay = timedelta(seconds=delay_s)
        try:
            yield
        finally:
            self._delay = None

    def touch(self, sobject: str, record_id: str) -> None:
        """To be told before a row is made or changed. A write that is not late shows an earlier one that was."""
        if self._delay is None:
            self._rows.pop((sobject, record_id), None)
            return
        now = self._clock.now()
        earlier = self._rows.get((sobject, record_id))
        if earlier is not None and earlier.seen_from > now:
            before = earlier.before
        else:
            cursor = self._connection.execute(f'SELECT * FROM "{sobject}" WHERE "Id" = ?', (record_id,))
            row = cursor.fetchone()
            before = None if row is None else dict(zip((name[0] for name in cursor.description), row, strict=True))
        self._rows[sobject, record_id] = LateRow(sobject, record_id, now, now + self._delay, before)

    def now(self) -> list[LateRow]:
        """The rows that are late at this moment; those whose time has come are forgotten."""
        if self._rows:
            now = self._clock.now()
            self._rows = {key: row for key, row in self._rows.items() if row.seen_from > now}
        return list(self._rows.values())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Within, the org's own connection reads what a query sees."""
        with without(self._connection, self.now()):
            yield


@contextmanager
def without(connection: sqlite3.Connection, late: Sequence[LateRow]) -> Iterator[None]:
    """Within, the connection reads earlier versions of these rows. They are put back and taken out inside a savepoint.

    What is read has to be fetched within, and nothing else may be written there: it would be undone.
    """
    if not late:
        yield
        return
    connection.execute("SAVEPOINT late")
    try:
        for row in late:
            if row.before is None:
                connection.execute(f'DELETE FROM "{row.sobject}" WHERE "Id" = ?', (row.record_id,))
            else:
                names = ", ".join(f'"{name}" = ?' for name in row.before)
                connection.execute(
                    f'UPDATE "{row.sobject}" SET {names} WHERE "Id" = ?', [*row.before.values(), row.record_id]
                )
        yield
    finally:
        connection.execute("ROLLBACK TO late")
        connection.execute("RELEASE late")
