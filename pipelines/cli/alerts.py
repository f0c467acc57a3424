"""`tieout alerts`: list, check, test."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from pipelines.cli import output
from pipelines.cli.ledger import opened_ledger, reached_database
from resources.alerting import describe
from resources.ledger import Ledger
from resources.ledger.alerts import AlertRow
from resources.notices import open_sink
from tieout.alerting.notice import a_test
from tieout.alerting.settings import alerts_file, installation_name
from tieout.errors import ConfigurationError
from tieout.settings import Settings

DONE, NEEDS_A_PERSON = 0, 1
_MOST_SHOWN = 1_000


def list_alerts(*, every: bool, limit: int, as_json: bool) -> int:
    """Print what the last look found; returns the exit code."""
    from pipelines.alerts import rules_and_tables

    file, _ = rules_and_tables()
    with opened_ledger() as ledger:
        found = ledger.alerts.list(every=every, limit=limit)
    sinks = describe(file)
    needed = any(each.recovered_at is None for each in found)
    if as_json:
        output.print_json(
            {
                "alerts": [_figures(each) for each in found],
                "rules": {name: rule.model_dump(mode="json") for name, rule in file.rules.items()},
                "sinks": {name: {"kind": spec.kind, "problem": sinks[name]} for name, spec in file.sinks.items()},
                "needs_a_person": needed,
            }
        )
        return NEEDS_A_PERSON if needed else DONE
    _print_alerts("Alerts" if every else "Alerts that are on", found)
    output.print_table(
        f"Sinks: {len(sinks)}" if sinks else "Sinks: none, so alerts are only listed",
        ["sink", "kind", "rules", "problem"],
        [
            [name, spec.kind, ", ".join(rule for rule in file.rules if name in file.sinks_of(rule)), sinks[name]]
            for name, spec in file.sinks.items()
        ],
    )
    output.print_places([("Rules", f"{', '.join(file.rules) or 'none'} in {alerts_file()}")])
    return NEEDS_A_PERSON if needed else DONE


def check_alerts(*, as_json: bool) -> int:
    """Look now; returns the exit code."""
    import dagster as dg

    from pipelines.alerts import look_now, rules_and_tables
    from pipelines.services import dagster_instance
    from pipelines.services.home import Home

    rules_and_tables()  # mistakes in the file are told before anything is started
    with reached_database() as url:
        os.environ.update(dagster_instance.environment(Home(Settings.from_environment().home), url))
        with dg.DagsterInstance.get() as instance, Ledger.opened(url) as ledger:
            found = look_now(ledger, instance)
            on = ledger.alerts.list(limit=_MOST_SHOWN)
    needed = bool(on) or any(told.problem for told in found.told)
    if as_json:
        output.print_json(
            {
                "raised": [asdict(each) for each in found.evaluation.raised],
                "over": len(found.evaluation.recovered),
                "on": [_figures(each) for each in on],
                "told": [asdict(told) for told in found.told],
                "nothing_known": found.nothing_known,
                "needs_a_person": needed,
            }
        )
        return NEEDS_A_PERSON if needed else DONE
    _print_alerts("Alerts that are on", on)
    output.console.print(found.in_words, soft_wrap=True, highlight=False, markup=False)
    if found.nothing_known:
        output.say(f"Nothing is known (yet) for: {', '.join(found.nothing_known)}")
    return NEEDS_A_PERSON if needed else DONE


def test_sink(name: str) -> None:
    """Send a test notice. Raises TieoutError with why the sink did not take it."""
    from pipelines.alerts import rules_and_tables

    file, _ = rules_and_tables()
    if name not in file.sinks:
        known = ", ".join(file.sinks) or "none"
        raise ConfigurationError(f"There is no sink {name!r} in {alerts_file()}. Sinks: {known}.")
    open_sink(file.sinks[name]).send(a_test(datetime.now(UTC), installation_name()))
    output.console.print(f"{name} took the test notice.", soft_wrap=True, highlight=False, markup=False)


def _print_alerts(title: str, found: Sequence[AlertRow]) -> None:
    output.print_table(
        f"{title}: {len(found):,}",
        ["alert", "severity", "since", "over", "told", "figures", "problem"],
        [
            [
                each.key,
                each.severity,
                f"{each.since:%Y-%m-%d %H:%M}",
                f"{each.recovered_at:%Y-%m-%d %H:%M}" if each.recovered_at else "",
                f"{each.last_noticed_at:%Y-%m-%d %H:%M}" if each.last_noticed_at else "",
                each.words,
                "; ".join(f"{sink}: {problem}" for sink, problem in (each.problems or {}).items()),
            ]
            for each in found
        ],
    )


def _figures(alert: AlertRow) -> dict[str, object]:
    return {name: value for name, value in asdict(alert).items() if name != "id"}
