"""The tie-out: what both systems say was sold, per company, currency and month, to the cent, and what the difference consists of.

Every amount comes from exactly one row of `sales_order_verdict`, so the bridge adds up to the difference by construction; all in DECIMAL.
`month` (`YYYY-MM`, in UTC) is that of the order date: the close date of the opportunity, and of orders that have none in Salesforce the
day on which D365 made them. A pair counts in the month of its Salesforce side, with both amounts. Empty where no date can be read.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tieout.canonical import MONEY_TYPE
from tieout.reconciliation.rows import Verdict
from tieout.sql import literal, literals

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RecordKey = tuple[str | None, str | None]
"""(Salesforce key, D365 key) of a verdict; `None` where a side has no record."""

_CAUSE_TABLE = """CREATE OR REPLACE TEMP TABLE sales_order_cause (
    salesforce_key VARCHAR, d365_key VARCHAR, company VARCHAR, cause VARCHAR, explains BOOLEAN
)"""

# Nobody has to say why these differ: the verdict does.
_CAUSE_BY_VERDICT: Mapping[str, str] = {
    Verdict.MATCHED: "within_tolerance",
    Verdict.IN_FLIGHT: "in_flight",
    Verdict.QUARANTINED: "quarantined",
}
UNEXPLAINED = "unexplained"


def part_statement() -> str:
    """Make `tie_out_part`: what each record adds to each side. A pair in two currencies adds to two totals.

    The members of a group add under one verdict, because the amounts of a group agree or differ as sums.
    """
    zero = f"0::{MONEY_TYPE}"
    return f"""CREATE OR REPLACE TEMP TABLE tie_out_part AS
WITH of_group AS (
    SELECT group_key, CASE
            WHEN bool_or(verdict = {literal(Verdict.IN_FLIGHT)}) THEN {literal(Verdict.IN_FLIGHT)}
            WHEN bool_or(verdict = {literal(Verdict.DIFFERS)}) THEN {literal(Verdict.DIFFERS)}
            ELSE {literal(Verdict.MATCHED)} END AS verdict
    FROM sales_order_verdict WHERE group_key IS NOT NULL
    GROUP BY group_key
),
judged AS (
    SELECT record.* EXCLUDE (verdict), coalesce(of_group.verdict, record.verdict) AS verdict
    FROM sales_order_verdict AS record LEFT JOIN of_group ON of_group.group_key = record.group_key
)
SELECT company, currency, month, verdict, salesforce_key, d365_key, group_key, salesforce_amount AS salesforce, {zero} AS d365
FROM judged WHERE salesforce_amount IS NOT NULL
UNION ALL
SELECT company, d365_currency, month, verdict, salesforce_key, d365_key, group_key, {zero}, d365_amount
FROM judged WHERE d365_amount IS NOT NULL"""


def bridge_statement() -> str:
    """Make `tie_out_bridge`: the parts by verdict and cause."""
    by_verdict = " ".join(
        f"WHEN {literal(verdict)} THEN {literal(cause)}" for verdict, cause in _CAUSE_BY_VERDICT.items()
    )
    settled = literals(_CAUSE_BY_VERDICT)
    return f"""CREATE OR REPLACE TABLE tie_out_bridge AS
WITH of_group AS (
    SELECT record.group_key, known.cause, known.explains
    FROM sales_order_verdict AS record
    JOIN sales_order_cause AS known ON known.salesforce_key = record.salesforce_key AND known.d365_key = record.d365_key
        AND known.company = record.company
    WHERE record.group_key IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY record.group_key
        ORDER BY list_contains(record.fields, 'amount') DESC, record.salesforce_key, record.d365_key
    ) = 1
),
told AS (
    SELECT part.*, CASE part.verdict {by_verdict} ELSE coalesce(of_group.cause, known.cause, {literal(UNEXPLAINED)}) END AS cause,
        part.verdict IN ({settled}) OR coalesce(of_group.explains, known.explains, false) AS is_explained
    FROM tie_out_part AS part
    LEFT JOIN of_group ON of_group.group_key = part.group_key
    LEFT JOIN sales_order_cause AS known ON known.salesforce_key IS NOT DISTINCT FROM part.salesforce_key
        AND known.d365_key IS NOT DISTINCT FROM part.d365_key AND known.company = part.company
)
SELECT company, currency, month, verdict, cause, is_explained, count(DISTINCT (salesforce_key, d365_key)) AS records,
    {_sum("salesforce")} AS salesforce, {_sum("d365")} AS d365, {_sum("salesforce - d365")} AS difference
FROM told
GROUP BY company, currency, month, verdict, cause, is_explained"""


def tie_out_statement() -> str:
    """Make `tie_out` from the bridge: `explained` is the part of the difference whose cause is known."""
    return f"""CREATE OR REPLACE TABLE tie_out AS
SELECT company, currency, month, {_sum("salesforce")} AS salesforce, {_sum("d365")} AS d365, {_sum("difference")} AS difference,
    coalesce({_sum("difference", "is_explained")}, 0::{MONEY_TYPE}) AS explained
FROM tie_out_bridge
GROUP BY company, currency, month
ORDER BY company, currency, month"""


def total(con: "DuckDBPyConnection") -> None:
    """Make `tie_out` and `tie_out_bridge` from `sales_order_verdict`, with no cause known but those that the verdict itself tells."""
    con.execute(_CAUSE_TABLE)
    con.execute(part_statement())
    con.execute(bridge_statement())
    con.execute(tie_out_statement())


def explain(con: "DuckDBPyConnection", causes: Iterable[tuple[RecordKey, str, str, bool]]) -> None:
    """Make `tie_out` and `tie_out_bridge` again, with the cause of each record that differs.

    `causes`: (keys of the record, company, cause, whether the cause explains the money); `breaks.causes_by_record` provides them.
    """
    con.execute(_CAUSE_TABLE)
    rows = [(*keys, company, cause, explains) for keys, company, cause, explains in causes]
    if rows:
        # One statement with five lists: a statement for each row takes a millisecond, and there can be a hundred thousand.
        columns = [list(column) for column in zip(*rows, strict=True)]
        con.execute(
            "INSERT INTO sales_order_cause SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), "
            "unnest(?::VARCHAR[]), unnest(?::BOOLEAN[])",
            columns,
        )
    con.execute(bridge_statement())
    con.execute(tie_out_statement())


def _sum(value: str, condition: str | None = None) -> str:
    return f"sum({value}){f' FILTER ({condition})' if condition else ''}::{MONEY_TYPE}"
