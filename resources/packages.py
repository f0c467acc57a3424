"""Whole tables by the data management package API: an export for each company is ordered, waited for, fetched and laid out as pages.

Made for what is too much for OData (`facts/d365.md`, 4.4), and not throttled by service protection (3). Only reading: orders are made in a
changeset alone, because exactly-once rests on it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from resources.d365 import D365Client, TableRead
from resources.web_session import session_for
from tieout.contract import Table
from tieout.data_package import manifest_of, write_pages
from tieout.errors import RecordError, RequestRefused, SourceUnavailable
from tieout.page_files import PageFiles
from tieout.settings import is_loopback

log = logging.getLogger(__name__)

LONGEST_EXPORT_S = 1800.0
"""How long the executions of one table may take together: a run has two hours for everything."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
_DOWNLOAD_TRIES = 3
_CHUNK_BYTES = 1024 * 1024
_SUCCEEDED = "Succeeded"
_AT_WORK = {"Unknown", "NotRun", "Queued", "Executing"}


class PackageExports:
    """Reads tables by export projects, one execution at a time: D365 works them off as batch jobs."""

    def __init__(
        self, client: D365Client, *, ca_bundle: Path | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._ca_bundle = ca_bundle
        self._sleep = sleep
        self._waited_s = 0.0

    def pages(self, table: Table, project: str, companies: Sequence[str], folder: Path) -> TableRead:
        """All rows of `table` in `companies`, by export `project`. Complete where they are as many as D365 counts over all companies.

        Raises SourceUnavailable where an export fails or a package is not what it should be, RequestRefused where D365 refuses it.
        """
        self._waited_s = 0.0
        before, started_at = self._client.counted(table.source)
        files: list[Path] = []
        rows = 0
        for company in companies:
            package = self._exported(project, company, folder)
            try:
                manifest = manifest_of(package)
                if manifest.is_incremental:
                    raise RecordError("only what changed; set its refresh type to *Full push only*")
                its_files, its_rows = write_pages(package, manifest, table, company, folder)
            except RecordError as error:
                raise SourceUnavailable(f"Export project {project} of D365 gave {error}.") from error
            finally:
                package.unlink()
            files += its_files
            rows += its_rows
        after, ended_at = self._client.counted(table.source)
        problem = ""
        if (before == after and rows != before) or rows < min(before, after):
            problem = (
                f"{table.source}: {rows} rows arrived in packages of {', '.join(companies)}; D365 counted {before} in all companies before the "
                f"export and {after} after it."
            )
        pages = PageFiles(tuple(files), "json", after, started_at, ended_at)
        return TableRead(pages, rows, not problem, problem)

    def _exported(self, project: str, company: str, folder: Path) -> Path:
        """The package of one company, on disk."""
        # Our own id, so that an order whose answer was lost can be asked after and is not given twice.
        execution = f"{project}-{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}-{uuid.uuid4().hex}"
        order: dict[str, str | bool] = {
            "definitionGroupId": project,
            "packageName": execution,
            "executionId": execution,
            "reExecute": True,
            "legalEntityId": company,
        }
        try:
            self._client.package_action("ExportToPackage", order)
        except RequestRefused:
            # Said of an order that was given again after its answer was lost, too.
            if self._status(execution) is None:
                raise
        self._wait_for(execution, project, company)
        return self._fetched(execution, folder)

    def _wait_for(self, execution: str, project: str, company: str) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            status = self._status(execution)
            if status == _SUCCEEDED:
                return
            if status is not None and status not in _AT_WORK:
                said = self._client.package_action("GetExecutionErrors", {"executionId": execution}).strip()
                raise SourceUnavailable(
                    f"Export project {project} of D365 ended as {status} for company {company}{f': {said}' if said else ''}. "
                    f"Execution {execution} has the details, in D365 under Data management > Job history."
                )
            if self._waited_s >= LONGEST_EXPORT_S:
                raise SourceUnavailable(
                    f"Export project {project} of D365 is still {status or 'not known'} for company {company} after {self._waited_s / 60:.0f} minutes "
                    f"(execution {execution}). Check that the batch service of D365 runs."
                )
            self._sleep(pause)
            self._waited_s += pause
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def _status(self, execution: str) -> str | None:
        """`None` while D365 has no record of the execution, which it says by a refusal."""
        try:
            return self._client.package_action("GetExecutionSummaryStatus", {"executionId": execution})
        except RequestRefused as refusal:
            if "not found" in str(refusal):
                return None
            raise

    def _fetched(self, execution: str, folder: Path) -> Path:
        """The package, streamed to disk. Its address lives for a while only, so it is asked for anew with each try."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{uuid.uuid4().hex}.zip"
        problem = ""
        for tried in range(_DOWNLOAD_TRIES):
            if tried:
                self._sleep(_FIRST_PAUSE_S)
            url = self._client.package_action("GetExportedPackageUrl", {"executionId": execution})
            problem = self._download(url, file) if url else "D365 names no address for it"
            if not problem:
                return file
            log.warning("d365.package_download_failed", extra={"execution": execution, "problem": problem})
        file.unlink(missing_ok=True)
        raise SourceUnavailable(f"The package of execution {execution} could not be fetched: {problem}.")

    def _download(self, url: str, file: Path) -> str:
        """Why it failed; empty where the whole package is in `file`. No token goes along: the address is signed by itself, and never logged."""
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(url):
            return "its address is not https"
        with session_for(url, self._ca_bundle) as session:
            try:
                with session.get(url, stream=True, allow_redirects=False) as response, file.open("wb") as out:
                    if response.status_code != 200:
                        return f"{parts.hostname} answers HTTP {response.status_code}"
                    for chunk in response.iter_content(_CHUNK_BYTES):
                        out.write(chunk)
                    expected = response.headers.get("Content-Length", "")
                    if expected.isdigit() and out.tell() != int(expected):
                        return f"{out.tell():,} of {int(expected):,} bytes came from {parts.hostname}"
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                return f"{parts.hostname} cannot be reached or broke off ({type(error).__name__})"
        return ""
