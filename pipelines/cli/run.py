"""`tieout run`: the main job once, then its summary."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pipelines.cli import output
from pipelines.cli.configuration import check_configuration
from pipelines.cli.report import summary_in
from pipelines.services.home import Home
from pipelines.services.supervisor import embedded, web_address
from tieout.errors import TieoutError
from tieout.settings import Settings


def run_main(*, seed: str | None, dry_run: bool, full: bool, as_json: bool) -> int:
    """Run the main job. Returns the exit code; raises TieoutError with the reason when the run failed."""
    settings = Settings.from_environment()
    check_configuration(settings)
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
    output.say("Running the main job …")
    outcome = run_job(
        "main", say=output.say, resource_config={"options": {"config": {"dry_run": dry_run, "full": full}}}
    )
    if not outcome.success:
        # A budget that was spent says itself that the run is incomplete.
        incomplete = outcome.problem is not None and outcome.problem.startswith("Incomplete:")
        raise TieoutError(outcome.problem if incomplete else f"The run failed. {outcome.problem}")
    summary = summary_in(Home(settings.home).reports / "latest")
    summary["duration_s"] = round(time.monotonic() - started, 1)
    return summary


def print_summary(summary: Mapping[str, Any], ui: str | None) -> None:
    """The figures a person wants first, then where to look."""
    output.console.print()
    entities = list(summary["reconciliation"])
    output.print_table(
        "Reconciliation, as both systems were read (before anything was sent)",
        ["verdict", *(_in_words(entity) for entity in entities)],
        [
            [_in_words(verdict), *(f"{summary['reconciliation'][entity].get(verdict, 0):,}" for entity in entities)]
            for verdict in _verdicts(summary)
        ],
        numbers=[_in_words(entity) for entity in entities],
    )
    output.console.print()
    money = ["Salesforce", "D365", "difference", "unexplained"]
    output.print_table(
        "Tie-out of the orders in scope (difference = Salesforce minus D365)",
        ["company", "currency", *money],
        [_tie_out_cells(row) for row in summary["tie_out"]],
        numbers=money,
    )
    output.console.print()
    output.print_table(
        "This run",
        ["what", "figure"],
        [
            *([f"rows of {name}", f"{count:,}"] for name, count in summary["extracted"].items()),
            ["quarantined", f"{sum(summary['quarantined'].values()):,}"],
            *_change_rows("changes in", summary["changes"]),
            *_change_rows("would be sent to", summary.get("would_send", {})),
            [
                "deliveries so far",
                " · ".join(f"{state} {count:,}" for state, count in summary["deliveries"].items()) or "none",
            ],
            ["open breaks", _open_breaks(summary)],
            [
                "API calls",
                " · ".join(f"{_in_words(system)} {count:,}" for system, count in summary["api_calls"].items()),
            ],
            ["duration", f"{summary['duration_s']:.1f} s"],
        ],
    )
    output.console.print()
    output.console.print(f"{summary['headline']}.", style="bold", highlight=False)
    output.console.print()
    output.print_places(
        [
            ("Report", summary["report"]),
            ("Workbook", summary["workbook"]),
            ("Dagster UI", ui or "not running; start it with: tieout up"),
        ]
    )


def _verdicts(summary: Mapping[str, Any]) -> list[str]:
    order = ["matched", "differs", "only_in_salesforce", "only_in_d365", "duplicate", "in_flight", "quarantined"]
    return [verdict for verdict in order if any(verdict in counts for counts in summary["reconciliation"].values())]


def _change_rows(what: str, changes: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[list[str]]:
    return [
        [
            f"{what} {_in_words(system)}",
            " · ".join(
                f"{_in_words(entity)}: {done['created']:,} created, {done['updated']:,} updated"
                for entity, done in entities.items()
            ),
        ]
        for system, entities in changes.items()
    ]


def _tie_out_cells(row: Mapping[str, str]) -> list[str]:
    unexplained = Decimal(row["difference"]) - Decimal(row["explained"])
    amounts = [Decimal(row[name]) for name in ("salesforce", "d365", "difference")]
    return [row["company"], row["currency"], *(f"{amount:,}" for amount in (*amounts, unexplained))]


def _open_breaks(summary: Mapping[str, Any]) -> str:
    waiting, settling = summary["waiting_for_a_person"], summary["open_breaks"] - summary["waiting_for_a_person"]
    return f"{waiting:,} for a person · {settling:,} that the next run settles"


def _in_words(name: str) -> str:
    return name.replace("_", " ").replace("salesforce", "Salesforce").replace("d365", "D365")
