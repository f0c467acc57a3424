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
    NULL::VARCHAR AS reference, true AS is_live, nullif(lower("PartyNumber"), '') AS party
FROM customer
UNION ALL
SELECT _key, split_part(_key, '|', 1), coalesce("row" ->> 'CustomerAccount', substr(_key, strpos(_key, '|') + 1)), substr(_key, strpos(_key, '|') + 1), NULL, true, nullif(lower("row" ->> 'PartyNumber'), '')
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

CREATE OR REPLACE TEMP TABLE account_master AS
WITH RECURSIVE way AS (
    SELECT salesforce_id AS account_id, merged_into AS master_id FROM link_salesforce WHERE NOT is_there AND merged_into IS NOT NULL
    UNION
    SELECT way.account_id, next.merged_into
    FROM way
    JOIN link_salesforce AS next ON next.salesforce_id = way.master_id AND NOT next.is_there AND next.merged_into IS NOT NULL
)
SELECT way.account_id, way.master_id, coalesce(master.is_there, false) AS is_there
FROM way
ANTI JOIN link_salesforce AS next ON next.salesforce_id = way.master_id AND NOT next.is_there AND next.merged_into IS NOT NULL
LEFT JOIN link_salesforce AS master ON master.salesforce_id = way.master_id;

CREATE OR REPLACE TEMP TABLE known_customer AS
WITH known AS (
    SELECT salesforce_id, lower(company) AS company, d365_key, lower(company || '|' || d365_key) AS known_key, lower(coalesce(party, '')) AS party
    FROM (
        SELECT NULL::VARCHAR AS entity, NULL::VARCHAR AS salesforce_id, NULL::VARCHAR AS company, NULL::VARCHAR AS d365_key,
            NULL::VARCHAR AS party WHERE false
        UNION ALL BY NAME
        SELECT * FROM known_crosswalk
    )
    WHERE entity = 'customer'
),
looked_up AS (
    SELECT known.*, d365.lake_key IS NOT NULL AS is_there,
        d365.lake_key IS NOT NULL AND (known.party = '' OR d365.party IS NULL OR d365.party = known.party) AS is_same
    FROM known LEFT JOIN link_d365 AS d365 ON d365.lake_key = known.known_key
),
successor AS (
    SELECT gone.salesforce_id, gone.company, min(d365.lake_key) AS lake_key
    FROM looked_up AS gone
    JOIN link_d365 AS d365 ON d365.company = gone.company AND d365.party = gone.party
    ANTI JOIN (SELECT known_key FROM looked_up WHERE is_same) AS taken ON taken.known_key = d365.lake_key
    ANTI JOIN link_salesforce AS other
        ON other.stored_link = d365.company || '/' || d365.number AND other.is_there AND other.salesforce_id <> gone.salesforce_id
    WHERE NOT gone.is_same AND gone.party <> ''
    GROUP BY gone.salesforce_id, gone.company
    HAVING count(*) = 1
)
SELECT looked_up.salesforce_id, looked_up.company, looked_up.d365_key, looked_up.known_key, looked_up.party,
    looked_up.is_there AND NOT looked_up.is_same AS is_given_away, looked_up.is_same,
    CASE WHEN looked_up.is_same THEN looked_up.known_key ELSE successor.lake_key END AS lake_key
FROM looked_up
LEFT JOIN successor ON successor.salesforce_id = looked_up.salesforce_id AND successor.company = looked_up.company;

CREATE OR REPLACE TEMP TABLE former_customer AS
SELECT known.salesforce_id AS account_id, master.master_id, known.company, known.d365_key, known.party, known.lake_key, true AS is_known
FROM known_customer AS known JOIN account_master AS master ON master.account_id = known.salesforce_id
WHERE known.lake_key IS NOT NULL
UNION ALL
SELECT loser.salesforce_id, master.master_id, d365.company, d365.d365_key, coalesce(d365.party, ''), d365.lake_key, false
FROM link_salesforce AS loser
JOIN account_master AS master ON master.account_id = loser.salesforce_id
JOIN link_d365 AS d365 ON loser.stored_link = d365.company || '/' || d365.number
ANTI JOIN known_customer AS known ON known.salesforce_id = loser.salesforce_id AND known.company = d365.company;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, known.company AS slot, known.lake_key
FROM known_customer AS known
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE known.is_same
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
SELECT sf.salesforce_id, known.company AS slot, known.lake_key
FROM known_customer AS known
JOIN link_salesforce AS sf ON sf.salesforce_id = known.salesforce_id AND sf.is_there
WHERE NOT known.is_same AND known.lake_key IS NOT NULL
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
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'renumbered', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT sf.salesforce_id, former.company AS slot, former.lake_key
FROM former_customer AS former
JOIN link_salesforce AS sf ON sf.salesforce_id = former.master_id AND sf.is_there
ANTI JOIN link_d365 AS own
    ON sf.stored_link = own.company || '/' || own.number AND own.company = former.company AND own.lake_key <> former.lake_key
WHERE former.is_known
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
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'merged', salesforce_id, slot, lake_key, CASE
        WHEN is_taken THEN 'taken'
        WHEN is_contested
            OR count(*) OVER (PARTITION BY salesforce_id, slot, is_taken) > 1
            OR count(*) OVER (PARTITION BY lake_key, is_taken) > 1 THEN 'ambiguous'
        ELSE 'linked' END
FROM fresh;

INSERT INTO link_claim
WITH claim AS (
SELECT claim.* FROM (
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON sf.stored_link = d365.company || '/' || d365.number
WHERE sf.is_there
) AS claim
ANTI JOIN (
    SELECT coalesce(master.master_id, known.salesforce_id) AS account_id, known.known_key
    FROM known_customer AS known LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    WHERE known.is_given_away
) AS given_away ON given_away.account_id = claim.salesforce_id AND given_away.known_key = claim.lake_key
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
SELECT claim.* FROM (
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
) AS claim
ANTI JOIN (
    SELECT coalesce(master.master_id, known.salesforce_id) AS account_id, known.known_key
    FROM known_customer AS known LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    WHERE known.is_given_away
) AS given_away ON given_away.account_id = claim.salesforce_id AND given_away.known_key = claim.lake_key
ANTI JOIN former_customer AS held ON held.lake_key = claim.lake_key AND held.master_id <> claim.salesforce_id
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
SELECT claim.* FROM (
SELECT sf.salesforce_id, d365.company AS slot, d365.lake_key
FROM link_salesforce AS sf
JOIN link_d365 AS d365 ON d365.number = 't-' || lower(sf.salesforce_id)
WHERE sf.is_there
) AS claim
ANTI JOIN (
    SELECT coalesce(master.master_id, known.salesforce_id) AS account_id, known.known_key
    FROM known_customer AS known LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    WHERE known.is_given_away
) AS given_away ON given_away.account_id = claim.salesforce_id AND given_away.known_key = claim.lake_key
ANTI JOIN former_customer AS held ON held.lake_key = claim.lake_key AND held.master_id <> claim.salesforce_id
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
SELECT sf.salesforce_id, former.company AS slot, former.lake_key
FROM former_customer AS former
JOIN link_salesforce AS sf ON sf.salesforce_id = former.master_id AND sf.is_there
ANTI JOIN link_d365 AS own
    ON sf.stored_link = own.company || '/' || own.number AND own.company = former.company AND own.lake_key <> former.lake_key
ANTI JOIN (SELECT lake_key FROM link_claim WHERE outcome = 'linked') AS linked ON linked.lake_key = former.lake_key
WHERE NOT former.is_known
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
SELECT (SELECT coalesce(max(step), 0) + 1 FROM link_claim), 'merged', salesforce_id, slot, lake_key, CASE
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
    UNION ALL
    SELECT *, 'broken' FROM (
    SELECT sf.salesforce_id, known.company, known.known_key
    FROM known_customer AS known
    LEFT JOIN account_master AS master ON master.account_id = known.salesforce_id
    JOIN link_salesforce AS sf ON sf.salesforce_id = coalesce(master.master_id, known.salesforce_id) AND sf.is_there
    WHERE known.lake_key IS NULL
    )
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

CREATE OR REPLACE TEMP TABLE crosswalk_customer_party AS
SELECT linked.salesforce_id, linked.company, linked.d365_key, coalesce(d365.party, '') AS party
FROM crosswalk_customer AS linked JOIN link_d365 AS d365 ON d365.lake_key = linked.d365_lake_key;

CREATE OR REPLACE TEMP TABLE crosswalk_customer_moved AS
SELECT linked.salesforce_id, linked.company, linked.d365_key, linked.found_by, coalesce(former.account_id, known.salesforce_id) AS former_id,
    coalesce(former.d365_key, known.d365_key) AS former_key
FROM crosswalk_customer AS linked
LEFT JOIN former_customer AS former
    ON linked.found_by = 'merged' AND former.master_id = linked.salesforce_id AND former.lake_key = linked.d365_lake_key
LEFT JOIN known_customer AS known
    ON linked.found_by = 'renumbered' AND known.salesforce_id = linked.salesforce_id AND known.company = linked.company
WHERE linked.found_by IN ('merged', 'renumbered');

CREATE OR REPLACE TEMP TABLE crosswalk_customer_merged AS
SELECT DISTINCT ON (former.lake_key) former.lake_key AS d365_lake_key, former.company, former.account_id, former.master_id,
    own.d365_key AS master_d365_key
FROM former_customer AS former
ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = former.lake_key
LEFT JOIN crosswalk_customer AS own ON own.salesforce_id = former.master_id AND own.company = former.company
ORDER BY former.lake_key, former.is_known DESC, former.account_id;
