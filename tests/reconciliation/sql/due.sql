WITH due AS (
    SELECT record.salesforce_key, record.company, record.account_id
    FROM sales_order_record AS record
    JOIN sales_order_verdict AS verdict ON verdict.salesforce_key = record.salesforce_key AND record.d365_lake_key IS NULL
    WHERE verdict.verdict = 'only_in_salesforce' AND verdict.reason IS NULL
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
due_line AS (
    SELECT line._parent_key, list({'Id': line."Id", 'OpportunityId': line."OpportunityId", 'SortOrder': line."SortOrder", 'ProductCode': line."ProductCode", 'Quantity': line."Quantity", 'UnitPrice': line."UnitPrice", 'Discount': line."Discount", 'TotalPrice': line."TotalPrice", 'IsDeleted': line."IsDeleted", 'Product2Id': line."Product2Id", 'CurrencyIsoCode': line."CurrencyIsoCode", 'ServiceDate': line."ServiceDate", 'CreatedDate': line."CreatedDate", 'LastModifiedDate': line."LastModifiedDate", 'SystemModstamp': line."SystemModstamp", 'line_number': line.line_number} ORDER BY line.line_number, line._key) AS lines,
        list(DISTINCT {'_key': product._key, 'unit': product."QuantityUnitOfMeasure"}) FILTER (product._key IS NOT NULL) AS products
    FROM (
        SELECT line.*, CASE
        WHEN count(DISTINCT "SortOrder") OVER of_opportunity = count(*) OVER of_opportunity THEN "SortOrder"
        ELSE row_number() OVER (PARTITION BY line._parent_key ORDER BY "SortOrder" NULLS LAST, line._key)
    END AS line_number
FROM opportunity_line AS line
WHERE NOT coalesce("IsDeleted", false)
WINDOW of_opportunity AS (PARTITION BY line._parent_key)
    ) AS line
    SEMI JOIN due ON due.salesforce_key = line._parent_key
    LEFT JOIN product AS product ON product._key = line."Product2Id"
    GROUP BY line._parent_key
)
SELECT due.salesforce_key, due.company, due.account_id, account_state.customer_account,
    {'Id': opportunity."Id", 'StageName': opportunity."StageName", 'AccountId': opportunity."AccountId", 'CurrencyIsoCode': opportunity."CurrencyIsoCode", 'Amount': opportunity."Amount", 'PO_Number__c': opportunity."PO_Number__c", 'Requested_Ship_Date__c': opportunity."Requested_Ship_Date__c", 'ERP_Order_Status__c': opportunity."ERP_Order_Status__c", 'ERP_Amount__c': opportunity."ERP_Amount__c", 'ERP_Order_Number__c': opportunity."ERP_Order_Number__c", 'ERP_Company__c': opportunity."ERP_Company__c", 'ERP_Synced_At__c': opportunity."ERP_Synced_At__c", 'IsDeleted': opportunity."IsDeleted", 'Name': opportunity."Name", 'IsWon': opportunity."IsWon", 'IsClosed': opportunity."IsClosed", 'CloseDate': opportunity."CloseDate", 'HasOpportunityLineItem': opportunity."HasOpportunityLineItem", 'CreatedDate': opportunity."CreatedDate", 'LastModifiedDate': opportunity."LastModifiedDate", 'SystemModstamp': opportunity."SystemModstamp"} AS opportunity, due_line.lines, due_line.products
FROM due
JOIN opportunity AS opportunity ON opportunity._key = due.salesforce_key
JOIN due_line ON due_line._parent_key = due.salesforce_key
LEFT JOIN account_state ON account_state.account_id = due.account_id AND account_state.company = due.company
ORDER BY due.salesforce_key;

WITH account_state AS (
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
)
SELECT DISTINCT ON (record.account_id, record.company) record.account_id, record.company, {'Id': account."Id", 'Name': account."Name", 'BillingStreet': account."BillingStreet", 'BillingCity': account."BillingCity", 'BillingPostalCode': account."BillingPostalCode", 'BillingState': account."BillingState", 'BillingCountry': account."BillingCountry", 'Phone': account."Phone", 'Email__c': account."Email__c", 'CurrencyIsoCode': account."CurrencyIsoCode", 'Payment_Terms__c': account."Payment_Terms__c", 'Credit_Limit__c': account."Credit_Limit__c", 'ERP_On_Hold__c': account."ERP_On_Hold__c", 'ERP_Number__c': account."ERP_Number__c", 'ERP_Company__c': account."ERP_Company__c", 'AccountNumber': account."AccountNumber", 'ERP_Synced_At__c': account."ERP_Synced_At__c", 'IsDeleted': account."IsDeleted", 'MasterRecordId': account."MasterRecordId", 'ParentId': account."ParentId", 'CreatedDate': account."CreatedDate", 'LastModifiedDate': account."LastModifiedDate", 'SystemModstamp': account."SystemModstamp"} AS account
FROM sales_order_verdict AS verdict
JOIN sales_order_record AS record ON record.salesforce_key = verdict.salesforce_key AND record.d365_lake_key IS NULL
JOIN account_state ON account_state.account_id = record.account_id AND account_state.company = record.company
JOIN account AS account ON account._key = record.account_id
WHERE verdict.verdict = 'only_in_salesforce' AND verdict.reason IS NULL AND account_state.state IS NULL
ORDER BY record.account_id, record.company;

SELECT difference.salesforce_key, difference.company, difference.d365_key, difference.field, difference.salesforce_stored,
    account."SystemModstamp" AS version
FROM customer_difference AS difference
JOIN account AS account ON account._key = difference.salesforce_key
WHERE difference.owner = 'salesforce' AND difference.on_difference = 'write' AND difference.kind <> 'case_or_blanks'
    AND difference.damaged_side IS DISTINCT FROM 'salesforce'
    AND difference.field IN ('name', 'street', 'city', 'postal_code', 'state', 'country', 'phone', 'email', 'currency', 'payment_terms', 'credit_limit', 'on_hold')
ORDER BY difference.salesforce_key, difference.company, difference.field;

WITH told AS (
    SELECT linked.salesforce_id, unnest([
        {'field': 'ERP_Number__c', 'salesforce_value': sf."ERP_Number__c"::VARCHAR, 'wanted_value': (linked.company || '/' || linked.d365_key)::VARCHAR, 'changes': sf."ERP_Number__c" IS DISTINCT FROM linked.company || '/' || linked.d365_key},
        {'field': 'Payment_Terms__c', 'salesforce_value': sf."Payment_Terms__c"::VARCHAR, 'wanted_value': (d365."PaymentTerms")::VARCHAR, 'changes': sf."cmp_payment_terms" IS DISTINCT FROM d365."cmp_payment_terms"},
        {'field': 'Credit_Limit__c', 'salesforce_value': sf."Credit_Limit__c"::VARCHAR, 'wanted_value': (d365."CreditLimit")::VARCHAR, 'changes': coalesce(abs(sf."cmp_credit_limit" - d365."cmp_credit_limit") > 0.01, sf."cmp_credit_limit" IS DISTINCT FROM d365."cmp_credit_limit")},
        {'field': 'ERP_On_Hold__c', 'salesforce_value': sf."ERP_On_Hold__c"::VARCHAR, 'wanted_value': (CASE d365."cmp_on_hold" WHEN 'No' THEN 'No' WHEN 'Invoice' THEN 'Invoice' WHEN 'All' THEN 'All' WHEN 'Payment' THEN 'Payment' WHEN 'Requisition' THEN 'Requisition' WHEN 'Never' THEN 'Never' WHEN 'PurchOrder' THEN 'PurchOrder' END)::VARCHAR, 'changes': (sf."cmp_on_hold" IS DISTINCT FROM d365."cmp_on_hold" AND CASE d365."cmp_on_hold" WHEN 'No' THEN 'No' WHEN 'Invoice' THEN 'Invoice' WHEN 'All' THEN 'All' WHEN 'Payment' THEN 'Payment' WHEN 'Requisition' THEN 'Requisition' WHEN 'Never' THEN 'Never' WHEN 'PurchOrder' THEN 'PurchOrder' END IS NOT NULL)}
    ]) AS told
    FROM crosswalk_customer AS linked
    JOIN account AS sf ON sf._key = linked.salesforce_id
    JOIN customer AS d365 ON d365._key = linked.d365_lake_key
    ANTI JOIN (SELECT * FROM customer_record WHERE is_quarantined) AS bad ON bad.salesforce_key = linked.salesforce_id
    WHERE linked.is_primary
)
SELECT salesforce_id, told.field, told.salesforce_value, told.wanted_value
FROM told WHERE told.changes
ORDER BY salesforce_id, told.field;

WITH told AS (
    SELECT linked.salesforce_id, unnest([
        {'field': 'ERP_Order_Number__c', 'salesforce_value': sf."ERP_Order_Number__c"::VARCHAR, 'wanted_value': (linked.company || '/' || linked.d365_key)::VARCHAR, 'changes': sf."ERP_Order_Number__c" IS DISTINCT FROM linked.company || '/' || linked.d365_key},
        {'field': 'ERP_Order_Status__c', 'salesforce_value': sf."ERP_Order_Status__c"::VARCHAR, 'wanted_value': (CASE d365."cmp_order_status" WHEN 'canceled' THEN 'Canceled' WHEN 'invoiced' THEN 'Invoiced' WHEN 'partially_invoiced' THEN 'Partially invoiced' WHEN 'delivered' THEN 'Delivered' WHEN 'partially_delivered' THEN 'Partially delivered' WHEN 'picked' THEN 'Picked' WHEN 'confirmed' THEN 'Confirmed' WHEN 'open' THEN 'Open' END)::VARCHAR, 'changes': (sf."cmp_order_status" IS DISTINCT FROM d365."cmp_order_status" AND CASE d365."cmp_order_status" WHEN 'canceled' THEN 'Canceled' WHEN 'invoiced' THEN 'Invoiced' WHEN 'partially_invoiced' THEN 'Partially invoiced' WHEN 'delivered' THEN 'Delivered' WHEN 'partially_delivered' THEN 'Partially delivered' WHEN 'picked' THEN 'Picked' WHEN 'confirmed' THEN 'Confirmed' WHEN 'open' THEN 'Open' END IS NOT NULL)},
        {'field': 'ERP_Amount__c', 'salesforce_value': sf."ERP_Amount__c"::VARCHAR, 'wanted_value': (round(coalesce(line_total."total_amount", 0), 2))::VARCHAR, 'changes': sf."ERP_Amount__c" IS DISTINCT FROM round(coalesce(line_total."total_amount", 0), 2)}
    ]) AS told
    FROM crosswalk_sales_order AS linked
    JOIN opportunity AS sf ON sf._key = linked.salesforce_id
    JOIN sales_order AS d365 ON d365._key = linked.d365_lake_key
    LEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = d365._key
    ANTI JOIN (SELECT * FROM sales_order_record WHERE is_quarantined) AS bad ON bad.salesforce_key = linked.salesforce_id
    WHERE linked.is_primary
)
SELECT salesforce_id, told.field, told.salesforce_value, told.wanted_value
FROM told WHERE told.changes
ORDER BY salesforce_id, told.field;
