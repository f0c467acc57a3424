"""`tieout report`: the latest reconciliation."""

import json

from pipelines.cli import output
from pipelines.cli.run import print_summary
from pipelines.services.home import Home
from pipelines.services.supervisor import web_address
from tieout.errors import ConfigurationError
from tieout.settings import Settings


def show_latest(*, as_json: bool) -> int:
    """Print the latest summary. Returns the exit code that its run had."""
    settings = Settings.from_environment()
    path = Home(settings.home).reports / "latest" / "summary.json"
    if not path.exists():
        raise ConfigurationError(f"There is no report in {settings.home} yet. Make one with: tieout run")
    summary = json.loads(path.read_text(encoding="utf-8"))
    if as_json:
        output.print_json(summary)
    else:
        print_summary(summary, web_address(settings))
    return 1 if summary["needs_a_person"] else 0
