"""The alerts file: what ships is right, and every mistake is told with its line and a way out."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.alerts.samples import written
from tests.conftest import PROJECT
from tieout.alerting import load_alerts, model
from tieout.contract import Contracts
from tieout.errors import ConfigurationError


def test_the_file_that_ships_is_right_and_tells_nobody(contracts: Contracts) -> None:
    tables = ["/".join(table.lake_key) for system in ("salesforce", "d365") for table in contracts.tables(system)]

    file = load_alerts(PROJECT / "alerts.yaml", tables)

    assert {rule.kind for rule in file.rules.values()} == set(model.RULE_KINDS)
    assert file.sinks == {}


def test_a_file_is_read_with_its_times_amounts_and_sinks(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
rules:
  old: {kind: break_age, days: 5, causes: [duplicate], companies: [usmf], money_at_least: {EUR: "10.50", "*": 1}, again_after: never}
  money: {kind: break_money, limits: {"*": 1000}, notify: [mail]}
sinks:
  mail: {kind: smtp, to: [a@example.com]}
  slack: {kind: slack, url_from: MY_SLACK}
""",
    )

    file = load_alerts(path)

    old = file.rules["old"]
    assert isinstance(old, model.BreakAge)
    assert (old.again_after, old.money_at_least) == (None, {"EUR": Decimal("10.50"), "*": Decimal(1)})
    assert file.rules["money"].again_after == timedelta(days=1)
    assert (file.sinks_of("old"), file.sinks_of("money"), file.sinks_of("gone")) == (["mail", "slack"], ["mail"], [])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a: {kind: break_agee, days: 3}", "`kind: break_agee` is not known. Did you mean `break_age`?"),
        ("a: {days: 3}", "`kind` is missing in `rules.a`. Add one of: break_age"),
        ("a: {kind: break_age}", "`days` is missing in `rules.a`. Add it."),
        ("a: {kind: break_age, days: 0}", "`days: 0` must be 1 at least"),
        ("a: {kind: break_age, days: 9999}", "`days: 9999` must be 3650 at most"),
        ("a: {kind: break_age, days: 1.5}", "`days: 1.5` must be a whole number"),
        ("a: {kind: break_age, dayz: 3, days: 3}", "unknown key `dayz`. Did you mean `days`?"),
        ("a: {kind: break_age, days: 3, causes: [duplicat]}", "names `duplicat`, which does not exist. Did you mean `duplicate`?"),
        ("a: {kind: break_age, days: 3, companies: []}", "`companies` is empty"),
        ("a: {kind: quota, percent_left: 0}", "`percent_left` must be a whole number from 1 to 100"),
        ("a: {kind: quota, percent_left: 20, severity: urgent}", "`severity: urgent` is not known"),
        ("a: {kind: run_missing, longer_than: 3w}", "`longer_than` must be a time"),
        ("a: {kind: run_failed, again_after: 0h}", "`again_after` must be a time"),
        ("a: {kind: run_failed, notify: [mial]}", "there is no sink `mial`. Did you mean `mail`?"),
        ("a: {kind: break_money, limits: {EUR: 1.5}}", "`limits` must give EUR a whole number or a quoted decimal"),
        ("a: {kind: break_money, limits: {euro: 1}}", "names no currency with 'euro'"),
        ("a: {kind: break_money, limits: {}}", "`limits` must be a group of currencies"),
        ("a: {kind: freshness, longer_than: 1d, tables: [salesforce/acount]}", "Did you mean `salesforce/account`?"),
        ("a: 3", "`a` must be a group of keys, not 3"),
        ("A b: {kind: run_failed}", "`A b` is no name"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_to_do(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, f"sinks:\n  mail: {{kind: smtp, to: [a@example.com]}}\nrules:\n  {line}\n")

    with pytest.raises(ConfigurationError) as problem:
        load_alerts(path, ["salesforce/account"])

    assert str(problem.value).startswith("alerts.yaml:4: ")
    assert told in str(problem.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """rules:
  a: {kind: quota}
  a: {kind: quota, percent_left: 5}
sinks:
  mail: {kind: smtp, to: [nobody]}
  pager: {kind: pager}
more: 1
""",
    )

    with pytest.raises(ConfigurationError) as problem:
        load_alerts(path)

    lines = [each.split(":")[1] for each in str(problem.value).splitlines()]
    assert lines == sorted(lines)
    assert set(lines) == {"2", "3", "5", "6", "7"}


def test_an_address_that_stands_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = written(
        tmp_path, "rules: {}\nsinks:\n  s: {kind: slack, url_from: 'https://hooks.slack.com/canary-secret'}\n"
    )

    with pytest.raises(ConfigurationError, match="must be the name of an environment variable") as problem:
        load_alerts(path)

    assert "canary" not in str(problem.value)


@pytest.mark.parametrize("text", ["", "rules: [", "- a", "rules:", "\t"])
def test_what_is_no_alerts_file_is_refused_with_a_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^alerts\.yaml:\d+: "):
        load_alerts(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read .*TIEOUT_ALERTS"):
        load_alerts(tmp_path / "none.yaml")

    (tmp_path / "latin.yaml").write_bytes(b"rules: {} # \xe9")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_alerts(tmp_path / "latin.yaml")
