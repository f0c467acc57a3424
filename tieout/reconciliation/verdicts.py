"""The verdict on each record: what `population.py` knows about it and what the comparison found, in one word and a reason."""

from tieout.contract import Contracts
from tieout.reconciliation.population import account_state_cte, order_obstacle
from tieout.reconciliation.rows import Reason, Verdict
from tieout.sql import literal


def customer_pair_statement() -> str:
    """Make `customer_pair`: the linked pairs whose two sides are both there and readable."""
    return """CREATE OR REPLACE TEMP TABLE customer_pair AS
SELECT salesforce_key, d365_lake_key AS d365_key, is_primary
FROM customer_record
WHERE is_pair AND NOT is_quarantined AND NOT is_repeated"""


def order_pair_statement() -> str:
    """Make `sales_order_pair`: as for customers, won on one side and not canceled on the other."""
    return """CREATE OR REPLACE TEMP TABLE sales_order_pair AS
SELECT salesforce_key, d365_lake_key AS d365_key, is_primary
FROM sales_order_record
WHERE is_pair AND NOT is_quarantined AND NOT is_repeated AND is_in_scope AND NOT is_canceled"""


def customer_verdict_statement() -> str:
    """Make `customer_verdict`. Amounts are NULL: a customer has none."""
    return f"""CREATE OR REPLACE TABLE customer_verdict AS
WITH {_differing("SELECT salesforce_key, d365_key, field FROM customer_found WHERE kind <> 'case_or_blanks'")},
judged AS (
    SELECT record.*, differing.fields, CASE
            WHEN record.is_quarantined THEN {literal(Verdict.QUARANTINED)}
            WHEN record.is_repeated THEN {literal(Verdict.DUPLICATE)}
            WHEN record.is_pair AND differing.fields IS NOT NULL THEN {literal(Verdict.DIFFERS)}
            WHEN record.is_pair THEN {literal(Verdict.MATCHED)}
            WHEN record.d365_lake_key IS NULL THEN {literal(Verdict.ONLY_IN_SALESFORCE)}
            WHEN record.has_linked_sibling OR record.master_d365_key IS NOT NULL THEN {literal(Verdict.DUPLICATE)}
            ELSE {literal(Verdict.ONLY_IN_D365)} END AS verdict, CASE
            WHEN record.is_quarantined THEN {literal(Reason.RECORD_QUARANTINED)}
            WHEN record.is_repeated THEN {literal(Reason.SAME_KEY_TWICE)}
            WHEN record.is_pair THEN NULL
            WHEN record.master_d365_key IS NOT NULL
                THEN {literal(f"{Reason.MERGED_ACCOUNT}: ")} || record.merge || ', customer ' || record.master_d365_key
            WHEN record.salesforce_key IS NULL AND record.has_linked_sibling THEN {literal(Reason.SAME_PARTY)}
            {_open_reasons()}
            WHEN record.merge IS NOT NULL THEN {literal(f"{Reason.MERGED_AWAY}: ")} || record.merge
            WHEN record.d365_lake_key IS NULL AND record.company = '' THEN {literal(Reason.NO_COMPANY)} END AS reason
    FROM customer_record AS record
    LEFT JOIN differing ON differing.salesforce_key = record.salesforce_key AND differing.d365_key = record.d365_lake_key
)
SELECT 'customer' AS entity, {_verdict()} AS verdict, company, currency, salesforce_key, d365_key, label,
    NULL::DECIMAL(28,6) AS salesforce_amount, NULL::DECIMAL(28,6) AS d365_amount, coalesce(fields, []) AS fields,
    {_reason()} AS reason, d365_lake_key, currency AS d365_currency, NULL::VARCHAR AS month, NULL::VARCHAR AS group_key
FROM judged"""


def order_verdict_statement(contracts: Contracts) -> str:
    """Make `sales_order_verdict`. A header whose lines differ, or that has a line on one side only, differs too."""
    found = """SELECT salesforce_key, d365_key, field FROM sales_order_found WHERE kind <> 'case_or_blanks'
        UNION ALL
        SELECT line.order_salesforce_key, line.order_d365_key, found.field
        FROM sales_order_line_found AS found
        JOIN sales_order_line_record AS line ON line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key
        WHERE found.kind <> 'case_or_blanks'
        UNION ALL
        SELECT order_salesforce_key, order_d365_key, 'lines'
        FROM sales_order_line_record WHERE salesforce_key IS NULL OR d365_key IS NULL"""
    return f"""CREATE OR REPLACE TABLE sales_order_verdict AS
WITH {_differing(found)},
{account_state_cte(contracts)},
judged AS (
    SELECT record.*, differing.fields, CASE
            WHEN record.is_quarantined THEN {literal(Verdict.QUARANTINED)}
            WHEN record.is_repeated THEN {literal(Verdict.DUPLICATE)}
            WHEN record.is_pair AND (differing.fields IS NOT NULL OR record.is_group_off OR NOT record.is_in_scope OR record.is_canceled)
                THEN {literal(Verdict.DIFFERS)}
            WHEN record.is_pair THEN {literal(Verdict.MATCHED)}
            WHEN record.d365_lake_key IS NULL THEN {literal(Verdict.ONLY_IN_SALESFORCE)}
            WHEN record.named_state = 'linked' THEN {literal(Verdict.DUPLICATE)}
            ELSE {literal(Verdict.ONLY_IN_D365)} END AS verdict, CASE
            WHEN record.is_quarantined_by_line THEN {literal(Reason.LINE_QUARANTINED)}
            WHEN record.is_quarantined THEN {literal(Reason.RECORD_QUARANTINED)}
            WHEN record.is_repeated THEN {literal(Reason.SAME_KEY_TWICE)}
            WHEN record.is_pair AND NOT record.is_in_scope THEN {literal(Reason.NOT_WON)}
            WHEN record.is_pair AND record.is_canceled THEN {literal(Reason.ORDER_CANCELED)}
            WHEN record.is_pair THEN record.group_reason
            WHEN record.d365_lake_key IS NULL THEN {order_obstacle("record")}
            WHEN record.named_state = 'linked' THEN {literal(Reason.SECOND_ORDER)}
            WHEN record.named_state = 'deleted' THEN {literal(Reason.DELETED)}
            {_open_reasons()} END AS reason
    FROM sales_order_record AS record
    LEFT JOIN differing ON differing.salesforce_key = record.salesforce_key AND differing.d365_key = record.d365_lake_key
    LEFT JOIN account_state ON record.d365_lake_key IS NULL
        AND account_state.account_id = record.account_id AND account_state.company = record.company
)
SELECT 'sales_order' AS entity, {_verdict()} AS verdict, company, currency, salesforce_key, d365_key, label, salesforce_amount,
    d365_amount, coalesce(fields, []) AS fields, {_reason()} AS reason, d365_lake_key, d365_currency, month, group_key
FROM judged"""


def line_verdict_statement() -> str:
    """Make `sales_order_line_verdict`: the lines of linked orders. Where the order is in flight, its lines are too."""
    return f"""CREATE OR REPLACE TABLE sales_order_line_verdict AS
WITH {_differing("SELECT salesforce_key, d365_key, field FROM sales_order_line_found WHERE kind <> 'case_or_blanks'")},
judged AS (
    SELECT line.*, orders.company, orders.currency, orders.month, orders.is_recent, orders.d365_key AS order_number, differing.fields, CASE
            WHEN line.d365_key IS NULL THEN {literal(Verdict.ONLY_IN_SALESFORCE)}
            WHEN line.salesforce_key IS NULL AND line.is_second THEN {literal(Verdict.DUPLICATE)}
            WHEN line.salesforce_key IS NULL THEN {literal(Verdict.ONLY_IN_D365)}
            WHEN differing.fields IS NOT NULL THEN {literal(Verdict.DIFFERS)}
            ELSE {literal(Verdict.MATCHED)} END AS verdict, CASE
            WHEN line.d365_key IS NULL AND line.is_canceled THEN {literal(Reason.LINE_CANCELED)}
            WHEN line.salesforce_key IS NULL AND line.is_second THEN {literal(Reason.SECOND_LINE)}
            WHEN line.is_split THEN {literal(Reason.SPLIT_LINE)} END AS reason
    FROM sales_order_line_record AS line
    JOIN sales_order_record AS orders
        ON orders.salesforce_key = line.order_salesforce_key AND orders.d365_lake_key = line.order_d365_key
    LEFT JOIN differing ON differing.salesforce_key = line.salesforce_key AND differing.d365_key = line.d365_key
)
SELECT 'sales_order_line' AS entity, {_verdict()} AS verdict, company, currency, salesforce_key, d365_lot AS d365_key, label,
    salesforce_amount, d365_amount, coalesce(fields, []) AS fields, {_reason()} AS reason,
    order_salesforce_key, order_number AS order_d365_key, line_number, month,
    CASE WHEN is_split THEN salesforce_key END AS group_key
FROM judged"""


def _differing(found: str) -> str:
    return f"""differing AS (
    SELECT salesforce_key, d365_key, list(DISTINCT field ORDER BY field) AS fields
    FROM (
        {found}
    ) AS found (salesforce_key, d365_key, field)
    GROUP BY salesforce_key, d365_key
)"""


def _open_reasons() -> str:
    return f"""WHEN record.open_reason = 'ambiguous' THEN {literal(Reason.LINK_AMBIGUOUS)}
            WHEN record.open_reason = 'taken' THEN {literal(Reason.LINK_TAKEN)}
            WHEN record.open_reason = 'broken' THEN {literal(Reason.LINK_BROKEN)}"""


def _may_be_in_flight() -> str:
    return "is_recent AND verdict NOT IN ('matched', 'quarantined')"


def _verdict() -> str:
    """Would be a break, but may be a matter of seconds: the record changed after the earlier of the two reads began."""
    return f"CASE WHEN {_may_be_in_flight()} THEN 'in_flight' ELSE verdict END"


def _reason() -> str:
    return f"CASE WHEN {_may_be_in_flight()} THEN {literal(Reason.CHANGED_DURING_READ)} ELSE reason END"
