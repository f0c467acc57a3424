"""One look at the rules of alerts: observe, judge, keep, and tell the sinks. It never stops a run, and a broken sink never stops another one."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from resources.alert_facts import observed
from resources.ledger import Ledger
from resources.ledger.alerts import ClaimedNotice
from resources.notices import NotTaken, Sink, open_sink
from tieout.alerting import AlertFile, Evaluation, SinkSpec, evaluate
from tieout.alerting.facts import RunFacts
from tieout.alerting.notice import MOST_ITEMS, Item, Notice
from tieout.alerting.settings import installation_name
from tieout.errors import TieoutError

log = logging.getLogger(__name__)

TIME_FOR_NOTICES_S = 30.0
"""A sensor has a minute. No further sink is begun after this; what it should have been told is due at the next look."""

Opener = Callable[[SinkSpec], Sink]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the notice of one sink. `problem` is empty where it was taken, and never holds a secret."""

    sink: str
    alerts: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look: what it found, who was told, and the rules that nothing could be said of."""

    evaluation: Evaluation
    told: Sequence[Told] = ()
    nothing_known: Sequence[str] = ()

    @property
    def in_words(self) -> str:
        """One line for a log."""
        found = self.evaluation
        parts = [
            f"{len(found.raised)} raised",
            f"{len(found.still_on)} still on",
            f"{len(found.recovered)} over",
            *(f"{each.sink}: {each.problem or f'told of {each.alerts}'}" for each in self.told),
        ]
        return "; ".join(parts)


def look(
    ledger: Ledger,
    file: AlertFile,
    tables: Collection[tuple[str, str]],
    runs: RunFacts | None,
    now: datetime,
    *,
    opener: Opener = open_sink,
    clock: Callable[[], float] = time.monotonic,
) -> Look:
    """Judge every rule at `now` (UTC), keep what was found, and tell each sink what it has not been told.

    `tables`: (system, table) of the contracts; `runs`: `None` where the runs could not be read. Problems of sinks are in the result and the
    log; SourceUnavailable where the ledger cannot be reached.
    """
    # One at a time: what another process observes meanwhile would be older than what it meets in the ledger.
    with ledger.alone("alerts"):
        facts = observed(ledger, file.rules, tables, runs, now)
        evaluation = evaluate(file.rules, facts, ledger.alerts.open(), now)
        ledger.alerts.apply(evaluation, {rule: file.sinks_of(rule) for rule in file.rules}, now)
    for each in evaluation.raised:
        log.warning("alert.raised", extra={"alert": each.key, "severity": each.severity, "words": each.words})
    for over in evaluation.recovered:
        log.info("alert.over", extra={"alert_id": over.id, "words": over.words})
    told = tell(ledger, file, now, opener=opener, clock=clock)
    return Look(evaluation, told, sorted(set(file.rules) - set(facts)))


def tell(
    ledger: Ledger,
    file: AlertFile,
    now: datetime,
    *,
    opener: Opener = open_sink,
    clock: Callable[[], float] = time.monotonic,
) -> list[Told]:
    """Tell each sink of the alerts that are due for it at `now`; only sinks to which something was due are in the result."""
    until = clock() + TIME_FOR_NOTICES_S
    done = []
    again_after = {name: rule.again_after for name, rule in file.rules.items()}
    for name, spec in file.sinks.items():
        if clock() >= until:
            log.warning("alert.no_time_for_sink", extra={"sink": name})
            continue
        claimed = ledger.alerts.claim(name, again_after, now, limit=MOST_ITEMS)
        if claimed:
            done.append(_told(ledger, name, spec, claimed, now, opener))
    return done


def _told(
    ledger: Ledger, name: str, spec: SinkSpec, claimed: Sequence[ClaimedNotice], now: datetime, opener: Opener
) -> Told:
    problem, wait_s = _sent(spec, Notice([_item(each) for each in claimed], installation_name()), opener)
    if not problem:
        ledger.alerts.told(name, claimed, now)
        log.info("alert.noticed", extra={"sink": name, "alerts": len(claimed)})
    else:
        not_before = now + timedelta(seconds=wait_s) if wait_s else None
        ledger.alerts.failed(name, claimed, problem, not_before)
        log.warning("alert.notice_failed", extra={"sink": name, "alerts": len(claimed), "problem": problem})
    return Told(name, len(claimed), problem)


def _sent(spec: SinkSpec, notice: Notice, opener: Opener) -> tuple[str, float | None]:
    """(problem, seconds to wait); an empty problem where the sink took the notice."""
    try:
        opener(spec).send(notice)
    except NotTaken as problem:
        return str(problem), problem.wait_s
    except TieoutError as problem:
        return str(problem), None
    except Exception as error:
        # A mistake of ours or of a library, whose message may hold an address: its kind is for the log, and the other sinks go on.
        return f"an unexpected {type(error).__name__}; this is a mistake of Tieout", None
    return "", None


def _item(claimed: ClaimedNotice) -> Item:
    alert = claimed.alert
    return Item(
        claimed.due,
        "critical" if alert.severity == "critical" else "warning",
        alert.rule,
        alert.subject,
        alert.words,
        alert.since,
        alert.recovered_at,
    )


def describe(file: AlertFile, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Sink → what is wrong with its configuration; empty where it can be tried."""
    found = {}
    for name, spec in file.sinks.items():
        try:
            open_sink(spec, environment)
            found[name] = ""
        except TieoutError as problem:
            found[name] = str(problem)
    return found
