"""What is signed when a month of a company is signed off, and what it means that it changed afterwards.

Signed are the verdicts on the month's orders, row by row with both amounts, as the relation `sales_order_verdict` has them. A later change
is any row of it that reads differently, is new or is gone; a record in flight was not judged, so it changes nothing until it is.
"""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tieout.canonical import MONEY_TYPE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SIGNED_COLUMNS = (
    "company",
    "month",
    "currency",
    "salesforce_key",
    "d365_key",
    "label",
    "verdict",
    "fields",
    "reason",
    "salesforce_amount",
    "d365_amount",
)
"""Columns of a signed row; `fields` is text, the names of the fields that differ with commas between."""

SHOWN_CHANGES = 3
"""How many changes the reason of a reopened period tells; the desk shows all of them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One order of a signed month that is no longer as it was signed. Texts for people; None on the side that has no such row."""

    salesforce_key: str | None
    d365_key: str | None
    label: str | None
    signed: str | None
    now: str | None

    def __str__(self) -> str:
        name = self.d365_key or self.salesforce_key or ""
        if self.signed is None:
            return f"{name} came in: {self.now}"
        if self.now is None:
            return f"{name} left the month: {self.signed}"
        return f"{name}: {self.signed} → {self.now}"


def month_statement() -> str:
    """SELECT of the rows of one month of a company; takes the parameters `$company` and `$month`."""
    return f"""SELECT lower(company) AS company, month, currency, salesforce_key, d365_key, label, verdict,
    array_to_string(fields, ', ') AS fields, reason, salesforce_amount::{MONEY_TYPE} AS salesforce_amount,
    d365_amount::{MONEY_TYPE} AS d365_amount
FROM sales_order_verdict
WHERE lower(company) = lower($company) AND month = $month
ORDER BY salesforce_key NULLS FIRST, d365_key NULLS FIRST"""


def digest_of(con: "DuckDBPyConnection", relation: str) -> str:
    """SHA-256 over every value of the signed rows in `relation`, whatever their order there."""
    # Values are told apart by characters that no key or label holds; NULL is not the empty text.
    values = " || chr(31) || ".join(f"coalesce({name}::VARCHAR, chr(29))" for name in SIGNED_COLUMNS)
    rows = con.execute(f"SELECT {values} AS line FROM {relation} ORDER BY line").fetchall()
    digest = sha256()
    for (line,) in rows:
        digest.update(line.encode("utf-8", "surrogatepass") + b"\x1e")
    return digest.hexdigest()


def figures_of(con: "DuckDBPyConnection", relation: str) -> dict[str, Any]:
    """What the signature shows: orders by verdict, and per currency both totals and their difference, as exact texts."""
    verdicts = dict(
        con.execute(f"SELECT verdict, count(*) FROM {relation} GROUP BY verdict ORDER BY verdict").fetchall()
    )
    totals = con.execute(
        f"""SELECT currency, coalesce(sum(salesforce_amount), 0)::{MONEY_TYPE}, coalesce(sum(d365_amount), 0)::{MONEY_TYPE}
FROM {relation} GROUP BY currency ORDER BY currency"""
    ).fetchall()
    return {
        "verdicts": verdicts,
        "totals": [
            {"currency": currency, "salesforce": _exact(sf), "d365": _exact(d365), "difference": _exact(sf - d365)}
            for currency, sf, d365 in totals
        ],
    }


def changes(con: "DuckDBPyConnection", signed: str, now: str) -> list[Change]:
    """What is different in `now` from what was signed; both relations have the signed columns."""
    said = """concat_ws(' ', replace({side}.verdict, '_', ' '), nullif({side}.fields, ''),
        {side}.salesforce_amount::VARCHAR || ' / ' || coalesce({side}.d365_amount::VARCHAR, '–'),
        CASE WHEN {side}.salesforce_amount IS NULL THEN '– / ' || {side}.d365_amount::VARCHAR END, {side}.currency)"""
    compared = ("verdict", "fields", "currency", "salesforce_amount", "d365_amount")
    differs = " OR ".join(f"signed.{name} IS DISTINCT FROM now.{name}" for name in compared)
    rows = con.execute(
        f"""WITH judged AS (SELECT * FROM {now} WHERE verdict <> 'in_flight'),
waiting AS (SELECT salesforce_key, d365_key FROM {now} WHERE verdict = 'in_flight'),
-- An opportunity that was signed without its order and has one now, or the other way round, is one order that changed.
before AS ({_with_order(signed, "judged")}),
today AS ({_with_order("judged", signed)})
SELECT coalesce(signed.salesforce_key, now.salesforce_key), coalesce(signed.d365_key, now.d365_key),
    coalesce(now.label, signed.label),
    CASE WHEN signed.verdict IS NOT NULL THEN {said.format(side="signed")} END,
    CASE WHEN now.verdict IS NOT NULL THEN {said.format(side="now")} END
FROM before AS signed
FULL JOIN today AS now
    ON now.salesforce_key IS NOT DISTINCT FROM signed.salesforce_key AND now.order_key IS NOT DISTINCT FROM signed.order_key
WHERE (signed.verdict IS NULL OR now.verdict IS NULL OR {differs})
    AND NOT EXISTS (
        SELECT 1 FROM waiting
        WHERE waiting.salesforce_key IS NOT DISTINCT FROM signed.salesforce_key
            AND waiting.d365_key IS NOT DISTINCT FROM signed.d365_key AND now.verdict IS NULL
    )
ORDER BY 1 NULLS FIRST, 2 NULLS FIRST"""
    ).fetchall()
    return [Change(*row) for row in rows]


def _with_order(relation: str, other: str) -> str:
    """The rows with `order_key`: their order, or where they have none the one that the opportunity has in `other`, if that is the only one."""
    return f"""SELECT this.*, coalesce(this.d365_key, only_one.d365_key) AS order_key
FROM {relation} AS this
LEFT JOIN (
    SELECT salesforce_key, min(d365_key) AS d365_key FROM {other} WHERE salesforce_key IS NOT NULL GROUP BY salesforce_key HAVING count(*) = 1
) AS only_one ON this.d365_key IS NULL AND only_one.salesforce_key = this.salesforce_key"""


def reason_of(found: list[Change]) -> str:
    """Why a signed month is reopened, in one sentence."""
    told = "; ".join(str(each) for each in found[:SHOWN_CHANGES])
    more = f"; and {len(found) - SHOWN_CHANGES:,} more" if len(found) > SHOWN_CHANGES else ""
    orders = "1 order" if len(found) == 1 else f"{len(found):,} orders"
    return f"{orders} changed after the signature: {told}{more}"


def _exact(amount: Decimal) -> str:
    exact = amount.normalize()
    return f"{exact:.{max(2, -int(exact.as_tuple().exponent))}f}"
