"""Looking at D365 after sending: what became of deliveries in doubt, and what stands there after a creation."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from resources.d365 import D365Client
from resources.delivery_results import Results
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
from resources.ledger.deliveries import Ended, Held, ReadBack
from resources.look_up import Found, RecordKey, look_by_reference, look_for
from tieout.batch import shares
from tieout.contract import STOPPED, Contract
from tieout.customer import customer_differences
from tieout.delivery import Event, State
from tieout.errors import SourceUnavailable
from tieout.intended import salesforce_id_of
from tieout.odata import LONGEST_KEY_LIST
from tieout.order import order_amount, order_differences
from tieout.outcome import Outcome
from tieout.update import update_differences

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look proves. No event where it proves nothing yet. `record` is the one that was found and is ours."""

    event: Event | None
    outcome: Outcome
    reason: str = ""
    record: Found | None = None


class Looking:
    """Reads by key or by reference, compares with what was meant, and writes the verdict into ledger and results."""

    def __init__(
        self,
        ledger: Ledger,
        client: D365Client,
        contract: Contract,
        results: Results,
        run_id: str,
        *,
        settle_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._contract = contract
        self._results = results
        self._run_id = run_id
        self._settle = timedelta(seconds=settle_s)
        self._clock = clock
        self._created: list[Held] = []
        self._by_reference = contract.create.number_given_by == "d365"

    def resolve(self, doubtful: Sequence[Held], refused: Collection[int] = ()) -> None:
        """Look for deliveries in doubt. Those whose id is in `refused` had been refused, but not for certain.

        Where D365 cannot be reached they stay in doubt, and the next run looks again.
        """
        if doubtful:
            self._settle_by_look(doubtful, State.IN_DOUBT, refused)

    def before_sending(self, held: Sequence[Held]) -> list[Held]:
        """Those of the claimed orders that may be sent, looked for by their reference: D365 would make a second one without a word.

        What is there already is adopted or refused. One whose header is there without lines comes back with its number. Where D365
        cannot be asked, none may be sent.
        """
        verdicts = self._settle_by_look(held, State.CLAIMED)
        half = {
            each.id: replace(each, d365_key=self._number_of(verdict.record))
            for each, verdict in verdicts
            if verdict.event is Event.FIND_HALF and verdict.record
        }
        absent = {each.id for each, verdict in verdicts if verdict.event is Event.FIND_NOTHING}
        return [half.get(each.id, replace(each, d365_key="")) for each in held if each.id in half or each.id in absent]

    def _settle_by_look(
        self, held: Sequence[Held], state: State, refused: Collection[int] = ()
    ) -> list[tuple[Held, Verdict]]:
        calls, started = self._client.api_calls, time.monotonic()
        try:
            found = self._found(held)
        except SourceUnavailable as problem:
            extra = {"entity": self._contract.entity, "records": len(held), "problem": str(problem)}
            log.warning("delivery.look_failed", extra=extra)
            return []
        duration_ms = round((time.monotonic() - started) * 1000)
        verdicts = [(each, self._verdict(each, found.get(each.id, []), state, each.id in refused)) for each in held]
        # What a claimed order needs before it is sent is no news about it.
        news = [
            (each, verdict)
            for each, verdict in verdicts
            if state is State.IN_DOUBT or verdict.event in {Event.FIND_OURS, Event.FIND_STRANGER}
        ]
        looks: list[tuple[Ended, Verdict]] = []
        undecided: list[Ended] = []
        for (each, verdict), share in zip(news, shares(self._client.api_calls - calls, len(news)), strict=True):
            number = self._number_of(verdict.record) if verdict.record else ""
            look = Ended(
                each,
                0,
                verdict.event or Event.FIND_NOTHING,
                verdict.outcome,
                duration_ms,
                share,
                None,
                verdict.reason,
                number,
            )
            if verdict.event:
                looks.append((look, verdict))
            else:
                undecided.append(look)
        ours = [_with_number(look) for look, _ in looks if look.event is Event.FIND_OURS]
        moved = self._ledger.deliveries.looked_up(
            [look for look, _ in looks],
            self._run_id,
            state=state,
            undecided=undecided,
            links=[link_of(each) for each in ours if each.operation == "create"],
            now=self._clock(),
        )
        self._note([(look, verdict) for look, verdict in looks if look.held.id in moved])
        for look in undecided:
            self._results.moved(look.held, State.IN_DOUBT, reason=look.reason)
        return verdicts

    def _found(self, held: Sequence[Held]) -> dict[int, list[Found]]:
        """Delivery → the records in D365 that may be its own."""
        by_reference = [each for each in held if self._by_reference and each.operation == "create"]
        by_key = [each for each in held if not (self._by_reference and each.operation == "create")]
        found: dict[int, list[Found]] = {}
        if by_reference:
            referenced = look_by_reference(self._client, self._contract, {_reference(each) for each in by_reference})
            found |= {each.id: referenced.get(_reference(each), []) for each in by_reference}
        if by_key:
            records = look_for(self._client, self._contract, {record_key(each) for each in by_key}, doubly=True)
            found |= {each.id: [records[record_key(each)]] for each in by_key if record_key(each) in records}
        return found

    def created(self, held: Sequence[Held]) -> None:
        """Remember creations to be read back, and read them once a list of keys is full: D365 fills in what was not sent, and the answer does not say it."""
        self._created += held
        while len(self._created) >= LONGEST_KEY_LIST:
            self._read_back(LONGEST_KEY_LIST)

    def read_the_rest(self) -> None:
        """Read back what is left."""
        while self._created:
            self._read_back(LONGEST_KEY_LIST)

    def _verdict(self, held: Held, found: Sequence[Found], state: State, refused: bool) -> Verdict:
        if held.operation == "update":
            return self._verdict_on_update(held, found)
        if len(found) > 1:
            numbers = ", ".join(self._number_of(each) for each in found)
            twice = f"{len(found)} orders in D365 carry the reference of this one: {numbers}"
            return Verdict(Event.FIND_STRANGER, Outcome.REJECTED, twice)
        if not found:
            if refused:
                return Verdict(Event.REFUSE, Outcome.REJECTED, held.reason)
            return self._absent(held, state, Event.FIND_NOTHING)
        [record] = found
        differences = self._differences(held, record)
        if self._is_half(record):
            return self._verdict_on_half(held, record, state, refused)
        if not differences:
            return Verdict(Event.FIND_OURS, Outcome.ADOPTED, "", record)
        where = f"{held.company}/{self._number_of(record)}"
        stranger = f"D365 holds another record under {where}: {'; '.join(differences)}"
        return Verdict(Event.FIND_STRANGER, Outcome.REJECTED, stranger)

    def _verdict_on_update(self, held: Held, found: Sequence[Found]) -> Verdict:
        if found and not update_differences(self._contract, held.header, held.lines, found[0].header, found[0].lines):
            return Verdict(Event.FIND_OURS, Outcome.ADOPTED, "", found[0])
        # It may still land. Until it cannot any more, nothing else is written to this record: it would go over a newer value.
        return self._absent(held, State.IN_DOUBT, Event.FIND_NOTHING)

    def _verdict_on_half(self, held: Held, record: Found, state: State, refused: bool) -> Verdict:
        if refused:
            left = f"{held.reason} Its header {self._number_of(record)} stands in D365, stopped and without lines."
            return Verdict(Event.REFUSE, Outcome.REJECTED, left, record)
        # Lines are sent only under a number that the ledger knows. Without one they never were; with one they may be on their way.
        if state is State.CLAIMED or not held.d365_key:
            return Verdict(Event.FIND_HALF, Outcome.ABSENT, held.reason, record)
        return replace(self._absent(held, state, Event.FIND_HALF), record=record)

    def _absent(self, held: Held, state: State, event: Event) -> Verdict:
        # Right after a lost answer the server may still be committing: absent is only believed after the settling time.
        settled = held.doubt_since is not None and self._clock() - held.doubt_since >= self._settle
        if state is State.CLAIMED or settled:
            return Verdict(event, Outcome.ABSENT, held.reason)
        return Verdict(None, Outcome.IN_DOUBT, held.reason or "not there yet; it may still be on its way")

    def _is_half(self, record: Found) -> bool:
        return self._by_reference and not record.lines and record.header.get(STOPPED) == "Yes"

    def _number_of(self, record: Found) -> str:
        return str(record.header[self._contract.d365.key[1]])

    def _note(self, looks: Sequence[tuple[Ended, Verdict]]) -> None:
        adopted: list[ReadBack] = []
        for look, verdict in looks:
            held = _with_number(look)
            match look.event:
                case Event.FIND_OURS:
                    effect = "adopted" if held.operation == "create" else "updated"
                    self._results.moved(held, State.CONFIRMED, effect=effect)
                    if verdict.record is not None and held.operation == "create":
                        adopted.append(self._as_read_back(held, verdict.record))
                case Event.FIND_NOTHING | Event.FIND_HALF:
                    self._results.moved(held, State.PLANNED, reason=look.reason)
                case _:
                    self._results.moved(held, State.REJECTED, reason=look.reason)
            log.info("delivery.looked", extra=keys_of(held) | {"outcome": look.outcome})
        self._ledger.deliveries.keep_read_back(adopted)

    def _read_back(self, size: int) -> None:
        some, self._created = self._created[:size], self._created[size:]
        try:
            found = look_for(self._client, self._contract, {record_key(held) for held in some}, doubly=False)
        except SourceUnavailable as problem:
            # The records are there; the next extraction reads them like all others.
            log.warning("delivery.read_back_failed", extra={"entity": self._contract.entity, "problem": str(problem)})
            return
        read = [self._as_read_back(held, found[key]) for held in some if (key := record_key(held)) in found]
        self._ledger.deliveries.keep_read_back(read)

    def _as_read_back(self, held: Held, found: Found) -> ReadBack:
        # Of what D365 owns, only what Salesforce keeps a copy of.
        copied = [field for field in self._contract.fields if field.owner == "d365" and field.on_difference == "write"]
        columns = [name for field in copied for name in field.d365_columns]
        status = {name: found.header.get(name) for name in columns}
        amount = order_amount(self._contract, found.lines) if self._contract.lines is not None else None
        differences = self._differences(held, found)
        remark = f"created, but D365 holds something else: {'; '.join(differences)}" if differences else ""
        self._results.read_back(held, status, amount, remark)
        return ReadBack(held.id, status, amount)

    def _differences(self, held: Held, found: Found) -> list[str]:
        if self._contract.lines is None:
            return customer_differences(self._contract, held.header, found.header)
        return order_differences(self._contract, held.header, held.lines, found.header, found.lines)


def record_key(held: Held) -> RecordKey:
    """The key of the record in D365, for comparing."""
    return RecordKey(held.company, held.d365_key)


def _reference(held: Held) -> RecordKey:
    return RecordKey(held.company, salesforce_id_of(held.business_key))


def _with_number(look: Ended) -> Held:
    return replace(look.held, d365_key=look.d365_key or look.held.d365_key)


def link_of(held: Held) -> Link:
    """The match that a confirmed creation proves."""
    return Link(held.entity, salesforce_id_of(held.business_key), held.company, held.d365_key, "delivery")


def keys_of(held: Held) -> dict[str, str]:
    """The keys of a delivery for a log line."""
    return {
        "entity": held.entity,
        "business_key": held.business_key,
        "company": held.company,
        "d365_key": held.d365_key,
    }
