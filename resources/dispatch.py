"""The delivery flow: what a run wants goes into the ledger, from there to D365 in batches, and what came back into the ledger again.

Exactly once rests on three things: our own number (D365 refuses a second copy), the ledger (every attempt is written down before it leaves),
and looking before sending again (a lost answer proves nothing). Running it again at any moment harms nobody.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from resources.d365 import BatchReply, D365Client
from resources.delivery_results import DeliveryResult, DeliverySummary, Results
from resources.ledger import Ledger
from resources.ledger.deliveries import Ended, Held, Sent
from resources.ledger.instants import utc_now
from resources.looking import Looking, keys_of, link_of
from tieout.answer import Answer, NoAnswer
from tieout.batch import MOST_OPERATIONS, Changeset, Operation, packed, shares
from tieout.contract import Contract
from tieout.delivery import Event, State
from tieout.errors import AuthenticationProblem, SourceUnavailable
from tieout.intended import IntendedWrite
from tieout.intended import Operation as Kind
from tieout.odata import json_body, key_path
from tieout.outcome import Outcome, event_of, outcome_of_create, outcome_of_update, words_of

__all__ = ["DeliveryResult", "DeliverySummary", "Pace", "deliver", "preview"]

log = logging.getLogger(__name__)

_KINDS: tuple[Kind, ...] = ("create", "update")


@dataclass(frozen=True, slots=True)
class Pace:
    """How a delivery is carried out. Seconds where the name says `_s`."""

    grace_s: float = 30.0
    """How long after a lost answer nothing may be taken for absent: a slow commit can still land."""
    lease_s: float = 600.0
    """How long a claim holds. Longer than the longest wait for an answer, so that nobody looks while the request is still running."""
    most_operations: int = MOST_OPERATIONS
    claimed_at_once: int = 100
    planned_at_once: int = 200
    rounds_without_progress: int = 3
    pause_s: float = 2.0
    """Pause before a round that follows one without progress, where D365 does not say how long."""


def deliver(
    ledger: Ledger,
    client: D365Client,
    contract: Contract,
    intended: Iterable[IntendedWrite],
    *,
    run_id: str,
    dry_run: bool = False,
    whole_scope: bool = False,
    pace: Pace | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> DeliverySummary:
    """Bring the intended writes of one entity to D365, creations before updates.

    `whole_scope` says that `intended` is everything that is wanted: what is planned beyond it is cancelled. Raises AuthenticationProblem;
    every other trouble ends in the state and reason of the records that it met.
    """
    flow = _Flow(ledger, client, contract, run_id, pace or Pace(), clock, sleep)
    return flow.preview(intended) if dry_run else flow.carry_out(intended, whole_scope)


def preview(ledger: Ledger, intended: Iterable[IntendedWrite], at_once: int = 200) -> tuple[DeliveryResult, ...]:
    """What `deliver` would do with each intended write; changes nothing and asks nobody but the ledger."""
    results = Results()
    for chunk in _chunks(intended, at_once):
        results.planned(ledger.deliveries.preview(chunk))
    return results.all()


class _Flow:
    def __init__(
        self,
        ledger: Ledger,
        client: D365Client,
        contract: Contract,
        run_id: str,
        pace: Pace,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._contract = contract
        self._run_id = run_id
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._results = Results()
        self._looking = Looking(ledger, client, contract, self._results, run_id, grace_s=pace.grace_s, clock=clock)
        self._batches = 0
        self._asked_to_wait_s = 0.0

    def preview(self, intended: Iterable[IntendedWrite]) -> DeliverySummary:
        started = time.monotonic()
        results = preview(self._ledger, intended, self._pace.planned_at_once)
        return self._summary(started, results, dry_run=True)

    def carry_out(self, intended: Iterable[IntendedWrite], whole_scope: bool) -> DeliverySummary:
        started, calls = time.monotonic(), self._client.api_calls
        entity, deliveries = self._contract.entity, self._ledger.deliveries
        recovered = deliveries.recover(self._clock())
        if any(recovered.values()):
            log.warning("delivery.recovered", extra={"entity": entity, "states": dict(recovered)})
        deliveries.plan_updates_again(entity, self._clock())
        self._looking.resolve(deliveries.in_doubt(entity, "create"))
        for chunk in _chunks(intended, self._pace.planned_at_once):
            self._results.planned(deliveries.plan(chunk, self._run_id, self._clock()))
        cancelled = 0
        if whole_scope:
            cancelled = sum(deliveries.cancel_unwanted(entity, kind, self._run_id, self._clock()) for kind in _KINDS)
        for kind in _KINDS:
            self._send_all(kind)
        self._looking.read_the_rest()
        return self._summary(started, self._results.all(), cancelled=cancelled, calls=self._client.api_calls - calls)

    def _send_all(self, kind: Kind) -> None:
        """Claim and send until nothing is left, or until rounds on end brought nothing."""
        idle_rounds = 0
        while idle_rounds < self._pace.rounds_without_progress:
            held = self._ledger.deliveries.claim(
                self._contract.entity,
                kind,
                self._run_id,
                owner=self._owner,
                lease_s=self._pace.lease_s,
                limit=self._pace.claimed_at_once,
                now=self._clock(),
            )
            if not held:
                return
            self._asked_to_wait_s = 0.0
            progress = self._send_claimed(kind, held)
            idle_rounds = 0 if progress else idle_rounds + 1
            if self._asked_to_wait_s or not progress:
                self._sleep(self._asked_to_wait_s or self._pace.pause_s)

    def _send_claimed(self, kind: Kind, held: Sequence[Held]) -> bool:
        """Send what was claimed, batch by batch; what was not sent in the end is given back. True when any delivery came further."""
        changesets = [self._changeset(each) for each in held]
        progress = False
        sent = 0
        try:
            for at in packed([len(changeset) for changeset in changesets], self._pace.most_operations):
                sent = at.stop
                progress |= self._send_batch(kind, held[at.start : at.stop], changesets[at.start : at.stop])
                if self._asked_to_wait_s:
                    break  # throttled: what follows would only be refused as well
        finally:
            self._ledger.deliveries.release(held[sent:], self._clock())
        return progress

    def _send_batch(self, kind: Kind, held: Sequence[Held], changesets: Sequence[Changeset]) -> bool:
        """One request between two transactions: marked as sent before, ended after."""
        sent = self._ledger.deliveries.mark_sent(
            held,
            self._run_id,
            correlation_id=f"{self._run_id}/{self._contract.entity}/{self._batches}",
            request=f"POST $batch: {len(held)} changesets, {sum(map(len, changesets))} operations",
            lease_s=self._pace.lease_s,
            now=self._clock(),
        )
        if not sent:
            return False  # another run took all of them meanwhile
        self._batches += 1
        ours = {each.held.id for each in sent}
        mine = [changeset for each, changeset in zip(held, changesets, strict=True) if each.id in ours]
        calls = self._client.api_calls
        try:
            reply = self._client.send_changesets(mine)
        except (AuthenticationProblem, SourceUnavailable) as problem:
            # Raised before anything ran: there was no token, or the token was refused.
            nothing_ran = (NoAnswer(str(problem), may_have_run=False),) * len(sent)
            self._end(kind, sent, BatchReply(nothing_ran, self._client.api_calls - calls, 0), Outcome.SIGN_IN)
            if isinstance(problem, AuthenticationProblem):
                raise
            return False
        return self._end(kind, sent, reply)

    def _end(self, kind: Kind, sent: Sequence[Sent], reply: BatchReply, forced: Outcome | None = None) -> bool:
        classify = outcome_of_create if kind == "create" else outcome_of_update
        answered: list[tuple[Ended, Outcome]] = []
        for each, answer, share in zip(sent, reply.answers, shares(reply.calls, len(sent)), strict=True):
            outcome = forced or classify(answer)
            if isinstance(answer, Answer) and answer.status == 429:
                asked_s = self._pace.pause_s if answer.retry_after_s is None else answer.retry_after_s
                self._asked_to_wait_s = max(self._asked_to_wait_s, asked_s)
            ended = Ended(
                held=each.held,
                attempt_id=each.attempt_id,
                event=event_of(outcome),
                outcome=outcome,
                duration_ms=reply.duration_ms,
                api_calls=share,
                http_status=answer.status if isinstance(answer, Answer) else None,
                reason="" if outcome is Outcome.CONFIRMED else words_of(answer),
            )
            answered.append((ended, outcome))
        every = [ended for ended, _ in answered]
        confirmed = [ended.held for ended in every if ended.event is Event.CONFIRM]
        links = [link_of(each) for each in confirmed] if kind == "create" else []
        moved = self._ledger.deliveries.end(every, self._run_id, links=links, now=self._clock())
        ours = [(ended, outcome) for ended, outcome in answered if ended.held.id in moved]
        for ended, outcome in ours:
            self._note(ended, outcome)
        if kind == "create":
            self._looking.resolve(
                [
                    replace(e.held, reason=e.reason, doubt_since=self._clock())
                    for e, outcome in ours
                    if outcome.needs_a_look
                ],
                frozenset(e.held.id for e, outcome in ours if outcome is Outcome.REJECTED_UNSURE),
            )
            self._looking.created([each for each in confirmed if each.id in moved])
        return any(ended.event is not Event.NOT_PROCESSED for ended in every)

    def _note(self, ended: Ended, outcome: Outcome) -> None:
        """Keep what an ended attempt means for the record's result, and log what people will ask about."""
        match outcome:
            case Outcome.CONFIRMED:
                effect = "created" if ended.held.operation == "create" else "updated"
                self._results.moved(ended.held, State.CONFIRMED, effect=effect)
            case Outcome.REJECTED:
                self._results.moved(ended.held, State.REJECTED, reason=ended.reason)
                log.warning("delivery.rejected", extra=keys_of(ended.held) | {"status": ended.http_status})
            case Outcome.NOT_PROCESSED | Outcome.SIGN_IN:
                self._results.moved(ended.held, State.PLANNED, reason=ended.reason)
            case _:
                self._results.moved(ended.held, State.IN_DOUBT, reason=ended.reason)
                log.warning("delivery.in_doubt", extra=keys_of(ended.held) | {"outcome": outcome.value})

    def _changeset(self, held: Held) -> Changeset:
        side = self._contract.d365
        if held.operation == "update":
            key = dict(zip(side.key, (held.company, held.d365_key), strict=True))
            path = f"{key_path(side.source, key)}?cross-company=true"
            return Changeset((Operation("PATCH", path, json_body(held.header)),))
        operations = [Operation("POST", side.source, json_body(held.header))]
        if self._contract.lines is not None:
            operations += [Operation("POST", self._contract.lines.d365.source, json_body(line)) for line in held.lines]
        return Changeset(tuple(operations))

    def _summary(
        self,
        started: float,
        results: tuple[DeliveryResult, ...],
        *,
        cancelled: int = 0,
        calls: int = 0,
        dry_run: bool = False,
    ) -> DeliverySummary:
        summary = DeliverySummary(
            entity=self._contract.entity,
            dry_run=dry_run,
            results=results,
            api_calls=calls,
            batches=self._batches,
            duration_s=time.monotonic() - started,
            cancelled=cancelled,
        )
        log.info(
            "delivery.done",
            extra={
                "entity": summary.entity,
                "dry_run": dry_run,
                "wanted": len(summary.results),
                "new": summary.created,
                "changed": summary.updated,
                "adopted": summary.adopted,
                "batches": summary.batches,
                "api_calls": summary.api_calls,
            },
        )
        return summary


def _chunks(intended: Iterable[IntendedWrite], at_once: int) -> Iterator[list[IntendedWrite]]:
    """Chunks of one operation each; their payloads are forgotten once they are in the ledger."""
    waiting: dict[Kind, list[IntendedWrite]] = {kind: [] for kind in _KINDS}
    for write in intended:
        chunk = waiting[write.operation]
        chunk.append(write)
        if len(chunk) >= at_once:
            yield chunk
            waiting[write.operation] = []
    yield from (chunk for chunk in waiting.values() if chunk)
