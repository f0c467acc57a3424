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
SELECT "Id" AS salesforce_id, nullif(lower("ERP_Company__c"), '') AS company,
    nullif(lower("ERP_Number__c"), '') AS stored_link, nullif(lower("AccountNumber"), '') AS number, "MasterRecordId" AS merged_into, NOT coalesce("IsDeleted", false) AS is_there
FROM account
UNION ALL
SELECT _key, nullif(lower("row" ->> 'ERP_Company__c'), ''), nullif(lower("row" ->> 'ERP_Number__c'), ''), nullif(lower("row" ->> 'AccountNumber'), ''), NULL, true
FROM quarantined_in_salesforce WHERE table_name = 'account'
);

CREATE OR REPLACE TEMP TABLE link_d365 AS
SELECT DISTINCT ON (lake_key) * FROM (
SELECT _key AS lake_key, lower("dataAreaId") AS company, "CustomerAccount" AS d365_key, lower("CustomerAccount") AS number,
    NULL::VARCHAR AS reference, true AS is_live
FROM customer
UNION ALL
SELECT _key, split_part(_key, '|', 1), coalesce("row" ->> 'CustomerAccount', substr(_key, strpos(_key, '|') + 1)), substr(_key, strpos(_key, '|') + 1), NULL, true
FROM quarantined_in_d365 WHERE table_name = 'customer'
);

CREATE OR REPLACE TEMP TABLE link_company AS
SELECT DISTINCT ON (account_id, company) * FROM (
SELECT salesforce_id AS account_id, company FROM link_salesforce WHERE company IS NOT NULL AND is_there
UNION
SELECT "AccountId", nullif(lower("ERP_Company__c"), '') FROM opportunity WHERE nullif(lower("ERP_Company__c"), '') IS NOT NULL AND NOT coalesce("IsDeleted", false)
);

CREATE OR REPLACE TEMP TABLE link_claim (
    step INTEGER, found_by VARCHAR, salesforce_id VARCHAR, slot VARCHAR, lake_key VARCHAR, outcome VARCHAR
);

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM known_crosswalk AS known
JOIN link_d365 AS d365 ON d365.lake_key = lower(known.company || '|' || known.d365_key)
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE known.entity = 'customer'
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
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM known_crosswalk AS known
JOIN link_d365 AS d365 ON d365.lake_key = lower(known.company || '|' || known.d365_key)
JOIN link_salesforce AS loser ON loser.salesforce_id = known.salesforce_id AND NOT loser.is_there
JOIN link_salesforce AS sf ON sf.salesforce_id = loser.merged_into AND sf.is_there
WHERE known.entity = 'customer'
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
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
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
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_company AS of_account ON of_account.account_id = sf.salesforce_id
JOIN link_d365 AS d365 ON d365.number = sf.number AND d365.company = of_account.company
WHERE sf.is_there
UNION
SELECT sf.salesforce_id, min(d365.company), min(d365.lake_key)
FROM link_salesforce AS sf
ANTI JOIN link_company AS of_account ON of_account.account_id = sf.salesforce_id
JOIN link_d365 AS d365 ON d365.number = sf.number
WHERE sf.is_there
GROUP BY sf.salesforce_id
HAVING count(*) = 1
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
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'account_number', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
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

CREATE OR REPLACE TABLE crosswalk_customer AS
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

CREATE OR REPLACE TABLE crosswalk_customer_open AS
WITH named AS (
    SELECT salesforce_id, lower(company) AS company, lower(d365_key) AS number
    FROM known_crosswalk WHERE entity = 'customer'
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
ANTI JOIN crosswalk_customer AS linked ON linked.salesforce_id = claim.salesforce_id AND linked.company = claim.company
GROUP BY salesforce_id, company
UNION ALL
SELECT 'd365', lake_key, company, list(DISTINCT salesforce_id ORDER BY salesforce_id), 'ambiguous'
FROM claim
ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = claim.lake_key
WHERE outcome = 'ambiguous'
GROUP BY lake_key, company;
