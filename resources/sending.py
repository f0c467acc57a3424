"""Sending what D365 itself refuses a second time: creations under our own numbers, and updates. Several batches at once where D365 bears it.

How orders are sent that get their number from D365 is in `sending_unnumbered.py`.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from resources.d365 import BatchReply, D365Client
from resources.ledger.deliveries import Held, Sent
from resources.look_up import look_for
from resources.looking import record_key
from resources.request_ledger import RequestLedger
from tieout.answer import NoAnswer
from tieout.batch import Changeset, Operation, packed
from tieout.contract import Contract
from tieout.errors import AuthenticationProblem, BudgetSpent, SourceUnavailable, TieoutError
from tieout.intended import Operation as Kind
from tieout.odata import json_body, key_path
from tieout.pace import AdaptiveLimit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What travels in one request, and when that was written down."""

    sent: Sequence[Sent]
    changesets: Sequence[Changeset]
    marked_at: datetime


class Sender:
    """Sends claimed deliveries, batch by batch; what was not sent in the end is given back."""

    def __init__(self, client: D365Client, contract: Contract, books: RequestLedger) -> None:
        self._client = client
        self._contract = contract
        self._books = books
        # Microsoft marks the customer entity as single-threaded; of orders, each has one writer, because it is claimed once.
        most = books.pace.most_at_once if contract.lines is not None else 1
        self._limit = AdaptiveLimit(most)

    def send(self, kind: Kind, held: Sequence[Held]) -> bool:
        """True when any delivery came further. Raises AuthenticationProblem and BudgetSpent, after everything was written down."""
        try:
            changesets = self._changesets(kind, held)
        except SourceUnavailable as problem:
            # Without its row version a change could land late over a newer one.
            log.warning("delivery.look_failed", extra={"records": len(held), "problem": str(problem)})
            self._books.deliveries.release(held, self._books.clock())
            return False
        left = [
            (held[at.start : at.stop], changesets[at.start : at.stop])
            for at in packed([len(changeset) for changeset in changesets], self._books.pace.most_operations)
        ]
        progress = False
        try:
            # Once throttled, what follows would only be refused as well.
            while left and not self._books.asked_to_wait_s:
                wave, left = left[: self._limit.allowed], left[self._limit.allowed :]
                progress |= self._send_wave(kind, wave)
        finally:
            self._books.deliveries.release([each for some, _ in left for each in some], self._books.clock())
        return progress

    def _send_wave(self, kind: Kind, wave: Sequence[tuple[Sequence[Held], Sequence[Changeset]]]) -> bool:
        batches = [batch for some, changesets in wave if (batch := self._marked(some, changesets)).sent]
        if not batches:
            return False  # another run took all of them meanwhile
        if len(batches) == 1:
            replies = [self._reply(batches[0])]
        else:
            with ThreadPoolExecutor(len(batches)) as threads:
                replies = list(threads.map(self._reply, batches))
        progress = False
        problems: list[TieoutError] = []
        for batch, reply in zip(batches, replies, strict=True):
            if isinstance(reply, BatchReply):
                ended = self._books.outcomes(kind, batch.sent, reply)
            else:
                problems.append(reply)
                ended = self._books.nothing_ran(batch.sent, reply)
            try:
                progress |= self._books.end(ended)
            except (AuthenticationProblem, BudgetSpent) as met:
                # Met while looking, after everything of this batch was written down; the others' ends must be, too.
                problems.append(met)
        if self._books.asked_to_wait_s:
            self._limit.throttled()
        elif not problems:
            self._limit.succeeded()
        for problem in problems:
            if not isinstance(problem, SourceUnavailable):
                raise problem
        return progress

    def _marked(self, held: Sequence[Held], changesets: Sequence[Changeset]) -> _Batch:
        marked_at = self._books.clock()
        sent = self._books.sent(held, sum(map(len, changesets)))
        ours = {each.held.id for each in sent}
        mine = [changeset for each, changeset in zip(held, changesets, strict=True) if each.id in ours]
        return _Batch(sent, mine, marked_at)

    def _reply(self, batch: _Batch) -> BatchReply | TieoutError:
        """The end of one request. An error is returned where nothing ran: there was no token, it was refused, or no call is left."""
        if self._books.is_late(batch.marked_at):
            late = NoAnswer("it was held up for too long before it could leave, and was not sent", may_have_run=False)
            return BatchReply((late,) * len(batch.sent), 0, 0)
        try:
            return self._client.send_changesets(batch.changesets)
        except (AuthenticationProblem, SourceUnavailable, BudgetSpent) as problem:
            return problem

    def _changesets(self, kind: Kind, held: Sequence[Held]) -> list[Changeset]:
        if kind == "create":
            return [creation(self._contract, each) for each in held]
        versions = self._row_versions(held)
        return [change(self._contract, each, versions.get(each.id, "")) for each in held]

    def _row_versions(self, held: Sequence[Held]) -> dict[int, str]:
        """The row version of each record, read just before it is changed: a request that lands late or twice meets another one."""
        found = look_for(self._client, self._contract, {record_key(each) for each in held}, doubly=False)
        return {each.id: found[key].etag for each in held if (key := record_key(each)) in found}


def creation(contract: Contract, held: Held) -> Changeset:
    """Header and lines, all or nothing."""
    operations = [Operation("POST", contract.d365.source, json_body(held.header))]
    if contract.lines is not None:
        operations += [Operation("POST", contract.lines.d365.source, json_body(line)) for line in held.lines]
    return Changeset(tuple(operations))


def change(contract: Contract, held: Held, row_version: str) -> Changeset:
    """The changed properties of a record, and of lines that it has."""
    operations: list[Operation] = []
    if held.header:
        operations.append(
            _patch(contract.d365.key, contract.d365.source, held.company, held.d365_key, held.header, row_version)
        )
    if contract.lines is not None:
        key = contract.lines.d365.key
        for line in held.lines:
            changed = {name: value for name, value in line.items() if name != key[-1]}
            operations.append(_patch(key, contract.lines.d365.source, held.company, str(line[key[-1]]), changed))
    return Changeset(tuple(operations))


def _patch(
    key: Sequence[str], source: str, company: str, number: str, changed: object, row_version: str = ""
) -> Operation:
    path = f"{key_path(source, dict(zip(key, (company, number), strict=True)))}?cross-company=true"
    return Operation("PATCH", path, json_body(changed), row_version)  # type: ignore[arg-type]
