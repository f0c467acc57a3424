"""From pages on disk to the lake: good rows to their table, bad ones to quarantine, the proof of the read to the ledger."""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from assets.catalogue import outcome
from resources.lake import Lake, MergeCounts
from resources.ledger import Ledger
from resources.ledger.watermarks import Sweep, SweepMode
from resources.salesforce_transport import Quota
from resources.workbench import duckdb_connection, quarantine_key
from tieout.companies import Answered
from tieout.contract import Table
from tieout.landing import Landed, land
from tieout.page_files import PageFiles

Judge = Callable[[Mapping[str, int]], str]
"""Says of a read, by its rows per company (in small letters), why it is not complete; empty where it is."""


class Evidence(Protocol):
    """What proves that a read is complete, for the ledger and for people."""

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        ...

    def as_markdown(self) -> str:
        """For the page of the asset."""
        ...


LONGEST_READ_S = 4 * 3600
"""Twice as long as a run may take (`max_runtime_seconds` in dagster.yaml)."""

# The bad rows with what they break; `violations` is JSON text, a list of rule, field, value and reason.
_QUARANTINED = """SELECT bad.*, broken.violations FROM bad JOIN (
    SELECT _key, to_json(list({'rule': rule, 'field': field, 'value': value, 'reason': reason} ORDER BY rule))::VARCHAR AS violations
    FROM violations WHERE severity = 'error' GROUP BY _key
) AS broken USING (_key)"""


@dataclass(frozen=True, slots=True)
class Read:
    """One read of one table: its pages, and whether the system's own count proves that nothing is missing."""

    pages: PageFiles
    mode: SweepMode
    complete: bool = True
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a read. `companies`: company → rows that came (D365 only); `problem`: what the judge of the read had against it."""

    landed: Landed
    table: MergeCounts
    in_quarantine: int
    rows_in_table: int
    version: int | None
    rule_counts: dict[str, int]
    companies: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""

    def followed_by(self, later: "Stored") -> "Stored":
        """Both together, for one table: the rows and changes of both, and how the table was after the later one."""
        landed = replace(
            later.landed,
            rows=self.landed.rows + later.landed.rows,
            good=self.landed.good + later.landed.good,
            bad=self.landed.bad + later.landed.bad,
            repeated=self.landed.repeated + later.landed.repeated,
        )
        companies = {
            company: self.companies.get(company, 0) + later.companies.get(company, 0)
            for company in self.companies.keys() | later.companies.keys()
        }
        return replace(later, landed=landed, table=self.table + later.table, companies=companies)


@contextmanager
def landing_zone(base: Path) -> Iterator[Path]:
    """A folder for raw pages that is gone afterwards, whatever happens: pages hold customers' data.

    What a killed run left in `base` goes as soon as no living one can be using it.
    """
    for left_behind in base.iterdir():
        if time.time() - left_behind.stat().st_mtime > LONGEST_READ_S:
            shutil.rmtree(left_behind, ignore_errors=True)
    folder = base / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(
    lake: Lake, table: Table, read: Read, *, run_id: str, gone: Sequence[str] = (), judge: Judge | None = None
) -> Stored:
    """Land a read and bring the lake to it. The keys `gone` leave the table and the quarantine.

    After a full read that is proven complete, rows that no longer exist leave, too; without the proof nobody may conclude that, nor where the
    `judge` has something against it.
    """
    quarantine = quarantine_key(table)
    with duckdb_connection() as con:
        landed = land(con, table, read.pages, run_id=run_id, extracted_at=datetime.now(UTC))
        con.execute("CREATE TEMP TABLE gone AS SELECT unnest(?::VARCHAR[]) AS _key", [list(gone)])
        companies = _companies(con) if table.has_company else {}
        problem = judge(companies) if judge else ""
        whole = read.mode == "full" and read.complete and not problem
        if whole and lake.exists(table.lake_key):
            lake.register(con, "before", table.lake_key)
            leaving = "SELECT _key FROM before WHERE _key NOT IN (SELECT _key FROM good)"
        else:
            leaving = "SELECT _key FROM bad UNION SELECT _key FROM gone"
        merged = lake.merge(
            table.lake_key, con.sql("SELECT * FROM good"), version_column=table.version, delete_keys=con.sql(leaving)
        )
        cured = "SELECT _key FROM good UNION SELECT _key FROM gone"
        if whole and lake.exists(quarantine):
            lake.register(con, "waiting", quarantine)
            cured = "SELECT _key FROM waiting WHERE _key NOT IN (SELECT _key FROM bad)"
        if landed.bad or lake.exists(quarantine):
            lake.merge(quarantine, con.sql(_QUARANTINED), delete_keys=con.sql(cured))
        rule_counts = landed.counts | _waiting_by_rule(con, lake, quarantine)
    return Stored(
        landed=landed,
        table=merged,
        in_quarantine=lake.row_count(quarantine),
        rows_in_table=lake.row_count(table.lake_key),
        version=lake.version(table.lake_key),
        rule_counts=rule_counts,
        companies=companies,
        problem=problem,
    )


def keep_proof(
    ledger: Ledger, table: Table, read: Read, stored: Stored, *, run_id: str, proof: Evidence | None = None
) -> None:
    """Keep in the ledger what was read when, and what proves that it is complete."""
    ledger.watermarks.record_sweep(
        Sweep(
            run_id=run_id,
            system=table.system,
            table_name=table.name,
            mode=read.mode,
            started_at=read.pages.started_at,
            ended_at=read.pages.ended_at,
            rows_reported=read.pages.rows,
            rows_read=stored.landed.rows,
            complete=read.complete,
            problem=read.problem,
            lake_version=stored.version,
            proof=None if proof is None else proof.as_json(),
        )
    )


def told(
    table: Table,
    stored: Stored,
    read: Read,
    *,
    api_calls: int,
    quota: Quota | None = None,
    proof: Evidence | None = None,
) -> dg.MaterializeResult[None]:
    """What an extraction reports in the UI. `quota` is the organisation's, as it was after the read."""
    counts = stored.table
    summary = f"{stored.landed.rows:,} rows read, {counts.inserted:,} new, {counts.updated:,} changed, {counts.deleted:,} gone"
    if isinstance(proof, Answered) and proof.open_only:
        summary = f"of open orders: {summary}; {proof.read_by_key:,} read by key, no longer open"
    if isinstance(proof, Answered) and proof.by_package:
        summary += f"; by {proof.by_package}"
    if stored.in_quarantine:
        summary += f", {stored.in_quarantine:,} in quarantine"
    if not read.complete:
        summary += f". Not proven complete: {read.problem}"
    return outcome(
        summary,
        rows=stored.rows_in_table,
        rows_read=stored.landed.rows,
        inserted=counts.inserted,
        updated=counts.updated,
        deleted=counts.deleted,
        quarantined=stored.in_quarantine,
        repeated=stored.landed.repeated,
        api_calls=api_calls,
        system=table.system,
        **({} if quota is None else {"quota_used": quota.used, "quota_allowed": quota.allowed}),
        lake_version=-1 if stored.version is None else stored.version,
        complete=read.complete,
        **({} if proof is None else {"proof": dg.MetadataValue.md(proof.as_markdown())}),
        rule_counts=dg.MetadataValue.json(stored.rule_counts),
    )


def _companies(con) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Company in small letters → rows that came, good or bad. A key begins with its company; a row without key names none."""
    rows = "SELECT _key FROM good UNION ALL SELECT _key FROM bad"
    return dict(
        con.execute(
            f"SELECT split_part(_key, '|', 1), count(*) FROM ({rows}) WHERE contains(_key, '|') GROUP BY 1"
        ).fetchall()
    )


def _waiting_by_rule(con, lake: Lake, quarantine: tuple[str, str]) -> dict[str, int]:  # type: ignore[no-untyped-def]
    """Rule → rows that wait in quarantine because of it, those of earlier reads included."""
    if not lake.exists(quarantine):
        return {}
    lake.register(con, "waiting", quarantine)
    return dict(
        con.execute("SELECT rule, count(*) FROM (SELECT unnest(rules) AS rule FROM waiting) GROUP BY rule").fetchall()
    )


def violations_of(text: str) -> list[dict[str, str | None]]:
    """The violations of one quarantined row, from the text that the lake keeps."""
    found: list[dict[str, str | None]] = json.loads(text)
    return found
