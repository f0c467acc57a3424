"""The list of breaks as a file: what the page shows, all of its pages, with exact numbers and texts that cannot act."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response, StreamingResponse

from resources.ledger.break_queries import BreakFilter, BreakQueries
from tieout.report.csv_file import csv_lines
from tieout.report.figures import words
from tieout.report.tables import Column, Kind
from tieout.report.xlsx import write_list


def _column(title: str, kind: Kind, name: str, width: int) -> Column:
    return Column(title, kind, lambda row: getattr(row, name), width)


def _word(title: str, name: str, width: int = 18) -> Column:
    return Column(title, "word", lambda row: words(getattr(row, name)) if getattr(row, name) else "", width)


COLUMNS = (
    _word("Entity", "entity"),
    _column("Company", "text", "company", 10),
    _column("Record", "text", "label", 34),
    _column("Salesforce id", "key", "salesforce_key", 22),
    _column("D365 number", "key", "d365_key", 24),
    _word("What", "field"),
    _column("Salesforce value", "text", "salesforce_value", 34),
    _column("D365 value", "text", "d365_value", 34),
    _column("Amount", "money", "amount", 16),
    _column("Currency", "text", "currency", 10),
    _word("Cause", "cause", 22),
    _column("Reason", "text", "reason", 50),
    _column("What to do", "text", "fix", 50),
    _word("State", "life"),
    _column("Accepted until", "text", "accepted_until", 14),
    _column("Owner", "text", "owner", 18),
    _column("Comment", "text", "comment", 40),
    _column("Month", "text", "month", 10),
    _column("First seen", "instant", "first_seen", 20),
    _column("Last seen", "instant", "last_seen", 20),
    _column("Identity", "key", "identity", 36),
)


def export(queries: BreakQueries, wanted: BreakFilter, sort: str, descending: bool, kind: str) -> Response:
    """The file as an answer; 404 where `kind` is neither xlsx nor csv."""
    now = datetime.now(UTC)
    name = f"breaks-{now:%Y-%m-%d-%H%M}.{kind}"
    rows = queries.every(wanted, sort=sort, descending=descending)
    if kind == "csv":
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(csv_lines(COLUMNS, rows), media_type="text/csv; charset=utf-8", headers=disposition)
    if kind == "xlsx":
        folder = tempfile.TemporaryDirectory(prefix="tieout-export-")
        path = Path(folder.name) / name
        write_list("Breaks", COLUMNS, rows, path, now)
        return FileResponse(path, filename=name, background=BackgroundTask(folder.cleanup))
    raise HTTPException(404)
