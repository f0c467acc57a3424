"""What the rules of alerts are judged on, gathered: the ledger's figures and what the runs say. A rule that cannot be looked at is left out."""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from resources.ledger import Ledger
from tieout.alerting import Rule, model
from tieout.alerting.facts import Fact, Observed, RunFacts

log = logging.getLogger(__name__)


def observed(
    ledger: Ledger, rules: Mapping[str, Rule], tables: Collection[tuple[str, str]], runs: RunFacts | None, now: datetime
) -> Observed:
    """Rule → its facts. `tables`: (system, table) of the contracts. `runs`: `None` where the runs could not be read.

    A question that the database does not answer in time leaves its rule out, and is logged; SourceUnavailable where the database is gone.
    """
    found: dict[str, Sequence[Fact]] = {}
    for name, rule in rules.items():
        try:
            facts = _facts(ledger, rule, tables, runs, now)
        except SQLAlchemyError as error:
            log.warning("alert.not_looked_at", extra={"rule": name, "problem": type(error).__name__})
            continue
        if facts is not None:
            found[name] = facts
    return found


def _facts(
    ledger: Ledger, rule: Rule, tables: Collection[tuple[str, str]], runs: RunFacts | None, now: datetime
) -> Sequence[Fact] | None:
    """`None` where nobody can say."""
    ask = ledger.alert_queries
    match rule:
        case model.BreakAge():
            return ask.old_breaks(rule, now)
        case model.BreakMoney():
            return ask.open_money(rule, now)
        case model.ErrorRate():
            # Attempts that stopped are no recovery: without any, an alert stays until some went well.
            return ask.attempts(rule, now) or None
        case model.InDoubt():
            return ask.doubts(rule, now)
        case model.Quota():
            return ask.quotas() or None
        case model.Freshness():
            wanted = [each for each in tables if rule.tables is None or "/".join(each) in rule.tables]
            return ask.table_reads(wanted)
        case model.RunMissing():
            return None if runs is None else [runs.whole] if runs.whole else []
        case model.RunFailed():
            return None if runs is None else runs.last
