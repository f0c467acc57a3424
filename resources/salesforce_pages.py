"""Salesforce's answers to a query, put on disk page by page as they come: by REST, or by the Bulk API where they are many."""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from resources.bulk_progress import BulkProgress, progress_in
from resources.salesforce_session import SalesforceSession
from tieout import query_page
from tieout.errors import RequestRefused, SourceUnavailable, TieoutError

log = logging.getLogger(__name__)

_BULK_PAGE_ROWS = 50_000
_TRIES_OF_LOCATOR = 3
_CHUNK_BYTES = 1 << 20
_FIRST_POLL_S, _POLL_GROWTH, _LONGEST_POLL_S = 0.5, 1.5, 15.0
_LONGEST_JOB_S = 2 * 60 * 60
_ENDED = frozenset({"JobComplete", "Failed", "Aborted"})


class IncompleteResultError(SourceUnavailable):
    """A job's result cannot be right, so it is not gone on with."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The files of one query in their order, and how many records Salesforce says they hold.

    `started_at`: when what they hold was read, where that was not now.
    """

    files: tuple[Path, ...]
    rows: int
    started_at: datetime | None = None


def rest_pages(session: SalesforceSession, statements: Iterable[str], folder: Path, name: str) -> Pages:
    """The records of all statements, deleted ones included: one JSON array a file, the bytes as they came."""
    files: list[Path] = []
    rows = 0
    for number, statement in enumerate(statements, start=1):
        read = _pages_of(session, statement, folder, f"{name}-{number:05}")
        files += read.files
        rows += read.rows
    return Pages(tuple(files), rows)


def _pages_of(session: SalesforceSession, statement: str, folder: Path, name: str) -> Pages:
    """The pages of one statement. A locator that expires between two pages takes the whole answer along, so it is asked for anew."""
    for tries_left in reversed(range(_TRIES_OF_LOCATOR)):
        files: list[Path] = []
        try:
            return _pages_once(session, statement, folder, name, files)
        except RequestRefused as refusal:
            if refusal.code != "INVALID_QUERY_LOCATOR" or not tries_left:
                raise
            log.warning("salesforce.locator_expired", extra={"pages": name, "tries_left": tries_left})
            for file in files:
                file.unlink()
    raise AssertionError("the last try returns or raises")


def _pages_once(session: SalesforceSession, statement: str, folder: Path, name: str, files: list[Path]) -> Pages:
    page = _rest_page(session, "queryAll/", {"q": statement})
    rows = page.total
    seen: set[str] = set()
    while True:
        file = folder / f"{name}-{len(files) + 1:05}.json"
        file.write_bytes(page.records)
        files.append(file)
        if page.next_path is None:
            return Pages(tuple(files), rows)
        if page.next_path in seen:
            raise SourceUnavailable(f"Salesforce's pages of {name} go round in a circle. Run it again.")
        seen.add(page.next_path)
        page = _rest_page(session, page.next_path, {})


def _rest_page(session: SalesforceSession, path: str, params: dict[str, str]) -> query_page.QueryPage:
    def whole() -> bytes:
        # `raw.read` takes the body in one piece; `.content` would gather it in slices of 10 KiB.
        with session.call("GET", path, params=params, stream=True) as answer:
            return bytes(answer.raw.read(decode_content=True))

    return query_page.cut(session.asked(whole))


def bulk_pages(session: SalesforceSession, statement: str, folder: Path, name: str, keep: Path | None = None) -> Pages:
    """The records of a statement, deleted ones included: CSV with a header line in every file.

    A token that dies is renewed within the call that met it, so job and position live on. The job is removed at the end, unless `keep`
    names a folder: what is left there of a read that broke off is gone on with behind its last page, by whoever asks the same the next time.
    """
    with progress_in(keep or folder / name, statement) as kept:
        progress = kept or BulkProgress(folder, statement)
        try:
            pages = _pages_of_job(session, progress, name)
        except BaseException as problem:
            if keep is None or kept is None or not _may_go_on(problem):
                _remove(session, progress.job, ended=False)
                progress.forget()
            raise
        _remove(session, progress.job, ended=True)
        return replace(pages, files=progress.handed_over(folder) if kept is not None else pages.files)


def _may_go_on(problem: BaseException) -> bool:
    """Whether the job is still good after this: Salesforce could not be reached, may not be asked any more today, or we were stopped."""
    return not isinstance(problem, (RequestRefused, IncompleteResultError))


def _pages_of_job(session: SalesforceSession, progress: BulkProgress, name: str) -> Pages:
    if progress.job and not _is_there(session, progress.job):
        progress.forget()
    if not progress.job:
        order = {
            "operation": "queryAll",
            "query": progress.statement,
            "contentType": "CSV",
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        job = session.asked(lambda: session.call("POST", "jobs/query", json=order).json()["id"])
        progress.begin(job, session.server_time())
    elif progress.pages:
        log.info("salesforce.bulk.resumed", extra={"table": name, "pages": len(progress.pages), "rows": progress.rows})
    expected = _rows_when_complete(session, progress.job, name)
    _fetch_pages(session, progress, name)
    if progress.rows != expected:
        raise IncompleteResultError(
            f"Salesforce's job {progress.job} found {expected:,} records of {name} and handed out {progress.rows:,}. Run it again."
        )
    return Pages(progress.files, progress.rows, progress.started_at)


def _is_there(session: SalesforceSession, job: str) -> bool:
    try:
        session.asked(lambda: session.call("GET", f"jobs/query/{job}"))
    except RequestRefused as refusal:
        if refusal.status == 404:
            return False
        raise
    return True


def _rows_when_complete(session: SalesforceSession, job: str, name: str) -> int:
    begun, pause = time.monotonic(), _FIRST_POLL_S
    while True:
        state = session.asked(lambda: session.call("GET", f"jobs/query/{job}").json())
        if state["state"] == "JobComplete":
            return int(state["numberRecordsProcessed"])
        if state["state"] in _ENDED:
            told = " ".join(str(state.get("errorMessage") or "without a reason").split())
            raise RequestRefused(
                f"Salesforce's job {job} for {name} ended as {state['state']}: {told}", code=state["state"]
            )
        if time.monotonic() - begun > _LONGEST_JOB_S:
            raise SourceUnavailable(
                f"Salesforce's job {job} for {name} is not done after {_LONGEST_JOB_S // 60} minutes."
            )
        session.sleep(pause)
        pause = min(pause * _POLL_GROWTH, _LONGEST_POLL_S)


def _fetch_pages(session: SalesforceSession, progress: BulkProgress, name: str) -> None:
    """The pages that are not there yet."""
    seen: set[str] = set()
    while not progress.pages or progress.locator:
        if progress.locator in seen:
            raise IncompleteResultError(f"Salesforce's pages of {name} go round in a circle. Run it again.")
        seen.add(progress.locator)
        file = progress.folder / f"{name}-{len(progress.pages) + 1:05}.csv"
        count, locator = _result_page(session, progress.job, progress.locator, file)
        progress.took(file, count, locator)


def _result_page(session: SalesforceSession, job: str, locator: str, file: Path) -> tuple[int, str]:
    """Rows of the page that is now in `file`, and where the next one starts; empty at the end."""
    params = {"maxRecords": str(_BULK_PAGE_ROWS)} | ({"locator": locator} if locator else {})

    def stored() -> tuple[int, str]:
        with (
            session.call("GET", f"jobs/query/{job}/results", accept="text/csv", params=params, stream=True) as answer,
            file.open("wb") as page,
        ):
            for chunk in answer.raw.stream(_CHUNK_BYTES, decode_content=True):
                # NUL bytes occur in long texts, and no reader of CSV takes them.
                page.write(chunk.replace(b"\0", b""))
        following = answer.headers.get("Sforce-Locator", "null")
        return int(answer.headers["Sforce-NumberOfRecords"]), "" if following == "null" else following

    return session.asked(stored)


def _remove(session: SalesforceSession, job: str, *, ended: bool) -> None:
    """Remove a job, if there is one. Salesforce removes jobs by itself after seven days, so trouble here is told and no more."""
    if not job:
        return
    try:
        if not ended:
            try:
                session.asked(lambda: session.call("PATCH", f"jobs/query/{job}", json={"state": "Aborted"}))
            except RequestRefused:
                log.debug("salesforce.job.had_ended", extra={"job": job})
        session.asked(lambda: session.call("DELETE", f"jobs/query/{job}"))
    except TieoutError as problem:
        log.warning("salesforce.job.left", extra={"job": job, "reason": str(problem)})
