"""Flows in the ledger: paused and resumed by people, cut off and probed by their circuit breakers, for one company or for all.

The rules are in `tieout/breaker.py`; here they are applied to locked rows, so that runs at once share one breaker and one probe.
A row without a company stands for every company. It holds the pauses of all, and the breaker of flows that know no companies.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_skip

from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.instants import utc_now
from resources.ledger.tables import flow as flow_table
from tieout.breaker import (
    Admission,
    Breaker,
    BreakerState,
    admission,
    after_outcomes,
    in_words,
    with_probe_taken,
)
from tieout.flow import EVERY_COMPANY, Flow, flow_named

_STRICTEST_FIRST = (Admission.NONE, Admission.ONE, Admission.ALL)


@dataclass(frozen=True, slots=True)
class FlowRow:
    """What the ledger holds of one flow and company. `reason` says who paused it and why; empty where nobody did."""

    flow: Flow
    company: str
    paused: bool = False
    reason: str = ""
    breaker: Breaker = field(default_factory=Breaker)


@dataclass(frozen=True, slots=True)
class Gate:
    """How many deliveries of a company may go, and why not all of them."""

    admission: Admission = Admission.ALL
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of one flow at one moment. `everywhere` is that of every company that has none of its own in `by_company`."""

    everywhere: Gate = Gate()
    by_company: Mapping[str, Gate] = field(default_factory=dict)

    def of(self, company: str) -> Gate:
        """The gate of a company; with its own reasons and those of all companies."""
        return self.by_company.get(_key(company), self.everywhere)

    @property
    def held_back(self) -> tuple[str, ...]:
        """The companies that may not send as they like: the shut ones and the probing ones."""
        return tuple(sorted(name for name, gate in self.by_company.items() if gate.admission is not Admission.ALL))

    @property
    def probing(self) -> tuple[str, ...]:
        """The companies that may send one delivery, if `Flows.take_probe` gives them the slot."""
        return tuple(sorted(name for name, gate in self.by_company.items() if gate.admission is Admission.ONE))


@dataclass(frozen=True, slots=True)
class Transition:
    """A breaker that outcomes have moved. `words` say why it holds deliveries back now; empty where it closed."""

    flow: Flow
    company: str
    before: BreakerState
    after: BreakerState
    words: str

    @property
    def fields(self) -> dict[str, str]:
        """For a log line."""
        return {
            "flow": self.flow.value,
            "company": self.company,
            "before": self.before.value,
            "after": self.after.value,
            "reason": self.words,
        }


class Flows:
    """Who may send, and what stops the others. Flows are named as in `tieout/flow.py`; unknown names raise ConfigurationError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, flow: str | None = None) -> list[FlowRow]:
        """All rows, or those of one flow, in the order of flow and company. A flow that nothing ever happened to has none."""
        query = select(flow_table).order_by(flow_table.c.flow, flow_table.c.company)
        if flow is not None:
            query = query.where(flow_table.c.flow == flow_named(flow))
        with self._engine.connect() as connection:
            return [_row(row) for row in connection.execute(query)]

    def pause(
        self, flow: str, company: str = EVERY_COMPANY, *, who: str, note: str = "", now: datetime | None = None
    ) -> bool:
        """Hold a flow's deliveries back until `resume`; they queue. False where it was paused already: the first reason stays."""
        reason = f"paused by {who}: {note}" if note else f"paused by {who}"
        return self._set_paused(flow, company, True, reason, who, note, now)

    def resume(
        self, flow: str, company: str = EVERY_COMPANY, *, who: str, note: str = "", now: datetime | None = None
    ) -> bool:
        """Lift the pause that was made with the same company, or with none. False where there was no such pause."""
        return self._set_paused(flow, company, False, "", who, note, now)

    def close_breaker(
        self, flow: str, company: str = EVERY_COMPANY, *, who: str, note: str = "", now: datetime | None = None
    ) -> list[str]:
        """Close a company's breaker by hand, or without a company every one of the flow, and forget its outcomes.

        Returns the companies whose breaker was not closed already.
        """
        flow, company, now = flow_named(flow), _key(company), now or utc_now()
        with self._engine.begin() as connection:
            rows = _locked(connection, flow, None if company == EVERY_COMPANY else [company])
            open_rows = [row for row in rows if row.breaker.state is not BreakerState.CLOSED]
            for row in open_rows:
                _keep(connection, row, Breaker(), now)
            decisions = [
                Decision(
                    "flow",
                    subject_key(flow, row.company),
                    "close_breaker",
                    who,
                    note,
                    before={"breaker": row.breaker.state, "reason": in_words(row.breaker)},
                    after={"breaker": BreakerState.CLOSED},
                    at=now,
                )
                for row in open_rows
            ]
            append_decisions(connection, decisions)
        return [row.company for row in open_rows]

    def gates(self, flow: str, now: datetime) -> Gates:
        """Who may send at `now`. Only tells; the probe of a company that may send one is taken by `take_probe`."""
        rows = self.all(flow)
        of_all = [row for row in rows if row.company == EVERY_COMPANY]
        return Gates(
            _gate(of_all, now),
            {row.company: _gate([*of_all, row], now) for row in rows if row.company != EVERY_COMPANY},
        )

    def take_probe(self, flow: str, company: str, now: datetime) -> bool:
        """Take the one probe of an open breaker: True for exactly one caller, who then sends one delivery and records its outcome.

        Have the delivery in hand before asking: a slot that is taken for nothing is lost to others that have something. Whoever could not
        send after all records `None` as the outcome, and the next probe may go after the same cool-down.
        """
        with self._engine.begin() as connection:
            rows = _locked(connection, flow_named(flow), [EVERY_COMPANY, _key(company)])
            own = next((row for row in rows if row.company == _key(company)), None)
            if own is None or any(row.paused for row in rows):
                return False
            probing = with_probe_taken(own.breaker, now)
            if probing is None:
                return False
            _keep(connection, own, probing, now)
        return True

    def record(self, flow: str, outcomes: Iterable[tuple[str, bool | None]], now: datetime) -> list[Transition]:
        """Feed the breakers of one flow, in one transaction; returns those that were moved.

        `outcomes` are (company, failed) in the order in which they came, `failed` as `tieout.breaker.is_failure` says it. Flows without
        companies name none: ''.
        """
        flow = flow_named(flow)
        by_company: dict[str, list[bool | None]] = defaultdict(list)
        for company, failed in outcomes:
            by_company[_key(company)].append(failed)
        if not by_company:
            return []
        moved = []
        with self._engine.begin() as connection:
            _make(connection, flow, by_company, now)
            for row in _locked(connection, flow, by_company):
                breaker = after_outcomes(row.breaker, by_company[row.company], now)
                if breaker != row.breaker:
                    _keep(connection, row, breaker, now)
                if breaker.state is not row.breaker.state:
                    words = in_words(breaker)
                    moved.append(Transition(flow, row.company, row.breaker.state, breaker.state, words))
        return moved

    def _set_paused(
        self, flow: str, company: str, paused: bool, reason: str, who: str, note: str, now: datetime | None
    ) -> bool:
        flow, company, now = flow_named(flow), _key(company), now or utc_now()
        with self._engine.begin() as connection:
            if paused:
                _make(connection, flow, [company], now)
            rows = _locked(connection, flow, [company])
            if not rows or rows[0].paused is paused:
                return False
            statement = update(flow_table).where(flow_table.c.flow == flow, flow_table.c.company == company)
            connection.execute(statement.values(paused=paused, reason=reason, changed_at=now))
            made = Decision(
                "flow",
                subject_key(flow, company),
                "pause" if paused else "resume",
                who,
                note,
                before={"paused": rows[0].paused, "reason": rows[0].reason},
                after={"paused": paused, "reason": reason},
                at=now,
            )
            append_decisions(connection, [made])
        return True


def subject_key(flow: str, company: str = EVERY_COMPANY) -> str:
    """How decisions name a flow: `delivery/sales_order`, with `/company` behind it where they are about one."""
    return f"{flow}/{_key(company)}" if _key(company) else f"{flow}"


def _key(company: str) -> str:
    return company.strip().casefold()  # as deliveries have it


def _gate(rows: Sequence[FlowRow], now: datetime) -> Gate:
    """The strictest of what the rows allow, with every reason that there is."""
    allowed = [Admission.NONE if row.paused else admission(row.breaker, now) for row in rows]
    reasons = [words for row in rows for words in (row.reason, in_words(row.breaker)) if words]
    return Gate(min(allowed, key=_STRICTEST_FIRST.index, default=Admission.ALL), "; ".join(reasons))


def _make(connection: Connection, flow: Flow, companies: Iterable[str], now: datetime) -> None:
    """Rows for those companies that have none: only what is there can be locked."""
    rows = [{"flow": flow, "company": company, "changed_at": now} for company in sorted(companies)]
    connection.execute(insert_or_skip(flow_table).on_conflict_do_nothing(), rows)


def _locked(connection: Connection, flow: Flow, companies: Iterable[str] | None) -> list[FlowRow]:
    """The rows of these companies (`None`: of all), locked in one order by everybody, so that nobody waits in a circle."""
    query = select(flow_table).where(flow_table.c.flow == flow).order_by(flow_table.c.company).with_for_update()
    if companies is not None:
        query = query.where(flow_table.c.company.in_(list(companies)))
    return [_row(row) for row in connection.execute(query)]


def _keep(connection: Connection, row: FlowRow, breaker: Breaker, now: datetime) -> None:
    statement = update(flow_table).where(flow_table.c.flow == row.flow, flow_table.c.company == row.company)
    connection.execute(
        statement.values(
            breaker=breaker.state,
            recent=list(breaker.recent),
            opened_at=breaker.opened_at,
            probe_at=breaker.probe_at,
            cool_down_s=breaker.cool_down_s,
            changed_at=now,
        )
    )


def _row(row: Row[Any]) -> FlowRow:
    breaker = Breaker(
        BreakerState(row.breaker), tuple(row.recent or ()), row.opened_at, row.probe_at, row.cool_down_s or 0
    )
    return FlowRow(Flow(row.flow), row.company, row.paused, row.reason, breaker)
