"""Whether a rule holds for one fact, and in which words. Words have keys, counts, instants and money in them, and nothing personal."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tieout.alerting import model
from tieout.alerting.facts import (
    Attempts,
    Doubts,
    Fact,
    LastRun,
    OldBreaks,
    OpenMoney,
    QuotaRead,
    TableRead,
    WholeRuns,
)

_QUOTA_WINDOW = timedelta(hours=24)
_MOST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """`on`: the rule holds for `subject`; `None`: too little is known to say, so that an alert stays as it is."""

    subject: str
    on: bool | None
    words: str


def judge(rule: model.Rule, fact: Fact, now: datetime) -> Finding:
    """What a rule says of a fact of its kind at `now` (UTC). TypeError where the two do not belong together."""
    match rule, fact:
        case model.BreakAge(), OldBreaks():
            return _old_breaks(rule, fact, now)
        case model.BreakMoney(), OpenMoney():
            return _open_money(rule, fact)
        case model.ErrorRate(), Attempts():
            return _attempts(rule, fact)
        case model.InDoubt(), Doubts():
            on = fact.deliveries > 0 and now - fact.oldest > rule.longer_than
            words = f"{_count(fact.deliveries, 'delivery', 'deliveries')} in doubt, the oldest {_since(fact.oldest, now)}; bound {in_words(rule.longer_than)}"
            return Finding(_subject(f"delivery/{fact.entity}", fact.company), on, words)
        case model.Quota(), QuotaRead():
            return _quota(rule, fact, now)
        case model.Freshness(), TableRead():
            return _freshness(rule, fact, now)
        case model.RunMissing(), WholeRuns():
            return _run_missing(rule, fact, now)
        case model.RunFailed(), LastRun():
            ended = "succeeded" if fact.succeeded else "failed"
            return Finding(
                _subject(fact.job), not fact.succeeded, f"run {fact.run_id[:8]} {ended} at {_at(fact.ended_at)}"
            )
    raise TypeError(f"A rule {rule.kind!r} is not judged on {type(fact).__name__}.")


def in_words(time: timedelta) -> str:
    """A time in its largest two units, such as `3 d 4 h`."""
    minutes = max(0, int(time.total_seconds() // 60))
    parts = [(minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min")]
    told = [f"{number:,} {unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "less than 1 min"


def plain(text: str) -> str:
    """One line without anything that could steer a terminal, a header or the direction of writing."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())


def _old_breaks(rule: model.BreakAge, fact: OldBreaks, now: datetime) -> Finding:
    waits = "for a person" if rule.breaks == "waiting" else "open"
    verb = "waits" if rule.breaks == "waiting" and fact.breaks == 1 else "wait" if rule.breaks == "waiting" else "stay"
    money = "".join(f"; {_money(amount, currency)}" for currency, amount in sorted(fact.money.items()))
    words = f"{_count(fact.breaks, 'break', 'breaks')} {verb} {waits} for more than {rule.days} days, the oldest {_since(fact.oldest, now)}{money}"
    return Finding(_subject(fact.company), fact.breaks > 0, words)


def _open_money(rule: model.BreakMoney, fact: OpenMoney) -> Finding:
    limit = amount_for(rule.limits, fact.currency)
    which = "open " if rule.breaks == "open" else ""
    shown = _count(fact.breaks, f"{which}break", f"{which}breaks")
    words = f"{_money(fact.money, fact.currency)} in {shown}{'' if which else ' for a person'}"
    if limit is None:
        return Finding(_subject(fact.company, fact.currency), False, f"{words}; no limit")
    return Finding(
        _subject(fact.company, fact.currency),
        fact.money > limit,
        f"{words}; limit {_money(limit, fact.currency)}",
    )


def amount_for(amounts: Mapping[str, Decimal], currency: str) -> Decimal | None:
    """The amount of a currency, or that of `*`; `None` where the map says nothing of it."""
    return amounts.get(currency, amounts.get(model.EVERY_CURRENCY))


def _attempts(rule: model.ErrorRate, fact: Attempts) -> Finding:
    subject = _subject(f"{fact.direction}/{fact.entity}", fact.company)
    words = (
        f"{fact.failed:,} of {fact.ended:,} attempts of the last {in_words(rule.within)} failed; limit {rule.percent}%"
    )
    if fact.ended < rule.at_least:
        return Finding(subject, None, words)
    return Finding(subject, fact.failed * 100 > rule.percent * fact.ended, words)


def _quota(rule: model.Quota, fact: QuotaRead, now: datetime) -> Finding:
    left = max(0, fact.allowed - fact.used)
    words = f"{left:,} of {fact.allowed:,} calls of 24 hours left, read at {_at(fact.at)}; limit {rule.percent_left}%"
    # The calls of an older reading have come back since; how many were made meanwhile nobody knows.
    known = fact.allowed > 0 and now - fact.at <= _QUOTA_WINDOW
    return Finding(_subject(fact.system), left * 100 < rule.percent_left * fact.allowed if known else None, words)


def _freshness(rule: model.Freshness, fact: TableRead, now: datetime) -> Finding:
    since = fact.read_at or fact.first_tried
    read = (
        f"last read completely {_since(fact.read_at, now)}"
        if fact.read_at
        else f"never read completely, tried {_since(since, now)}"
    )
    return Finding(
        _subject(f"{fact.system}/{fact.table}"),
        now - since > rule.longer_than,
        f"{read}; bound {in_words(rule.longer_than)}",
    )


def _run_missing(rule: model.RunMissing, fact: WholeRuns, now: datetime) -> Finding:
    since = fact.succeeded_at or fact.first_started
    run = (
        f"the last good run ended {_since(since, now)}"
        if fact.succeeded_at
        else f"no run succeeded since the first one began, {_since(since, now)}"
    )
    return Finding("main", now - since > rule.longer_than, f"{run}; bound {in_words(rule.longer_than)}")


def _subject(*parts: str) -> str:
    shown = plain(" ".join(parts)) or "without company"
    return shown if len(shown) <= _MOST_SUBJECT else f"{shown[: _MOST_SUBJECT - 1]}…"


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _since(at: datetime, now: datetime) -> str:
    return f"since {_at(at)} ({in_words(now - at)})"


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _money(amount: Decimal, currency: str) -> str:
    """Every decimal that it has, two at least."""
    exact = amount.normalize()
    return f"{exact:,.{max(2, -int(exact.as_tuple().exponent))}f} {plain(currency)}".rstrip()
