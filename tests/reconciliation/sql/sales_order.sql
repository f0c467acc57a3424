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

CREATE OR REPLACE TEMP TABLE sales_order_repeated AS
SELECT _key, 'salesforce' AS system FROM opportunity GROUP BY _key HAVING count(*) > 1
UNION ALL
SELECT _key, 'd365' AS system FROM sales_order GROUP BY _key HAVING count(*) > 1;

CREATE OR REPLACE TABLE sales_order_line_total AS
SELECT _parent_key AS order_key,
    sum("LineAmount") FILTER (lower(coalesce("SalesOrderLineStatus", '')) <> 'canceled')::DECIMAL(28,6) AS "total_amount"
FROM sales_order_line
GROUP BY _parent_key;

CREATE OR REPLACE TEMP TABLE sales_order_on_merged AS
WITH alias AS (
    SELECT account_id, master_id FROM account_master
    UNION
    SELECT master_id, master_id FROM account_master
),
belongs AS (
    SELECT linked.salesforce_id AS master_id, linked.company, linked.d365_lake_key FROM crosswalk_customer AS linked
    UNION ALL
    SELECT master_id, company, d365_lake_key FROM crosswalk_customer_merged
)
SELECT paired.salesforce_id, min(belongs.d365_lake_key) AS d365_lake_key
FROM alias
JOIN opportunity AS opportunity ON opportunity."AccountId" = alias.account_id
JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = opportunity._key
JOIN sales_order AS ordered ON ordered._key = paired.d365_lake_key
JOIN belongs ON belongs.master_id = alias.master_id AND belongs.company = paired.company AND belongs.d365_lake_key = ordered.cmp_customer
GROUP BY paired.salesforce_id;

CREATE OR REPLACE TEMP VIEW sales_order_salesforce AS
SELECT source._key,
    source._compare_hash,
    coalesce(merged.d365_lake_key, linked.d365_lake_key) AS "cmp_customer", source."AccountId" AS "stored_customer",
    source."cmp_currency", source."CurrencyIsoCode" AS "stored_currency",
    source."cmp_amount", source."Amount" AS "stored_amount",
    source."cmp_purchase_order", source."PO_Number__c" AS "stored_purchase_order",
    source."cmp_requested_ship_date", source."Requested_Ship_Date__c" AS "stored_requested_ship_date",
    nullif(lower(source."ERP_Company__c"), '') AS cmp_company, source."ERP_Company__c" AS stored_company
FROM opportunity AS source
LEFT JOIN (
    SELECT salesforce_id, company FROM crosswalk_sales_order
    UNION ALL
    SELECT grouped.salesforce_key, grouped.company
    FROM sales_order_group_row AS grouped ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = grouped.salesforce_key
    WHERE grouped.owns_salesforce
) AS paired ON paired.salesforce_id = source._key
LEFT JOIN crosswalk_customer AS linked ON linked.salesforce_id = source."AccountId" AND linked.company = paired.company
LEFT JOIN sales_order_on_merged AS merged ON merged.salesforce_id = source._key;

CREATE OR REPLACE TEMP VIEW sales_order_d365 AS
SELECT source._key,
    source._compare_hash,
    source."cmp_customer", source."OrderingCustomerAccountNumber" AS "stored_customer",
    source."cmp_currency", source."CurrencyCode" AS "stored_currency",
    line_total."total_amount" AS "cmp_amount", line_total."total_amount" AS "stored_amount",
    source."cmp_purchase_order", source."CustomerRequisitionNumber" AS "stored_purchase_order",
    source."cmp_requested_ship_date", source."RequestedShippingDate" AS "stored_requested_ship_date",
    nullif(lower(source."dataAreaId"), '') AS cmp_company, source."dataAreaId" AS stored_company
FROM sales_order AS source
LEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = source._key;

CREATE OR REPLACE TEMP VIEW sales_order_line_salesforce AS
SELECT source._key,
    source._compare_hash,
    source."cmp_product", source."ProductCode" AS "stored_product",
    source."cmp_quantity", source."Quantity" AS "stored_quantity",
    product."cmp_unit" AS "cmp_unit", product."QuantityUnitOfMeasure" AS "stored_unit",
    source."cmp_unit_price", source."UnitPrice" AS "stored_unit_price",
    source."cmp_discount", source."Discount" AS "stored_discount",
    source."cmp_amount", source."TotalPrice" AS "stored_amount"
FROM opportunity_line AS source
LEFT JOIN product AS product ON product._key = source."Product2Id";

CREATE OR REPLACE TEMP VIEW sales_order_line_d365 AS
SELECT source._key,
    source._compare_hash,
    source."cmp_product", source."ItemNumber" AS "stored_product",
    source."cmp_quantity", source."OrderedSalesQuantity" AS "stored_quantity",
    source."cmp_unit", source."SalesUnitSymbol" AS "stored_unit",
    source."cmp_unit_price", source."SalesPrice" AS "stored_unit_price",
    source."cmp_discount", source."LineDiscountPercentage" AS "stored_discount",
    source."cmp_amount", source."LineAmount" AS "stored_amount"
FROM sales_order_line AS source;

CREATE OR REPLACE TEMP TABLE sales_order_record AS
WITH account_here AS (
    SELECT DISTINCT ON (_key) _key, nullif(lower("ERP_Company__c"), '') AS company, cmp_currency AS currency,
        "Name" AS label, "SystemModstamp" AS changed_at
    FROM account WHERE NOT coalesce("IsDeleted", false)
),
opportunity_line_count AS (
    SELECT _parent_key, count(*) FILTER (NOT coalesce("IsDeleted", false)) AS lines, max("SystemModstamp") AS changed_at
    FROM opportunity_line GROUP BY _parent_key
),
opportunity_here AS (
    SELECT opportunity.* EXCLUDE (changed_at), greatest(opportunity.changed_at, counted.changed_at) AS changed_at, counted.lines
    FROM (
        SELECT DISTINCT ON (_key) _key, NOT coalesce("IsDeleted", false) AND "cmp_stage" IS NOT DISTINCT FROM 'won' AS is_in_scope, nullif(lower("ERP_Company__c"), '') AS company,
            "AccountId" AS account_id, cmp_currency AS currency,
            "Amount" AS amount, "Name" AS label, strftime(coalesce("CloseDate"), '%Y-%m') AS month,
            "SystemModstamp" AS changed_at
        FROM opportunity WHERE NOT coalesce("IsDeleted", false)
    ) AS opportunity
    LEFT JOIN opportunity_line_count AS counted ON counted._parent_key = opportunity._key
),
order_here AS (
    SELECT sales_order.*, coalesce(line_total."total_amount", 0) AS amount
    FROM (
        SELECT DISTINCT ON (_key) _key, lower("dataAreaId") AS company, "SalesOrderNumber" AS number, cmp_currency AS currency,
            coalesce(cmp_order_status = 'canceled', false) AS is_canceled, "OrderCreationDateTime" AS created_at,
            strftime(coalesce(("OrderCreationDateTime" AT TIME ZONE 'UTC')::DATE, "RequestedReceiptDate"), '%Y-%m') AS month, nullif(lower("CustomersOrderReference"), '') AS reference
        FROM sales_order
    ) AS sales_order
    LEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = sales_order._key
),
bad_opportunity AS (
    SELECT _key, bool_and(is_by_line) AS is_by_line, any_value("row") AS "row",
        nullif(lower(any_value("row" ->> 'ERP_Company__c')), '') AS company, any_value("row" ->> 'Name') AS label,
        any_value(strftime(coalesce(try_cast(left("row" ->> 'CloseDate', 10) AS DATE)), '%Y-%m')) AS month
    FROM (
        SELECT _key, false AS is_by_line, "row"
        FROM quarantined_in_salesforce WHERE table_name = 'opportunity'
        UNION ALL
        SELECT parent_key, true, NULL
        FROM quarantined_in_salesforce WHERE table_name = 'opportunity_line' AND parent_key IS NOT NULL
    )
    GROUP BY _key
),
bad_order AS (
    SELECT _key, split_part(_key, '|', 1) AS company, coalesce("row" ->> 'SalesOrderNumber', substr(_key, strpos(_key, '|') + 1)) AS number, is_by_line, strftime(coalesce(try_cast(left("row" ->> 'OrderCreationDateTime', 10) AS DATE), try_cast(left("row" ->> 'RequestedReceiptDate', 10) AS DATE)), '%Y-%m') AS month
    FROM (
        SELECT _key, bool_and(is_by_line) AS is_by_line, any_value("row") AS "row"
        FROM (
            SELECT _key, false AS is_by_line, "row"
            FROM quarantined_in_d365 WHERE table_name = 'sales_order'
            UNION ALL
            SELECT CASE WHEN contains(parent_key, '|') THEN lower(parent_key) ELSE split_part(_key, '|', 1) || '|' || lower(parent_key) END, true, NULL
            FROM quarantined_in_d365 WHERE table_name = 'sales_order_line' AND parent_key IS NOT NULL
        )
        GROUP BY _key
    )
),
record AS (
    SELECT paired.salesforce_id AS salesforce_key, paired.d365_lake_key
    FROM crosswalk_sales_order AS paired
    LEFT JOIN opportunity_here AS opportunity ON opportunity._key = paired.salesforce_id
    LEFT JOIN order_here AS sales_order ON sales_order._key = paired.d365_lake_key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = paired.salesforce_id
    -- Lost on one side and canceled on the other: both sides agree that there is nothing.
    WHERE coalesce(opportunity.is_in_scope, true) OR NOT coalesce(sales_order.is_canceled, false)
    UNION ALL
    SELECT salesforce_key, d365_key FROM sales_order_group_row
    UNION ALL
    SELECT opportunity._key, NULL
    FROM opportunity_here AS opportunity
    ANTI JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = opportunity._key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = opportunity._key
    WHERE opportunity.is_in_scope
    UNION ALL
    SELECT bad._key, NULL
    FROM bad_opportunity AS bad
    ANTI JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = bad._key
    ANTI JOIN opportunity_here AS opportunity ON opportunity._key = bad._key
    WHERE NOT bad.is_by_line AND lower(coalesce("row" ->> 'IsWon', 'true')) <> 'false'
    UNION ALL
    SELECT NULL, sales_order._key
    FROM order_here AS sales_order
    ANTI JOIN crosswalk_sales_order AS paired ON paired.d365_lake_key = sales_order._key
    ANTI JOIN sales_order_group_row AS grouped ON grouped.d365_key = sales_order._key
    WHERE NOT sales_order.is_canceled
    UNION ALL
    SELECT NULL, bad._key
    FROM bad_order AS bad
    ANTI JOIN crosswalk_sales_order AS paired ON paired.d365_lake_key = bad._key
    ANTI JOIN order_here AS sales_order ON sales_order._key = bad._key
    WHERE NOT bad.is_by_line
),
named_opportunity AS (
    SELECT naming.lake_key, max(known.state) AS state
    FROM (
        SELECT _key AS lake_key, reference AS name FROM order_here WHERE reference IS NOT NULL
        UNION ALL
        SELECT _key, substr(lower(number), 3) FROM order_here WHERE starts_with(lower(number), 't-')
        UNION ALL
        SELECT d365_key, lower(salesforce_key) FROM sales_order_named WHERE is_sure
    ) AS naming
    JOIN (
        SELECT lower(salesforce_id) AS name, 'linked' AS state FROM crosswalk_sales_order
        UNION ALL
        SELECT lower(_key), 'deleted' FROM opportunity WHERE NOT (NOT coalesce("IsDeleted", false))
    ) AS known ON known.name = naming.name
    GROUP BY naming.lake_key
)
SELECT record.salesforce_key, record.d365_lake_key, true AS is_primary,
    coalesce(sales_order.company, bad_order.company, opportunity.company, bad_opportunity.company, account.company, '') AS company,
    coalesce(sales_order.number, bad_order.number) AS d365_key,
    coalesce(opportunity.currency, sales_order.currency, '') AS currency,
    coalesce(sales_order.currency, '') AS d365_currency,
    coalesce(opportunity.label, bad_opportunity.label, sales_order.number) AS label,
    CASE WHEN opportunity.is_in_scope AND coalesce(grouped.owns_salesforce, true) THEN opportunity.amount END AS salesforce_amount,
    CASE WHEN NOT sales_order.is_canceled AND coalesce(grouped.owns_d365, true) THEN sales_order.amount END AS d365_amount,
    coalesce(grouped.month, opportunity.month, bad_opportunity.month, sales_order.month, bad_order.month, '') AS month,
    opportunity.account_id, coalesce(opportunity.lines, 0) AS lines,
    grouped.group_key, grouped.reason AS group_reason, NOT coalesce(grouped.is_equal_in_amount, true) AS is_group_off,
    on_order.salesforce_key IS NOT NULL AS is_on_order,
    opportunity._key IS NOT NULL AND sales_order._key IS NOT NULL AS is_pair,
    bad_opportunity._key IS NOT NULL OR bad_order._key IS NOT NULL AS is_quarantined,
    coalesce(bad_opportunity.is_by_line, bad_order.is_by_line, false) AS is_quarantined_by_line,
    coalesce(record.salesforce_key IN (SELECT _key FROM sales_order_repeated), false) OR coalesce(record.d365_lake_key IN (SELECT _key FROM sales_order_repeated), false) AS is_repeated,
    coalesce(opportunity.is_in_scope, false) AS is_in_scope,
    coalesce(sales_order.is_canceled, false) AS is_canceled,
    named.state AS named_state,
    coalesce(opportunity_open.reason, order_open.reason) AS open_reason,
    coalesce(greatest(opportunity.changed_at, sales_order.created_at) > $earlier, false) AS is_recent
FROM record
LEFT JOIN opportunity_here AS opportunity ON opportunity._key = record.salesforce_key
LEFT JOIN account_here AS account ON account._key = opportunity.account_id
LEFT JOIN order_here AS sales_order ON sales_order._key = record.d365_lake_key
LEFT JOIN bad_opportunity ON bad_opportunity._key = record.salesforce_key
LEFT JOIN bad_order ON bad_order._key = record.d365_lake_key
LEFT JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = record.salesforce_key AND grouped.d365_key = record.d365_lake_key
LEFT JOIN (SELECT DISTINCT salesforce_key FROM sales_order_named) AS on_order
    ON on_order.salesforce_key = record.salesforce_key AND record.d365_lake_key IS NULL
LEFT JOIN named_opportunity AS named ON named.lake_key = record.d365_lake_key AND record.salesforce_key IS NULL
LEFT JOIN (SELECT DISTINCT ON (key) * FROM crosswalk_sales_order_open WHERE side = 'salesforce') AS opportunity_open
    ON opportunity_open.key = record.salesforce_key AND record.d365_lake_key IS NULL
LEFT JOIN (SELECT DISTINCT ON (key) * FROM crosswalk_sales_order_open WHERE side = 'd365') AS order_open ON order_open.key = record.d365_lake_key AND record.salesforce_key IS NULL;

UPDATE sales_order_record SET is_recent = true
WHERE group_key IN (SELECT group_key FROM sales_order_record WHERE is_recent AND group_key IS NOT NULL);

CREATE OR REPLACE TEMP TABLE sales_order_pair AS
SELECT salesforce_key, d365_lake_key AS d365_key, is_primary
FROM sales_order_record
WHERE is_pair AND NOT is_quarantined AND NOT is_repeated AND is_in_scope AND NOT is_canceled;

CREATE OR REPLACE TEMP TABLE sales_order_compared AS
SELECT pair.salesforce_key,
    pair.d365_key,
    (sf._compare_hash <> d365._compare_hash
        OR sf."cmp_customer" IS DISTINCT FROM d365."cmp_customer"
        OR coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")
        OR (sf."cmp_requested_ship_date" IS DISTINCT FROM d365."cmp_requested_ship_date" AND sf."cmp_requested_ship_date" IS NOT NULL)
        OR (sf."cmp_company" IS DISTINCT FROM d365."cmp_company" AND sf."cmp_company" IS NOT NULL)) AS is_suspect,
    hash(sf."stored_purchase_order") <> hash(d365."stored_purchase_order") AS is_noisy,
    (coalesce(sf."cmp_amount" <> d365."cmp_amount", false) AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")) AS "close_amount",
    (sf."cmp_requested_ship_date" IS NULL) AS "skipped_requested_ship_date",
    (sf."cmp_company" IS NULL) AS "skipped_company"
FROM sales_order_pair AS pair
JOIN sales_order_salesforce AS sf ON sf._key = pair.salesforce_key
JOIN sales_order_d365 AS d365 ON d365._key = pair.d365_key;

CREATE OR REPLACE TEMP TABLE sales_order_found AS
WITH suspect AS (
    SELECT pair.*
    FROM sales_order_pair AS pair
    SEMI JOIN sales_order_compared AS compared
        ON compared.salesforce_key = pair.salesforce_key AND compared.d365_key = pair.d365_key
        AND (compared.is_suspect OR compared.is_noisy)
),
told AS (
    SELECT pair.salesforce_key, pair.d365_key, unnest([
        {'field': 'customer', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_customer"::VARCHAR, 'd365_stored': d365."stored_customer"::VARCHAR, 'salesforce_compared': sf."cmp_customer"::VARCHAR, 'd365_compared': d365."cmp_customer"::VARCHAR, 'differs': sf."cmp_customer" IS DISTINCT FROM d365."cmp_customer", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'currency', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_currency"::VARCHAR, 'd365_stored': d365."stored_currency"::VARCHAR, 'salesforce_compared': sf."cmp_currency"::VARCHAR, 'd365_compared': d365."cmp_currency"::VARCHAR, 'differs': sf."cmp_currency" IS DISTINCT FROM d365."cmp_currency", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'amount', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': CASE WHEN contains(sf."stored_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_amount"::VARCHAR, '0'), '.') ELSE sf."stored_amount"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_amount"::VARCHAR, '0'), '.') ELSE d365."stored_amount"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_amount"::VARCHAR, '0'), '.') ELSE sf."cmp_amount"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_amount"::VARCHAR, '0'), '.') ELSE d365."cmp_amount"::VARCHAR END, 'differs': coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount"), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': abs(coalesce(sf."cmp_amount", 0) - coalesce(d365."cmp_amount", 0))::DECIMAL(28,6)},
        {'field': 'purchase_order', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_purchase_order"::VARCHAR, 'd365_stored': d365."stored_purchase_order"::VARCHAR, 'salesforce_compared': sf."cmp_purchase_order"::VARCHAR, 'd365_compared': d365."cmp_purchase_order"::VARCHAR, 'differs': sf."cmp_purchase_order" IS DISTINCT FROM d365."cmp_purchase_order", 'is_noisy': (sf."stored_purchase_order" IS DISTINCT FROM d365."stored_purchase_order" AND sf."cmp_purchase_order" IS NOT DISTINCT FROM d365."cmp_purchase_order"), 'is_blanks': trim(regexp_replace(coalesce(sf."stored_purchase_order", ''), '[\s\x{A0}]+', ' ', 'g')) = trim(regexp_replace(coalesce(d365."stored_purchase_order", ''), '[\s\x{A0}]+', ' ', 'g')), 'can_be_damaged': TRUE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'requested_ship_date', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_requested_ship_date"::VARCHAR, 'd365_stored': d365."stored_requested_ship_date"::VARCHAR, 'salesforce_compared': sf."cmp_requested_ship_date"::VARCHAR, 'd365_compared': d365."cmp_requested_ship_date"::VARCHAR, 'differs': (sf."cmp_requested_ship_date" IS DISTINCT FROM d365."cmp_requested_ship_date" AND sf."cmp_requested_ship_date" IS NOT NULL), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'company', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_company"::VARCHAR, 'd365_stored': d365."stored_company"::VARCHAR, 'salesforce_compared': sf."cmp_company"::VARCHAR, 'd365_compared': d365."cmp_company"::VARCHAR, 'differs': (sf."cmp_company" IS DISTINCT FROM d365."cmp_company" AND sf."cmp_company" IS NOT NULL), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)}
    ]) AS told
    FROM suspect AS pair
    JOIN sales_order_salesforce AS sf ON sf._key = pair.salesforce_key
    JOIN sales_order_d365 AS d365 ON d365._key = pair.d365_key
)
SELECT salesforce_key, d365_key, told.field, told.owner, told.on_difference, told.salesforce_stored, told.d365_stored,
    told.salesforce_compared, told.d365_compared, CASE WHEN told.differs THEN 'differs' ELSE 'case_or_blanks' END AS kind,
    told.is_blanks AND NOT told.differs AS is_blanks, told.can_be_damaged, NULL::VARCHAR AS damaged_side, told.amount
FROM told
WHERE told.differs OR told.is_noisy;

DELETE FROM sales_order_found AS found USING sales_order_group_row AS grouped
WHERE found.field = 'amount' AND grouped.salesforce_key = found.salesforce_key AND grouped.d365_key = found.d365_key;

INSERT INTO sales_order_found
SELECT grouped.salesforce_key, grouped.d365_key, 'amount', 'salesforce', 'report',
    CASE WHEN contains(grouped.salesforce_amount::VARCHAR, '.') THEN rtrim(rtrim(grouped.salesforce_amount::VARCHAR, '0'), '.') ELSE grouped.salesforce_amount::VARCHAR END, CASE WHEN contains(grouped.d365_amount::VARCHAR, '.') THEN rtrim(rtrim(grouped.d365_amount::VARCHAR, '0'), '.') ELSE grouped.d365_amount::VARCHAR END, CASE WHEN contains(grouped.salesforce_amount::VARCHAR, '.') THEN rtrim(rtrim(grouped.salesforce_amount::VARCHAR, '0'), '.') ELSE grouped.salesforce_amount::VARCHAR END, CASE WHEN contains(grouped.d365_amount::VARCHAR, '.') THEN rtrim(rtrim(grouped.d365_amount::VARCHAR, '0'), '.') ELSE grouped.d365_amount::VARCHAR END, 'differs', false, false, NULL,
    abs(grouped.salesforce_amount - grouped.d365_amount)::DECIMAL(28,6)
FROM sales_order_group_row AS grouped
WHERE grouped.is_lead AND NOT grouped.is_equal_in_amount;

CREATE OR REPLACE TEMP TABLE sales_order_line_record AS
WITH unit AS (
    SELECT pair.salesforce_key, pair.d365_key, coalesce(grouped.group_key, pair.salesforce_key) AS unit,
        grouped.group_key IS NOT NULL AS is_group, coalesce(grouped.owns_salesforce, true) AS owns_salesforce,
        coalesce(grouped.owns_d365, true) AS owns_d365
    FROM sales_order_pair AS pair
    LEFT JOIN sales_order_group_row AS grouped
        ON grouped.salesforce_key = pair.salesforce_key AND grouped.d365_key = pair.d365_key
),
salesforce_line AS (
    SELECT numbered._key AS key, unit.salesforce_key AS order_salesforce_key, unit.d365_key AS order_d365_key, unit.unit, unit.is_group,
        numbered.line_number, numbered."ProductCode" AS product, numbered.cmp_product,
        CASE WHEN unit.is_group THEN numbered.cmp_product ELSE '' END AS with_number,
        numbered."TotalPrice" AS amount, numbered."cmp_quantity", numbered."cmp_amount"
    FROM (
        SELECT line.*, CASE
        WHEN count(DISTINCT "SortOrder") OVER of_opportunity = count(*) OVER of_opportunity THEN "SortOrder"
        ELSE row_number() OVER (PARTITION BY line._parent_key ORDER BY "SortOrder" NULLS LAST, line._key)
    END AS line_number
FROM opportunity_line AS line
WHERE NOT coalesce("IsDeleted", false)
WINDOW of_opportunity AS (PARTITION BY line._parent_key)
    ) AS numbered
    JOIN unit ON unit.salesforce_key = numbered._parent_key AND unit.owns_salesforce
),
every_d365_line AS (
    SELECT line._key AS key, "InventoryLotId" AS lot, unit.salesforce_key AS order_salesforce_key,
        unit.d365_key AS order_d365_key, unit.unit, nullif("cmp_line_number", 0) AS line_number, nullif(lower("OrderLineReference"), '') AS reference,
        "ItemNumber" AS product, line.cmp_product,
        CASE WHEN unit.is_group THEN line.cmp_product ELSE '' END AS with_number,
        "LineAmount" AS amount, line."cmp_quantity", line."cmp_amount", lower(coalesce("SalesOrderLineStatus", '')) <> 'canceled' AS is_live
    FROM sales_order_line AS line
    JOIN unit ON unit.d365_key = line._parent_key AND unit.owns_d365
),
d365_line AS (
    SELECT * FROM every_d365_line WHERE is_live
),
by_reference AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key
    FROM salesforce_line AS sf
    JOIN d365_line AS d365 ON d365.reference = lower(sf.key) AND d365.unit = sf.unit
    QUALIFY row_number() OVER (PARTITION BY sf.key ORDER BY d365.order_d365_key = sf.order_d365_key DESC, d365.key) = 1
),
left_in_salesforce AS (
    SELECT sf.*, row_number() OVER (PARTITION BY sf.order_d365_key, sf.line_number, sf.with_number ORDER BY sf.key) AS nth
    FROM salesforce_line AS sf
    ANTI JOIN by_reference AS paired ON paired.salesforce_key = sf.key
),
left_in_d365 AS (
    SELECT d365.*, row_number() OVER (PARTITION BY d365.order_d365_key, d365.line_number, d365.with_number ORDER BY d365.key) AS nth
    FROM d365_line AS d365
    ANTI JOIN salesforce_line AS named ON lower(named.key) = d365.reference AND named.unit = d365.unit
    WHERE d365.line_number IS NOT NULL
),
by_number AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key
    FROM left_in_salesforce AS sf
    JOIN left_in_d365 AS d365 ON d365.order_d365_key = sf.order_d365_key AND d365.line_number = sf.line_number
        AND d365.with_number = sf.with_number AND d365.nth = sf.nth
),
one_to_one AS (
    SELECT salesforce_key, d365_key FROM by_reference
    UNION ALL
    SELECT salesforce_key, d365_key FROM by_number
),
left_over AS (
    SELECT d365.* FROM d365_line AS d365 ANTI JOIN one_to_one AS paired ON paired.d365_key = d365.key
),
named_further AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key, true AS is_sure
    FROM left_over AS d365
    JOIN salesforce_line AS sf ON lower(sf.key) = d365.reference AND sf.unit = d365.unit
),
of_product AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key, sf.line_number IS NOT DISTINCT FROM d365.line_number AS has_number,
        count(*) OVER (PARTITION BY d365.key) AS lines,
        count(*) FILTER (sf.line_number IS NOT DISTINCT FROM d365.line_number) OVER (PARTITION BY d365.key) AS lines_with_number
    FROM left_over AS d365
    ANTI JOIN named_further AS named ON named.d365_key = d365.key
    JOIN salesforce_line AS sf ON sf.unit = d365.unit AND sf.cmp_product = d365.cmp_product
    -- Of a plain pair of orders, only a line that is there already can be split.
    LEFT JOIN one_to_one AS paired ON paired.salesforce_key = sf.key
    SEMI JOIN unit ON unit.salesforce_key = sf.order_salesforce_key AND unit.d365_key = d365.order_d365_key
    WHERE sf.is_group OR paired.salesforce_key IS NOT NULL
),
further AS (
    SELECT salesforce_key, d365_key, is_sure FROM named_further
    UNION ALL
    SELECT salesforce_key, d365_key, false FROM of_product WHERE lines = 1 OR has_number AND lines_with_number = 1
),
part AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key, member.is_first, member.is_sure, sf."cmp_quantity" AS "whole_quantity", d365."cmp_quantity", sf."cmp_amount" AS "whole_amount", d365."cmp_amount",
        NOT member.is_first AND ((d365."cmp_quantity" = sf."cmp_quantity" AND d365."cmp_quantity" <> 0) OR (d365."cmp_amount" = sf."cmp_amount" AND d365."cmp_amount" <> 0)) AS is_repeating
    FROM (
        SELECT paired.salesforce_key, paired.d365_key, true AS is_first, true AS is_sure
        FROM one_to_one AS paired SEMI JOIN further ON further.salesforce_key = paired.salesforce_key
        UNION ALL
        SELECT salesforce_key, d365_key, false, is_sure FROM further
    ) AS member
    JOIN salesforce_line AS sf ON sf.key = member.salesforce_key
    JOIN d365_line AS d365 ON d365.key = member.d365_key
),
whole_with_all AS (
    SELECT sf.salesforce_key
    FROM (SELECT salesforce_key, any_value("whole_quantity") AS "cmp_quantity", any_value("whole_amount") AS "cmp_amount" FROM part GROUP BY salesforce_key) AS sf
    JOIN (SELECT salesforce_key, sum("cmp_quantity") FILTER (true) AS "cmp_quantity", sum("cmp_amount") FILTER (true) AS "cmp_amount" FROM part GROUP BY salesforce_key) AS d365 ON d365.salesforce_key = sf.salesforce_key
    WHERE NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity" AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")
),
whole_with_sure AS (
    SELECT sf.salesforce_key
    FROM (SELECT salesforce_key, any_value("whole_quantity") AS "cmp_quantity", any_value("whole_amount") AS "cmp_amount" FROM part GROUP BY salesforce_key) AS sf
    JOIN (SELECT salesforce_key, sum("cmp_quantity") FILTER (is_sure) AS "cmp_quantity", sum("cmp_amount") FILTER (is_sure) AS "cmp_amount" FROM part GROUP BY salesforce_key) AS d365 ON d365.salesforce_key = sf.salesforce_key
    WHERE NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity" AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")
),
kept AS (
    SELECT part.*
    FROM part
    LEFT JOIN whole_with_all AS with_all ON with_all.salesforce_key = part.salesforce_key
    LEFT JOIN whole_with_sure AS with_sure ON with_sure.salesforce_key = part.salesforce_key
    WHERE with_all.salesforce_key IS NOT NULL
        OR (part.is_sure AND (with_sure.salesforce_key IS NOT NULL OR NOT part.is_repeating))
),
paired AS (
    SELECT one.salesforce_key, one.d365_key, false AS is_split, false AS is_further
    FROM one_to_one AS one ANTI JOIN further ON further.salesforce_key = one.salesforce_key
    UNION ALL
    SELECT salesforce_key, d365_key, count(*) OVER (PARTITION BY salesforce_key) > 1,
        row_number() OVER (PARTITION BY salesforce_key ORDER BY is_first DESC, d365_key) > 1
    FROM kept
),
canceled AS (
    SELECT DISTINCT sf.key AS salesforce_key
    FROM every_d365_line AS d365
    JOIN salesforce_line AS sf ON sf.unit = d365.unit
        AND (d365.reference = lower(sf.key) OR d365.order_d365_key = sf.order_d365_key AND d365.line_number = sf.line_number)
    WHERE NOT d365.is_live
)
SELECT sf.order_salesforce_key, coalesce(d365.order_d365_key, sf.order_d365_key) AS order_d365_key, sf.key AS salesforce_key,
    d365.key AS d365_key, d365.lot AS d365_lot, sf.line_number, coalesce(sf.product, d365.product) AS label,
    CASE WHEN NOT coalesce(paired.is_further, false) THEN sf.amount END AS salesforce_amount, d365.amount AS d365_amount,
    false AS is_second, canceled.salesforce_key IS NOT NULL AS is_canceled, coalesce(paired.is_split, false) AS is_split,
    coalesce(paired.is_further, false) AS is_further
FROM salesforce_line AS sf
LEFT JOIN paired ON paired.salesforce_key = sf.key
LEFT JOIN d365_line AS d365 ON d365.key = paired.d365_key
LEFT JOIN canceled ON canceled.salesforce_key = sf.key AND d365.key IS NULL
UNION ALL
SELECT d365.order_salesforce_key, d365.order_d365_key, NULL, d365.key, d365.lot, d365.line_number, d365.product, NULL, d365.amount,
    named.key IS NOT NULL, false, false, false
FROM d365_line AS d365
ANTI JOIN paired ON paired.d365_key = d365.key
LEFT JOIN salesforce_line AS named ON lower(named.key) = d365.reference AND named.unit = d365.unit;

CREATE OR REPLACE TEMP TABLE sales_order_line_pair AS
SELECT salesforce_key, d365_key, true AS is_primary
FROM sales_order_line_record
WHERE salesforce_key IS NOT NULL AND d365_key IS NOT NULL;

CREATE OR REPLACE TEMP TABLE sales_order_line_compared AS
SELECT pair.salesforce_key,
    pair.d365_key,
    (sf._compare_hash <> d365._compare_hash
        OR sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity"
        OR (sf."cmp_unit" IS DISTINCT FROM d365."cmp_unit" AND sf."cmp_unit" IS NOT NULL)
        OR coalesce(abs(sf."cmp_unit_price" - d365."cmp_unit_price") > 0.005, sf."cmp_unit_price" IS DISTINCT FROM d365."cmp_unit_price")
        OR coalesce(abs(sf."cmp_discount" - d365."cmp_discount") > 0.005, sf."cmp_discount" IS DISTINCT FROM d365."cmp_discount")
        OR coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")) AS is_suspect,
    false AS is_noisy,
    (coalesce(sf."cmp_unit_price" <> d365."cmp_unit_price", false) AND NOT coalesce(abs(sf."cmp_unit_price" - d365."cmp_unit_price") > 0.005, sf."cmp_unit_price" IS DISTINCT FROM d365."cmp_unit_price")) AS "close_unit_price",
    (coalesce(sf."cmp_discount" <> d365."cmp_discount", false) AND NOT coalesce(abs(sf."cmp_discount" - d365."cmp_discount") > 0.005, sf."cmp_discount" IS DISTINCT FROM d365."cmp_discount")) AS "close_discount",
    (coalesce(sf."cmp_amount" <> d365."cmp_amount", false) AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")) AS "close_amount",
    (sf."cmp_unit" IS NULL) AS "skipped_unit"
FROM sales_order_line_pair AS pair
JOIN sales_order_line_salesforce AS sf ON sf._key = pair.salesforce_key
JOIN sales_order_line_d365 AS d365 ON d365._key = pair.d365_key;

CREATE OR REPLACE TEMP TABLE sales_order_line_found AS
WITH suspect AS (
    SELECT pair.*
    FROM sales_order_line_pair AS pair
    SEMI JOIN sales_order_line_compared AS compared
        ON compared.salesforce_key = pair.salesforce_key AND compared.d365_key = pair.d365_key
        AND (compared.is_suspect OR compared.is_noisy)
),
told AS (
    SELECT pair.salesforce_key, pair.d365_key, unnest([
        {'field': 'line.product', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_product"::VARCHAR, 'd365_stored': d365."stored_product"::VARCHAR, 'salesforce_compared': sf."cmp_product"::VARCHAR, 'd365_compared': d365."cmp_product"::VARCHAR, 'differs': sf."cmp_product" IS DISTINCT FROM d365."cmp_product", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'line.quantity', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': CASE WHEN contains(sf."stored_quantity"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_quantity"::VARCHAR, '0'), '.') ELSE sf."stored_quantity"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_quantity"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_quantity"::VARCHAR, '0'), '.') ELSE d365."stored_quantity"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_quantity"::VARCHAR, '0'), '.') ELSE sf."cmp_quantity"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_quantity"::VARCHAR, '0'), '.') ELSE d365."cmp_quantity"::VARCHAR END, 'differs': sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity", 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'line.unit', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': sf."stored_unit"::VARCHAR, 'd365_stored': d365."stored_unit"::VARCHAR, 'salesforce_compared': sf."cmp_unit"::VARCHAR, 'd365_compared': d365."cmp_unit"::VARCHAR, 'differs': (sf."cmp_unit" IS DISTINCT FROM d365."cmp_unit" AND sf."cmp_unit" IS NOT NULL), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'line.unit_price', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': CASE WHEN contains(sf."stored_unit_price"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_unit_price"::VARCHAR, '0'), '.') ELSE sf."stored_unit_price"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_unit_price"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_unit_price"::VARCHAR, '0'), '.') ELSE d365."stored_unit_price"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_unit_price"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_unit_price"::VARCHAR, '0'), '.') ELSE sf."cmp_unit_price"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_unit_price"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_unit_price"::VARCHAR, '0'), '.') ELSE d365."cmp_unit_price"::VARCHAR END, 'differs': coalesce(abs(sf."cmp_unit_price" - d365."cmp_unit_price") > 0.005, sf."cmp_unit_price" IS DISTINCT FROM d365."cmp_unit_price"), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': abs(coalesce(sf."cmp_unit_price", 0) - coalesce(d365."cmp_unit_price", 0))::DECIMAL(28,6)},
        {'field': 'line.discount', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': CASE WHEN contains(sf."stored_discount"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_discount"::VARCHAR, '0'), '.') ELSE sf."stored_discount"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_discount"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_discount"::VARCHAR, '0'), '.') ELSE d365."stored_discount"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_discount"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_discount"::VARCHAR, '0'), '.') ELSE sf."cmp_discount"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_discount"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_discount"::VARCHAR, '0'), '.') ELSE d365."cmp_discount"::VARCHAR END, 'differs': coalesce(abs(sf."cmp_discount" - d365."cmp_discount") > 0.005, sf."cmp_discount" IS DISTINCT FROM d365."cmp_discount"), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': NULL::DECIMAL(28,6)},
        {'field': 'line.amount', 'owner': 'salesforce', 'on_difference': 'report', 'salesforce_stored': CASE WHEN contains(sf."stored_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."stored_amount"::VARCHAR, '0'), '.') ELSE sf."stored_amount"::VARCHAR END, 'd365_stored': CASE WHEN contains(d365."stored_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."stored_amount"::VARCHAR, '0'), '.') ELSE d365."stored_amount"::VARCHAR END, 'salesforce_compared': CASE WHEN contains(sf."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_amount"::VARCHAR, '0'), '.') ELSE sf."cmp_amount"::VARCHAR END, 'd365_compared': CASE WHEN contains(d365."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_amount"::VARCHAR, '0'), '.') ELSE d365."cmp_amount"::VARCHAR END, 'differs': coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount"), 'is_noisy': false, 'is_blanks': false, 'can_be_damaged': FALSE, 'amount': abs(coalesce(sf."cmp_amount", 0) - coalesce(d365."cmp_amount", 0))::DECIMAL(28,6)}
    ]) AS told
    FROM suspect AS pair
    JOIN sales_order_line_salesforce AS sf ON sf._key = pair.salesforce_key
    JOIN sales_order_line_d365 AS d365 ON d365._key = pair.d365_key
)
SELECT salesforce_key, d365_key, told.field, told.owner, told.on_difference, told.salesforce_stored, told.d365_stored,
    told.salesforce_compared, told.d365_compared, CASE WHEN told.differs THEN 'differs' ELSE 'case_or_blanks' END AS kind,
    told.is_blanks AND NOT told.differs AS is_blanks, told.can_be_damaged, NULL::VARCHAR AS damaged_side, told.amount
FROM told
WHERE told.differs OR told.is_noisy;

DELETE FROM sales_order_line_found AS found USING sales_order_line_record AS line
WHERE line.is_split AND line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key AND found.field IN ('line.quantity', 'line.amount');

INSERT INTO sales_order_line_found
SELECT d365.salesforce_key, d365.d365_key, 'line.quantity', 'salesforce', 'report',
    CASE WHEN contains(sf."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_quantity"::VARCHAR, '0'), '.') ELSE sf."cmp_quantity"::VARCHAR END, CASE WHEN contains(d365."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_quantity"::VARCHAR, '0'), '.') ELSE d365."cmp_quantity"::VARCHAR END, CASE WHEN contains(sf."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_quantity"::VARCHAR, '0'), '.') ELSE sf."cmp_quantity"::VARCHAR END, CASE WHEN contains(d365."cmp_quantity"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_quantity"::VARCHAR, '0'), '.') ELSE d365."cmp_quantity"::VARCHAR END, 'differs', false, false, NULL, NULL::DECIMAL(28,6)
FROM (
    SELECT line.salesforce_key, min(line.d365_key) FILTER (NOT line.is_further) AS d365_key, sum(part."cmp_quantity") AS "cmp_quantity"
    FROM sales_order_line_record AS line JOIN sales_order_line_d365 AS part ON part._key = line.d365_key
    WHERE line.is_split
    GROUP BY line.salesforce_key
) AS d365
JOIN sales_order_line_salesforce AS sf ON sf._key = d365.salesforce_key
WHERE sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity";

INSERT INTO sales_order_line_found
SELECT d365.salesforce_key, d365.d365_key, 'line.amount', 'salesforce', 'report',
    CASE WHEN contains(sf."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_amount"::VARCHAR, '0'), '.') ELSE sf."cmp_amount"::VARCHAR END, CASE WHEN contains(d365."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_amount"::VARCHAR, '0'), '.') ELSE d365."cmp_amount"::VARCHAR END, CASE WHEN contains(sf."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(sf."cmp_amount"::VARCHAR, '0'), '.') ELSE sf."cmp_amount"::VARCHAR END, CASE WHEN contains(d365."cmp_amount"::VARCHAR, '.') THEN rtrim(rtrim(d365."cmp_amount"::VARCHAR, '0'), '.') ELSE d365."cmp_amount"::VARCHAR END, 'differs', false, false, NULL, abs(sf."cmp_amount" - d365."cmp_amount")::DECIMAL(28,6)
FROM (
    SELECT line.salesforce_key, min(line.d365_key) FILTER (NOT line.is_further) AS d365_key, sum(part."cmp_amount") AS "cmp_amount"
    FROM sales_order_line_record AS line JOIN sales_order_line_d365 AS part ON part._key = line.d365_key
    WHERE line.is_split
    GROUP BY line.salesforce_key
) AS d365
JOIN sales_order_line_salesforce AS sf ON sf._key = d365.salesforce_key
WHERE coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount");

CREATE OR REPLACE TABLE sales_order_verdict AS
WITH differing AS (
    SELECT salesforce_key, d365_key, list(DISTINCT field ORDER BY field) AS fields
    FROM (
        SELECT salesforce_key, d365_key, field FROM sales_order_found WHERE kind <> 'case_or_blanks'
        UNION ALL
        SELECT line.order_salesforce_key, line.order_d365_key, found.field
        FROM sales_order_line_found AS found
        JOIN sales_order_line_record AS line ON line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key
        WHERE found.kind <> 'case_or_blanks'
        UNION ALL
        SELECT order_salesforce_key, order_d365_key, 'lines'
        FROM sales_order_line_record WHERE salesforce_key IS NULL OR d365_key IS NULL
    ) AS found (salesforce_key, d365_key, field)
    GROUP BY salesforce_key, d365_key
),
account_state AS (
    SELECT wanted.account_id, wanted.company, CASE
            WHEN linked.salesforce_id IS NOT NULL THEN 'linked'
            WHEN bad._key IS NOT NULL THEN 'quarantined'
            WHEN account._key IS NULL THEN 'missing'
            ELSE unclear.reason END AS state, linked.d365_key AS customer_account
    FROM (SELECT DISTINCT account_id, company FROM sales_order_record WHERE d365_lake_key IS NULL AND account_id IS NOT NULL) AS wanted
    LEFT JOIN crosswalk_customer AS linked ON linked.salesforce_id = wanted.account_id AND linked.company = wanted.company
    LEFT JOIN (
        SELECT DISTINCT _key FROM quarantined_in_salesforce WHERE table_name = 'account'
    ) AS bad ON bad._key = wanted.account_id
    LEFT JOIN (SELECT DISTINCT _key FROM account WHERE NOT coalesce("IsDeleted", false)) AS account ON account._key = wanted.account_id
    LEFT JOIN crosswalk_customer_open AS unclear
        ON unclear.side = 'salesforce' AND unclear.key = wanted.account_id AND unclear.company = wanted.company
),
judged AS (
    SELECT record.*, differing.fields, CASE
            WHEN record.is_quarantined THEN 'quarantined'
            WHEN record.is_repeated THEN 'duplicate'
            WHEN record.is_pair AND (differing.fields IS NOT NULL OR record.is_group_off OR NOT record.is_in_scope OR record.is_canceled)
                THEN 'differs'
            WHEN record.is_pair THEN 'matched'
            WHEN record.d365_lake_key IS NULL THEN 'only_in_salesforce'
            WHEN record.named_state = 'linked' THEN 'duplicate'
            ELSE 'only_in_d365' END AS verdict, CASE
            WHEN record.is_quarantined_by_line THEN 'a line of the record is in quarantine'
            WHEN record.is_quarantined THEN 'the record is in quarantine'
            WHEN record.is_repeated THEN 'the key occurs more than once on one side'
            WHEN record.is_pair AND NOT record.is_in_scope THEN 'the opportunity is not won'
            WHEN record.is_pair AND record.is_canceled THEN 'the order is canceled in D365'
            WHEN record.is_pair THEN record.group_reason
            WHEN record.d365_lake_key IS NULL THEN CASE
        WHEN record.open_reason = 'ambiguous' THEN 'more than one record claims the link'
        WHEN record.open_reason = 'taken' THEN 'the counterpart is linked to another record'
        WHEN record.open_reason = 'broken' THEN 'the linked record is not in D365'
        WHEN record.is_on_order THEN 'an order names it or its lines, but the two could not be compared'
        WHEN record.account_id IS NULL OR account_state.state = 'missing' THEN 'the opportunity has no account in Salesforce'
        WHEN record.company = '' THEN 'no company is known, neither on the opportunity nor on its account'
        WHEN record.lines = 0 THEN 'the opportunity has no lines'
        WHEN account_state.state = 'quarantined' THEN 'the account is in quarantine'
        WHEN account_state.state = 'ambiguous' THEN 'more than one record claims the link: its customer'
        WHEN account_state.state = 'taken' THEN 'the counterpart is linked to another record: its customer'
        WHEN account_state.state = 'broken' THEN 'the linked record is not in D365: its customer'
    END
            WHEN record.named_state = 'linked' THEN 'the opportunity that it names is linked to another order'
            WHEN record.named_state = 'deleted' THEN 'the opportunity was deleted in Salesforce'
            WHEN record.open_reason = 'ambiguous' THEN 'more than one record claims the link'
            WHEN record.open_reason = 'taken' THEN 'the counterpart is linked to another record'
            WHEN record.open_reason = 'broken' THEN 'the linked record is not in D365' END AS reason
    FROM sales_order_record AS record
    LEFT JOIN differing ON differing.salesforce_key = record.salesforce_key AND differing.d365_key = record.d365_lake_key
    LEFT JOIN account_state ON record.d365_lake_key IS NULL
        AND account_state.account_id = record.account_id AND account_state.company = record.company
)
SELECT 'sales_order' AS entity, CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'in_flight' ELSE verdict END AS verdict, company, currency, salesforce_key, d365_key, label, salesforce_amount,
    d365_amount, coalesce(fields, []) AS fields, CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'changed after the earlier of the two reads began' ELSE reason END AS reason, d365_lake_key, d365_currency, month, group_key
FROM judged;

CREATE OR REPLACE TABLE sales_order_line_verdict AS
WITH differing AS (
    SELECT salesforce_key, d365_key, list(DISTINCT field ORDER BY field) AS fields
    FROM (
        SELECT salesforce_key, d365_key, field FROM sales_order_line_found WHERE kind <> 'case_or_blanks'
    ) AS found (salesforce_key, d365_key, field)
    GROUP BY salesforce_key, d365_key
),
judged AS (
    SELECT line.*, orders.company, orders.currency, orders.month, orders.is_recent, orders.d365_key AS order_number, differing.fields, CASE
            WHEN line.d365_key IS NULL THEN 'only_in_salesforce'
            WHEN line.salesforce_key IS NULL AND line.is_second THEN 'duplicate'
            WHEN line.salesforce_key IS NULL THEN 'only_in_d365'
            WHEN differing.fields IS NOT NULL THEN 'differs'
            ELSE 'matched' END AS verdict, CASE
            WHEN line.d365_key IS NULL AND line.is_canceled THEN 'the line is canceled in D365'
            WHEN line.salesforce_key IS NULL AND line.is_second THEN 'the opportunity line that it names is paired with another line'
            WHEN line.is_split THEN 'the opportunity line is split over more than one order line' END AS reason
    FROM sales_order_line_record AS line
    JOIN sales_order_record AS orders
        ON orders.salesforce_key = line.order_salesforce_key AND orders.d365_lake_key = line.order_d365_key
    LEFT JOIN differing ON differing.salesforce_key = line.salesforce_key AND differing.d365_key = line.d365_key
)
SELECT 'sales_order_line' AS entity, CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'in_flight' ELSE verdict END AS verdict, company, currency, salesforce_key, d365_lot AS d365_key, label,
    salesforce_amount, d365_amount, coalesce(fields, []) AS fields, CASE WHEN is_recent AND verdict NOT IN ('matched', 'quarantined') THEN 'changed after the earlier of the two reads began' ELSE reason END AS reason,
    order_salesforce_key, order_number AS order_d365_key, line_number, month,
    CASE WHEN is_split THEN salesforce_key END AS group_key
FROM judged;

CREATE OR REPLACE TABLE sales_order_difference AS
SELECT 'sales_order' AS entity, verdict.company, verdict.currency, found.salesforce_key, verdict.d365_key, NULL::VARCHAR AS line_key,
    found.field, found.owner, found.on_difference, found.salesforce_stored, found.d365_stored, found.salesforce_compared,
    found.d365_compared, found.kind, found.is_blanks, found.damaged_side, found.amount, CASE WHEN NOT grouped.owns_salesforce THEN verdict.d365_key END AS part_key, grouped.reason AS note
FROM sales_order_found AS found
JOIN sales_order_verdict AS verdict
    ON verdict.salesforce_key = found.salesforce_key AND verdict.d365_lake_key = found.d365_key
LEFT JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = found.salesforce_key AND grouped.d365_key = found.d365_key
WHERE verdict.verdict IN ('matched', 'differs');

INSERT INTO sales_order_difference
SELECT 'sales_order', verdict.company, verdict.currency, line.order_salesforce_key, verdict.d365_key, found.salesforce_key,
    found.field, found.owner, found.on_difference, found.salesforce_stored, found.d365_stored, found.salesforce_compared,
    found.d365_compared, found.kind, found.is_blanks, found.damaged_side, found.amount, CASE WHEN line.is_further THEN line.d365_lot END, CASE WHEN line.is_split THEN 'the opportunity line is split over more than one order line' END
FROM sales_order_line_found AS found
JOIN sales_order_line_record AS line ON line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key
JOIN sales_order_verdict AS verdict
    ON verdict.salesforce_key = line.order_salesforce_key AND verdict.d365_lake_key = line.order_d365_key
WHERE verdict.verdict IN ('matched', 'differs');

CREATE OR REPLACE TABLE sales_order_field_count AS
WITH judged AS (
    SELECT compared.* FROM sales_order_compared AS compared
    JOIN sales_order_verdict AS verdict
        ON verdict.salesforce_key = compared.salesforce_key AND verdict.d365_lake_key = compared.d365_key
    WHERE verdict.verdict IN ('matched', 'differs')
),
judged_line AS (
    SELECT compared.* FROM sales_order_line_compared AS compared
    JOIN sales_order_line_record AS line ON line.salesforce_key = compared.salesforce_key AND line.d365_key = compared.d365_key
    JOIN judged ON judged.salesforce_key = line.order_salesforce_key AND judged.d365_key = line.order_d365_key
),
pair_count AS (
    SELECT 0 AS position, * FROM (SELECT 'customer' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 1 AS position, * FROM (SELECT 'currency' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 2 AS position, * FROM (SELECT 'amount' AS field, count(*) AS pairs, count(*) FILTER ("close_amount") AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 3 AS position, * FROM (SELECT 'purchase_order' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged)
    UNION ALL SELECT 4 AS position, * FROM (SELECT 'requested_ship_date' AS field, count(*) AS pairs, 0 AS close, count(*) FILTER ("skipped_requested_ship_date") AS not_compared FROM judged)
    UNION ALL SELECT 5 AS position, * FROM (SELECT 'company' AS field, count(*) AS pairs, 0 AS close, count(*) FILTER ("skipped_company") AS not_compared FROM judged)
    UNION ALL SELECT 6 AS position, * FROM (SELECT 'line.product' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged_line)
    UNION ALL SELECT 7 AS position, * FROM (SELECT 'line.quantity' AS field, count(*) AS pairs, 0 AS close, 0 AS not_compared FROM judged_line)
    UNION ALL SELECT 8 AS position, * FROM (SELECT 'line.unit' AS field, count(*) AS pairs, 0 AS close, count(*) FILTER ("skipped_unit") AS not_compared FROM judged_line)
    UNION ALL SELECT 9 AS position, * FROM (SELECT 'line.unit_price' AS field, count(*) AS pairs, count(*) FILTER ("close_unit_price") AS close, 0 AS not_compared FROM judged_line)
    UNION ALL SELECT 10 AS position, * FROM (SELECT 'line.discount' AS field, count(*) AS pairs, count(*) FILTER ("close_discount") AS close, 0 AS not_compared FROM judged_line)
    UNION ALL SELECT 11 AS position, * FROM (SELECT 'line.amount' AS field, count(*) AS pairs, count(*) FILTER ("close_amount") AS close, 0 AS not_compared FROM judged_line)
),
found_count AS (
    SELECT field, count(*) FILTER (kind = 'differs') AS differs, count(*) FILTER (kind = 'damaged_characters') AS damaged_characters,
        count(*) FILTER (kind = 'case_or_blanks') AS noisy, count(*) FILTER (kind = 'case_or_blanks' AND is_blanks) AS blanks
    FROM sales_order_difference GROUP BY field
)
SELECT pair_count.field,
    pair_count.pairs - pair_count.not_compared - coalesce(differs, 0) - coalesce(damaged_characters, 0) AS matched,
    pair_count.close + coalesce(noisy, 0) AS equal_after_normalising, coalesce(blanks, 0) AS blanks, coalesce(differs, 0) AS differs,
    coalesce(damaged_characters, 0) AS damaged_characters, pair_count.not_compared
FROM pair_count LEFT JOIN found_count USING (field)
ORDER BY pair_count.position;
