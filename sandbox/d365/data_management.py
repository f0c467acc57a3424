"""The data management package API: exports by project and company, their executions, and the storage from which packages are fetched.

Microsoft: data management package REST API. Projects are made by a person in D365; here by a test-only route.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.common.control import json_response, refusal
from sandbox.common.journal import EFFECT, Journal
from sandbox.d365.catalogue import COMPANY, Entity, catalogue
from sandbox.d365.errors import JSON, Answer, bad_request
from sandbox.d365.package_files import (
    CSV,
    CSV_UNICODE,
    FULL_PUSH,
    INCREMENTAL_PUSH,
    Project,
    mapped,
    written_package,
)
from sandbox.d365.rules import Rulebook

ACTIONS = "/data/DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
STORAGE = "/dmf"
NO_RECORD = "NoRecord"
"""In the switch `package_progress`: the execution cannot be found yet (observed by practitioners)."""
PROGRESS = (NO_RECORD, "NotRun", "Queued", "Executing")
OUTCOMES = ("Succeeded", "PartiallySucceeded", "Failed", "Canceled")

_TABLES = """
CREATE TABLE IF NOT EXISTS _dmf_project (
    name TEXT PRIMARY KEY COLLATE NOCASE, entity_set TEXT NOT NULL, format TEXT NOT NULL, refresh TEXT NOT NULL, columns TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _dmf_execution (
    id TEXT PRIMARY KEY COLLATE NOCASE, project TEXT NOT NULL, company TEXT NOT NULL, polls INTEGER NOT NULL, outcome TEXT NOT NULL,
    blob TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS _dmf_tracked (
    project TEXT NOT NULL COLLATE NOCASE, company TEXT NOT NULL COLLATE NOCASE, rec_id INTEGER NOT NULL, rec_version INTEGER NOT NULL,
    PRIMARY KEY (project, company, rec_id));
"""


class DataManagement:
    """Executes the actions of the package API. Executions and packages outlive a restart."""

    def __init__(self, book: Rulebook, journal: Journal, folder: Path) -> None:
        self._book = book
        self._journal = journal
        self._folder = folder
        self._key = secrets.token_bytes(32)
        self._connection = book.store.connection
        self._connection.executescript(_TABLES)

    def routes(self) -> list[Route]:
        """The storage, which knows no token but its own signature, and the test-only route for projects."""
        return [
            Route(f"{STORAGE}/{{blob}}", self._fetch, methods=["GET"]),
            Route("/_sandbox/export-projects", self._make_project, methods=["POST"]),
        ]

    def act(self, action: str, body: bytes, base: str, request_id: str) -> Answer:
        """One action; raises RequestRefusedError."""
        given = _given(body)
        match action:
            case "ExportToPackage" | "ExportToPackageAsync":
                value = self._export(given, request_id)
            case "GetExecutionSummaryStatus":
                value = self._status(_text(given, "executionId"))
            case "GetExportedPackageUrl":
                value = self._package_url(_text(given, "executionId"), base)
            case "GetExecutionErrors":
                self._execution(_text(given, "executionId"))
                value = ""  # may be empty although the run failed (observed)
            case _:
                raise bad_request(f"The action '{action}' is not supported.", status=404)
        context = f"{base}/data/$metadata#Edm.String"
        return Answer(200, orjson.dumps({"@odata.context": context, "value": value}), {"Content-Type": JSON})

    # --- actions -----------------------------------------------------------------------------------------------

    def _export(self, given: Mapping[str, Any], request_id: str) -> str:
        project = self._project(_text(given, "definitionGroupId"))
        company = _text(given, "legalEntityId").lower()
        self._check_company(company)
        execution = str(given.get("executionId") or "") or f"{project.name}-{uuid.uuid4()}"
        if self._found_execution(execution) is not None:
            raise bad_request(f"Execution {execution} already exists.")
        outcome = str(self._book.switches["package_outcome"])
        rows = list(self._book.store.rows(project.entity.set_name, {COMPANY: company}))
        if project.refresh == INCREMENTAL_PUSH:
            rows = self._changed(project, company, rows)
        blob = uuid.uuid4().hex
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / blob).write_bytes(written_package(project, rows))
        with self._book.store.transaction() as connection:
            if outcome == OUTCOMES[0] and project.refresh == INCREMENTAL_PUSH:
                connection.executemany(
                    "INSERT OR REPLACE INTO _dmf_tracked VALUES (?, ?, ?, ?)",
                    [(project.name, company, row["_rec_id"], row["_rec_version"]) for row in rows],
                )
            connection.execute(
                "INSERT INTO _dmf_execution VALUES (?, ?, ?, 0, ?, ?)",
                (execution, project.name, company, outcome, blob),
            )
            self._journal.record(
                EFFECT, connection=connection, request_id=request_id, effect="exported", entity=project.entity.set_name,
                key=execution, company=company, order=None, values={"project": project.name, "rows": len(rows)},
            )  # fmt: skip
        return execution

    def _changed(self, project: Project, company: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What is new or another since the last export of this project that succeeded. What was deleted is not told."""
        told = dict(
            self._connection.execute(
                "SELECT rec_id, rec_version FROM _dmf_tracked WHERE project = ? AND company = ?",
                (project.name, company),
            )
        )
        return [row for row in rows if told.get(row["_rec_id"]) != row["_rec_version"]]

    def _status(self, execution: str) -> str:
        """What the poll is told: first the switch `package_progress`, a value for each poll, then the outcome."""
        polls, outcome, _ = self._execution(execution)
        progress = self._book.switches["package_progress"]
        if polls >= len(progress):
            return outcome
        with self._book.store.transaction() as connection:
            connection.execute("UPDATE _dmf_execution SET polls = polls + 1 WHERE id = ?", (execution,))
        if progress[polls] == NO_RECORD:
            raise bad_request(f"The execution {execution} were not found.")
        return str(progress[polls])

    def _package_url(self, execution: str, base: str) -> str:
        polls, outcome, blob = self._execution(execution)
        if polls < len(self._book.switches["package_progress"]) or outcome not in OUTCOMES[:2]:
            return ""
        ends = self._book.clock.now() + timedelta(seconds=self._book.switches["package_url_lifetime_s"])
        until = int(ends.timestamp())
        return f"{base}{STORAGE}/{blob}?sv=2024-11-04&se={until}&sr=b&sp=r&sig={self._signature(blob, until)}"

    # --- state -------------------------------------------------------------------------------------------------

    def _project(self, name: str) -> Project:
        found = self._connection.execute("SELECT * FROM _dmf_project WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise bad_request(f"The definition group {name} does not exist.")
        name, entity_set, form, refresh, columns = found
        return Project(name, catalogue().entities[entity_set], form, refresh, tuple(orjson.loads(columns)))

    def _found_execution(self, execution: str) -> tuple[int, str, str] | None:
        query = "SELECT polls, outcome, blob FROM _dmf_execution WHERE id = ?"
        found: tuple[int, str, str] | None = self._connection.execute(query, (execution,)).fetchone()
        return found

    def _execution(self, execution: str) -> tuple[int, str, str]:
        found = self._found_execution(execution)
        if found is None:
            raise bad_request(f"The execution {execution} were not found.")
        return found

    def _check_company(self, company: str) -> None:
        hidden = {str(name).lower() for name in self._book.switches["hidden_companies"]}
        known = self._book.store.find("Companies", {"DataArea": company}, ["DataArea"])
        if company in hidden or known is None:
            raise bad_request(f"The legal entity {company} does not exist, or the user has no access to it.")

    def _signature(self, blob: str, until: int) -> str:
        return hmac.new(self._key, f"{blob} {until}".encode(), "sha256").hexdigest()

    # --- routes ------------------------------------------------------------------------------------------------

    async def _fetch(self, request: Request) -> Response:
        blob, query = request.path_params["blob"], request.query_params
        until = int(query["se"]) if query.get("se", "").isdigit() else 0
        is_signed = hmac.compare_digest(query.get("sig", ""), self._signature(blob, until))
        if not is_signed or self._book.clock.now().timestamp() > until:
            return _storage_error(403, "AuthenticationFailed", "Signature not valid in the specified time frame.")
        file = self._folder / blob
        if not blob.isalnum() or not file.is_file():
            return _storage_error(404, "BlobNotFound", "The specified blob does not exist.")
        return Response(file.read_bytes(), media_type="application/octet-stream")

    async def _make_project(self, request: Request) -> Response:
        """Make or replace an export project: name, entity (its label), and format, refresh and columns where they are not the usual ones."""
        try:
            wanted = orjson.loads(await request.body())
            name, entity = str(wanted["name"]), _entity(str(wanted["entity"]))
            form, refresh = wanted.get("format", CSV), wanted.get("refresh", FULL_PUSH)
            if form not in (CSV, CSV_UNICODE) or refresh not in (FULL_PUSH, INCREMENTAL_PUSH):
                raise ValueError(
                    f"A project has format {CSV} or {CSV_UNICODE}, refresh {FULL_PUSH} or {INCREMENTAL_PUSH}."
                )
            columns = mapped(entity, wanted.get("columns"))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return refusal('Send {"name": "ORDERS", "entity": "Sales order headers V2"}.')
        except ValueError as problem:
            return refusal(str(problem))
        with self._book.store.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO _dmf_project VALUES (?, ?, ?, ?, ?)",
                (name, entity.set_name, form, refresh, orjson.dumps(columns).decode()),
            )
        return json_response({"name": name, "columns": columns})


def _entity(label: str) -> Entity:
    for entity in catalogue().entities.values():
        if entity.label == label and entity.is_per_company:
            return entity
    raise ValueError(f"Entity {label} does not exist in the target environment.")


def _given(body: bytes) -> Mapping[str, Any]:
    try:
        given = orjson.loads(body or b"null")
    except orjson.JSONDecodeError as problem:
        raise bad_request(f"The request body is not valid JSON: {problem}") from None
    if not isinstance(given, dict):
        raise bad_request("The request body must be a JSON object.")
    return given


def _text(given: Mapping[str, Any], name: str) -> str:
    if not isinstance(given.get(name), str) or not given[name]:
        raise bad_request(f"The parameter '{name}' must be given.")
    return str(given[name])


def _storage_error(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(body, status, media_type="application/xml")
