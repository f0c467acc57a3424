CREATE OR REPLACE TEMP TABLE sales_order_named AS
SELECT joined.salesforce_key, joined.d365_key, bool_or(joined.is_sure) AS is_sure, bool_or(joined.is_by_line) AS is_by_line
FROM (
    SELECT sf._key, d365._key, true, false
    FROM (SELECT _key, nullif(lower("CustomersOrderReference"), '') AS name FROM sales_order) AS d365
    LEFT JOIN crosswalk_sales_order AS linked ON linked.d365_lake_key = d365._key AND lower(linked.salesforce_id) = d365.name
    JOIN opportunity AS sf ON lower(sf._key) = d365.name
    WHERE linked.d365_lake_key IS NULL
    UNION ALL
    SELECT sf._key, d365._key, true, false
    FROM (SELECT _key, CASE WHEN starts_with(lower("SalesOrderNumber"), 't-') THEN substr(lower("SalesOrderNumber"), 3) END AS name FROM sales_order) AS d365
    LEFT JOIN crosswalk_sales_order AS linked ON linked.d365_lake_key = d365._key AND lower(linked.salesforce_id) = d365.name
    JOIN opportunity AS sf ON lower(sf._key) = d365.name
    WHERE linked.d365_lake_key IS NULL
    UNION ALL
    SELECT DISTINCT sf._parent_key AS salesforce_key, d365._parent_key AS d365_key, true AS is_sure, true AS is_by_line
    FROM (
        SELECT _parent_key, lower("OrderLineReference") AS reference FROM sales_order_line WHERE lower(coalesce("SalesOrderLineStatus", '')) <> 'canceled'
    ) AS d365
    JOIN (SELECT _parent_key, lower(_key) AS reference FROM opportunity_line WHERE NOT coalesce("IsDeleted", false)) AS sf
        ON sf.reference = d365.reference
    ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = sf._parent_key AND linked.d365_lake_key = d365._parent_key
    UNION ALL
    SELECT sf._key, d365._key, false, false
    FROM opportunity AS sf
    JOIN sales_order AS d365 ON lower(sf."ERP_Order_Number__c") = lower(d365."dataAreaId" || '/' || d365."SalesOrderNumber")
    ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = sf._key
) AS joined (salesforce_key, d365_key, is_sure, is_by_line)
SEMI JOIN opportunity AS opportunity ON opportunity._key = joined.salesforce_key
SEMI JOIN sales_order AS sales_order ON sales_order._key = joined.d365_key
GROUP BY joined.salesforce_key, joined.d365_key;

CREATE OR REPLACE TEMP TABLE grouped_opportunity AS
WITH bad_opportunity AS (
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
touched AS (
    SELECT salesforce_key FROM sales_order_named
    UNION
    SELECT linked.salesforce_id
    FROM crosswalk_sales_order AS linked SEMI JOIN sales_order_named AS named ON named.d365_key = linked.d365_lake_key
),
line_sum AS (
    SELECT line._parent_key, count(*) AS lines, sum("cmp_quantity") AS quantity
    FROM opportunity_line AS line SEMI JOIN touched ON touched.salesforce_key = line._parent_key
    WHERE NOT coalesce("IsDeleted", false)
    GROUP BY line._parent_key
)
SELECT opportunity._key AS salesforce_key, opportunity.cmp_currency AS currency, coalesce(strftime(coalesce("CloseDate"), '%Y-%m'), '') AS month,
    coalesce(opportunity."Amount", 0) AS amount, coalesce(line_sum.lines, 0) AS lines,
    coalesce(line_sum.quantity, 0) AS quantity
FROM opportunity AS opportunity
SEMI JOIN touched ON touched.salesforce_key = opportunity._key
LEFT JOIN line_sum ON line_sum._parent_key = opportunity._key
ANTI JOIN bad_opportunity AS bad ON bad._key = opportunity._key
ANTI JOIN sales_order_repeated AS repeated ON repeated._key = opportunity._key
WHERE NOT coalesce("IsDeleted", false) AND "cmp_stage" IS NOT DISTINCT FROM 'won';

CREATE OR REPLACE TEMP TABLE grouped_order AS
WITH bad_opportunity AS (
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
touched AS (
    SELECT d365_key FROM sales_order_named
    UNION
    SELECT linked.d365_lake_key
    FROM crosswalk_sales_order AS linked SEMI JOIN sales_order_named AS named ON named.salesforce_key = linked.salesforce_id
),
line_sum AS (
    SELECT line._parent_key, sum("LineAmount")::DECIMAL(28,6) AS amount, sum("cmp_quantity") AS quantity
    FROM sales_order_line AS line SEMI JOIN touched ON touched.d365_key = line._parent_key
    WHERE lower(coalesce("SalesOrderLineStatus", '')) <> 'canceled'
    GROUP BY line._parent_key
)
SELECT sales_order._key AS d365_key, lower(sales_order."dataAreaId") AS company, sales_order.cmp_currency AS currency,
    coalesce(line_sum.amount, 0) AS amount, coalesce(line_sum.quantity, 0) AS quantity
FROM sales_order AS sales_order
JOIN line_sum ON line_sum._parent_key = sales_order._key
ANTI JOIN bad_order AS bad ON bad._key = sales_order._key
ANTI JOIN sales_order_repeated AS repeated ON repeated._key = sales_order._key
WHERE cmp_order_status IS DISTINCT FROM 'canceled';

CREATE OR REPLACE TEMP TABLE every_edge AS
WITH link AS (
    SELECT linked.salesforce_id AS salesforce_key, linked.d365_lake_key AS d365_key, linked.company,
        coalesce(sf.currency = d365.currency, false) AS is_good,
        coalesce(sf.currency = d365.currency AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount") AND NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity", false) AS is_even
    FROM crosswalk_sales_order AS linked
    LEFT JOIN (SELECT salesforce_key, currency, amount AS "cmp_amount", quantity AS "cmp_quantity" FROM grouped_opportunity) AS sf ON sf.salesforce_key = linked.salesforce_id
    LEFT JOIN (SELECT d365_key, currency, amount AS "cmp_amount", quantity AS "cmp_quantity" FROM grouped_order) AS d365 ON d365.d365_key = linked.d365_lake_key
    WHERE sf.salesforce_key IS NOT NULL OR d365.d365_key IS NOT NULL
)
SELECT salesforce_key, d365_key, true AS is_linked, true AS is_sure FROM link WHERE is_good
UNION ALL
SELECT named.salesforce_key, named.d365_key, false, named.is_sure
FROM sales_order_named AS named
JOIN grouped_opportunity AS opportunity ON opportunity.salesforce_key = named.salesforce_key
JOIN grouped_order AS sales_order ON sales_order.d365_key = named.d365_key AND sales_order.currency = opportunity.currency
LEFT JOIN link AS of_opportunity ON of_opportunity.salesforce_key = named.salesforce_key
LEFT JOIN link AS of_order ON of_order.d365_key = named.d365_key
WHERE coalesce(of_opportunity.is_good, true) AND coalesce(of_order.is_good, true)
    AND coalesce(of_opportunity.company = sales_order.company, true)
    AND (named.is_by_line OR NOT (coalesce(of_opportunity.is_even, false) AND coalesce(of_order.is_even, false)));

CREATE OR REPLACE TEMP TABLE every_label AS
SELECT DISTINCT salesforce_key, salesforce_key AS group_key FROM every_edge;

CREATE OR REPLACE TEMP TABLE every_group AS
WITH salesforce_sum AS (
    SELECT label.group_key, count(*) AS opportunities, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount",
        sum(member.quantity) AS "cmp_quantity", sum(member.lines) AS lines, min(member.month) AS month, min(member.currency) AS currency
    FROM every_label AS label JOIN grouped_opportunity AS member ON member.salesforce_key = label.salesforce_key
    GROUP BY label.group_key
),
d365_sum AS (
    SELECT label.group_key, count(*) AS orders, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount", sum(member.quantity) AS "cmp_quantity",
        count(DISTINCT member.company) AS companies, min(member.company) AS company
    FROM (
        SELECT DISTINCT label.group_key, edge.d365_key
        FROM every_edge AS edge JOIN every_label AS label ON label.salesforce_key = edge.salesforce_key
    ) AS label
    JOIN grouped_order AS member ON member.d365_key = label.d365_key
    GROUP BY label.group_key
),
linked AS (
    SELECT label.group_key, bool_or(edge.is_linked) AS is_linked
    FROM every_edge AS edge JOIN every_label AS label ON label.salesforce_key = edge.salesforce_key
    GROUP BY label.group_key
),
summed AS (
    SELECT linked.group_key, linked.is_linked, sf.opportunities, sf.month, sf.lines, sf.currency, d365.orders, d365.companies, d365.company,
        sf."cmp_amount" AS salesforce_amount, d365."cmp_amount" AS d365_amount, sf."cmp_quantity" AS salesforce_quantity,
        NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount") AS is_equal_in_amount,
        sf.lines = 0 OR NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity" AS is_equal_in_quantity
    FROM linked
    JOIN salesforce_sum AS sf ON sf.group_key = linked.group_key
    JOIN d365_sum AS d365 ON d365.group_key = linked.group_key
)
SELECT *, companies = 1 AND is_equal_in_amount AND is_equal_in_quantity AND opportunities + orders > 2 AS is_whole
FROM summed;

CREATE OR REPLACE TEMP TABLE sure_edge AS
SELECT edge.*
FROM every_edge AS edge
JOIN every_label AS label ON label.salesforce_key = edge.salesforce_key
JOIN every_group AS component ON component.group_key = label.group_key
WHERE edge.is_sure AND NOT component.is_whole;

CREATE OR REPLACE TEMP TABLE sure_label AS
SELECT DISTINCT salesforce_key, salesforce_key AS group_key FROM sure_edge;

CREATE OR REPLACE TEMP TABLE sure_group AS
WITH salesforce_sum AS (
    SELECT label.group_key, count(*) AS opportunities, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount",
        sum(member.quantity) AS "cmp_quantity", sum(member.lines) AS lines, min(member.month) AS month, min(member.currency) AS currency
    FROM sure_label AS label JOIN grouped_opportunity AS member ON member.salesforce_key = label.salesforce_key
    GROUP BY label.group_key
),
d365_sum AS (
    SELECT label.group_key, count(*) AS orders, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount", sum(member.quantity) AS "cmp_quantity",
        count(DISTINCT member.company) AS companies, min(member.company) AS company
    FROM (
        SELECT DISTINCT label.group_key, edge.d365_key
        FROM sure_edge AS edge JOIN sure_label AS label ON label.salesforce_key = edge.salesforce_key
    ) AS label
    JOIN grouped_order AS member ON member.d365_key = label.d365_key
    GROUP BY label.group_key
),
linked AS (
    SELECT label.group_key, bool_or(edge.is_linked) AS is_linked
    FROM sure_edge AS edge JOIN sure_label AS label ON label.salesforce_key = edge.salesforce_key
    GROUP BY label.group_key
),
summed AS (
    SELECT linked.group_key, linked.is_linked, sf.opportunities, sf.month, sf.lines, sf.currency, d365.orders, d365.companies, d365.company,
        sf."cmp_amount" AS salesforce_amount, d365."cmp_amount" AS d365_amount, sf."cmp_quantity" AS salesforce_quantity,
        NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount") AS is_equal_in_amount,
        sf.lines = 0 OR NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity" AS is_equal_in_quantity
    FROM linked
    JOIN salesforce_sum AS sf ON sf.group_key = linked.group_key
    JOIN d365_sum AS d365 ON d365.group_key = linked.group_key
)
SELECT *, companies = 1 AND is_equal_in_amount AND is_equal_in_quantity AND opportunities + orders > 2 AS is_whole
FROM summed;

CREATE OR REPLACE TEMP TABLE repeating_order AS
SELECT DISTINCT d365.d365_key, label.group_key
FROM sure_edge AS edge
JOIN sure_label AS label ON label.salesforce_key = edge.salesforce_key
JOIN (
    SELECT group_key, orders, is_whole, salesforce_amount AS "cmp_amount", salesforce_quantity AS "cmp_quantity" FROM sure_group
) AS sf ON sf.group_key = label.group_key
JOIN (
    SELECT d365_key, amount AS "cmp_amount", quantity AS "cmp_quantity" FROM grouped_order
) AS d365 ON d365.d365_key = edge.d365_key
ANTI JOIN (SELECT d365_key FROM sure_edge WHERE is_linked) AS linked ON linked.d365_key = edge.d365_key
WHERE sf.orders > 1 AND NOT sf.is_whole AND (
        (sf."cmp_amount" <> 0 AND NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")) OR (d365."cmp_amount" = 0 AND NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity")
    );

CREATE OR REPLACE TEMP TABLE unrepeated_edge AS
SELECT edge.* FROM sure_edge AS edge ANTI JOIN repeating_order AS repeating ON repeating.d365_key = edge.d365_key;

CREATE OR REPLACE TEMP TABLE unrepeated_label AS
SELECT DISTINCT salesforce_key, salesforce_key AS group_key FROM unrepeated_edge;

CREATE OR REPLACE TEMP TABLE unrepeated_group AS
WITH salesforce_sum AS (
    SELECT label.group_key, count(*) AS opportunities, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount",
        sum(member.quantity) AS "cmp_quantity", sum(member.lines) AS lines, min(member.month) AS month, min(member.currency) AS currency
    FROM unrepeated_label AS label JOIN grouped_opportunity AS member ON member.salesforce_key = label.salesforce_key
    GROUP BY label.group_key
),
d365_sum AS (
    SELECT label.group_key, count(*) AS orders, sum(member.amount)::DECIMAL(28,6) AS "cmp_amount", sum(member.quantity) AS "cmp_quantity",
        count(DISTINCT member.company) AS companies, min(member.company) AS company
    FROM (
        SELECT DISTINCT label.group_key, edge.d365_key
        FROM unrepeated_edge AS edge JOIN unrepeated_label AS label ON label.salesforce_key = edge.salesforce_key
    ) AS label
    JOIN grouped_order AS member ON member.d365_key = label.d365_key
    GROUP BY label.group_key
),
linked AS (
    SELECT label.group_key, bool_or(edge.is_linked) AS is_linked
    FROM unrepeated_edge AS edge JOIN unrepeated_label AS label ON label.salesforce_key = edge.salesforce_key
    GROUP BY label.group_key
),
summed AS (
    SELECT linked.group_key, linked.is_linked, sf.opportunities, sf.month, sf.lines, sf.currency, d365.orders, d365.companies, d365.company,
        sf."cmp_amount" AS salesforce_amount, d365."cmp_amount" AS d365_amount, sf."cmp_quantity" AS salesforce_quantity,
        NOT coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount") AS is_equal_in_amount,
        sf.lines = 0 OR NOT sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity" AS is_equal_in_quantity
    FROM linked
    JOIN salesforce_sum AS sf ON sf.group_key = linked.group_key
    JOIN d365_sum AS d365 ON d365.group_key = linked.group_key
)
SELECT *, companies = 1 AND is_equal_in_amount AND is_equal_in_quantity AND opportunities + orders > 2 AS is_whole
FROM summed;

CREATE OR REPLACE TEMP TABLE sales_order_group_row AS
WITH judged AS (
    SELECT edge.salesforce_key, edge.d365_key, edge.is_linked, component.*
    FROM every_edge AS edge
    JOIN every_label AS label ON label.salesforce_key = edge.salesforce_key
    JOIN every_group AS component ON component.group_key = label.group_key
    WHERE component.is_whole
    UNION ALL
    SELECT edge.salesforce_key, edge.d365_key, edge.is_linked, component.*
    FROM unrepeated_edge AS edge
    JOIN unrepeated_label AS label ON label.salesforce_key = edge.salesforce_key
    JOIN unrepeated_group AS component ON component.group_key = label.group_key
    LEFT JOIN (
        SELECT DISTINCT label.salesforce_key
        FROM repeating_order AS repeating JOIN sure_label AS label ON label.group_key = repeating.group_key
    ) AS repeated ON repeated.salesforce_key = component.group_key
    WHERE component.companies = 1 AND component.opportunities + component.orders > 2
        AND (component.is_whole OR component.is_linked OR repeated.salesforce_key IS NULL)
)
SELECT group_key, salesforce_key, d365_key, is_linked, is_whole, is_equal_in_amount, company, currency, month, opportunities, orders,
    salesforce_amount, d365_amount,
    CASE
        WHEN opportunities = 1 THEN 'delivered as ' || orders || ' orders'
        WHEN orders = 1 THEN opportunities || ' opportunities on one order'
        ELSE opportunities || ' opportunities delivered as ' || orders || ' orders'
    END AS reason,
    row_number() OVER (PARTITION BY salesforce_key ORDER BY is_linked DESC, d365_key) = 1 AS owns_salesforce,
    row_number() OVER (PARTITION BY d365_key ORDER BY is_linked DESC, salesforce_key) = 1 AS owns_d365,
    row_number() OVER (PARTITION BY group_key ORDER BY is_linked DESC, salesforce_key, d365_key) = 1 AS is_lead
FROM judged;
