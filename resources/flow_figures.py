"""How each flow stands: what waits in it, what was refused, and what holds it back; for the UI and the command line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from resources.ledger import Ledger
from resources.ledger.delivery_queries import Waiting
from resources.ledger.flows import FlowRow
from tieout.breaker import BreakerState, in_words
from tieout.flow import EVERY_COMPANY, Flow, flow_named


@dataclass(frozen=True, slots=True)
class Standing:
    """One flow for one company, or for all of them (company ''). `paused` and `breaker_words` are empty where nothing holds it back.

    `waiting` is `None` where the ledger knows no queue: for write-backs, and for all companies beside lines of their own.
    """

    flow: Flow
    company: str
    paused: str
    breaker: BreakerState
    breaker_words: str
    waiting: Waiting | None = None

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to look at it. A pause is somebody's wish, and deliveries in doubt are looked for by the next run."""
        refused = self.waiting is not None and self.waiting.dead_letters > 0
        return refused or self.breaker is not BreakerState.CLOSED


def standings(ledger: Ledger) -> list[Standing]:
    """Every flow: a line for each company that it has deliveries or a gate for, and one for all where something is said of all."""
    return [standing for flow in Flow for standing in _standings_of(ledger, flow)]


def flow_figures(ledger: Ledger, flow: str, now: datetime) -> dict[str, int | str]:
    """The figures of one flow over all companies, as metadata of its asset: what waits, what was refused, what holds it back and since when.

    `oldest_doubt_s` is in seconds, 0 where nothing is in doubt. Write-backs have no queue in the ledger, and so no figures but `paused` and
    `breaker`, which are texts that name companies.
    """
    name = flow_named(flow)
    rows = ledger.flows.all(name)
    texts = {
        "paused": _told({row.company: row.reason for row in rows if row.paused}) or "no",
        "breaker": _told({row.company: in_words(row.breaker) for row in rows}) or "closed",
    }
    if not name.delivered:
        return dict(texts)
    waiting = ledger.deliveries.waiting(name.delivered).values()
    return {
        "queued": sum(each.queued for each in waiting),
        "in_doubt": sum(each.in_doubt for each in waiting),
        "oldest_doubt_s": max((_age_s(each.oldest_doubt, now) for each in waiting), default=0),
        "dead_letters": sum(each.dead_letters for each in waiting),
        **texts,
    }


def _standings_of(ledger: Ledger, flow: Flow) -> Iterator[Standing]:
    rows = {row.company: row for row in ledger.flows.all(flow)}
    waiting = ledger.deliveries.waiting(flow.delivered) if flow.delivered else {}
    companies = {*rows, *(ledger.deliveries.companies(flow.delivered) if flow.delivered else ())} - {EVERY_COMPANY}
    nothing = Waiting() if flow.delivered else None
    untouched = FlowRow(flow, EVERY_COMPANY)
    everywhere = rows.get(EVERY_COMPANY, untouched)
    if not companies:
        yield _standing(everywhere, everywhere, nothing)
    elif everywhere != untouched:
        yield _standing(everywhere, everywhere, None)
    for company in sorted(companies):
        yield _standing(rows.get(company, FlowRow(flow, company)), everywhere, waiting.get(company, nothing))


def _standing(row: FlowRow, everywhere: FlowRow, waiting: Waiting | None) -> Standing:
    pauses = dict.fromkeys(each.reason for each in (everywhere, row) if each.paused)
    return Standing(row.flow, row.company, "; ".join(pauses), row.breaker.state, in_words(row.breaker), waiting)


def _told(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{company or 'all companies'}: {words}" for company, words in reasons.items() if words)


def _age_s(since: datetime | None, now: datetime) -> int:
    return max(0, round((now - since).total_seconds())) if since else 0
