"""Safeguards switched off, one by one, in a child: what the checkers must then notice. A checker that cannot fail proves nothing."""

import random
import string
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from tieout.answer import Answer, NoAnswer
from tieout.outcome import Outcome


def apply(names: Collection[str]) -> None:
    """Switch off what is named; a name that is not known is a KeyError."""
    for name in names:
        _KNOWN[name]()


def no_own_number() -> None:
    """Each attempt has another number, so that D365 cannot refuse a second copy."""
    from resources import sending

    real = sending.creation

    def under_another_number(contract: Any, held: Any) -> Any:
        number = "X-" + "".join(random.choices(string.ascii_uppercase, k=12))
        header = dict(held.header) | {"SalesOrderNumber": number}
        lines = [dict(line) | {"SalesOrderNumber": number} for line in held.lines]
        return real(contract, replace(held, header=header, lines=lines))

    sending.creation = under_another_number  # type: ignore[assignment]


def no_look_up() -> None:
    """A lost answer is taken for a request that never ran."""
    from resources import request_ledger

    real = request_ledger.outcome_of_create

    def hopeful(answer: Answer | NoAnswer) -> Outcome:
        outcome = real(answer)
        return Outcome.NOT_PROCESSED if outcome.needs_a_look else outcome

    request_ledger.outcome_of_create = hopeful  # type: ignore[assignment]


def no_lease() -> None:
    """Whatever is planned, claimed or sent by anybody is taken."""
    from sqlalchemy import select, update

    from resources.ledger import deliveries
    from resources.ledger.planning import of_kind
    from resources.ledger.tables import delivery
    from tieout.delivery import State

    def claim_all(self: Any, entity: str, operation: Any, _run_id: str, *, limit: int, **_: Any) -> list[Any]:
        open_states = [State.PLANNED, State.CLAIMED, State.SENT]
        with self._engine.begin() as connection:
            statement = (
                update(delivery)
                .where(
                    delivery.c.id.in_(
                        select(delivery.c.id)
                        .where(of_kind(entity, operation), delivery.c.state.in_(open_states))
                        .limit(limit)
                    )
                )
                .values(state=State.CLAIMED)
                .returning(delivery)
            )
            return [deliveries._held(row) for row in connection.execute(statement)]

    def plan_as_new(self: Any, intended: Any, run_id: str, now: Any = None) -> Any:
        planned = _plan(self, intended, run_id, now)
        with self._engine.begin() as connection:
            connection.execute(
                update(delivery).where(delivery.c.state.in_([State.CLAIMED, State.SENT])).values(state=State.PLANNED)
            )
        return planned

    _plan = deliveries.Deliveries.plan
    deliveries.Deliveries.claim = claim_all  # type: ignore[assignment]
    deliveries.Deliveries.plan = plan_as_new  # type: ignore[assignment]


def no_settling_time() -> None:
    """What is not there at the first look is taken for absent."""
    from datetime import timedelta

    from resources import looking

    real = looking.Looking.__init__

    def hasty(self: Any, *given: Any, **options: Any) -> None:
        real(self, *given, **options)
        self._settle = timedelta(seconds=-1)

    looking.Looking.__init__ = hasty  # type: ignore[method-assign]


def no_changeset() -> None:
    """Header and lines travel as operations of their own."""
    from resources import d365
    from tieout.batch import Changeset, build_batch

    def scattered(root: str, changesets: Any, batch_id: str) -> Any:
        return build_batch(
            root, [Changeset((each,)) for changeset in changesets for each in changeset.operations], batch_id
        )

    d365.build_batch = scattered  # type: ignore[assignment]


def no_ledger() -> None:
    """The ledger forgets what was delivered, and what it knew of lost answers."""
    from sqlalchemy import text

    from resources.ledger import deliveries

    real = deliveries.Deliveries.recover

    def forgetful(self: Any, now: Any) -> Mapping[Any, int]:
        with self._engine.begin() as connection:
            connection.execute(text("delete from tieout.crosswalk"))
            connection.execute(
                text("update tieout.delivery set state = 'cancelled' where state in ('sent', 'in_doubt', 'confirmed')")
            )
        return real(self, now)

    deliveries.Deliveries.recover = forgetful  # type: ignore[method-assign]


def no_version_guard() -> None:
    """A write made of an older version of its record goes ahead."""
    from resources.ledger import planning

    real = planning._as_known

    def without_version(row: Any, sent_version: Any) -> Any:
        known = real(row, sent_version)
        return None if known is None else replace(known, source_version=None)

    planning._as_known = without_version


def no_retry_after() -> None:
    """Nobody waits when asked to."""
    from resources import request_ledger, wait_gate

    real = request_ledger.RequestLedger._note_throttle

    def deaf(self: Any, answer: Any) -> None:
        real(self, answer)
        self.asked_to_wait_s = 0.0

    request_ledger.RequestLedger._note_throttle = deaf  # type: ignore[method-assign]
    wait_gate.WaitGate.close_for = lambda *_: None  # type: ignore[method-assign]


def skip_paging() -> None:
    """D365 is read by counting rows, as its own next-links do."""
    from resources import d365

    def by_count(self: Any, table: Any, where: str, _expected: int) -> Any:
        options = {
            "cross-company": "true",
            "$filter": where,
            "$select": ",".join(column.name for column in table.columns),
            "$orderby": ",".join(table.key),
        }
        yield from self._follow(self._url(table.source, options))

    d365.D365Client._by_key_range = by_count  # type: ignore[method-assign]


def one_bad_line() -> None:
    """The last line of each order names an item that D365 does not have: alone it is refused, in a changeset it takes the header along."""
    from resources import sending

    real = sending.creation

    def with_a_bad_line(contract: Any, held: Any) -> Any:
        bad = [dict(line) | {"ItemNumber": "none"} for line in held.lines[-1:]]
        return real(contract, replace(held, lines=[*held.lines[:-1], *bad]))

    sending.creation = with_a_bad_line  # type: ignore[assignment]


def stopped_before_delivering() -> None:
    """No safeguard, but a run that the system holds up: it stops before it delivers customers, until it is told to go on."""
    import os
    import signal

    import assets.delivery

    real = assets.delivery.deliver

    def held_up(ledger: Any, client: Any, contract: Any, *given: Any, **options: Any) -> Any:
        if contract.entity == "customer":
            os.kill(os.getpid(), signal.SIGSTOP)
        return real(ledger, client, contract, *given, **options)

    assets.delivery.deliver = held_up  # type: ignore[assignment]


def no_reference() -> None:
    """Neither orders nor their lines carry a reference that anybody could find them by."""
    from resources import sending

    real = sending.creation

    def nameless(contract: Any, held: Any) -> Any:
        header = {name: value for name, value in held.header.items() if name != "CustomersOrderReference"}
        lines = [{name: value for name, value in line.items() if name != "OrderLineReference"} for line in held.lines]
        return real(contract, replace(held, header=header, lines=lines))

    sending.creation = nameless  # type: ignore[assignment]


_KNOWN = {each.__name__: each for each in (
    no_own_number, no_look_up, no_lease, no_settling_time, no_changeset, no_ledger, no_version_guard, no_retry_after,
        skip_paging, one_bad_line, stopped_before_delivering, no_reference,
)}  # fmt: skip
