CREATE OR REPLACE TEMP VIEW quarantined_in_salesforce AS
SELECT * FROM (
    SELECT NULL::VARCHAR AS table_name, NULL::VARCHAR AS _key, NULL::VARCHAR AS parent_key, NULL::VARCHAR AS "row" WHERE false
    UNION ALL BY NAME
    SELECT * FROM salesforce_quarantined
)
WHERE lower(coalesce("row" ->> 'IsDeleted', 'false')) <> 'true';

CREATE OR REPLACE TEMP VIEW quarantined_in_d365 AS
SELECT * FROM (
    SELECT NULL::VARCHAR AS table_name, NULL::VARCHAR AS _key, NULL::VARCHAR AS parent_key, NULL::VARCHAR AS "row" WHERE false
    UNION ALL BY NAME
    SELECT * FROM d365_quarantined
)
WHERE lower(coalesce("row" ->> 'IsDeleted', 'false')) <> 'true';

CREATE OR REPLACE TEMP TABLE link_salesforce AS
SELECT DISTINCT ON (salesforce_id) * FROM (
SELECT "Id" AS salesforce_id, nullif(lower("ERP_Company__c"), '') AS company, nullif(lower("ERP_Order_Number__c"), '') AS stored_link,
    NOT coalesce("IsDeleted", false) AS is_there
FROM opportunity
UNION ALL
SELECT _key, nullif(lower("row" ->> 'ERP_Company__c'), ''), nullif(lower("row" ->> 'ERP_Order_Number__c'), ''), true
FROM quarantined_in_salesforce WHERE table_name = 'opportunity'
);

CREATE OR REPLACE TEMP TABLE link_d365 AS
SELECT DISTINCT ON (lake_key) * FROM (
SELECT _key AS lake_key, lower("dataAreaId") AS company, "SalesOrderNumber" AS d365_key, lower("SalesOrderNumber") AS number,
    nullif(lower("CustomersOrderReference"), '') AS reference, cmp_order_status IS DISTINCT FROM 'canceled' AS is_live
FROM sales_order
UNION ALL
SELECT _key, split_part(_key, '|', 1), coalesce("row" ->> 'SalesOrderNumber', substr(_key, strpos(_key, '|') + 1)), substr(_key, strpos(_key, '|') + 1), nullif(lower("row" ->> 'CustomersOrderReference'), ''), true
FROM quarantined_in_d365 WHERE table_name = 'sales_order'
);

CREATE OR REPLACE TEMP TABLE link_claim (
    step INTEGER, found_by VARCHAR, salesforce_id VARCHAR, slot VARCHAR, lake_key VARCHAR, outcome VARCHAR
);

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM known_crosswalk AS known
JOIN link_d365 AS d365 ON d365.lake_key = lower(known.company || '|' || known.d365_key)
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE known.entity = 'sales_order'
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'ledger', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON sf.stored_link = d365.company || '/' || d365.number
WHERE sf.is_there
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'stored_link', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.number = 't-' || lower(sf.salesforce_id)
WHERE sf.is_there
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'our_number', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.reference = lower(sf.salesforce_id)
WHERE sf.is_there AND d365.is_live
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'reference', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, '' AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.reference = lower(sf.salesforce_id)
WHERE sf.is_there AND NOT d365.is_live
),
fresh AS (
    SELECT claim.*,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'linked') AS is_taken,
        EXISTS (SELECT 1 FROM link_claim AS before WHERE before.lake_key = claim.lake_key AND before.outcome = 'ambiguous') AS is_contested
    FROM (SELECT DISTINCT salesforce_id, slot, lake_key FROM claim) AS claim
    WHERE NOT EXISTS (
        SELECT 1 FROM link_claim AS before
        WHERE before.salesforce_id = claim.salesforce_id AND before.slot = claim.slot AND before.outcome <> 'taken'
    )
)
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'reference', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

CREATE OR REPLACE TABLE crosswalk_sales_order AS
SELECT claim.salesforce_id, d365.company, d365.d365_key, claim.lake_key AS d365_lake_key, claim.found_by,
    row_number() OVER (
        PARTITION BY claim.salesforce_id
        ORDER BY coalesce(sf.stored_link = d365.company || '/' || d365.number, false) DESC,
            coalesce(sf.company = d365.company, false) DESC, claim.step, claim.lake_key
    ) = 1 AS is_primary
FROM link_claim AS claim
JOIN link_salesforce AS sf ON sf.salesforce_id = claim.salesforce_id
JOIN link_d365 AS d365 ON d365.lake_key = claim.lake_key
WHERE claim.outcome = 'linked';

CREATE OR REPLACE TABLE crosswalk_sales_order_open AS
WITH named AS (
    SELECT salesforce_id, lower(company) AS company, lower(d365_key) AS number
    FROM known_crosswalk WHERE entity = 'sales_order'
    UNION
    SELECT salesforce_id, split_part(stored_link, '/', 1), substr(stored_link, strpos(stored_link, '/') + 1)
    FROM link_salesforce WHERE stored_link IS NOT NULL
),
claim AS (
    SELECT claim.salesforce_id, d365.company, claim.lake_key, claim.outcome
    FROM link_claim AS claim JOIN link_d365 AS d365 USING (lake_key)
    WHERE claim.outcome <> 'linked'
    UNION ALL
    SELECT named.salesforce_id, named.company, named.company || '|' || named.number, 'broken'
    FROM named
    SEMI JOIN link_salesforce AS sf ON sf.salesforce_id = named.salesforce_id AND sf.is_there
    ANTI JOIN link_d365 AS d365 ON d365.company = named.company AND d365.number = named.number
)
SELECT 'salesforce' AS side, salesforce_id AS key, company, list(DISTINCT lake_key ORDER BY lake_key) AS candidates,
    CASE WHEN bool_or(outcome = 'ambiguous') THEN 'ambiguous' WHEN bool_or(outcome = 'taken') THEN 'taken' ELSE 'broken' END AS reason
FROM claim
ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = claim.salesforce_id
GROUP BY salesforce_id, company
UNION ALL
SELECT 'd365', lake_key, company, list(DISTINCT salesforce_id ORDER BY salesforce_id), 'ambiguous'
FROM claim
ANTI JOIN crosswalk_sales_order AS linked ON linked.d365_lake_key = claim.lake_key
WHERE outcome = 'ambiguous'
GROUP BY lake_key, company;
