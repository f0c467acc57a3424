"""Signed periods: a month of a company that somebody has signed off, what exactly was signed, and whether it still holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from resources.ledger.decisions import Decision, append_decisions
from resources.ledger.instants import utc_now
from resources.ledger.tables import period
from tieout.errors import RecordError


@dataclass(frozen=True, slots=True)
class SignedPeriod:
    """One signature. `state` is `signed`, or `reopened` by a person or by a later change. `snapshot`: the figures that were signed."""

    id: int
    company: str
    month: str
    state: str
    signed_at: datetime
    signed_by: str
    note: str
    run_id: str
    digest: str
    snapshot: Mapping[str, Any]
    reopened_at: datetime | None = None
    reopened_by: str = ""
    reopened_reason: str = ""


class Periods:
    """Signing, reopening, and reading both back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sign(
        self,
        company: str,
        month: str,
        *,
        who: str,
        note: str,
        run_id: str,
        digest: str,
        snapshot: Mapping[str, Any],
        at: datetime | None = None,
    ) -> SignedPeriod:
        """Sign a month of a company off; RecordError where it is signed already."""
        values = {
            "company": company,
            "month": month,
            "state": "signed",
            "signed_at": at or utc_now(),
            "signed_by": who,
            "note": note,
            "run_id": run_id,
            "digest": digest,
            "snapshot": dict(snapshot),
        }
        try:
            with self._engine.begin() as connection:
                row = connection.execute(insert(period).values(values).returning(*period.c)).mappings().one()
                _decide(connection, company, month, "sign", who, note, after={"digest": digest, "run_id": run_id})
                return SignedPeriod(**row)
        except IntegrityError as taken:
            raise RecordError(
                f"{month} of {company} is signed already. Reopen it first, if it has to be signed anew."
            ) from taken

    def reopen(self, company: str, month: str, *, who: str, reason: str, at: datetime | None = None) -> None:
        """Take a signature back, with a reason; RecordError where the month is not signed."""
        statement = (
            update(period)
            .where(period.c.company == company, period.c.month == month, period.c.state == "signed")
            .values(state="reopened", reopened_at=at or utc_now(), reopened_by=who, reopened_reason=reason)
            .returning(period.c.id)
        )
        with self._engine.begin() as connection:
            if connection.execute(statement).scalar_one_or_none() is None:
                raise RecordError(f"{month} of {company} is not signed, so there is nothing to reopen.")
            _decide(connection, company, month, "reopen", who, reason)

    def signed(self) -> list[SignedPeriod]:
        """The signatures that hold, by company and month."""
        query = select(period).where(period.c.state == "signed").order_by(period.c.company, period.c.month)
        return self._read(query)

    def latest(self) -> dict[tuple[str, str], SignedPeriod]:
        """(company, month) → its newest signature, whether it holds or was taken back."""
        query = select(period).distinct(period.c.company, period.c.month)
        query = query.order_by(period.c.company, period.c.month, period.c.id.desc())
        return {(each.company, each.month): each for each in self._read(query)}

    def history(self, company: str, month: str) -> list[SignedPeriod]:
        """Every signature of a month, newest first."""
        query = select(period).where(period.c.company == company, period.c.month == month)
        return self._read(query.order_by(period.c.id.desc()))

    def get(self, number: int) -> SignedPeriod:
        """One signature; RecordError where there is none."""
        found = self._read(select(period).where(period.c.id == number))
        if not found:
            raise RecordError(f"There is no signature {number}. `tieout periods list` lists the periods.")
        return found[0]

    def _read(self, query: Select[Any]) -> list[SignedPeriod]:
        with self._engine.connect() as connection:
            return [SignedPeriod(**row) for row in connection.execute(query).mappings()]


def _decide(
    connection: Connection,
    company: str,
    month: str,
    action: str,
    who: str,
    note: str,
    after: Mapping[str, object] | None = None,
) -> None:
    made = Decision("period", f"{company}/{month}", action, who, note, after=after, at=utc_now())
    append_decisions(connection, [made])
