CREATE OR REPLACE TEMP TABLE sales_order_late AS
WITH order_now AS (
    SELECT DISTINCT ON (_key) _key, cmp_order_status AS status, coalesce(lower("IsSalesProcessingStopped") = 'yes', false) AS is_stopped,
        [lower("CustomersOrderReference"), CASE WHEN starts_with(lower("SalesOrderNumber"), 't-') THEN substr(lower("SalesOrderNumber"), 3) END] AS names
    FROM sales_order
),
deleted AS (
    SELECT DISTINCT _key FROM opportunity WHERE NOT (NOT coalesce("IsDeleted", false))
),
linked AS (
    SELECT verdict.salesforce_key, verdict.company, verdict.d365_key AS order_number, verdict.d365_lake_key, verdict.verdict, verdict.fields,
        verdict.reason IS NULL AS is_won, list_contains(order_now.names, lower(verdict.salesforce_key)) AS is_ours, order_now.status, order_now.is_stopped
    FROM sales_order_verdict AS verdict
    JOIN order_now ON order_now._key = verdict.d365_lake_key
    WHERE verdict.salesforce_key IS NOT NULL AND (
        verdict.verdict = 'differs' AND (verdict.reason IS NULL OR verdict.reason = 'the opportunity is not won')
        OR verdict.verdict = 'matched' AND order_now.is_stopped
    )
),
orphan AS (
    SELECT deleted._key AS salesforce_key, verdict.company, verdict.d365_key AS order_number, verdict.d365_lake_key, verdict.verdict,
        verdict.fields, false AS is_won, true AS is_ours, order_now.status, order_now.is_stopped
    FROM sales_order_verdict AS verdict
    JOIN order_now ON order_now._key = verdict.d365_lake_key
    JOIN (SELECT _key, unnest(names) AS name FROM order_now) AS naming ON naming._key = order_now._key
    JOIN deleted ON lower(deleted._key) = naming.name
    WHERE verdict.reason = 'the opportunity was deleted in Salesforce'
),
late AS (
    SELECT * FROM (SELECT * FROM linked UNION ALL SELECT * FROM orphan)
    -- One change at a time for an opportunity that more than one order names.
    QUALIFY row_number() OVER (PARTITION BY salesforce_key ORDER BY is_stopped, d365_lake_key) = 1
),
written AS (
    SELECT found.salesforce_key, found.line_key, found.field
    FROM sales_order_difference AS found
    WHERE found.field IN ('purchase_order', 'requested_ship_date', 'line.quantity', 'line.unit_price', 'line.discount', 'line.amount') AND (found.salesforce_stored IS NOT NULL OR found.field IN ('purchase_order', 'requested_ship_date', 'line.discount'))
        AND found.kind <> 'case_or_blanks' AND found.damaged_side IS DISTINCT FROM 'salesforce'
),
differing AS (
    SELECT found.salesforce_key, bool_or(written.field IS NOT NULL) AS writes,
        string_agg(DISTINCT found.field, ', ' ORDER BY found.field) FILTER (written.field IS NULL AND found.field <> 'amount') AS untouched
    FROM sales_order_difference AS found
    LEFT JOIN written ON written.salesforce_key = found.salesforce_key AND written.field = found.field
        AND written.line_key IS NOT DISTINCT FROM found.line_key
    WHERE found.owner = 'salesforce' AND found.kind <> 'case_or_blanks' AND found.damaged_side IS DISTINCT FROM 'salesforce'
    GROUP BY found.salesforce_key
),
adding_up AS (
    SELECT sf.salesforce_key, NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount") AS is_equal
    FROM (
        SELECT salesforce_key, salesforce_amount AS "cmp_amount" FROM sales_order_record WHERE is_pair
    ) AS sf
    JOIN (
        SELECT order_salesforce_key, sum(salesforce_amount) AS "cmp_amount" FROM sales_order_line_record GROUP BY order_salesforce_key
    ) AS d365 ON d365.order_salesforce_key = sf.salesforce_key
),
judged AS (
    SELECT late.*, coalesce(differing.writes, false) AS writes, CASE
            WHEN NOT late.is_won OR late.verdict = 'matched' THEN NULL
            WHEN NOT late.is_ours THEN 'the order does not carry the id of the opportunity, so Tieout did not make it'
            WHEN NOT coalesce(late.status IN ('open', 'confirmed'), false) THEN coalesce('the order is ' || replace(late.status, '_', ' '), 'the state of the order is unknown')
            WHEN list_contains(late.fields, 'lines') THEN 'lines were added or removed'
            WHEN split.order_d365_key IS NOT NULL THEN 'a line of the opportunity is split over several order lines'
            WHEN differing.untouched IS NOT NULL THEN 'Tieout never changes ' || differing.untouched || ' of an order'
            WHEN NOT coalesce(adding_up.is_equal, true) THEN 'the lines do not add up to the amount of the opportunity'
            WHEN list_contains(late.fields, 'amount') AND NOT coalesce(differing.writes, false)
                THEN 'no line differs by more than its tolerance'
        END AS obstacle, CASE
            WHEN late.is_won AND late.is_stopped AND coalesce(late.status IN ('open', 'confirmed'), false) THEN 'release'
            WHEN late.is_won THEN NULL
            WHEN late.is_stopped THEN 'stopped'
            WHEN late.is_ours AND coalesce(late.status IN ('open', 'confirmed'), false) THEN 'stop'
        END AS processing, CASE
            WHEN late.is_won OR late.is_stopped THEN NULL
            WHEN NOT late.is_ours THEN 'the order does not carry the id of the opportunity, so Tieout did not make it'
            WHEN NOT coalesce(late.status IN ('open', 'confirmed'), false) THEN coalesce('the order is ' || replace(late.status, '_', ' '), 'the state of the order is unknown')
        END AS processing_obstacle
    FROM late
    LEFT JOIN differing ON differing.salesforce_key = late.salesforce_key
    LEFT JOIN adding_up ON adding_up.salesforce_key = late.salesforce_key
    LEFT JOIN (SELECT DISTINCT order_d365_key FROM sales_order_line_record WHERE is_split) AS split
        ON split.order_d365_key = late.d365_lake_key
)
SELECT salesforce_key, company, order_number,
    is_won AND writes AND obstacle IS NULL AS is_amended,
    obstacle AS obstacle,
    processing AS processing,
    processing_obstacle AS processing_obstacle
FROM judged;

WITH due AS (
    SELECT * FROM sales_order_late WHERE is_amended OR processing IN ('stop', 'release')
),
written AS (
    SELECT found.salesforce_key, found.line_key, found.field
    FROM sales_order_difference AS found
    WHERE found.field IN ('purchase_order', 'requested_ship_date', 'line.quantity', 'line.unit_price', 'line.discount', 'line.amount') AND (found.salesforce_stored IS NOT NULL OR found.field IN ('purchase_order', 'requested_ship_date', 'line.discount'))
        AND found.kind <> 'case_or_blanks' AND found.damaged_side IS DISTINCT FROM 'salesforce'
),
changed_field AS (
    SELECT salesforce_key, list(field ORDER BY field) AS fields FROM written WHERE line_key IS NULL GROUP BY salesforce_key
),
line_fields AS (
    SELECT salesforce_key, line_key, list(substr(field, 6) ORDER BY field) AS fields
    FROM written WHERE line_key IS NOT NULL GROUP BY salesforce_key, line_key
),
changed_line AS (
    SELECT line_fields.salesforce_key, list({
            'lot': record.d365_lot, 'fields': line_fields.fields, 'line': {'Id': line."Id", 'OpportunityId': line."OpportunityId", 'SortOrder': line."SortOrder", 'ProductCode': line."ProductCode", 'Quantity': line."Quantity", 'UnitPrice': line."UnitPrice", 'Discount': line."Discount", 'TotalPrice': line."TotalPrice", 'IsDeleted': line."IsDeleted", 'Product2Id': line."Product2Id", 'CurrencyIsoCode': line."CurrencyIsoCode", 'ServiceDate': line."ServiceDate", 'CreatedDate': line."CreatedDate", 'LastModifiedDate': line."LastModifiedDate", 'SystemModstamp': line."SystemModstamp"}
        } ORDER BY record.line_number, record.d365_lot) AS lines
    FROM line_fields
    JOIN sales_order_line_record AS record
        ON record.salesforce_key = line_fields.line_key AND record.order_salesforce_key = line_fields.salesforce_key
    JOIN opportunity_line AS line ON line._key = line_fields.line_key
    WHERE record.d365_key IS NOT NULL
    GROUP BY line_fields.salesforce_key
),
line_version AS (
    SELECT _parent_key, max("SystemModstamp") AS version FROM opportunity_line GROUP BY _parent_key
)
SELECT due.salesforce_key, due.company, due.order_number, greatest(opportunity."SystemModstamp", line_version.version) AS version,
    {'Id': opportunity."Id", 'StageName': opportunity."StageName", 'AccountId': opportunity."AccountId", 'CurrencyIsoCode': opportunity."CurrencyIsoCode", 'Amount': opportunity."Amount", 'PO_Number__c': opportunity."PO_Number__c", 'Requested_Ship_Date__c': opportunity."Requested_Ship_Date__c", 'ERP_Order_Status__c': opportunity."ERP_Order_Status__c", 'ERP_Amount__c': opportunity."ERP_Amount__c", 'ERP_Order_Number__c': opportunity."ERP_Order_Number__c", 'ERP_Company__c': opportunity."ERP_Company__c", 'ERP_Synced_At__c': opportunity."ERP_Synced_At__c", 'IsDeleted': opportunity."IsDeleted", 'Name': opportunity."Name", 'IsWon': opportunity."IsWon", 'IsClosed': opportunity."IsClosed", 'CloseDate': opportunity."CloseDate", 'HasOpportunityLineItem': opportunity."HasOpportunityLineItem", 'CreatedDate': opportunity."CreatedDate", 'LastModifiedDate': opportunity."LastModifiedDate", 'SystemModstamp': opportunity."SystemModstamp"} AS opportunity, CASE WHEN due.is_amended THEN changed_field.fields END AS fields,
    CASE WHEN due.is_amended THEN changed_line.lines END AS lines, due.processing
FROM due
JOIN opportunity AS opportunity ON opportunity._key = due.salesforce_key
LEFT JOIN changed_field ON changed_field.salesforce_key = due.salesforce_key
LEFT JOIN changed_line ON changed_line.salesforce_key = due.salesforce_key
LEFT JOIN line_version ON line_version._parent_key = due.salesforce_key
ORDER BY due.salesforce_key;
