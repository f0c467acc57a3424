"""What happened to one record, in the order in which it happened: planned, every attempt, how each ended, and what people decided."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from desk.record_figures import Where
from resources.ledger import Ledger
from resources.ledger.decisions import Decision
from resources.ledger.delivery_queries import DeliveryRow
from tieout.report.figures import words


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry. `tone`: good, bad or plain."""

    at: datetime
    what: str
    detail: str
    tone: str
    run_id: str = ""


_GOOD, _BAD = {"confirmed", "updated", "ok"}, {"rejected", "in_doubt", "refused"}


def timeline_of(ledger: Ledger, where: Where, deliveries: Iterable[DeliveryRow]) -> list[Happening]:
    """Everything that the ledger knows, newest first."""
    found: list[Happening] = []
    keys = {where.salesforce_id} if where.salesforce_id else set()
    for row in deliveries:
        keys.add(row.business_key)
        found.append(
            Happening(
                row.created_at, f"{words(row.operation)} planned", f"{row.company}/{row.d365_key}", "plain", row.run_id
            )
        )
        found += [_of_decision(made) for made in ledger.decisions.of("delivery", str(row.id))]
    for key in keys:
        for attempt in ledger.attempts.of_business_key(key):
            found.append(_of_attempt(attempt))
    breaks = ledger.break_queries.of_record(
        salesforce_key=where.salesforce_id, d365_key=where.number, company=where.company
    )
    for each in breaks:
        if each.first_seen is not None:
            cause = words(each.cause) if each.cause else ""
            found.append(Happening(each.first_seen, f"Break: {words(each.field)}", cause, "plain", each.run_id))
        found += [_of_decision(made) for made in ledger.decisions.of("break", each.identity)]
    return sorted(found, key=lambda each: each.at, reverse=True)


def _of_decision(made: Decision) -> Happening:
    assert made.at is not None, "every decision of the ledger has its time"
    said = made.note or next((str(value) for value in (made.after or {}).values() if value), "")
    return Happening(made.at, f"{words(made.action)} by {made.who}", said, "plain")


def _of_attempt(attempt: dict[str, object]) -> Happening:
    outcome, state = str(attempt.get("outcome") or "no answer"), str(attempt.get("state") or "")
    told = [str(attempt.get("reason") or "")]
    if attempt.get("http_status"):
        told.append(f"HTTP {attempt['http_status']}")
    if attempt.get("duration_ms") is not None:
        told.append(f"{attempt['duration_ms']} ms")
    tone = "good" if state in _GOOD or outcome in _GOOD else "bad" if state in _BAD or outcome in _BAD else "plain"
    to = "D365" if attempt["direction"] == "to_d365" else "Salesforce"
    at = attempt["at"]
    assert isinstance(at, datetime)
    return Happening(
        at,
        f"{words(str(attempt['operation']))} sent to {to}: {words(outcome).lower()}",
        " · ".join(part for part in told if part),
        tone,
        str(attempt["run_id"]),
    )
