"""`tieout run`: the main job once, then its summary."""

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pipelines.cli import output
from pipelines.services.home import Home
from pipelines.services.supervisor import embedded, web_address
from tieout.errors import TieoutError
from tieout.settings import Settings


def run_main(*, seed: str | None, dry_run: bool, full: bool, as_json: bool) -> int:
    """Run the main job. Returns the exit code; raises TieoutError with the reason when the run failed."""
    settings = Settings.from_environment()
    with embedded(settings, seed=seed, say=output.say) as running:
        summary = summary_of_run(running.settings, dry_run=dry_run, full=full)
    if as_json:
        output.print_json(summary)
    else:
        print_summary(summary, web_address(settings))
    return 1 if summary["needs_a_person"] else 0


def summary_of_run(settings: Settings, *, dry_run: bool = False, full: bool = False) -> dict[str, Any]:
    """Run the job against what is up and return what `--json` prints."""
    from pipelines.launch import run_job
    from resources.ledger import upgrade

    if settings.database_url is None:
        raise TieoutError("No database is running.")
    started = time.monotonic()
    upgrade(settings.database_url)
    outcome = run_job(
        "main", say=output.say, resource_config={"options": {"config": {"dry_run": dry_run, "full": full}}}
    )
    if not outcome.success:
        raise TieoutError(f"The run failed. {outcome.problem}")
    path = Home(settings.home).reports / "latest" / "summary.json"
    summary: dict[str, Any] = json.loads(path.read_text())
    summary["duration_s"] = round(time.monotonic() - started, 1)
    return summary


def print_summary(summary: Mapping[str, Any], ui: str | None) -> None:
    """The figures a person wants first, then where to look."""
    output.print_table(
        "Reconciliation",
        ["entity", *(verdicts := _verdicts(summary))],
        [
            [entity, *(f"{counts.get(verdict, 0):,}" for verdict in verdicts)]
            for entity, counts in summary["reconciliation"].items()
        ],
        numbers=verdicts,
    )
    money = ["salesforce", "d365", "difference", "explained"]
    output.console.print()
    output.print_table(
        "Tie-out (in-scope orders)",
        ["company", "currency", *money],
        [[row["company"], row["currency"], *(_amount(row[name]) for name in money)] for row in summary["tie_out"]],
        numbers=money,
    )
    output.console.print()
    output.print_table(
        "This run",
        ["what", "figure"],
        [
            *([f"rows of {name}", f"{count:,}"] for name, count in summary["extracted"].items()),
            ["quarantined", f"{sum(summary['quarantined'].values()):,}"],
            *_change_rows(summary["changes"]),
            [
                "deliveries so far",
                " · ".join(f"{state} {count:,}" for state, count in summary["deliveries"].items()) or "none",
            ],
            ["open breaks", f"{summary['open_breaks']:,}"],
            ["API calls", " · ".join(f"{system} {count:,}" for system, count in summary["api_calls"].items())],
            ["duration", f"{summary['duration_s']:.1f} s"],
        ],
    )
    output.console.print()
    output.console.print(f"Report      {summary['report']}", soft_wrap=True, highlight=False)
    output.console.print(f"Workbook    {summary['workbook']}", soft_wrap=True, highlight=False)
    output.console.print(
        f"Dagster UI  {ui}" if ui else "Dagster UI  not running; start it with: tieout up",
        soft_wrap=True,
        highlight=False,
    )


def _verdicts(summary: Mapping[str, Any]) -> list[str]:
    order = ["matched", "differs", "only_in_salesforce", "only_in_d365", "duplicate", "in_flight", "quarantined"]
    return [verdict for verdict in order if any(verdict in counts for counts in summary["reconciliation"].values())]


def _change_rows(changes: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[list[str]]:
    return [
        [
            f"changes in {system}",
            " · ".join(
                f"{entity}: {done['created']:,} created, {done['updated']:,} updated"
                for entity, done in entities.items()
            ),
        ]
        for system, entities in changes.items()
    ]


def _amount(text: str) -> str:
    return f"{Decimal(text):,}"
