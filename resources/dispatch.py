"""The delivery flow: what a run wants goes into the ledger, from there to D365 in batches, and what came back into the ledger again.

Exactly once rests on three things: our own number (D365 refuses a second copy), the ledger (every attempt is written down before it leaves),
and looking before sending again (a lost answer proves nothing). Running it again at any moment harms nobody.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta

from resources.d365 import D365Client
from resources.delivery_results import DeliveryResult, DeliverySummary, Results
from resources.ledger import Ledger
from resources.ledger.deliveries import Held
from resources.ledger.flows import Gates
from resources.ledger.instants import utc_now
from resources.ledger_mark import LedgerMark
from resources.looking import Looking, keys_of
from resources.request_ledger import Pace, RequestLedger
from resources.sending import Sender
from resources.sending_unnumbered import UnnumberedSender
from tieout.breaker import Admission
from tieout.contract import Contract
from tieout.flow import Flow
from tieout.intended import IntendedWrite
from tieout.intended import Operation as Kind

__all__ = ["DeliveryResult", "DeliverySummary", "Pace", "deliver", "preview"]

log = logging.getLogger(__name__)

_KINDS: tuple[Kind, ...] = ("create", "update")


def deliver(
    ledger: Ledger,
    client: D365Client,
    contract: Contract,
    intended: Iterable[IntendedWrite],
    *,
    run_id: str,
    dry_run: bool = False,
    whole_scope: bool = False,
    mark: LedgerMark | None = None,
    pace: Pace | None = None,
    clock: Callable[[], datetime] = utc_now,
    sleep: Callable[[float], None] = time.sleep,
) -> DeliverySummary:
    """Bring the intended writes of one entity to D365, creations before updates.

    `whole_scope` says that `intended` is everything that is wanted: what is planned beyond it is cancelled. `mark` remembers outside the
    ledger how far the ledger was when a request left. Raises AuthenticationProblem and BudgetSpent, with everything written down; every
    other trouble ends in the state and reason of the records that it met.
    """
    flow = _Flow(ledger, client, contract, run_id, mark, pace or Pace(), clock, sleep)
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
        mark: LedgerMark | None,
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
        self._name = Flow(f"delivery/{contract.entity}")
        self._overdue = 0
        self._results = Results()
        unnumbered = contract.create.number_given_by == "d365"
        settle_s = contract.create.settle_s if unnumbered else pace.settle_s
        self._looking = Looking(ledger, client, contract, self._results, run_id, settle_s=settle_s, clock=clock)
        self._books = RequestLedger(ledger, self._looking, self._results, self._name, run_id, pace, clock, mark)
        self._sender = Sender(client, contract, self._books)
        self._unnumbered = UnnumberedSender(client, contract, self._books, self._looking) if unnumbered else None

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
        for kind in _KINDS:
            self._looking.resolve(deliveries.in_doubt(entity, kind))
        for chunk in _chunks(intended, self._pace.planned_at_once):
            self._results.planned(deliveries.plan(chunk, self._run_id, self._clock()))
        cancelled = 0
        if whole_scope:
            cancelled = sum(deliveries.cancel_unwanted(entity, kind, self._run_id, self._clock()) for kind in _KINDS)
        for kind in _KINDS:
            self._send_all(kind)
        self._looking.read_the_rest()
        self._tell_of_long_doubt()
        return self._summary(started, self._results.all(), cancelled=cancelled, calls=self._client.api_calls - calls)

    def _send_all(self, kind: Kind) -> None:
        """Claim and send until nothing is left that may be sent, or until rounds on end brought nothing."""
        idle_rounds = 0
        while idle_rounds < self._pace.rounds_without_progress:
            held = self._claim(kind)
            if not held:
                return
            self._books.asked_to_wait_s = 0.0
            sender = self._unnumbered if self._unnumbered is not None and kind == "create" else None
            progress = sender.send(held) if sender is not None else self._sender.send(kind, held)
            idle_rounds = 0 if progress else idle_rounds + 1
            if self._books.asked_to_wait_s or not progress:
                self._sleep(self._books.asked_to_wait_s or self._pace.pause_s)

    def _claim(self, kind: Kind) -> list[Held]:
        """The next deliveries, of companies whose flow is open; of one whose breaker asks for a probe, a single one."""
        now = self._clock()
        gates = self._ledger.flows.gates(self._name, now)
        waiting = self._ledger.deliveries.companies_waiting(self._contract.entity, kind, self._run_id)
        shut = [company for company in waiting if gates.of(company).admission is not Admission.ALL]
        held = self._take(kind, now, shut=shut)
        for company in shut:
            if not held and gates.of(company).admission is Admission.ONE:
                held = self._probe(kind, company, now)
        if not held and shut:
            self._tell_of_shut_gates(gates, shut)
        return held

    def _probe(self, kind: Kind, company: str, now: datetime) -> list[Held]:
        held = self._take(kind, now, only=company, limit=1)
        if held and not self._ledger.flows.take_probe(self._name, company, now):
            self._ledger.deliveries.release(held, now)
            return []  # another run probes
        log.info("delivery.probe", extra={"flow": self._name, "company": company})
        return held

    def _take(
        self,
        kind: Kind,
        now: datetime,
        *,
        shut: Collection[str] = (),
        only: str | None = None,
        limit: int | None = None,
    ) -> list[Held]:
        return self._ledger.deliveries.claim(
            self._contract.entity,
            kind,
            self._run_id,
            owner=self._books.owner,
            lease_s=self._pace.lease_s,
            limit=limit or self._pace.claimed_at_once,
            shut=shut,
            only=only,
            now=now,
        )

    def _tell_of_shut_gates(self, gates: Gates, shut: Collection[str]) -> None:
        for company in shut:
            log.warning(
                "delivery.shut", extra={"flow": self._name, "company": company, "reason": gates.of(company).reason}
            )

    def _tell_of_long_doubt(self) -> None:
        """The alert: a delivery whose fate is unknown for longer than the bound needs a person."""
        since = self._clock() - timedelta(seconds=self._pace.doubt_bound_s)
        overdue = [
            held
            for kind in _KINDS
            for held in self._ledger.deliveries.in_doubt(self._contract.entity, kind)
            if held.doubt_since is not None and held.doubt_since < since
        ]
        self._overdue = len(overdue)
        if overdue:
            extra = {"entity": self._contract.entity, "records": len(overdue), "bound_s": self._pace.doubt_bound_s}
            log.error("delivery.in_doubt_for_too_long", extra=extra | keys_of(overdue[0]))

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
            batches=self._books.batches,
            duration_s=time.monotonic() - started,
            cancelled=cancelled,
            overdue_doubts=self._overdue,
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
