"""`tieout report`: the latest reconciliation, or that of an earlier run, made again."""

import json
from pathlib import Path
from typing import Any

from pipelines.cli import output
from pipelines.services.home import Home
from pipelines.services.supervisor import web_address
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def show_latest(*, as_json: bool) -> int:
    """Print the latest summary. Returns the exit code that its run had."""
    settings = Settings.from_environment()
    folder = Home(settings.home).reports / "latest"
    if not (folder / "summary.json").exists():
        raise ConfigurationError(f"There is no report in {settings.home} yet. Make one with: tieout run")
    return _show(folder, settings, as_json=as_json)


def show_as_of(run: str, *, as_json: bool) -> int:
    """Make the report of an earlier run again from the lake, into a folder of its own, and print its summary."""
    from assets.report import write_again
    from resources.connections import contract_texts
    from resources.lake import Lake

    settings = Settings.from_environment()
    folder = Home(settings.home).reports / "as-of"
    again = write_again(Lake(settings.lake_url), run, folder, contract_texts(settings.contracts))
    if again.contracts_changed:
        output.say("The contracts have changed since that run; those of then are used.")
    return _show(again.folder, settings, as_json=as_json)


def summary_in(folder: Path) -> dict[str, Any]:
    """The summary of the report in a folder, with the places of its files."""
    where = folder.resolve()
    summary: dict[str, Any] = json.loads((where / "summary.json").read_text(encoding="utf-8"))
    return summary | {name: str(where / summary[name]) for name in ("report", "workbook")}


def _show(folder: Path, settings: Settings, *, as_json: bool) -> int:
    from pipelines.cli.run import print_summary

    summary = summary_in(folder)
    if as_json:
        output.print_json(summary)
    else:
        print_summary(summary, web_address(settings))
    return 1 if summary["needs_a_person"] else 0
