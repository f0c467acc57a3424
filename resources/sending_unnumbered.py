"""Sending orders that get their number from D365: first the header, marked as stopped, then its lines and the release in one changeset.

So an order in D365 is at every moment either whole, or stopped and without lines, and nobody goes on with it. What this cannot do: D365
takes a second header with the same reference without a word. Between that and us stand only the look before every header and the settling
time after a lost answer (docs/exactly-once.md).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

import orjson

from resources.d365 import BatchReply, D365Client
from resources.ledger.deliveries import Ended, Held, Sent
from resources.looking import Looking, keys_of
from resources.request_ledger import RequestLedger
from tieout.answer import Answer, NoAnswer
from tieout.batch import Changeset, Operation, packed
from tieout.contract import STOPPED, Contract
from tieout.delivery import Event
from tieout.errors import AuthenticationProblem, BudgetSpent, SourceUnavailable
from tieout.odata import json_body, key_path
from tieout.outcome import Outcome

log = logging.getLogger(__name__)


class UnnumberedSender:
    """Sends claimed creations one batch after the other: parallel headers would only queue for D365's number sequence."""

    def __init__(self, client: D365Client, contract: Contract, books: RequestLedger, looking: Looking) -> None:
        self._client = client
        self._contract = contract
        self._books = books
        self._looking = looking
        self._row_versions: dict[int, str] = {}

    def send(self, held: Sequence[Held]) -> bool:
        """True when any delivery came further. Raises AuthenticationProblem and BudgetSpent, after everything was written down."""
        left = list(held)
        progress = False
        try:
            sendable = self._looking.before_sending(held)
            known = {each.id for each in sendable}
            # What was adopted or refused by the look is over; what could not be looked for is given back.
            progress = len(known) < len(held) and bool(sendable)
            left = [each for each in held if each.id in known] if sendable else left
            for at in packed([1 + len(each.lines) for each in sendable], self._books.pace.most_operations):
                if self._books.asked_to_wait_s:
                    break
                some = sendable[at.start : at.stop]
                left = [each for each in left if each.id not in {one.id for one in some}]
                progress |= self._send_some(some)
        finally:
            self._books.deliveries.release(left, self._books.clock())
        return progress

    def _send_some(self, held: Sequence[Held]) -> bool:
        """Headers, then the lines of those whose number is known."""
        new, half = [each for each in held if not each.d365_key], [each for each in held if each.d365_key]
        progress = False
        ready = self._books.sent(half, sum(1 + len(each.lines) for each in half), with_keys=True) if half else []
        if new:
            sent = self._books.sent(new, len(new), with_keys=True)
            made = [self._with_number(*pair) for pair in self._sent([self._header(each.held) for each in sent], sent)]
            progress |= self._books.end([each for each in made if not each.d365_key])
            ready += self._books.numbered([each for each in made if each.d365_key])
        lines = [self._lines(each.held) for each in ready]
        whole = [self._without_half(replace(each, d365_key=each.held.d365_key)) for each, _ in self._sent(lines, ready)]
        return self._books.end(whole) or progress

    def _sent(self, changesets: Sequence[Changeset], sent: Sequence[Sent]) -> list[tuple[Ended, Answer | NoAnswer]]:
        """Send what was written down just now; each delivery's end, with the answer to its changeset."""
        if not sent:
            return []
        try:
            reply = self._client.send_changesets(changesets)
        except (AuthenticationProblem, SourceUnavailable, BudgetSpent) as problem:
            self._books.end(self._books.nothing_ran(sent, problem))
            raise
        return list(zip(self._books.outcomes("create", sent, reply), reply.answers, strict=True))

    def _with_number(self, ended: Ended, answer: Answer | NoAnswer) -> Ended:
        """A confirmed header is known by the number in its answer. Without one it is as good as lost: the look finds it."""
        if ended.event is not Event.CONFIRM:
            return ended
        number = _property_of(answer, self._contract.d365.key[1])
        self._row_versions[ended.held.id] = _property_of(answer, "@odata.etag")
        if number:
            return replace(ended, d365_key=number)
        reason = "D365 made a header and did not say its number"
        return replace(ended, event=Event.LOSE_ANSWER, outcome=Outcome.IN_DOUBT, reason=reason)

    def _without_half(self, ended: Ended) -> Ended:
        """A header whose lines were refused for good is removed again, so that no half order stays behind."""
        if ended.event is not Event.REFUSE:
            return ended
        key = dict(zip(self._contract.d365.key, (ended.held.company, ended.held.d365_key), strict=True))
        removal = Operation("DELETE", f"{key_path(self._contract.d365.source, key)}?cross-company=true")
        try:
            reply: BatchReply = self._client.send_changesets([Changeset((removal,))])
            removed = isinstance(reply.answers[0], Answer) and reply.answers[0].status < 300
        except (AuthenticationProblem, SourceUnavailable, BudgetSpent):
            removed = False
        if removed:
            return replace(ended, reason=f"{ended.reason} Its header {ended.held.d365_key} was removed again.")
        log.error("delivery.half_order", extra=keys_of(ended.held))
        left = f"Its header {ended.held.d365_key} stands in D365, stopped and without lines: remove it there."
        return replace(ended, reason=f"{ended.reason} {left}")

    def _header(self, held: Held) -> Changeset:
        header = dict(held.header) | {STOPPED: "Yes"}
        return Changeset((Operation("POST", self._contract.d365.source, json_body(header)),))

    def _lines(self, held: Held) -> Changeset:
        """All lines and the release: either both take effect or none of it."""
        assert self._contract.lines is not None
        lines = self._contract.lines.d365
        parent = {lines.parent or self._contract.d365.key[1]: held.d365_key}
        key = dict(zip(self._contract.d365.key, (held.company, held.d365_key), strict=True))
        release = f"{key_path(self._contract.d365.source, key)}?cross-company=true"
        # Where D365 honours row versions, lines that arrive a second time are refused with the release that comes along.
        row_version = self._row_versions.get(held.id, "")
        operations = [Operation("POST", lines.source, json_body(parent | dict(line))) for line in held.lines]
        return Changeset((*operations, Operation("PATCH", release, json_body({STOPPED: "No"}), row_version)))


def _property_of(answer: Answer | NoAnswer, name: str) -> str:
    if not isinstance(answer, Answer):
        return ""
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return ""
    return str(document.get(name) or "") if isinstance(document, dict) else ""
