"""Bulk API 2.0 query jobs at work: a thread writes each job's rows to a CSV file that result pages are cut from."""

import csv
import io
import sqlite3
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sandbox.salesforce.late_rows import LateRow, without
from sandbox.salesforce.org import Org
from sandbox.salesforce.query import plan_of, read_rows, rows_of
from sandbox.salesforce.query_plan import Plan
from sandbox.salesforce.store import connect

JOB_PREFIX = "750"
FOLDER = "salesforce-bulk"
TERMINAL = frozenset({"JobComplete", "Failed", "Aborted"})
DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}

_CHUNK = 5000


class BulkJobs:
    """The query jobs of an org. Results are fixed when a job runs, and repeatable as long as it exists."""

    def __init__(self, org: Org) -> None:
        self._org = org
        self._threads: dict[str, threading.Thread] = {}
        self._folder = org.state_dir / FOLDER

    def job(self, job_id: str) -> dict[str, Any] | None:
        """The columns of a job."""
        cursor = self._org.store.connection.execute("SELECT * FROM _bulk_job WHERE id = ?", (job_id,))
        row = cursor.fetchone()
        return dict(zip((name[0] for name in cursor.description), row, strict=True)) if row else None

    def all(self) -> list[dict[str, Any]]:
        """All jobs, oldest first."""
        ids = self._org.store.connection.execute("SELECT id FROM _bulk_job ORDER BY id").fetchall()
        return [job for (job_id,) in ids if (job := self.job(job_id))]

    def add(self, **columns: object) -> dict[str, Any]:
        """A new job, in UploadComplete; its work begins at once."""
        now = self._org.stamp()
        columns |= {"made_at": now, "changed_at": now, "state": "UploadComplete"}
        self._org.store.connection.execute(
            f"INSERT INTO _bulk_job ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            list(columns.values()),
        )
        self._start(str(columns["id"]))
        return self.job(str(columns["id"])) or {}

    def poll(self, job_id: str) -> dict[str, Any] | None:
        """The job as a poll sees it: in progress at least as often as the switch says, then done when the work is."""
        job = self.job(job_id)
        if job is None or job["state"] in TERMINAL:
            return job
        if job_id not in self._threads:
            self._start(job_id)  # the process was started anew
        polls = job["polls"] + 1
        finished = not self._threads[job_id].is_alive() and job["duration_ms"]
        if polls > self._org.switches["bulk_in_progress_polls"] and finished:
            self.change(job_id, state="Failed" if job["error"] else "JobComplete", polls=polls)
        else:
            self.change(job_id, state="InProgress", polls=polls)
        return self.job(job_id)

    def change(self, job_id: str, **columns: object) -> None:
        """Sets columns of a job."""
        columns["changed_at"] = self._org.stamp()
        names = ", ".join(f"{name} = ?" for name in columns)
        self._org.store.connection.execute(f"UPDATE _bulk_job SET {names} WHERE id = ?", [*columns.values(), job_id])

    def delete(self, job_id: str) -> None:
        """Forgets a job and its results."""
        self._org.store.connection.execute("DELETE FROM _bulk_job WHERE id = ?", (job_id,))
        for path in self._files(job_id):
            path.unlink(missing_ok=True)

    def results(self, job_id: str, start: int, count: int) -> bytes:
        """The CSV of `count` rows from row `start` on, with the header line."""
        data, index = self._files(job_id)
        offsets = array("q", index.read_bytes())
        end = min(start + count, len(offsets) - 2)
        with data.open("rb") as file:
            header = file.read(offsets[0])
            file.seek(offsets[start])
            return header + file.read(offsets[end] - offsets[start])

    # -- the work ----------------------------------------------------------------------------------------------

    def _start(self, job_id: str) -> None:
        # The thread is given what it needs: the org's own connection belongs to the requests.
        job = self.job(job_id) or {}
        plan = plan_of(self._org, job["soql"], all_rows=job["operation"] == "queryAll")
        failure = str(self._org.switches["bulk_error"])
        late = self._org.late.now()
        thread = threading.Thread(
            target=self._work, args=(job, plan, failure, late), daemon=True, name=f"bulk-{job_id}"
        )
        self._threads[job_id] = thread
        thread.start()

    def _work(self, job: dict[str, Any], plan: Plan, failure: str, late: Sequence[LateRow]) -> None:
        started = time.monotonic()
        connection = connect(self._org.store.path)
        error: str | None = failure or None
        records = 0
        try:
            if not error:
                with without(connection, late):
                    records = self._write(connection, job, plan)
        except (sqlite3.Error, OSError) as problem:
            error = f"InternalServerError : {problem}"
        duration_ms = max(1, round((time.monotonic() - started) * 1000))
        connection.execute(
            "UPDATE _bulk_job SET records = ?, duration_ms = ?, error = ? WHERE id = ?",
            (records, duration_ms, error, job["id"]),
        )
        connection.close()

    def _write(self, connection: sqlite3.Connection, job: dict[str, Any], plan: Plan) -> int:
        data, index = self._files(job["id"])
        data.parent.mkdir(parents=True, exist_ok=True)
        rows = rows_of(connection, plan)
        offsets = array("q")
        with data.open("wb") as file:
            header = _line([name for name, *_ in plan.leaves], job)
            offsets.append(file.write(header))
            position = len(header)
            for line in self._lines(connection, job, plan, rows):
                position += file.write(line)
                offsets.append(position)
        offsets.append(position)
        index.write_bytes(offsets.tobytes())
        return len(offsets) - 2

    def _lines(
        self, connection: sqlite3.Connection, job: dict[str, Any], plan: Plan, rows: "array[int]"
    ) -> Iterator[bytes]:
        kinds = [(position, field.type) for _, position, field in plan.leaves]
        for start in range(0, len(rows), _CHUNK):
            chunk = read_rows(connection, plan, rows[start : start + _CHUNK], all_rows=job["operation"] == "queryAll")
            for row in chunk:
                yield _line([_cell(row[position], kind) for position, kind in kinds], job)

    def _files(self, job_id: str) -> tuple[Path, Path]:
        return self._folder / f"{job_id}.csv", self._folder / f"{job_id}.rows"


def _cell(value: object, kind: str) -> object:
    """Bulk writes instants with `Z` where REST writes `+0000`, and truth values as words."""
    if value is None:
        return ""
    if kind == "datetime":
        return str(value).replace("+0000", "Z")
    if kind == "boolean":
        return {0: "false", 1: "true"}.get(value, value)  # type: ignore[call-overload]
    return value


def _line(cells: list[Any], job: dict[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=DELIMITERS[job["delimiter"]],
        quoting=csv.QUOTE_ALL,
        lineterminator=LINE_ENDINGS[job["line_ending"]],
    )
    writer.writerow(cells)
    return text.getvalue().encode("utf-8")
