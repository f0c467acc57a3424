"""What became of alerts between two looks: raised, still on, recovered; and when somebody is to be told. A pure function of what is passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tieout.alerting.facts import Observed
from tieout.alerting.judge import Finding, judge
from tieout.alerting.model import Rule, Severity

Due = Literal["raised", "again", "recovered"]
"""Why somebody is told: for the first time, because it is still on after `again_after`, because it is over."""


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is on, as the ledger holds it."""

    id: int
    rule: str
    subject: str

    @property
    def key(self) -> str:
        """What makes two alerts the same one."""
        return key_of(self.rule, self.subject)


@dataclass(frozen=True, slots=True)
class Raised:
    """A new alert."""

    rule: str
    subject: str
    severity: Severity
    words: str

    @property
    def key(self) -> str:
        """What makes two alerts the same one."""
        return key_of(self.rule, self.subject)


@dataclass(frozen=True, slots=True)
class Kept:
    """An alert that is still on, with the words of today."""

    id: int
    severity: Severity
    words: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """An alert that is over, and why."""

    id: int
    words: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One look. Alerts about which nothing could be said are in none of the three; they stay as they are."""

    raised: Sequence[Raised] = ()
    still_on: Sequence[Kept] = ()
    recovered: Sequence[Recovered] = ()


def key_of(rule: str, subject: str) -> str:
    """The key of an alert: there is at most one open alert of a key."""
    return f"{rule} {subject}"


def evaluate(
    rules: Mapping[str, Rule], observed: Observed, open_alerts: Sequence[OpenAlert], now: datetime
) -> Evaluation:
    """Judge every fact by its rule at `now` (UTC) and hold the result against the alerts that are open.

    A subject that has no fact any more has recovered; a rule that is not in `observed` could not be looked at, and one that is not in
    `rules` was taken out of the file, which ends its alerts.
    """
    found: dict[str, tuple[str, Finding]] = {}
    for name, facts in observed.items():
        for fact in facts if name in rules else ():
            finding = judge(rules[name], fact, now)
            found.setdefault(key_of(name, finding.subject), (name, finding))
    known = {alert.key for alert in open_alerts}
    raised = [
        Raised(name, finding.subject, rules[name].severity, finding.words)
        for key, (name, finding) in found.items()
        if finding.on and key not in known
    ]
    still_on, recovered = [], []
    for alert in open_alerts:
        if alert.rule not in rules:
            recovered.append(Recovered(alert.id, "the rule was taken out of the file"))
        elif alert.rule in observed:
            finding = found[alert.key][1] if alert.key in found else Finding(alert.subject, False, "nothing left")
            if finding.on:
                still_on.append(Kept(alert.id, rules[alert.rule].severity, finding.words))
            elif finding.on is False:
                recovered.append(Recovered(alert.id, finding.words))
    return Evaluation(raised, still_on, recovered)


def due_notice(
    *,
    recovered_at: datetime | None,
    last_noticed_at: datetime | None,
    recovery_noticed_at: datetime | None,
    again_after: timedelta | None,
    now: datetime,
) -> Due | None:
    """Whether a sink is to be told of an alert at `now`, and why; `None`: it has been told all there is.

    An alert that is over before a sink could be told of it is told once, as recovered.
    """
    if recovered_at is not None:
        return "recovered" if recovery_noticed_at is None else None
    if last_noticed_at is None:
        return "raised"
    return "again" if again_after is not None and now - last_noticed_at >= again_after else None
