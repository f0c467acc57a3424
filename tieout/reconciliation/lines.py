"""The lines of linked orders, paired one to one: by the line's reference first, by the line number for those without."""

from tieout.contract import Contracts
from tieout.reconciliation.sides import is_live_in_d365, is_live_in_salesforce, lines_of
from tieout.sql import quoted


def line_record_statement(contracts: Contracts) -> str:
    """Make `sales_order_line_record`: one row for each pair of lines and for each line that has no partner.

    `line_number` is Salesforce's (see `numbered_lines`), the one of D365 where only D365 has the line. `is_second`: the line names an
    opportunity line that is paired with another. `is_canceled`: D365 has the line, but canceled.
    """
    ctes = [_salesforce_line(contracts), _d365_line(contracts), _by_reference(), _by_number(), _canceled()]
    chain = ",\n".join(ctes)
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_line_record AS
WITH {chain},
paired AS (
    SELECT salesforce_key, d365_key FROM by_reference
    UNION ALL
    SELECT salesforce_key, d365_key FROM by_number
)
SELECT sf.order_salesforce_key, sf.order_d365_key, sf.key AS salesforce_key, d365.key AS d365_key, d365.lot AS d365_lot,
    sf.line_number, coalesce(sf.product, d365.product) AS label, sf.amount AS salesforce_amount, d365.amount AS d365_amount,
    false AS is_second, canceled.salesforce_key IS NOT NULL AS is_canceled
FROM salesforce_line AS sf
LEFT JOIN paired ON paired.salesforce_key = sf.key
LEFT JOIN d365_line AS d365 ON d365.key = paired.d365_key
LEFT JOIN canceled ON canceled.salesforce_key = sf.key AND d365.key IS NULL
UNION ALL
SELECT d365.order_salesforce_key, d365.order_d365_key, NULL, d365.key, d365.lot, d365.line_number, d365.product, NULL, d365.amount,
    named.key IS NOT NULL, false
FROM d365_line AS d365
ANTI JOIN paired ON paired.d365_key = d365.key
LEFT JOIN salesforce_line AS named ON lower(named.key) = d365.reference AND named.order_d365_key = d365.order_d365_key"""


def line_pair_statement() -> str:
    """Make `sales_order_line_pair`, the input of the comparison."""
    return """CREATE OR REPLACE TEMP TABLE sales_order_line_pair AS
SELECT salesforce_key, d365_key, true AS is_primary
FROM sales_order_line_record
WHERE salesforce_key IS NOT NULL AND d365_key IS NOT NULL"""


def numbered_lines(contracts: Contracts) -> str:
    """SELECT of the live opportunity lines with `line_number`, the number that the line has in D365.

    The sort order where every line of the opportunity has one of its own, else the position by sort order, then by id.
    """
    lines = lines_of(contracts["sales_order"])
    sort_order = quoted(lines.field(lines.match_on).salesforce or "SortOrder")
    return f"""SELECT line.*, CASE
        WHEN count(DISTINCT {sort_order}) OVER of_opportunity = count(*) OVER of_opportunity THEN {sort_order}
        ELSE row_number() OVER (PARTITION BY line._parent_key ORDER BY {sort_order} NULLS LAST, line._key)
    END AS line_number
FROM {lines.salesforce.table} AS line
WHERE {is_live_in_salesforce(lines)}
WINDOW of_opportunity AS (PARTITION BY line._parent_key)"""


def _salesforce_line(contracts: Contracts) -> str:
    lines = lines_of(contracts["sales_order"])
    return f"""salesforce_line AS (
    SELECT numbered._key AS key, pair.salesforce_key AS order_salesforce_key, pair.d365_key AS order_d365_key, numbered.line_number,
        numbered.{quoted(lines.field("product").salesforce or "")} AS product,
        numbered.{quoted(lines.field("amount").salesforce or "")} AS amount
    FROM (
        {numbered_lines(contracts)}
    ) AS numbered
    JOIN sales_order_pair AS pair ON pair.salesforce_key = numbered._parent_key
)"""


def _d365_line(contracts: Contracts) -> str:
    lines = lines_of(contracts["sales_order"])
    reference = f"nullif(lower({quoted(lines.link.reference)}), '')" if lines.link.reference else "NULL::VARCHAR"
    # A line that was entered in D365 by hand has the number 0.
    number = quoted(f"cmp_{lines.match_on}")
    return f"""every_d365_line AS (
    SELECT line._key AS key, {quoted(lines.d365.key[-1])} AS lot, pair.salesforce_key AS order_salesforce_key,
        pair.d365_key AS order_d365_key, nullif({number}, 0) AS line_number, {reference} AS reference,
        {quoted(lines.field("product").d365 or "")} AS product, {quoted(lines.field("amount").d365 or "")} AS amount,
        {is_live_in_d365(lines)} AS is_live
    FROM {lines.d365.table} AS line
    JOIN sales_order_pair AS pair ON pair.d365_key = line._parent_key
),
d365_line AS (
    SELECT * FROM every_d365_line WHERE is_live
)"""


def _by_reference() -> str:
    return """by_reference AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key
    FROM salesforce_line AS sf
    JOIN d365_line AS d365 ON d365.reference = lower(sf.key) AND d365.order_d365_key = sf.order_d365_key
    QUALIFY row_number() OVER (PARTITION BY sf.key ORDER BY d365.key) = 1
)"""


def _by_number() -> str:
    """Lines that the reference did not pair, the first with the first where a number occurs more than once."""
    return """left_in_salesforce AS (
    SELECT sf.*, row_number() OVER (PARTITION BY sf.order_d365_key, sf.line_number ORDER BY sf.key) AS nth
    FROM salesforce_line AS sf
    ANTI JOIN by_reference AS paired ON paired.salesforce_key = sf.key
),
left_in_d365 AS (
    SELECT d365.*, row_number() OVER (PARTITION BY d365.order_d365_key, d365.line_number ORDER BY d365.key) AS nth
    FROM d365_line AS d365
    ANTI JOIN salesforce_line AS named ON lower(named.key) = d365.reference AND named.order_d365_key = d365.order_d365_key
    WHERE d365.line_number IS NOT NULL
),
by_number AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key
    FROM left_in_salesforce AS sf
    JOIN left_in_d365 AS d365
        ON d365.order_d365_key = sf.order_d365_key AND d365.line_number = sf.line_number AND d365.nth = sf.nth
)"""


def _canceled() -> str:
    return """canceled AS (
    SELECT DISTINCT sf.key AS salesforce_key
    FROM every_d365_line AS d365
    JOIN salesforce_line AS sf ON sf.order_d365_key = d365.order_d365_key
        AND (d365.reference = lower(sf.key) OR d365.line_number = sf.line_number)
    WHERE NOT d365.is_live
)"""
