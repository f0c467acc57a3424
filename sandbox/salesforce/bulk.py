"""`jobs/query`: the routes of Bulk API 2.0 query jobs."""

import base64
import binascii
from typing import Any

from sandbox.salesforce.bulk_jobs import DELIMITERS, JOB_PREFIX, LINE_ENDINGS, TERMINAL, BulkJobs
from sandbox.salesforce.catalogue import USER_ID
from sandbox.salesforce.errors import SalesforceError, bad_request, not_found
from sandbox.salesforce.ids import id18, is_id, make_id
from sandbox.salesforce.org import Org
from sandbox.salesforce.protocol import CSV, Answer, Call, Resource, json_answer, no_content, resource
from sandbox.salesforce.query import plan_of
from sandbox.salesforce.query_plan import Plan
from sandbox.salesforce.soql import parse

OPERATIONS = ("query", "queryAll")
PAGE_LINKS = 5


class BulkRoutes:
    """The handlers, which share the org's jobs."""

    def __init__(self, org: Org) -> None:
        self.jobs = BulkJobs(org)

    def resources(self) -> tuple[Resource, ...]:
        one = r"jobs/query/(?P<job_id>[0-9A-Za-z]{15,18})"
        return (
            resource(r"jobs/query", POST=self.create, GET=self.list),
            resource(one, GET=self.poll, PATCH=self.abort, DELETE=self.delete),
            resource(one + r"/results", GET=self.results),
            resource(one + r"/resultPages", GET=self.result_pages),
        )

    def create(self, org: Org, call: Call) -> Answer:
        body = call.json_object()
        operation, soql = body.get("operation"), body.get("query")
        delimiter, ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
        if operation not in OPERATIONS:
            raise bad_request("INVALIDJOB", f"Unknown operation: {operation}")
        if not isinstance(soql, str) or not soql.strip():
            raise bad_request("INVALIDJOB", "query must be specified")
        if delimiter not in DELIMITERS or ending not in LINE_ENDINGS or body.get("contentType", "CSV") != "CSV":
            raise bad_request("INVALIDJOB", "contentType, columnDelimiter or lineEnding is invalid")
        plan = plan_of(org, soql, all_rows=operation == "queryAll")
        _refuse_unsupported(soql, plan)
        job = self.jobs.add(
            id=make_id(JOB_PREFIX, org.store.next_number("bulk")), operation=operation, soql=soql, object=plan.sobject.name,
            version=call.version, delimiter=delimiter, line_ending=ending,
        )  # fmt: skip
        return json_answer(_shown(job))

    def list(self, _org: Org, _call: Call) -> Answer:
        records = [_shown(job) | {"jobType": "V2Query"} for job in self.jobs.all()]
        return json_answer({"done": True, "records": records, "nextRecordsUrl": None})

    def poll(self, _org: Org, call: Call, job_id: str) -> Answer:
        self._job(call, job_id)
        return json_answer(_progress(self.jobs.poll(id18(job_id)) or {}))

    def abort(self, _org: Org, call: Call, job_id: str) -> Answer:
        job = self._job(call, job_id)
        if call.json_object().get("state") != "Aborted":
            raise bad_request("INVALIDJOBSTATE", "Only Aborted is a valid state for a query job")
        if job["state"] in TERMINAL:
            raise bad_request("INVALIDJOBSTATE", f"Aborting already {job['state']} Job not allowed")
        self.jobs.change(job["id"], state="Aborted")
        return json_answer(_shown(self.jobs.job(job["id"]) or {}))

    def delete(self, _org: Org, call: Call, job_id: str) -> Answer:
        job = self._job(call, job_id)
        if job["state"] not in TERMINAL:
            raise bad_request("INVALIDJOBSTATE", f"Job in state {job['state']} cannot be deleted")
        self.jobs.delete(job["id"])
        return no_content()

    def results(self, org: Org, call: Call, job_id: str) -> Answer:
        job = self._complete(call, job_id)
        count = _whole(call.query.get("maxRecords"), int(org.switches["bulk_page_rows"]))
        start = _row_of(call.query["locator"]) if call.query.get("locator") else 0
        if start > job["records"]:
            raise _bad_locator()
        given = min(count, job["records"] - start)
        following = start + given
        locator = _locator(following) if following < job["records"] else "null"
        headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(given)}
        return Answer(200, self.jobs.results(job["id"], start, given), CSV, headers)

    def result_pages(self, org: Org, call: Call, job_id: str) -> Answer:
        job = self._complete(call, job_id)
        rows = int(org.switches["bulk_page_rows"])
        start = _row_of(call.query["locator"]) if call.query.get("locator") else 0
        base = f"/jobs/query/{job['id']}"
        starts = range(start, max(job["records"], 1), rows)
        pages = [
            {"resultLink": f"{base}/results?locator={_locator(each)}&maxRecords={rows}"} for each in starts[:PAGE_LINKS]
        ]
        rest = starts[PAGE_LINKS:]
        following = f"{base}/resultPages?locator={_locator(rest[0])}" if rest else None
        return json_answer({"resultPages": pages, "nextRecordsUrl": following, "done": not rest})

    def _job(self, call: Call, job_id: str) -> dict[str, Any]:
        job = self.jobs.job(id18(job_id)) if is_id(job_id) else None
        if job is None:
            raise not_found()
        if job["version"] != call.version:
            raise SalesforceError(
                409, "API_ERROR", f"Job was created with API version {job['version']}; use the same version"
            )
        return job

    def _complete(self, call: Call, job_id: str) -> dict[str, Any]:
        job = self._job(call, job_id)
        if job["state"] != "JobComplete":
            raise bad_request("INVALIDJOBSTATE", f"Results are not available: job is in state {job['state']}")
        return job


def _refuse_unsupported(soql: str, plan: Plan) -> None:
    """What Bulk cannot do although REST can."""
    if plan.kind != "records":
        raise bad_request(
            "API_ERROR", "Implementation restriction: aggregate functions and GROUP BY are not supported in Bulk Query"
        )
    if plan.children:
        raise bad_request("API_ERROR", "Implementation restriction: subqueries are not supported in Bulk Query")
    if parse(soql).offset is not None:
        raise bad_request("API_ERROR", "Implementation restriction: OFFSET is not supported in Bulk Query")
    if any(field.type == "address" for *_, field in plan.leaves):
        raise bad_request("FUNCTIONALITY_NOT_ENABLED", "Selecting compound data not supported in Bulk Query")


def _shown(job: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": job["id"], "operation": job["operation"], "object": job["object"], "createdById": USER_ID,
        "createdDate": job["made_at"], "systemModstamp": job["changed_at"], "state": job["state"],
        "concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": float(job["version"]),
        "lineEnding": job["line_ending"], "columnDelimiter": job["delimiter"],
    }  # fmt: skip


def _progress(job: dict[str, Any]) -> dict[str, Any]:
    done = job["state"] in TERMINAL
    shown = _shown(job) | {
        "jobType": "V2Query", "numberRecordsProcessed": job["records"] if done else 0, "retries": 0,
        "totalProcessingTime": job["duration_ms"] if done else 0, "isPkChunkingSupported": True,
    }  # fmt: skip
    return shown | ({"errorMessage": job["error"]} if job["state"] == "Failed" else {})


def _locator(row: int) -> str:
    return base64.urlsafe_b64encode(str(row).encode()).decode().rstrip("=")


def _row_of(locator: str) -> int:
    try:
        return _whole(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode(), 0)
    except (binascii.Error, ValueError):
        raise _bad_locator() from None


def _whole(text: str | None, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit():
        raise bad_request("INVALIDJOB", f"not a whole number: {text}")
    return int(text)


def _bad_locator() -> SalesforceError:
    return bad_request("INVALID_QUERY_LOCATOR", "invalid query locator")
