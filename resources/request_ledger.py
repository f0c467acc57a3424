"""The two transactions around a request: what is written down before it leaves, and what its end makes of each of its deliveries.

What is sent, and how, is for the senders (`sending.py`, `sending_unnumbered.py`).
"""

import logging
import os
import random
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from resources.d365 import BatchReply
from resources.delivery_results import Results
from resources.ledger import Ledger
from resources.ledger.deliveries import Ended, Held, Sent
from resources.ledger_mark import LedgerMark
from resources.looking import Looking, keys_of, link_of
from tieout.answer import Answer, NoAnswer
from tieout.batch import shares
from tieout.breaker import is_failure
from tieout.delivery import Event, State
from tieout.errors import AuthenticationProblem, BudgetSpent, TieoutError
from tieout.flow import Flow
from tieout.intended import Operation as Kind
from tieout.outcome import Outcome, event_of, outcome_of_create, outcome_of_update, words_of

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 160.0
"""Longest pause after a 429 that names none (practitioners measured minutes of them)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a delivery is carried out. Seconds where the name says `_s`."""

    settle_s: float = 120.0
    """How long after a lost answer nothing may be taken for absent: a slow commit can still land. A contract whose orders get D365's own
    numbers names its own, because there nothing else stands between a slow commit and a second order."""
    doubt_bound_s: float = 3600.0
    """How long a delivery may stay in doubt before a person is told."""
    lease_s: float = 900.0
    """How long a claim holds. Longer than twice the longest wait for an answer, so that nobody looks while the request is still running."""
    most_operations: int = 100
    """Operations in one batch. D365 takes 5,000, but each changeset is one transaction and one bill of execution time."""
    most_at_once: int = 4
    """Batches under way at once, at the most; the first goes alone, and each 429 halves them."""
    claimed_at_once: int = 100
    planned_at_once: int = 200
    rounds_without_progress: int = 3
    pause_s: float = 2.0
    """First pause where D365 throttles and does not say for how long; doubles with every further one, with jitter."""


class RequestLedger:
    """Marks, ends, notes. `asked_to_wait_s` is what the newest throttle asks for; whoever claims next has waited for it and sets it back."""

    def __init__(
        self,
        ledger: Ledger,
        looking: Looking,
        results: Results,
        flow: Flow,
        run_id: str,
        pace: Pace,
        clock: Callable[[], datetime],
        mark: LedgerMark | None,
    ) -> None:
        self.deliveries = ledger.deliveries
        self.looking = looking
        self.pace = pace
        self.clock = clock
        self.batches = 0
        self.asked_to_wait_s = 0.0
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        self._flows = ledger.flows
        self._results = results
        self._flow = flow
        self._run_id = run_id
        self._mark = mark
        self._throttled_in_a_row = 0

    def sent(self, held: Sequence[Held], operations: int, *, with_keys: bool = False) -> list[Sent]:
        """Write down that `held` are sent, before the request leaves. Those that another run took meanwhile are left out.

        `with_keys` writes their D365 numbers down as well, which a look may have found or found to be gone.
        """
        at = self.clock()
        sent = self.deliveries.mark_sent(
            held,
            self._run_id,
            correlation_id=f"{self._run_id}/{self._flow}/{self.batches}",
            request=f"POST $batch: {len(held)} changesets, {operations} operations",
            lease_s=self.pace.lease_s,
            with_keys=with_keys,
            now=at,
        )
        self._about_to_leave(sent, at)
        return sent

    def numbered(self, ended: Sequence[Ended]) -> list[Sent]:
        """Keep the numbers that D365 gave to headers, and write down the request with their lines before it leaves."""
        at = self.clock()
        request = f"POST $batch: {len(ended)} changesets with lines"
        sent = self.deliveries.numbered(ended, self._run_id, request=request, now=at) if ended else []
        self._about_to_leave(sent, at)
        return sent

    def is_late(self, marked_at: datetime) -> bool:
        """Whether a request that was written down at `marked_at` may not leave any more: others could soon take its deliveries for lost."""
        return self.clock() > marked_at + timedelta(seconds=self.pace.lease_s / 2)

    def outcomes(self, kind: Kind, sent: Sequence[Sent], reply: BatchReply) -> list[Ended]:
        """What each answer of a reply means, and what is to be waited for."""
        classify = outcome_of_create if kind == "create" else outcome_of_update
        ended = []
        for each, answer, share in zip(sent, reply.answers, shares(reply.calls, len(sent)), strict=True):
            outcome = classify(answer)
            self._note_throttle(answer)
            ended.append(
                Ended(
                    held=each.held,
                    attempt_id=each.attempt_id,
                    event=event_of(outcome),
                    outcome=outcome,
                    duration_ms=reply.duration_ms,
                    api_calls=share,
                    http_status=answer.status if isinstance(answer, Answer) else None,
                    reason="" if outcome is Outcome.CONFIRMED else words_of(answer),
                )
            )
        return ended

    def end(self, ended: Sequence[Ended]) -> bool:
        """Write down how a request ended for each delivery, look where that is needed, feed the breakers. True if any came further."""
        at = self.clock()
        confirmed = [
            replace(each.held, d365_key=each.d365_key or each.held.d365_key)
            for each in ended
            if each.event is Event.CONFIRM
        ]
        links = [link_of(each) for each in confirmed if each.operation == "create"]
        moved = self.deliveries.end(ended, self._run_id, links=links, now=at)
        ours = [each for each in ended if each.held.id in moved]
        for each in ours:
            self._note(each)
        doubtful = [each for each in ours if Outcome(each.outcome).needs_a_look]
        self.looking.resolve(
            [
                replace(e.held, d365_key=e.d365_key or e.held.d365_key, reason=e.reason, doubt_since=at)
                for e in doubtful
            ],
            frozenset(e.held.id for e in doubtful if e.outcome == Outcome.REJECTED_UNSURE),
        )
        self.looking.created([each for each in confirmed if each.id in moved and each.operation == "create"])
        self._feed_breakers(ended, at)
        return any(each.event is not Event.NOT_PROCESSED for each in ended)

    def nothing_ran(self, sent: Sequence[Sent], problem: TieoutError) -> list[Ended]:
        """The end of a request that never left, or was refused at the door: everything is planned again, with the reason."""
        reply = BatchReply((NoAnswer(str(problem), may_have_run=False),) * len(sent), 0, 0)
        outcome = Outcome.SIGN_IN if isinstance(problem, AuthenticationProblem) else Outcome.NOT_PROCESSED
        # A budget that is spent says nothing about the system: 429, as if it had asked us to stop.
        status = 429 if isinstance(problem, BudgetSpent) else None
        ended = self.outcomes("create", sent, reply)
        return [replace(each, outcome=outcome, http_status=status) for each in ended]

    def _about_to_leave(self, sent: Sequence[Sent], at: datetime) -> None:
        self.batches += bool(sent)
        if self._mark is not None and sent:
            self._mark.advance(max(each.attempt_id for each in sent), at)

    def _note_throttle(self, answer: Answer | NoAnswer) -> None:
        if not isinstance(answer, Answer):
            return
        if answer.status != 429:
            self._throttled_in_a_row = 0
        elif answer.retry_after_s is not None:
            self.asked_to_wait_s = max(self.asked_to_wait_s, answer.retry_after_s)
        else:
            longest = min(self.pace.pause_s * 2**self._throttled_in_a_row, _LONGEST_PAUSE_S)
            self.asked_to_wait_s = max(self.asked_to_wait_s, random.uniform(longest / 2, longest))
            self._throttled_in_a_row += 1

    def _feed_breakers(self, ended: Sequence[Ended], at: datetime) -> None:
        outcomes: list[tuple[str, bool | None]] = []
        broken: set[str] = set()
        for each in ended:
            outcome, company = Outcome(each.outcome), each.held.company
            failed = is_failure(outcome, each.http_status)
            if failed and outcome not in {Outcome.REJECTED, Outcome.REJECTED_UNSURE}:
                # One answer that was lost is one failure, however many records travelled in the request.
                if company in broken:
                    continue
                broken.add(company)
            outcomes.append((company, failed))
        for turned in self._flows.record(self._flow, outcomes, at):
            log.warning("delivery.breaker", extra=turned.fields)

    def _note(self, ended: Ended) -> None:
        """Keep what an ended attempt means for the record's result, and log what people will ask about."""
        held = replace(ended.held, d365_key=ended.d365_key or ended.held.d365_key)
        match Outcome(ended.outcome):
            case Outcome.CONFIRMED:
                effect = "created" if held.operation == "create" else "updated"
                self._results.moved(held, State.CONFIRMED, effect=effect)
            case Outcome.REJECTED:
                self._results.moved(held, State.REJECTED, reason=ended.reason)
                log.warning("delivery.rejected", extra=keys_of(held) | {"status": ended.http_status})
            case Outcome.NOT_PROCESSED | Outcome.SIGN_IN:
                self._results.moved(held, State.PLANNED, reason=ended.reason)
            case outcome:
                self._results.moved(held, State.IN_DOUBT, reason=ended.reason)
                log.warning("delivery.in_doubt", extra=keys_of(held) | {"outcome": outcome.value})
