"""`tieout alerts` as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resources.ledger import Ledger
from resources.ledger.breaks import FoundBreak
from tests.alerts.samples import DAY
from tests.alerts.servers import Answer, WebServer
from tests.conftest import PROJECT

RULES = """
sinks:
  slack: {kind: slack}
  teams: {kind: teams}
rules:
  old: {kind: break_age, days: 3, notify: [slack]}
"""


@dataclass
class Command:
    """Runs the command in a home and a database of its own."""

    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "pipelines.cli.main", "alerts", *arguments]
        return subprocess.run(
            command, env=dict(self.environment), cwd=PROJECT, capture_output=True, text=True, check=False
        )

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json").stdout)


@pytest.fixture
def url(new_database: Callable[..., str], ledger_template: str) -> str:
    return new_database(ledger_template)


@pytest.fixture
def alerts(url: str, web: WebServer, tmp_path: Path) -> Command:
    (tmp_path / "alerts.yaml").write_text(RULES)
    ours = ("TIEOUT_", "SALESFORCE_", "D365_", "DAGSTER_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return Command(
        inherited
        | {
            "PYTHONPATH": str(PROJECT),
            "TIEOUT_HOME": str(tmp_path / "home"),
            "TIEOUT_ALERTS": str(tmp_path / "alerts.yaml"),
            "TIEOUT_DATABASE_URL": url,
            "TIEOUT_SLACK_WEBHOOK_URL": f"{web.url}/canary-secret",
        }
    )


def test_alerts_are_checked_listed_and_told_once(alerts: Command, url: str, web: WebServer) -> None:
    with Ledger.opened(url) as ledger:
        old = FoundBreak("id", "sales_order", "[red]usmf", "differs", label="Ingeborg Zwiebelfisch")
        ledger.breaks.record([old], "run", datetime.now(UTC) - 5 * DAY)

    first, second = alerts("check"), alerts.json("check")
    listed, as_json = alerts("list"), alerts.json("list")

    assert (first.returncode, listed.returncode) == (1, 1)
    assert "1 raised; 0 still on; 0 over; slack: told of 1" in first.stdout
    assert "old [red]usmf" in listed.stdout
    assert [each["key"] for each in second["on"]] == ["old [red]usmf"]
    assert (second["raised"], second["told"], second["needs_a_person"]) == ([], [], True)
    assert [each["key"] for each in as_json["alerts"]] == ["old [red]usmf"]
    assert as_json["sinks"]["slack"]["problem"] == ""
    assert as_json["sinks"]["teams"]["problem"].startswith("TIEOUT_TEAMS_WEBHOOK_URL is not set.")
    assert len(web.posts) == 1
    everything = f"{first}{listed}{second}{as_json}{web.posts[0].body!r}"
    assert "Zwiebelfisch" not in everything
    assert "canary" not in everything.replace(str(web.posts[0].path), "")


def test_a_quiet_installation_ends_with_0(alerts: Command) -> None:
    assert alerts("check").returncode == 0
    assert alerts("list", "--all").returncode == 0


def test_a_sink_is_tested_by_its_name(alerts: Command, web: WebServer) -> None:
    done = alerts("test", "slack")

    assert (done.returncode, done.stdout) == (0, "slack took the test notice.\n")
    assert "nothing happened" in web.posts[0].json["blocks"][0]["text"]["text"]


def test_a_sink_that_fails_its_test_says_why_in_one_line_without_its_address(alerts: Command, web: WebServer) -> None:
    web.answers = [Answer(403, body=b"invalid_token")]

    refused, unset, unknown = alerts("test", "slack"), alerts("test", "teams"), alerts("test", "pager")

    assert [each.returncode for each in (refused, unset, unknown)] == [2, 2, 2]
    assert "HTTP 403, invalid_token" in refused.stderr
    assert "TIEOUT_TEAMS_WEBHOOK_URL is not set" in unset.stderr
    assert "Sinks: slack, teams." in unknown.stderr
    assert all(len(each.stderr.strip().splitlines()) == 1 for each in (refused, unset, unknown))
    assert "canary" not in refused.stderr


def test_a_mistake_in_the_file_ends_every_command_with_its_line(alerts: Command, tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text("rules:\n  old: {kind: break_age}\n")

    for arguments in (("list",), ("check",), ("test", "slack")):
        done = alerts(*arguments)
        assert done.returncode == 2
        assert "alerts.yaml:2: `days` is missing" in done.stderr
