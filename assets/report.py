"""The report of a run as files: page, workbook, report and summary as JSON, in a folder of its own that `latest` then points to.

A report is made from evidence alone: the versions of the lake's tables, what the ledger knew, the contracts (`resources/evidence.py`). So it
can be made again at any time, to the same bytes.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

import tieout
from assets.report_contents import ReportContents, cents, facts_of
from resources import evidence
from resources.lake import Lake
from resources.ledger import Ledger
from resources.workbench import Workbench, duckdb_connection
from tieout import report as page
from tieout.contract import Contracts, load_contracts
from tieout.errors import ContractError
from tieout.reconciliation import explain

HTML, WORKBOOK, REPORT, SUMMARY = "reconciliation.html", "reconciliation.xlsx", "report.json", "summary.json"


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report lies, and what its first line says."""

    html: Path
    workbook: Path
    headline: str
    unexplained: dict[str, str]


@dataclass(frozen=True, slots=True)
class MadeAgain:
    """A report that was made again. `contracts_changed`: the contracts of today are not those of then, which were used."""

    folder: Path
    manifest: evidence.Manifest
    contracts_changed: bool


def write_report(
    *,
    instance: dg.DagsterInstance,
    run_id: str,
    bench: Workbench,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    contract_texts: Mapping[str, str],
    addresses: Mapping[str, str],
    folder: Path,
    dry_run: bool,
) -> Written:
    """Keep the evidence of this run, and write its report below `folder`; `latest` then points to it."""
    bench.customers()
    bench.orders()
    now = datetime.now(UTC)
    facts = facts_of(bench, ledger, contracts, contract_texts, run_id, dry_run=dry_run)
    manifest = evidence.keep(
        lake,
        bench.inputs,
        facts,
        run_id=run_id,
        as_of=now,
        started=_run_started(instance, run_id),
        dry_run=dry_run,
        addresses=addresses,
        steps=steps_of_run(instance, run_id),
        tieout=tieout.__version__,
    )
    target = folder / manifest.folder_name
    made = _write(target, bench, lake, contracts, facts, manifest)
    _point_latest(folder / "latest", target)
    unexplained = {currency: cents(amount) for currency, amount in made.headline.unexplained.items()}
    return Written(target / HTML, target / WORKBOOK, made.headline.title, unexplained)


def write_again(lake: Lake, run: str, folder: Path, contract_texts: Mapping[str, str]) -> MadeAgain:
    """Make the report of an earlier run again, from the lake alone, into a folder of its own below `folder`.

    `run` is the id of the run or a beginning of it; `contract_texts` are the contracts of today. The rows are compared anew. Raises
    RecordError where the run is not known, SourceUnavailable where a version is gone, ContractError where the contracts of then cannot be
    read any more.
    """
    manifest = evidence.find(lake, run)
    inputs, facts = evidence.restore(lake, manifest)
    contracts = _contracts_of(facts, manifest.run_id)
    with duckdb_connection() as con:
        bench = Workbench(con, lake, None, contracts, inputs)
        bench.customers()
        bench.orders()
        explain(con, [((c.salesforce_key, c.d365_key), c.company, c.cause, c.explains) for c in facts.causes])
        target = folder / manifest.folder_name
        _write(target, bench, lake, contracts, facts, manifest)
    changed = dict(contract_texts) != {each.name: each.text for each in facts.contracts}
    return MadeAgain(target, manifest, changed)


def steps_of_run(instance: dg.DagsterInstance, run_id: str) -> dict[str, dict[str, Any]]:
    """Asset → the figures that it reported in this run."""
    found: dict[str, dict[str, Any]] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.dagster_event
        if event is None or event.asset_key is None:
            continue
        materialization = event.step_materialization_data.materialization
        figures = {name: value.value for name, value in materialization.metadata.items()}
        found[event.asset_key.to_user_string()] = figures | {"_at": entry.timestamp}
    return found


def _write(
    target: Path,
    bench: Workbench,
    lake: Lake,
    contracts: Contracts,
    facts: evidence.Facts,
    manifest: evidence.Manifest,
) -> page.Report:
    gathered = ReportContents(bench, lake, contracts, facts, manifest)
    made = gathered.report()
    target.mkdir(parents=True, exist_ok=True)
    page.write_html(made, target / HTML)
    page.write_xlsx(made, target / WORKBOOK)
    _write_json(target / REPORT, made.as_dict())
    # The files are named without their folder: the summary is the same wherever the report lies.
    _write_json(target / SUMMARY, gathered.summary(made, HTML, WORKBOOK))
    return made


def _contracts_of(facts: evidence.Facts, run_id: str) -> Contracts:
    with tempfile.TemporaryDirectory(prefix="tieout-contracts-") as base:
        folder = Path(base) / "contracts"
        folder.mkdir()
        for each in facts.contracts:
            (folder / each.name).write_text(each.text, encoding="utf-8")
        try:
            return load_contracts(folder)
        except ContractError as problem:
            raise ContractError(
                f"The contracts that run {run_id} was made with cannot be read by this version of Tieout: {problem}"
            ) from problem


def _write_json(path: Path, value: dict[str, Any]) -> None:
    # What has no UTF-8 form (half a surrogate pair in a name) becomes the escape that JSON has for it.
    text = json.dumps(value, ensure_ascii=False, indent=1)
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _run_started(instance: dg.DagsterInstance, run_id: str) -> float:
    record = instance.get_run_record_by_id(run_id)
    return record.start_time if record and record.start_time else datetime.now(UTC).timestamp()


def _point_latest(link: Path, target: Path) -> None:
    """`latest` is a link where the file system has links, else a copy."""
    temporary = link.with_name("latest.new")
    if temporary.is_symlink() or temporary.exists():
        temporary.unlink() if temporary.is_symlink() else shutil.rmtree(temporary)
    try:
        temporary.symlink_to(target.name)
    except OSError:
        shutil.copytree(target, temporary)
    if link.exists() and not link.is_symlink():
        shutil.rmtree(link)
    os.replace(temporary, link)
