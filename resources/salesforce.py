"""Salesforce as Tieout uses it: tables are extracted to disk, objects described, records updated.

How it is signed in to is in `salesforce_session.py`, how pages reach the disk in `salesforce_pages.py`.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from resources.salesforce_pages import bulk_pages, rest_pages
from resources.salesforce_session import SalesforceSession
from resources.salesforce_transport import Quota
from resources.secrets import ReadSecret
from tieout.budget import Budget
from tieout.contract import Table
from tieout.errors import RequestRefused
from tieout.odata import json_body
from tieout.page_files import PageFiles
from tieout.settings import SalesforceSettings
from tieout.soql import by_id, changed_since, count_changed_since, fits_in_address
from tieout.writeback import api_value

log = logging.getLogger(__name__)

# Up to here five pages of REST are quicker than a Bulk job with its polls.
MOST_ROWS_BY_REST = 10_000
MOST_RECORDS_IN_UPDATE = 200
LOCKED = "UNABLE_TO_LOCK_ROW"
_TRIES_OF_LOCKED = 5
_LONGEST_WAIT_FOR_LOCK_S = 2.0

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one record of an update. `code`, `message` and `fields` are Salesforce's own words; empty where it went well."""

    id: str
    ok: bool
    code: str = ""
    message: str = ""
    fields: tuple[str, ...] = ()
    attempts: int = 1


class SalesforceClient:
    """One Salesforce. It signs in at the first call.

    Every method raises SourceUnavailable, AuthenticationProblem or RequestRefused; all may be called again.
    """

    def __init__(
        self,
        settings: SalesforceSettings,
        ca_bundle: Path | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        budget: Budget | None = None,
        wait_file: Path | None = None,
        read: ReadSecret | None = None,
    ) -> None:
        self._session = SalesforceSession(
            settings, ca_bundle, sleep=sleep, budget=budget, wait_file=wait_file, read=read
        )
        self.url = settings.instance_url
        self.publishes_order_status = settings.publishes_order_status

    def __enter__(self) -> "SalesforceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    @property
    def api_calls(self) -> int:
        """Calls so far that count against the quota, repeated ones included."""
        return self._session.transport.calls

    @property
    def quota(self) -> Quota | None:
        """The organisation's quota as of the latest answer; None before the first."""
        return self._session.transport.quota

    def server_now(self) -> datetime:
        """Salesforce's clock, UTC. Costs no API call."""
        self.versions()
        return self._session.server_time()

    def versions(self) -> tuple[str, ...]:
        """The API versions that this Salesforce offers, oldest first. Costs no API call."""
        offered = self._session.asked(lambda: self._session.call("GET", "/services/data").json())
        return tuple(str(each["version"]) for each in offered)

    def describe(self, sobject: str) -> dict[str, Any]:
        """Salesforce's description of an object; `fields` holds what the integration user may see."""
        return self._session.asked(lambda: self._session.salesforce.restful(f"sobjects/{sobject}/describe") or {})

    def limits(self) -> dict[str, dict[str, int]]:
        """The limits of the organisation by name, each with `Max` and `Remaining`."""
        limits: dict[str, dict[str, int]] = self._session.asked(lambda: self._session.salesforce.limits())
        return limits

    def system_permission(self, name: str) -> bool | None:
        """Whether the integration user has a system permission, such as ModifyAllData; None where the organisation knows no such one."""
        try:
            [row] = self.query(f"SELECT Permissions{name} FROM UserPermissionAccess")
        except RequestRefused as refusal:
            if refusal.code == "INVALID_FIELD":
                return None
            raise
        return bool(row[f"Permissions{name}"])

    def count(self, sobject: str) -> int:
        """How many records of an object the integration user sees, without deleted ones."""
        question = {"q": f"SELECT count() FROM {sobject}"}
        return int(
            self._session.asked(lambda: self._session.call("GET", "query/", params=question).json()["totalSize"])
        )

    def record_counts(self, sobjects: Sequence[str]) -> dict[str, int]:
        """How many records there are of each object whoever may see them, as the organisation counts now and then.

        Raises RequestRefused or AuthenticationProblem where the user may not view the setup.
        """
        question = {"sObjects": ",".join(sobjects)}
        answer = self._session.asked(lambda: self._session.call("GET", "limits/recordCount", params=question).json())
        return {str(each["name"]): int(each["count"]) for each in answer["sObjects"]}

    def query(self, statement: str, *, include_deleted: bool = False) -> list[dict[str, Any]]:
        """All records of a small query as objects, without their `attributes`."""
        found = self._session.asked(
            lambda: self._session.salesforce.query_all(statement, include_deleted=include_deleted)
        )
        return [{name: value for name, value in record.items() if name != "attributes"} for record in found["records"]]

    def extract(self, table: Table, since: datetime | None, folder: Path, *, keep: Path | None = None) -> PageFiles:
        """All columns of the records that changed at or after `since` (all, where None), deleted ones included, as raw pages in `folder`.

        Counted first: many go by the Bulk API as CSV, few by REST as JSON. `started_at` is Salesforce's clock before the first page. A Bulk
        read that breaks off leaves its pages in `keep`, where the next one for the same records goes on.
        """
        session = self._session
        folder.mkdir(parents=True, exist_ok=True)
        counting = count_changed_since(table, since)
        count = int(session.asked(lambda: session.call("GET", "queryAll/", params={"q": counting}).json()["totalSize"]))
        started_at = session.server_time()
        statement = changed_since(table, since, sorted_by_change=True)
        # A statement that is too long for an address travels in the body of a Bulk job.
        by_rest = count <= MOST_ROWS_BY_REST and fits_in_address(statement)
        if by_rest:
            pages = rest_pages(session, [statement], folder, table.name)
        else:
            pages = bulk_pages(session, changed_since(table, since, sorted_by_change=False), folder, table.name, keep)
            started_at = pages.started_at or started_at
        log.info(
            "salesforce.extracted",
            extra={
                "table": table.name,
                "rows": pages.rows,
                "pages": len(pages.files),
                "by": "rest" if by_rest else "bulk",
            },
        )
        return PageFiles(pages.files, "json" if by_rest else "csv", pages.rows, started_at, session.server_time())

    def extract_by_id(self, table: Table, ids: Sequence[str], folder: Path) -> PageFiles:
        """All columns of the records with these ids, deleted ones included, as raw pages in `folder`; ids that are not there give nothing."""
        return self.extract_answers(table, by_id(table, ids), folder)

    def extract_answers(self, table: Table, statements: Iterable[str], folder: Path) -> PageFiles:
        """What the statements give, deleted records included, as raw pages of JSON in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        started_at = self.server_now()
        pages = rest_pages(self._session, statements, folder, table.name)
        return PageFiles(pages.files, "json", pages.rows, started_at, self._session.server_time())

    def read_by_id(self, table: Table, ids: Sequence[str]) -> list[dict[str, Any]]:
        """All columns of the records with these ids, deleted ones included, as objects; ids that are not there give nothing."""
        return [record for statement in by_id(table, ids) for record in self.query(statement, include_deleted=True)]

    def update_collection(self, sobject: str, records: Sequence[Record]) -> list[RowResult]:
        """Update records, each with its `Id` and the fields that change; one result a record, in their order.

        Refusals are each record's own and stop no other. A record that is locked is tried again alone. An update whose answer is lost is
        sent again: a second time it changes nothing.
        """
        results: list[RowResult] = []
        for start in range(0, len(records), MOST_RECORDS_IN_UPDATE):
            chunk = records[start : start + MOST_RECORDS_IN_UPDATE]
            for record, result in zip(chunk, self._updated(sobject, chunk), strict=True):
                results.append(self._unlocked(sobject, record, result) if result.code == LOCKED else result)
        refused = sum(not result.ok for result in results)
        log.info("salesforce.updated", extra={"sobject": sobject, "records": len(results), "refused": refused})
        return results

    def publish(self, event: str, message: Record) -> None:
        """Publish one platform event. One whose answer is lost is published again: subscribers have to tell repeats anyway.

        Raises RequestRefused where Salesforce does not take it; its answer holds an error that is none where it does.
        """
        body = json_body({name: api_value(value) for name, value in message.items()})
        session = self._session
        answer = session.asked(lambda: session.salesforce.restful(f"sobjects/{event}/", method="POST", data=body) or {})
        if not answer.get("success"):
            result = _result("", answer)
            raise RequestRefused(f"Salesforce refused the event. {result.code}: {result.message}", code=result.code)

    def _unlocked(self, sobject: str, record: Record, result: RowResult) -> RowResult:
        while result.code == LOCKED and result.attempts < _TRIES_OF_LOCKED:
            # At random, so that those who wait for the same parent do not come back together.
            self._session.sleep(random.uniform(0.1, _LONGEST_WAIT_FOR_LOCK_S * result.attempts / _TRIES_OF_LOCKED))
            (again,) = self._updated(sobject, [record])
            result = replace(again, attempts=result.attempts + 1)
        return result

    def _updated(self, sobject: str, records: Sequence[Record]) -> Iterator[RowResult]:
        body = json_body({"allOrNone": False, "records": [_sent(sobject, record) for record in records]})
        session = self._session
        try:
            answers = session.asked(
                lambda: session.salesforce.restful("composite/sobjects", method="PATCH", data=body) or ()
            )
        except RequestRefused as refusal:
            # A value of the wrong kind makes the whole call unreadable; only its own record shall suffer for it.
            if refusal.code != "JSON_PARSER_ERROR":
                raise
            if len(records) == 1:
                yield RowResult(str(records[0]["Id"]), ok=False, code=refusal.code, message=str(refusal))
                return
            half = len(records) // 2
            yield from self._updated(sobject, records[:half])
            yield from self._updated(sobject, records[half:])
            return
        for record, answer in zip(records, answers, strict=True):
            yield _result(str(record["Id"]), answer)


def _sent(sobject: str, record: Record) -> dict[str, object]:
    fields = {name: api_value(value) for name, value in record.items() if name != "Id"}
    return {"attributes": {"type": sobject}, "id": record["Id"], **fields}


def _result(salesforce_id: str, answer: Mapping[str, Any]) -> RowResult:
    if answer.get("success"):
        return RowResult(salesforce_id, ok=True)
    error: Mapping[str, Any] = (answer.get("errors") or [{}])[0]
    return RowResult(
        salesforce_id,
        ok=False,
        # Collections say statusCode where everything else says errorCode.
        code=str(error.get("statusCode") or error.get("errorCode") or "UNKNOWN"),
        message=" ".join(str(error.get("message") or "without a reason").split()),
        fields=tuple(error.get("fields") or ()),
    )
