"""Valid rules, facts and notices for the tests of alerts; each test names what it is about."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tieout.alerting import AlertFile, Rule
from tieout.alerting.facts import LastRun
from tieout.alerting.notice import Item, Notice

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

_RULE: TypeAdapter[Rule] = TypeAdapter(Rule)

HOSTILE = '<script>alert(1)</script> <!channel> *bold* _it_ ~x~ `y` [link](https://evil.example) & "q"\r\nBcc: all@example.com\u202e\x1b[31m'
"""What a company or table could be called by somebody who means no good."""


def a_rule(kind: str = "run_failed", **keys: Any) -> Rule:
    return _RULE.validate_python({"kind": kind, **keys})


def a_file(rules: dict[str, Rule] | None = None, **sinks: dict[str, Any]) -> AlertFile:
    """An alerts file; sinks by name as they stand in YAML."""
    of_rules = {name: as_written(rule) for name, rule in (rules or {"failed": a_rule()}).items()}
    return AlertFile.model_validate({"rules": of_rules, "sinks": sinks})


def as_written(rule: Rule) -> dict[str, Any]:
    """A rule as its YAML gives it."""
    written: dict[str, Any] = {}
    for name, value in rule.model_dump(exclude_unset=True).items():
        written[name] = f"{int(value.total_seconds() // 60)}m" if isinstance(value, timedelta) else value
    if rule.again_after is None:
        written["again_after"] = "never"
    return written


def a_run(job: str = "main", *, succeeded: bool = False, at: datetime = NOW) -> LastRun:
    return LastRun(job, "0df978db-run", succeeded, at)


def an_item(**changes: Any) -> Item:
    given: dict[str, Any] = {
        "due": "raised",
        "severity": "warning",
        "rule": "money_open",
        "subject": "usmf USD",
        "words": "1,234.50 USD in 3 open breaks; limit 1,000.00 USD",
        "since": NOW - HOUR,
        "until": None,
    }
    return Item(**{**given, **changes})


def a_notice(*items: Item, installation: str = "") -> Notice:
    return Notice(items or [an_item()], installation)


def written(folder: Path, text: str) -> Path:
    """An alerts file on disk."""
    path = folder / "alerts.yaml"
    path.write_text(text, encoding="utf-8")
    return path
