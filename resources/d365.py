"""What is asked of D365: metadata, counts, pages to disk, rows, one row by its key, and writes in batches.

How a call goes wrong is in `d365_http.py`; how OData is written is in `tieout/odata.py`.
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from resources.d365_http import D365Http, Page
from resources.entra import EntraSignIn
from resources.web_session import READ_TIMEOUT_S
from tieout.answer import Answer, NoAnswer
from tieout.batch import Changeset, build_batch, build_reads, parse_batch
from tieout.budget import Budget
from tieout.contract import Table
from tieout.errors import RecordError, SourceUnavailable
from tieout.odata import Envelope, behind, cut_envelope, json_body, key_path, path_of_next_page, query_string
from tieout.page_files import PageFiles
from tieout.settings import D365Settings

_PAGE_ROWS = 10_000
"""Rows asked for at once: the most that D365 gives."""
_READS_IN_BATCH = 10
"""Lists of keys that travel in one call: some 200 records. Practitioners begin with 10 operations in a batch."""
_PACKAGE_ACTIONS = "DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities"
_EDM = "{http://docs.oasis-open.org/odata/ns/edm}"


@dataclass(frozen=True, slots=True)
class TableRead:
    """One read of one table. `complete` is the proof: walked by key range to its end, with as many rows as the counts before and after allow.

    `problem` says in words why a read is not complete; without the proof nobody may conclude that a record is missing.
    """

    pages: PageFiles
    rows_read: int
    complete: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BatchReply:
    """One answer for each changeset, the calls that it took, and its time from the first byte to the last."""

    answers: tuple[Answer | NoAnswer, ...]
    calls: int
    duration_ms: int


class D365Client:
    """One D365 environment. Every read crosses companies: without that, rows outside the default company are silently missing."""

    def __init__(
        self,
        settings: D365Settings,
        *,
        ca_bundle: Path | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        sleep: Callable[[float], None] = time.sleep,
        sign_in: EntraSignIn | None = None,
        budget: Budget | None = None,
        wait_file: Path | None = None,
    ) -> None:
        # Behind a gateway the token is still made for the environment itself: its sign-in can be given.
        sign_in = sign_in or EntraSignIn(settings, ca_bundle)
        self._http = D365Http(
            settings,
            sign_in,
            ca_bundle=ca_bundle,
            read_timeout_s=read_timeout_s,
            sleep=sleep,
            budget=budget,
            wait_file=wait_file,
        )

    def __enter__(self) -> "D365Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def api_calls(self) -> int:
        """Calls made so far by this client. Signing in is Entra's and does not count."""
        return self._http.calls

    def server_now(self) -> datetime:
        """D365's clock, UTC, to the second."""
        return self._page(f"{self._http.service_root}").at

    def entity_sets(self) -> tuple[str, ...]:
        """The names in the service document: the shortest question that needs a token."""
        document = self._json(f"{self._http.service_root}")
        return tuple(str(each["name"]) for each in document["value"])

    def metadata(self, entity_sets: Collection[str] | None = None) -> dict[str, dict[str, str]]:
        """Entity set → property → EDM type, of the given sets or of all (50 MB and more on a real environment)."""
        page = self._page(f"{self._http.service_root}/$metadata", accept="application/xml")
        try:
            return _properties(page.body, entity_sets)
        except ElementTree.ParseError as error:
            raise SourceUnavailable(
                f"D365 at {self._http.host} answered with metadata that cannot be read ({error})."
            ) from error

    def count(self, entity_set: str, where: str = "") -> int:
        """How many rows there are over all companies; `where` is an OData filter."""
        return self._count(entity_set, where)[0]

    def counted(self, entity_set: str) -> tuple[int, datetime]:
        """How many rows there are over all companies, and when that was on D365's clock."""
        return self._count(entity_set, "")

    def package_action(self, action: str, parameters: Mapping[str, str | bool]) -> str:
        """The answer of an action of the data management package API. Only for actions that may be repeated: a lost answer is asked for again."""
        page = self._http.ask(f"{self._http.service_root}/{_PACKAGE_ACTIONS}.{action}", json_body(parameters))
        value = self._checked(page).get("value")
        # The documentation shows the text one level deeper than environments have it (`facts/d365.md`, 4.1).
        if isinstance(value, dict):
            value = value.get("value")
        return value if isinstance(value, str) else ""

    def pages(self, table: Table, folder: Path, where: str = "") -> TableRead:
        """Read a table into `folder`, one file of rows for each page, without looking into the rows.

        Ordered by key. A read that its count does not prove is made once more; the second one is returned, proven or not.
        """
        folder.mkdir(parents=True, exist_ok=True)
        read = self._read_table(table, folder, where, "first")
        if not read.complete:
            for file in read.pages.files:
                file.unlink()
            read = self._read_table(table, folder, where, "second")
        return read

    def pages_of_keys(self, table: Table, filters: Sequence[str], folder: Path) -> PageFiles:
        """The rows of a table that fit any of `filters` into `folder`, a file for each page; several filters travel in one call.

        Made for lists of keys: nothing proves that a row is absent but that its key was asked for and not answered.
        """
        folder.mkdir(parents=True, exist_ok=True)
        started_at = datetime.now(UTC)
        options = {
            "cross-company": "true",
            "$select": ",".join(dict.fromkeys([*table.key, *(column.name for column in table.columns)])),
            "$orderby": ",".join(table.key),
        }
        files: list[Path] = []
        rows = 0
        for start in range(0, len(filters), _READS_IN_BATCH):
            some = filters[start : start + _READS_IN_BATCH]
            paths = [f"{table.source}?{query_string(options | {'$filter': where})}" for where in some]
            batch = build_reads(self._http.service_root, paths, str(uuid.uuid4()))
            for body in self._http.read_parts(f"{self._http.service_root}/$batch", batch, len(paths)):
                for envelope in self._behind(body):
                    file = folder / f"{table.name}-by-key-{len(files):05}.json"
                    file.write_bytes(envelope.array)
                    files.append(file)
                    rows += envelope.rows
        return PageFiles(tuple(files), "json", rows, started_at, datetime.now(UTC))

    def _behind(self, body: bytes) -> Iterator[Envelope]:
        """A page that has come already and those behind it."""
        try:
            envelope = cut_envelope(body)
        except RecordError as error:
            raise SourceUnavailable(f"D365 at {self._http.host} answered with {error}") from error
        yield envelope
        if envelope.next_link is not None:
            yield from self._follow(self._http.origin + path_of_next_page(envelope.next_link))

    def rows(
        self, entity_set: str, *, where: str = "", select: Sequence[str] = (), order_by: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Rows as objects, numbers as Decimal; for a few rows, not for tables."""
        options = {
            "cross-company": "true",
            "$filter": where,
            "$select": ",".join(select),
            "$orderby": ",".join(order_by),
        }
        found: list[dict[str, Any]] = []
        for envelope in self._follow(self._url(entity_set, options)):
            found += _parsed(bytes(envelope.array))
        return found

    def by_key(
        self, entity_set: str, key: Mapping[str, str | int], select: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """One row; `None` where D365 says that there is none under this key in any company."""
        url = self._url(key_path(entity_set, key), {"cross-company": "true", "$select": ",".join(select)})
        page = self._http.read(url, absent_is_none=True)
        return None if page is None else self._checked(page)

    def send_changesets(self, changesets: Sequence[Changeset]) -> BatchReply:
        """Send changesets in one `$batch`, once. Each is all or nothing; one that is refused does not stop the others.

        Raises AuthenticationProblem only where nothing was run.
        """
        started = time.monotonic()
        request = build_batch(self._http.service_root, changesets, str(uuid.uuid4()))
        answer, calls = self._http.write(f"{self._http.service_root}/$batch", request.body, request.content_type)
        answers: Sequence[Answer | NoAnswer]
        if isinstance(answer, NoAnswer) or answer.status == 429:
            answers = [answer] * len(changesets)
        elif answer.status in {200, 202}:
            answers = parse_batch(answer.content_type, answer.body, changesets)
            waits = [each.retry_after_s for each in answers if isinstance(each, Answer) and each.status == 429]
            # A part that was throttled asks everything of ours to wait, look-ups included.
            self._http.gate.close_for(max((seconds for seconds in waits if seconds is not None), default=0.0))
        else:
            # Parts of a batch may have run before the whole was given up.
            answers = [NoAnswer(f"the batch as a whole ended with HTTP {answer.status}: {answer.message}")] * len(
                changesets
            )
        return BatchReply(tuple(answers), calls, round((time.monotonic() - started) * 1000))

    def _read_table(self, table: Table, folder: Path, where: str, which: str) -> TableRead:
        before, started_at = self._count(table.source, where)
        files: list[Path] = []
        rows = 0
        for envelope in self._by_key_range(table, where, before):
            file = folder / f"{table.name}-{which}-{len(files):05}.json"
            file.write_bytes(envelope.array)
            files.append(file)
            rows += envelope.rows
        after, ended_at = self._count(table.source, where)
        problem = ""
        # The walk itself loses nothing. The counts are the second witness: of a table at rest they say the same, and a table that lives
        # may have gained rows behind us, but can hardly hold fewer than at both its ends.
        if (before == after and rows != before) or rows < min(before, after):
            problem = (
                f"{table.source}: {rows} rows arrived; D365 counted {before} before the read and {after} after it."
            )
        return TableRead(PageFiles(tuple(files), "json", after, started_at, ended_at), rows, not problem, problem)

    def _by_key_range(self, table: Table, where: str, expected: int) -> Iterator[Envelope]:
        """The pages of a table, each asked for behind the last key of the one before it.

        `$skip` counts rows, so one that is deleted or inserted meanwhile moves a neighbour over the edge of a page, unseen. A key stays where
        it is: what is there from the first page to the last is read exactly once. The end is a page that is not full, where as many rows
        as `expected` have come, or an empty one.
        """
        options = {
            "cross-company": "true",
            "$select": ",".join(dict.fromkeys([*table.key, *(column.name for column in table.columns)])),
            "$orderby": ",".join(table.key),
            "$top": str(_PAGE_ROWS),
        }
        rows = 0
        last: tuple[str, ...] | None = None
        while True:
            conditions = [f"({where})"] if where else []
            conditions += [behind(table.key, last)] if last is not None else []
            url = self._url(table.source, options | {"$filter": " and ".join(conditions)})
            try:
                envelope = cut_envelope(self._page(url).body)
            except RecordError as error:
                raise SourceUnavailable(f"D365 at {self._http.host} answered with {error}") from error
            if envelope.rows or last is None:
                yield envelope  # an empty table is one empty page
            if envelope.rows == 0:
                return
            rows += envelope.rows
            # A server that gives fewer rows than it was asked for says so by a link; the link itself would skip by count.
            if envelope.rows < _PAGE_ROWS and envelope.next_link is None and rows >= expected:
                return
            row = envelope.last_row()
            key = tuple(str(row[name]) for name in table.key)
            if key == last:
                raise SourceUnavailable(
                    f"D365 at {self._http.host} answers with rows of {table.source} that were read before."
                )
            last = key

    def _count(self, entity_set: str, where: str) -> tuple[int, datetime]:
        page = self._page(
            self._url(f"{entity_set}/$count", {"cross-company": "true", "$filter": where}), accept="text/plain"
        )
        text = page.body.decode("utf-8-sig", "replace").strip()
        if not text.isdigit():
            raise self._not_data(page)
        return int(text), page.at

    def _follow(self, url: str) -> Iterator[Envelope]:
        """This page and the ones behind it. The next-link's host is replaced by our own, whatever it says."""
        seen = {url}
        while True:
            try:
                envelope = cut_envelope(self._page(url).body)
            except RecordError as error:
                raise SourceUnavailable(f"D365 at {self._http.host} answered with {error}") from error
            yield envelope
            if envelope.next_link is None:
                return
            url = self._http.origin + path_of_next_page(envelope.next_link)
            if url in seen:
                raise SourceUnavailable(
                    f"D365 at {self._http.host} answers with a next page that was read before: {url}"
                )
            seen.add(url)

    def _url(self, path: str, options: Mapping[str, str]) -> str:
        given = {name: value for name, value in options.items() if value}
        return f"{self._http.service_root}/{path}?{query_string(given)}"

    def _page(self, url: str, accept: str = "application/json") -> Page:
        page = self._http.read(url, accept=accept)
        if (
            page is None
            or "html" in page.content_type
            or (accept == "application/json" and page.body.lstrip()[:1] != b"{")
        ):
            raise self._not_data(page)
        return page

    def _json(self, url: str) -> Any:
        return self._checked(self._page(url))

    def _checked(self, page: Page) -> Any:
        try:
            return _parsed(page.body)
        except ValueError:
            raise self._not_data(page) from None

    def _not_data(self, page: Page | None) -> SourceUnavailable:
        shown = Answer(200, page.content_type, page.body).message if page else "nothing"
        return SourceUnavailable(
            f"D365 at {self._http.host} answered with {shown}. Check that D365_URL is the environment's own address and that it is not under maintenance."
        )


def _parsed(body: bytes) -> Any:
    return json.loads(body, parse_float=Decimal)


def _properties(document: bytes, wanted: Collection[str] | None) -> dict[str, dict[str, str]]:
    """Read as a stream: the document of a real environment has 50 MB and more, of which a few entities are of interest."""
    types: dict[str, dict[str, str]] = {}
    sets: dict[str, str] = {}
    for _, element in ElementTree.iterparse(BytesIO(document)):
        if element.tag == f"{_EDM}EntityType":
            types[element.get("Name", "")] = {
                each.get("Name", ""): each.get("Type", "") for each in element.findall(f"{_EDM}Property")
            }
            element.clear()
        elif element.tag == f"{_EDM}EntitySet":
            sets[element.get("Name", "")] = element.get("EntityType", "").rpartition(".")[2]
    return {name: types.get(type_name, {}) for name, type_name in sets.items() if wanted is None or name in wanted}
