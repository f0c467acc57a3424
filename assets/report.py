"""The report of a run as files: page, workbook, report and summary as JSON, in a folder of its own that `latest` then points to."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from assets.report_contents import ReportContents, cents
from resources.lake import Lake
from resources.ledger import Ledger
from resources.workbench import Workbench
from tieout import report as page
from tieout.contract import Contracts


@dataclass(frozen=True, slots=True)
class Written:
    """Where a report lies, and what its first line says."""

    html: Path
    workbook: Path
    headline: str
    unexplained: dict[str, str]


def write_report(
    *,
    instance: dg.DagsterInstance,
    run_id: str,
    bench: Workbench,
    lake: Lake,
    ledger: Ledger,
    contracts: Contracts,
    addresses: Mapping[str, str],
    folder: Path,
    dry_run: bool,
) -> Written:
    """Gather the report of this run and write it below `folder`; `latest` then points to it."""
    bench.customers()
    bench.orders()
    now = datetime.now(UTC)
    steps = steps_of_run(instance, run_id)
    gathered = ReportContents(bench, lake, ledger, contracts, steps, run_id)
    made = gathered.report(now, addresses, dry_run, _run_started(instance, run_id))
    target = folder / f"{now:%Y-%m-%dT%H-%M-%SZ}-{run_id[:8]}"
    target.mkdir(parents=True, exist_ok=True)
    html, workbook = target / "reconciliation.html", target / "reconciliation.xlsx"
    page.write_html(made, html)
    page.write_xlsx(made, workbook)
    _write_json(target / "report.json", made.as_dict())
    summary = gathered.summary(made, html, workbook)
    _write_json(target / "summary.json", summary)
    _point_latest(folder / "latest", target)
    unexplained = {currency: cents(amount) for currency, amount in made.headline.unexplained.items()}
    return Written(html, workbook, made.headline.title, unexplained)


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
