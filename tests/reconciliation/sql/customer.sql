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

CREATE OR REPLACE TEMP VIEW customer_salesforce AS
SELECT source._key,
    source._compare_hash,
    source."cmp_name", source."Name" AS "stored_name",
    source."cmp_street", source."BillingStreet" AS "stored_street",
    source."cmp_city", source."BillingCity" AS "stored_city",
    source."cmp_postal_code", source."BillingPostalCode" AS "stored_postal_code",
    source."cmp_state", source."BillingState" AS "stored_state",
    source."cmp_country", source."BillingCountry" AS "stored_country",
    source."cmp_phone", source."Phone" AS "stored_phone",
    source."cmp_email", source."Email__c" AS "stored_email",
    source."cmp_currency", source."CurrencyIsoCode" AS "stored_currency",
    source."cmp_payment_terms", source."Payment_Terms__c" AS "stored_payment_terms",
    source."cmp_credit_limit", source."Credit_Limit__c" AS "stored_credit_limit",
    source."cmp_on_hold", source."ERP_On_Hold__c" AS "stored_on_hold"
FROM account AS source;

CREATE OR REPLACE TEMP VIEW customer_d365 AS
SELECT source._key,
    source._compare_hash,
    source."cmp_name", source."OrganizationName" AS "stored_name",
    source."cmp_street", source."AddressStreet" AS "stored_street",
    source."cmp_city", source."AddressCity" AS "stored_city",
    source."cmp_postal_code", source."AddressZipCode" AS "stored_postal_code",
    source."cmp_state", source."AddressState" AS "stored_state",
    source."cmp_country", source."AddressCountryRegionId" AS "stored_country",
    source."cmp_phone", source."PrimaryContactPhone" AS "stored_phone",
    source."cmp_email", source."PrimaryContactEmail" AS "stored_email",
    source."cmp_currency", source."SalesCurrencyCode" AS "stored_currency",
    source."cmp_payment_terms", source."PaymentTerms" AS "stored_payment_terms",
    source."cmp_credit_limit", source."CreditLimit" AS "stored_credit_limit",
    source."cmp_on_hold", source."OnHoldStatus" AS "stored_on_hold"
FROM customer AS source;

CREATE OR REPLACE TEMP TABLE customer_repeated AS
SELECT _key, 'salesforce' AS system FROM account GROUP BY _key HAVING count(*) > 1
UNION ALL
SELECT _key, 'd365' AS system FROM customer GROUP BY _key HAVING count(*) > 1;

CREATE OR REPLACE TEMP TABLE customer_record AS
WITH account_here AS (
    SELECT DISTINCT ON (_key) _key, nullif(lower("ERP_Company__c"), '') AS company, cmp_currency AS currency,
        "Name" AS label, "SystemModstamp" AS changed_at
    FROM account WHERE NOT coalesce("IsDeleted", false)
),
customer_here AS (
    SELECT DISTINCT ON (_key) _key, lower("dataAreaId") AS company, "CustomerAccount" AS number, cmp_currency AS currency,
        "OrganizationName" AS label, "PartyNumber" AS party
    FROM customer
),
bad_account AS (
    SELECT DISTINCT ON (_key) _key, coalesce(nullif(lower("row" ->> 'ERP_Company__c'), ''), '') AS company, "row" ->> 'Name' AS label
    FROM quarantined_in_salesforce WHERE table_name = 'account'
),
bad_customer AS (
    SELECT DISTINCT ON (_key) _key, split_part(_key, '|', 1) AS company, coalesce("row" ->> 'CustomerAccount', substr(_key, strpos(_key, '|') + 1)) AS number
    FROM quarantined_in_d365 WHERE table_name = 'customer'
),
wanted AS (
    SELECT DISTINCT won.account_id, coalesce(paired.company, won.company, account.company, '') AS company
    FROM (
        SELECT _key, "AccountId" AS account_id, nullif(lower("ERP_Company__c"), '') AS company
        FROM opportunity WHERE NOT coalesce("IsDeleted", false) AND "cmp_stage" IS NOT DISTINCT FROM 'won'
    ) AS won
    LEFT JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = won._key
    LEFT JOIN account_here AS account ON account._key = won.account_id
    WHERE account._key IS NOT NULL OR won.account_id IN (SELECT _key FROM bad_account)
),
record AS (
    SELECT salesforce_id AS salesforce_key, d365_lake_key, company, is_primary FROM crosswalk_customer
    UNION ALL
    SELECT wanted.account_id, NULL, wanted.company, true
    FROM wanted
    ANTI JOIN crosswalk_customer AS linked
        ON linked.salesforce_id = wanted.account_id AND (linked.company = wanted.company OR wanted.company = '')
    UNION ALL
    SELECT bad._key, NULL, bad.company, true
    FROM bad_account AS bad
    ANTI JOIN crosswalk_customer AS linked ON linked.salesforce_id = bad._key
    ANTI JOIN wanted ON wanted.account_id = bad._key
    UNION ALL
    SELECT NULL, customer._key, customer.company, true
    FROM customer_here AS customer
    ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = customer._key
    UNION ALL
    SELECT NULL, bad._key, bad.company, true
    FROM bad_customer AS bad
    ANTI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = bad._key
    ANTI JOIN customer_here AS customer ON customer._key = bad._key
),
sibling AS (
    SELECT DISTINCT customer._key AS lake_key
    FROM customer_here AS customer
    JOIN customer_here AS other
        ON other.party = customer.party AND other.company = customer.company AND other._key <> customer._key
    SEMI JOIN crosswalk_customer AS linked ON linked.d365_lake_key = other._key
)
SELECT record.salesforce_key, record.d365_lake_key, record.company, record.is_primary,
    coalesce(customer.number, bad_customer.number) AS d365_key,
    coalesce(account.currency, customer.currency, '') AS currency,
    coalesce(account.label, bad_account.label, customer.label) AS label,
    account._key IS NOT NULL AND customer._key IS NOT NULL AS is_pair,
    bad_account._key IS NOT NULL OR bad_customer._key IS NOT NULL AS is_quarantined,
    coalesce(record.salesforce_key IN (SELECT _key FROM customer_repeated), false) OR coalesce(record.d365_lake_key IN (SELECT _key FROM customer_repeated), false) AS is_repeated,
    sibling.lake_key IS NOT NULL AS has_linked_sibling,
    merged.account_id || ' into ' || merged.master_id AS merge, merged.master_d365_key,
    coalesce(account_open.reason, customer_open.reason) AS open_reason,
    coalesce(account.changed_at > $earlier, false) AS is_recent
FROM record
LEFT JOIN account_here AS account ON account._key = record.salesforce_key
LEFT JOIN customer_here AS customer ON customer._key = record.d365_lake_key
LEFT JOIN bad_account ON bad_account._key = record.salesforce_key
LEFT JOIN bad_customer ON bad_customer._key = record.d365_lake_key
LEFT JOIN sibling ON sibling.lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
LEFT JOIN crosswalk_customer_merged AS merged ON merged.d365_lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
LEFT JOIN (SELECT DISTINCT ON (key, company) * FROM crosswalk_customer_open WHERE side = 'salesforce') AS account_open
    ON account_open.key = record.salesforce_key AND record.d365_lake_key IS NULL AND account_open.company = record.company
LEFT JOIN (SELECT DISTINCT ON (key, company) * FROM crosswalk_customer_open WHERE side = 'd365') AS customer_open ON customer_open.key = record.d365_lake_key AND record.salesforce_key IS NULL;

CREATE OR REPLACE TEMP TABLE customer_pair AS
SELECT salesforce_key, d365_lake_key AS d365_key, is_primary
FROM customer_record
WHERE is_pair AND NOT is_quarantined AND NOT is_repeated;

CREATE OR REPLACE TEMP TABLE customer_compared AS
SELECT pair.salesforce_key,
    pair.d365_key,
    (sf._compare_hash <> d365._compare_hash
        OR (coalesce(abs(sf."cmp_credit_limit" - d365."cmp_credit_limit") > 0.01, sf."cmp_credit_limit" IS DISTINCT FROM d365."cmp_credit_limit") AND pair.is_primary)) AS is_suspect,
    hash(sf."stored_name", sf."stored_street", sf."stored_city", sf."stored_postal_code", sf."stored_state", sf."stored_phone", sf."stored_email") <> hash(d365."stored_name", d365."stored_street", d365."stored_city", d365."stored_postal_code", d365."stored_state", d365."stored_phone", d365."stored_email") AS is_noisy,
    (coalesce(sf."cmp_credit_limit" <> d365."cmp_credit_limit", false) AND NOT (coalesce(abs(sf."cmp_credit_limit" - d365."cmp_credit_limit") > 0.01, sf."cmp_credit_limit" IS DISTINCT FROM d365."cmp_credit_limit") AND pair.is_primary)) AS "close_credit_limit",
    (NOT pair.is_primary) AS "skipped_payment_terms",
    (NOT pair.is_primary) AS "skipped_credit_limit",
    (NOT pair.is_primary) AS "skipped_on_hold"
FROM customer_pair AS pair
JOIN customer_salesforce AS sf ON sf._key = pair.salesforce_key
JOIN customer_d365 AS d365 ON d365._key = pair.d365_key;

CREATE OR REPLACE TEMP TABLE customer_found AS
WITH suspect AS (
    SELECT pair.*
    FROM customer_pair AS pair
    SEMI JOIN customer_compared AS compared
        ON compared.salesforce_key = pair.salesforce_key AND compared.d365_key = pair.d365_key
        AND (compared.is_suspect OR compared.is_noisy)
),
told AS (
    SELECT pair.salesforce_key, pair.d365_key, unnest([
        {'field': 'name', 'owner': 'salesforce', 'on_difference': 'write', 'salesforce_stored': sf."stored_name"::VARCHAR, 'd365_stored': d365."stored_name"::VARCHAR, 'salesforce_compared': sf."cmp_name"::VARCHAR, 'd365_compared': d365."cmp_name"::VARCHAR, 'differs': sf."cmp_name" IS DISTINCT FROM d365."cmp_name", 'is_noisy': (sf."stored_name" IS DISTINCT FROM d365."stored_name" AND sf."cmp_name" IS NOT DISTINCT FROM d365."cmp_name"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_name", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_name", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'street', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_street"::VARCHAR, 'd365_stored': d365."stored_street"::VARCHAR, 'salesforce_compared': sf."cmp_street"::VARCHAR, 'd365_compared': d365."cmp_street"::VARCHAR, 'differs': sf."cmp_street" IS DISTINCT FROM d365."cmp_street", 'is_noisy': (sf."stored_street" IS DISTINCT FROM d365."stored_street" AND sf."cmp_street" IS NOT DISTINCT FROM d365."cmp_street"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_street", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_street", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'city', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_city"::VARCHAR, 'd365_stored': d365."stored_city"::VARCHAR, 'salesforce_compared': sf."cmp_city"::VARCHAR, 'd365_compared': d365."cmp_city"::VARCHAR, 'differs': sf."cmp_city" IS DISTINCT FROM d365."cmp_city", 'is_noisy': (sf."stored_city" IS DISTINCT FROM d365."stored_city" AND sf."cmp_city" IS NOT DISTINCT FROM d365."cmp_city"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_city", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_city", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'postal_code', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_postal_code"::VARCHAR, 'd365_stored': d365."stored_postal_code"::VARCHAR, 'salesforce_compared': sf."cmp_postal_code"::VARCHAR, 'd365_compared': d365."cmp_postal_code"::VARCHAR, 'differs': sf."cmp_postal_code" IS DISTINCT FROM d365."cmp_postal_code", 'is_noisy': (sf."stored_postal_code" IS DISTINCT FROM d365."stored_postal_code" AND sf."cmp_postal_code" IS NOT DISTINCT FROM d365."cmp_postal_code"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_postal_code", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_postal_code", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'state', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_state"::VARCHAR, 'd365_stored': d365."stored_state"::VARCHAR, 'salesforce_compared': sf."cmp_state"::VARCHAR, 'd365_compared': d365."cmp_state"::VARCHAR, 'differs': sf."cmp_state" IS DISTINCT FROM d365."cmp_state", 'is_noisy': (sf."stored_state" IS DISTINCT FROM d365."stored_state" AND sf."cmp_state" IS NOT DISTINCT FROM d365."cmp_state"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_state", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_state", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'country', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_country"::VARCHAR, 'd365_stored': d365."stored_country"::VARCHAR, 'salesforce_compared': sf."cmp_country"::VARCHAR, 'd365_compared': d365."cmp_country"::VARCHAR, 'differs': sf."cmp_country" IS DISTINCT FROM d365."cmp_country", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'phone', 'owner': 'salesforce', 'on_difference': 'write', 'salesforce_stored': sf."stored_phone"::VARCHAR, 'd365_stored': d365."stored_phone"::VARCHAR, 'salesforce_compared': sf."cmp_phone"::VARCHAR, 'd365_compared': d365."cmp_phone"::VARCHAR, 'differs': sf."cmp_phone" IS DISTINCT FROM d365."cmp_phone", 'is_noisy': (sf."stored_phone" IS DISTINCT FROM d365."stored_phone" AND sf."cmp_phone" IS NOT DISTINCT FROM d365."cmp_phone"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_phone", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_phone", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'email', 'owner': 'salesforce', 'on_difference': 'write', 'salesforce_stored': sf."stored_email"::VARCHAR, 'd365_stored': d365."stored_email"::VARCHAR, 'salesforce_compared': sf."cmp_email"::VARCHAR, 'd365_compared': d365."cmp_email"::VARCHAR, 'differs': sf."cmp_email" IS DISTINCT FROM d365."cmp_email", 'is_noisy': (sf."stored_email" IS DISTINCT FROM d365."stored_email" AND sf."cmp_email" IS NOT DISTINCT FROM d365."cmp_email"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_email", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_email", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'currency', 'owner': 'd365', 'on_difference': 'report', 'salesforce_stored': sf."stored_currency"::VARCHAR, 'd365_stored': d365."stored_currency"::VARCHAR, 'salesforce_compared': sf."cmp_currency"::VARCHAR, 'd365_compared': d365."cmp_currency"::VARCHAR, 'differs': sf."cmp_currency" IS DISTINCT FROM d365."cmp_currency", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'payment_terms', 'owner': 'd365', 'on_difference': 'write', 'salesforce_stored': sf."stored_payment_terms"::VARCHAR, 'd365_stored': d365."stored_payment_terms"::VARCHAR, 'salesforce_compared': sf."cmp_payment_terms"::VARCHAR, 'd365_compared': d365."cmp_payment_terms"::VARCHAR, 'differs': (sf."cmp_payment_terms" IS DISTINCT FROM d365."cmp_payment_terms" AND pair.is_primary), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'credit_limit', 'owner': 'd365', 'on_difference': 'write', 'salesforce_stored': CASE WHEN contains(sf."stored_credit_limit"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_credit_limit"::VARCHAR, '0'), '.') ELSE sf."stored_credit_limit"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_credit_limit"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_credit_limit"::VARCHAR, '0'), '.') ELSE d365."stored_credit_limit"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_credit_limit"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_credit_limit"::VARCHAR, '0'), '.') ELSE sf."cmp_credit_limit"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_credit_limit"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_credit_limit"::VARCHAR, '0'), '.') ELSE d365."cmp_credit_limit"::VARCHAR END, 'differs': (coalesce(abs(sf."cmp_credit_limit" - d365."cmp_credit_limit") > 0.01, sf."cmp_credit_limit" IS DISTINCT FROM d365."cmp_credit_limit") AND pair.is_primary), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': abs(coalesce(sf."cmp_credit_limit", 0) - coalesce(d365."cmp_credit_limit", 0))::DECIMAL(28,6)},
        {'field': 'on_hold', 'owner': 'd365', 'on_difference': 'write', 'salesforce_stored': sf."stored_on_hold"::VARCHAR, 'd365_stored': d365."stored_on_hold"::VARCHAR, 'salesforce_compared': sf."cmp_on_hold"::VARCHAR, 'd365_compared': d365."cmp_on_hold"::VARCHAR, 'differs': (sf."cmp_on_hold" IS DISTINCT FROM d365."cmp_on_hold" AND pair.is_primary), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)}
    ]) AS told
    FROM suspect AS pair
    JOIN customer_salesforce AS sf ON sf._key = pair.salesforce_key
    JOIN customer_d365 AS d365 ON d365._key = pair.d365_key
)
SELECT salesforce_key, d365_key, told.field, told.owner, told.on_difference, told.salesforce_stored, told.d365_stored,
    told.salesforce_compared, told.d365_compared, CASE WHEN told.differs THEN 'differs' ELSE 'case_or_blanks' END AS kind,
    told.is_blanks AND NOT told.differs AS is_blanks, told.can_be_damaged, NULL::VARCHAR AS damaged_side, told.amount
FROM told
WHERE told.differs OR told.is_noisy;

CREATE OR REPLACE TABLE customer_verdict AS
WITH differing AS (
    SELECT salesforce_key, d365_key, list(DISTINCT field ORDER BY field) AS fields
    FROM (
        SELECT salesforce_key, d365_key, field FROM customer_found WHERE kind <> 'case_or_blanks'
    ) AS found (salesforce_key, d365_key, field)
    GROUP BY salesforce_key, d365_key
),
judged AS (
    SELECT record.*, differing.fields, CASE
            WHEN record.is_quarantined THEN 'quarantined'
            WHEN record.is_repeated THEN 'duplicate'
            WHEN record.is_pair AND differing.fields IS NOT NULL THEN 'differs'
            WHEN record.is_pair THEN 'matched'
            WHEN record.d365_lake_key IS NULL THEN 'only_in_salesforce'
            WHEN record.has_linked_sibling OR record.master_d365_key IS NOT NULL THEN 'duplicate'
            ELSE 'only_in_d365' END AS verdict, CASE
            WHEN record.is_quarantined THEN 'the record is in quarantine'
            WHEN record.is_repeated THEN 'the key occurs more than once on one side'
            WHEN record.is_pair THEN NULL
            WHEN record.master_d365_key IS NOT NULL
                THEN 'its account was merged into one that has another customer here: ' || record.merge || ', customer ' || record.master_d365_key
            WHEN record.salesforce_key IS NULL AND record.has_linked_sibling THEN 'another customer of the same party is the linked one'
            WHEN record.open_reason = 'ambiguous' THEN 'more than one record claims the link'
            WHEN record.open_reason = 'taken' THEN 'the counterpart is linked to another record'
            WHEN record.open_reason = 'broken' THEN 'the linked record is not in D365'
            WHEN record.merge IS NOT NULL THEN 'its account was merged into one that is not there: ' || record.merge
            WHEN record.d365_lake_key IS NULL AND record.company = '' THEN 'no company is known, neither on the opportunity nor on its account' END AS reason
    FROM customer_record AS record
    LEFT JOIN differing ON differing.salesforce_key = record.salesforce_key AND differing.d365_key = record.d365_lake_key
)
SELECT 'customer' AS entity, CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'in_flight' ELSE verdict END AS verdict, company, currency, salesforce_key, d365_key, label,
    NULL::DECIMAL(28,6) AS salesforce_amount, NULL::DECIMAL(28,6) AS d365_amount, coalesce(fields, []) AS fields,
    CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'changed after the earlier of the two reads began' ELSE reason END AS reason, d365_lake_key, currency AS d365_currency, NULL::VARCHAR AS month, NULL::VARCHAR AS group_key
FROM judged;

CREATE OR REPLACE TABLE customer_difference AS
SELECT 'customer' AS entity, verdict.company, verdict.currency, found.salesforce_key, verdict.d365_key, NULL::VARCHAR AS line_key,
    found.field, found.owner, found.on_difference, found.salesforce_stored, found.d365_stored, found.salesforce_compared,
    found.d365_compared, found.kind, found.is_blanks, found.damaged_side, found.amount, NULL::VARCHAR AS part_key, NULL::VARCHAR AS note
FROM customer_found AS found
JOIN customer_verdict AS verdict
    ON verdict.salesforce_key = found.salesforce_key AND verdict.d365_lake_key = found.d365_key
WHERE verdict.verdict IN ('matched', 'differs');

CREATE OR REPLACE TABLE customer_field_count AS
WITH judged AS (
    SELECT compared.* FROM customer_compared AS compared
    JOIN customer_verdict AS verdict
        ON verdict.salesforce_key = compared.salesforce_key AND verdict.d365_lake_key = compared.d365_key
    WHERE verdict.verdict IN ('matched', 'differs')
),
pair_count AS (
    SELECT 0 AS position, * FROM (SELECT 'name' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 1 AS position, * FROM (SELECT 'street' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 2 AS position, * FROM (SELECT 'city' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 3 AS position, * FROM (SELECT 'postal_code' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 4 AS position, * FROM (SELECT 'state' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 5 AS position, * FROM (SELECT 'country' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 6 AS position, * FROM (SELECT 'phone' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 7 AS position, * FROM (SELECT 'email' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 8 AS position, * FROM (SELECT 'currency' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 9 AS position, * FROM (SELECT 'payment_terms' AS field, count(*) AS pairs, 0 AS close, count(*) FILTER ("skipped_payment_terms") AS not_compared FROM judged)
    UNION ALL SELECT 10 AS position, * FROM (SELECT 'credit_limit' AS field, count(*) AS pairs, count(*) FILTER ("close_credit_limit") AS close, count(*) FILTER ("skipped_credit_limit") AS not_compared FROM judged)
    UNION ALL SELECT 11 AS position, * FROM (SELECT 'on_hold' AS field, count(*) AS pairs, 0 AS close, count(*) FILTER ("skipped_on_hold") AS not_compared FROM judged)
),
found_count AS (
    SELECT field, count(*) FILTER (kind = 'differs') AS differs, count(*) FILTER (kind = 'damaged_characters') AS damaged_characters,
        count(*) FILTER (kind = 'case_or_blanks') AS noisy, count(*) FILTER (kind = 'case_or_blanks' AND is_blanks) AS blanks
    FROM customer_difference GROUP BY field
)
SELECT pair_count.field,
    pair_count.pairs - pair_count.not_compared - coalesce(differs, 0) - coalesce(damaged_characters, 0) AS matched,
    pair_count.close + coalesce(noisy, 0) AS equal_after_normalising, coalesce(blanks, 0) AS blanks, coalesce(differs, 0) AS differs,
    coalesce(damaged_characters, 0) AS damaged_characters, pair_count.not_compared
FROM pair_count LEFT JOIN found_count USING (field)
ORDER BY pair_count.position;
