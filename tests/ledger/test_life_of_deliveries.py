"""The life of deliveries as a state machine: whatever runs do, die of and are told, no order is sent that may be there already.

Hypothesis chooses who does what next, over a real ledger; the model is a D365 that takes each of our numbers once.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from resources.ledger import Ledger
from resources.ledger.deliveries import Ended, Held, Sent
from tests.ledger.writes import an_order
from tieout.delivery import Event, State
from tieout.outcome import Outcome

LETTERS = "ABC"
RUNS = ("run 1", "run 2")
LEASE_S = 60
SETTLE_S = 120


class Life(RuleBasedStateMachine):
    """Two runs share one ledger; requests are answered, lost, late, or never leave; runs die and leases run out."""

    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.claimed: dict[str, list[Held]] = {run: [] for run in RUNS}
        self.sent: dict[str, list[Sent]] = {run: [] for run in RUNS}
        self.under_way: dict[str, datetime] = {}
        self.orders: set[str] = set()
        self.asked_while_under_way: list[str] = []

    @rule(run=st.sampled_from(RUNS), letter=st.sampled_from(LETTERS), quantity=st.sampled_from("23"))
    def plan(self, run: str, letter: str, quantity: str) -> None:
        self.ledger.deliveries.plan([an_order(letter, quantity=quantity)], run, self.now)

    @rule()
    def claim(self) -> None:
        for run in RUNS:
            self.claimed[run] += self.ledger.deliveries.claim(
                "sales_order", "create", run, owner=run, lease_s=LEASE_S, limit=2, now=self.now
            )

    @precondition(lambda self: any(self.claimed.values()))
    @rule()
    def send(self) -> None:
        for run in RUNS:
            held, self.claimed[run] = self.claimed[run], []
            sent = self.ledger.deliveries.mark_sent(
                held, run, correlation_id="", request="", lease_s=LEASE_S, now=self.now
            )
            for each in sent:
                key = each.held.business_key
                if key in self.under_way:
                    self.asked_while_under_way.append(key)
                self.under_way[key] = self.now
            self.sent[run] += sent

    @precondition(lambda self: any(self.sent.values()))
    @rule(end=st.sampled_from(["took effect", "refused", "lost, took effect", "lost", "lost", "throttled"]))
    def answer(self, end: str) -> None:
        for run in RUNS:
            sent, self.sent[run] = self.sent[run], []
            self.ledger.deliveries.end([self._answered(each, end) for each in sent], run, now=self.now)

    @rule(run=st.sampled_from(RUNS))
    def die(self, run: str) -> None:
        """The process is gone: what it held stays as it is in the ledger, and its requests may still land."""
        self.claimed[run], self.sent[run] = [], []

    @rule(seconds=st.sampled_from([1, 30, 61, 121]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(lands=st.booleans())
    def what_is_under_way_ends(self, lands: bool) -> None:
        """No request takes longer than the settling time."""
        for key, since in list(self.under_way.items()):
            if self.now - since >= timedelta(seconds=SETTLE_S):
                del self.under_way[key]
                if lands:
                    self.orders.add(key)

    @rule()
    def recover_and_look(self) -> None:
        self.what_is_under_way_ends(lands=True)
        self.ledger.deliveries.recover(self.now)
        looks, undecided = [], []
        for held in self.ledger.deliveries.in_doubt("sales_order", "create"):
            settled = held.doubt_since is not None and self.now - held.doubt_since >= timedelta(seconds=SETTLE_S)
            if held.business_key in self.orders:
                looks.append(self._ended(held, 0, Event.FIND_OURS))
            elif settled:
                looks.append(self._ended(held, 0, Event.FIND_NOTHING))
            else:
                undecided.append(self._ended(held, 0, Event.FIND_NOTHING))
        self.ledger.deliveries.looked_up(looks, "look", undecided=undecided, now=self.now)

    @invariant()
    def nothing_is_asked_for_while_it_may_still_land(self) -> None:
        assert self.asked_while_under_way == []

    @invariant()
    def every_order_that_is_confirmed_is_there(self) -> None:
        for row in self.ledger.deliveries.find(limit=None):
            assert row.state is not State.CONFIRMED or row.business_key in self.orders

    def _answered(self, sent: Sent, end: str) -> Ended:
        key = sent.held.business_key
        known = {"took effect": Event.CONFIRM, "refused": Event.REFUSE, "throttled": Event.NOT_PROCESSED}
        event = known.get(end, Event.LOSE_ANSWER)
        if end == "took effect" and key in self.orders:
            event = Event.LOSE_ANSWER  # it already exists: look
        if "took effect" in end:
            self.orders.add(key)
        if end != "lost":
            self.under_way.pop(key, None)
        return self._ended(sent.held, sent.attempt_id, event)

    def _ended(self, held: Held, attempt_id: int, event: Event) -> Ended:
        return Ended(held, attempt_id, event, Outcome.CONFIRMED, 1, Decimal(1), None, "because")


def machine_over(ledger: Ledger, engine: Engine) -> type[Life]:
    """The machine, over a ledger that is empty at the beginning of each of its lives."""

    class OverThisLedger(Life):
        def __init__(self) -> None:
            with engine.begin() as connection:
                # The triggers of the append-only tables refuse a truncate; a replica's session does not run them.
                connection.execute(text("set local session_replication_role = replica"))
                connection.execute(
                    text("truncate tieout.delivery, tieout.attempt, tieout.attempt_result, tieout.crosswalk")
                )
            self.ledger = ledger
            super().__init__()

    return OverThisLedger


LIVES = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # A life that fails is told as it is: making it shorter would take minutes of database.
    phases=[Phase.generate],
)


def test_no_life_of_deliveries_asks_for_an_order_that_may_still_land(
    ledger: Ledger, ledger_database: tuple[str, Engine]
) -> None:
    run_state_machine_as_test(machine_over(ledger, ledger_database[1]), settings=LIVES)


def test_the_machine_notices_a_ledger_that_plans_again_what_was_lost(
    ledger: Ledger, ledger_database: tuple[str, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teeth: a lost answer that is taken for a request that never ran."""
    from resources.ledger import deliveries

    real = deliveries.after

    def hopeful(state: State, event: Event) -> State:
        return State.PLANNED if event in {Event.LOSE_ANSWER, Event.LEASE_RAN_OUT} else real(state, event)

    monkeypatch.setattr(deliveries, "after", hopeful)
    life = machine_over(ledger, ledger_database[1])()
    life.plan("run 1", "A", "2")
    for _ in range(2):
        life.claim()
        life.send()
        life.answer("lost")

    with pytest.raises(AssertionError):
        life.nothing_is_asked_for_while_it_may_still_land()
