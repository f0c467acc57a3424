"""Looking at D365 after sending: what became of deliveries in doubt, and what stands there after a creation."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from resources.d365 import D365Client
from resources.delivery_results import Results
from resources.ledger import Ledger
from resources.ledger.crosswalk import Link
from resources.ledger.deliveries import Ended, Held, ReadBack
from resources.look_up import Found, RecordKey, look_for
from tieout.batch import shares
from tieout.contract import Contract
from tieout.customer import customer_differences
from tieout.delivery import Event, State
from tieout.errors import SourceUnavailable
from tieout.intended import salesforce_id_of
from tieout.odata import LONGEST_KEY_LIST
from tieout.order import order_amount, order_differences
from tieout.outcome import Outcome

log = logging.getLogger(__name__)

Verdict = tuple[Event | None, Outcome, str]
"""What a look proves: event, outcome and reason. No event where it proves nothing yet."""


class Looking:
    """Reads by key, compares with what was meant, and writes the verdict into ledger and results."""

    def __init__(
        self,
        ledger: Ledger,
        client: D365Client,
        contract: Contract,
        results: Results,
        run_id: str,
        *,
        grace_s: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._contract = contract
        self._results = results
        self._run_id = run_id
        self._grace = timedelta(seconds=grace_s)
        self._clock = clock
        self._created: list[Held] = []

    def resolve(self, doubtful: Sequence[Held], refused: Collection[int] = ()) -> None:
        """Look for deliveries in doubt. Those whose id is in `refused` had been refused, but not for certain.

        Where D365 cannot be reached they stay in doubt, and the next run looks again.
        """
        if not doubtful:
            return
        calls, started = self._client.api_calls, time.monotonic()
        try:
            found = look_for(self._client, self._contract, {record_key(held) for held in doubtful}, doubly=True)
        except SourceUnavailable as problem:
            extra = {"entity": self._contract.entity, "in_doubt": len(doubtful), "problem": str(problem)}
            log.warning("delivery.look_failed", extra=extra)
            return
        duration_ms = round((time.monotonic() - started) * 1000)
        looks: list[Ended] = []
        undecided: list[Ended] = []
        for held, share in zip(doubtful, shares(self._client.api_calls - calls, len(doubtful)), strict=True):
            event, outcome, reason = self._verdict(held, found.get(record_key(held)), held.id in refused)
            look = Ended(held, 0, event or Event.FIND_NOTHING, outcome, duration_ms, share, None, reason)
            (looks if event else undecided).append(look)
        links = [link_of(look.held) for look in looks if look.event is Event.FIND_OURS]
        moved = self._ledger.deliveries.looked_up(
            looks, self._run_id, undecided=undecided, links=links, now=self._clock()
        )
        self._note([look for look in looks if look.held.id in moved], found)
        for look in undecided:
            self._results.moved(look.held, State.IN_DOUBT, reason=look.reason)

    def created(self, held: Sequence[Held]) -> None:
        """Remember creations to be read back, and read them once a list of keys is full: D365 fills in what was not sent, and the answer does not say it."""
        self._created += held
        while len(self._created) >= LONGEST_KEY_LIST:
            self._read_back(LONGEST_KEY_LIST)

    def read_the_rest(self) -> None:
        """Read back what is left."""
        while self._created:
            self._read_back(LONGEST_KEY_LIST)

    def _verdict(self, held: Held, found: Found | None, refused: bool) -> Verdict:
        if found is not None:
            differences = self._differences(held, found)
            if not differences:
                return Event.FIND_OURS, Outcome.ADOPTED, ""
            stranger = f"D365 holds another record under {held.company}/{held.d365_key}: {'; '.join(differences)}"
            return Event.FIND_STRANGER, Outcome.REJECTED, stranger
        if refused:
            return Event.REFUSE, Outcome.REJECTED, held.reason
        # Right after a lost answer the server may still be committing: absent is only believed after the grace period.
        if held.doubt_since is not None and self._clock() - held.doubt_since >= self._grace:
            return Event.FIND_NOTHING, Outcome.ABSENT, held.reason
        return None, Outcome.IN_DOUBT, held.reason or "not there yet; it may still be on its way"

    def _note(self, looks: Sequence[Ended], found: Mapping[RecordKey, Found]) -> None:
        adopted: list[ReadBack] = []
        for look in looks:
            if look.event is Event.FIND_OURS:
                self._results.moved(look.held, State.CONFIRMED, effect="adopted")
                adopted.append(self._as_read_back(look.held, found[record_key(look.held)]))
            elif look.event is Event.FIND_NOTHING:
                self._results.moved(look.held, State.PLANNED, reason=look.reason)
            else:
                self._results.moved(look.held, State.REJECTED, reason=look.reason)
            log.info("delivery.looked", extra=keys_of(look.held) | {"outcome": look.outcome})
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
