CREATE OR REPLACE TEMP TABLE tie_out_part AS
WITH of_group AS (
    SELECT group_key, CASE
            WHEN bool_or(verdict = 'in_flight') THEN 'in_flight'
            WHEN bool_or(verdict = 'differs') THEN 'differs'
            ELSE 'matched' END AS verdict
    FROM sales_order_verdict WHERE group_key IS NOT NULL
    GROUP BY group_key
),
judged AS (
    SELECT record.* EXCLUDE (verdict), coalesce(of_group.verdict, record.verdict) AS verdict
    FROM sales_order_verdict AS record LEFT JOIN of_group ON of_group.group_key = record.group_key
)
SELECT company, currency, month, verdict, salesforce_key, d365_key, group_key, salesforce_amount AS salesforce, 0::DECIMAL(28,6) AS d365
FROM judged WHERE salesforce_amount IS NOT NULL
UNION ALL
SELECT company, d365_currency, month, verdict, salesforce_key, d365_key, group_key, 0::DECIMAL(28,6), d365_amount
FROM judged WHERE d365_amount IS NOT NULL;

CREATE OR REPLACE TABLE tie_out_bridge AS
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
    SELECT part.*, CASE part.verdict WHEN 'matched' THEN 'within_tolerance' WHEN 'in_flight' THEN 'in_flight' WHEN 'quarantined' THEN 'quarantined' ELSE coalesce(of_group.cause, known.cause, 'unexplained') END AS cause,
        part.verdict IN ('matched', 'in_flight', 'quarantined') OR coalesce(of_group.explains, known.explains, false) AS is_explained
    FROM tie_out_part AS part
    LEFT JOIN of_group ON of_group.group_key = part.group_key
    LEFT JOIN sales_order_cause AS known ON known.salesforce_key IS NOT DISTINCT FROM part.salesforce_key
        AND known.d365_key IS NOT DISTINCT FROM part.d365_key AND known.company = part.company
)
SELECT company, currency, month, verdict, cause, is_explained, count(DISTINCT (salesforce_key, d365_key)) AS records,
    sum(salesforce)::DECIMAL(28,6) AS salesforce, sum(d365)::DECIMAL(28,6) AS d365, sum(salesforce - d365)::DECIMAL(28,6) AS difference
FROM told
GROUP BY company, currency, month, verdict, cause, is_explained;

CREATE OR REPLACE TABLE tie_out AS
SELECT company, currency, month, sum(salesforce)::DECIMAL(28,6) AS salesforce, sum(d365)::DECIMAL(28,6) AS d365, sum(difference)::DECIMAL(28,6) AS difference,
    coalesce(sum(difference) FILTER (is_explained)::DECIMAL(28,6), 0::DECIMAL(28,6)) AS explained
FROM tie_out_bridge
GROUP BY company, currency, month
ORDER BY company, currency, month;
