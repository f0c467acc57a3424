-- keyed_unsettled
SELECT _key_hash, count(*) = 2 AND bit_xor(_signed_hash) < 0 AS is_pair
FROM (
    SELECT _key_hash, _values_hash AS _signed_hash FROM keyed_salesforce
    UNION ALL
    SELECT _key_hash, -1 - _values_hash AS _signed_hash FROM keyed_d365
) AS every_row
GROUP BY _key_hash
HAVING NOT (count(*) = 2 AND bit_xor(_signed_hash) = -1);

-- keyed_suspect
SELECT unsettled._key_hash
FROM keyed_unsettled AS unsettled
ANTI JOIN (
    SELECT sf._key_hash
    FROM (SELECT _key_hash, _group_key, _compare_hash, "cmp_amount", "cmp_quantity", "cmp_rate", "cmp_ship_date" FROM keyed_salesforce WHERE _key_hash IN (SELECT _key_hash FROM keyed_unsettled WHERE is_pair)) AS sf
    JOIN (SELECT _key_hash, _group_key, _compare_hash, "cmp_amount", "cmp_quantity", "cmp_rate", "cmp_ship_date" FROM keyed_d365 WHERE _key_hash IN (SELECT _key_hash FROM keyed_unsettled WHERE is_pair)) AS d365 ON d365._key_hash = sf._key_hash
    WHERE NOT (sf._group_key <> d365._group_key
        OR sf._compare_hash <> d365._compare_hash
        OR coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")
        OR sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity"
        OR coalesce(abs(sf."cmp_rate" - d365."cmp_rate") * 100 > greatest(abs(sf."cmp_rate"), abs(d365."cmp_rate")) * 1, sf."cmp_rate" IS DISTINCT FROM d365."cmp_rate")
        OR (sf."cmp_ship_date" IS DISTINCT FROM d365."cmp_ship_date" AND sf."cmp_ship_date" IS NOT NULL))
) AS forgiven ON forgiven._key_hash = unsettled._key_hash;

-- keyed_group
SELECT coalesce(whole._key_hash, delivered._key_hash) AS _key_hash,
    coalesce(whole._group_key, delivered._group_key) AS _group_key,
    coalesce(whole._rows, 0) AS salesforce_rows, coalesce(delivered._rows, 0) AS d365_rows,
    coalesce(delivered._orders, 0) AS d365_orders,
    coalesce(whole._rows = 1 AND delivered._orders = delivered._rows, FALSE) AS is_comparable, delivered."cmp_amount", delivered."cmp_quantity"
FROM (
    SELECT _group_key, min(_key_hash) AS _key_hash, count(*) AS _rows
    FROM keyed_salesforce WHERE _key_hash IN (SELECT _key_hash FROM keyed_suspect)
    GROUP BY _group_key
) AS whole
FULL JOIN (
    SELECT _group_key, min(_key_hash) AS _key_hash, CAST(sum(_rows) AS BIGINT) AS _rows, count(*) AS _orders, sum("cmp_amount") AS "cmp_amount", sum("cmp_quantity") AS "cmp_quantity"
    FROM (
        SELECT _group_key, _key, min(_key_hash) AS _key_hash, count(*) AS _rows, sum("cmp_amount") AS "cmp_amount", sum("cmp_quantity") AS "cmp_quantity"
        FROM keyed_d365 WHERE _key_hash IN (SELECT _key_hash FROM keyed_suspect)
        GROUP BY _group_key, _key
    ) AS delivered_order
    GROUP BY _group_key
) AS delivered ON delivered._group_key = whole._group_key;

-- keyed_explained
SELECT sf._group_key,
    bool_or(sf."cmp_status" IS DISTINCT FROM d365."cmp_status") AS "differs_status",
    bool_or(sf."cmp_currency" IS DISTINCT FROM d365."cmp_currency") AS "differs_currency",
    bool_or(coalesce(abs(sf."cmp_amount" - d365."cmp_amount") > 0.01, sf."cmp_amount" IS DISTINCT FROM d365."cmp_amount")) AS "differs_amount",
    bool_or(sf."cmp_quantity" IS DISTINCT FROM d365."cmp_quantity") AS "differs_quantity",
    bool_or(coalesce(abs(sf."cmp_rate" - d365."cmp_rate") * 100 > greatest(abs(sf."cmp_rate"), abs(d365."cmp_rate")) * 1, sf."cmp_rate" IS DISTINCT FROM d365."cmp_rate")) AS "differs_rate",
    bool_or((sf."cmp_ship_date" IS DISTINCT FROM d365."cmp_ship_date" AND sf."cmp_ship_date" IS NOT NULL)) AS "differs_ship_date"
FROM (SELECT _key_hash, _group_key, "cmp_status", "cmp_currency", "cmp_amount", "cmp_quantity", "cmp_rate", "cmp_ship_date" FROM keyed_salesforce WHERE _key_hash IN (SELECT _key_hash FROM keyed_group WHERE is_comparable)) AS sf
JOIN (
    SELECT part._key_hash, part._group_key, part."cmp_status", part."cmp_currency", delivered."cmp_amount", delivered."cmp_quantity", part."cmp_rate", part."cmp_ship_date"
    FROM (SELECT _key_hash, _group_key, "cmp_status", "cmp_currency", "cmp_amount", "cmp_quantity", "cmp_rate", "cmp_ship_date" FROM keyed_d365 WHERE _key_hash IN (SELECT _key_hash FROM keyed_group WHERE is_comparable)) AS part
    JOIN (SELECT * FROM keyed_group WHERE is_comparable) AS delivered
        ON delivered._key_hash = part._key_hash AND delivered._group_key = part._group_key
) AS d365 ON d365._key_hash = sf._key_hash AND d365._group_key = sf._group_key
GROUP BY sf._group_key;

-- keyed_judged
SELECT key, CASE
        WHEN salesforce_rows > 1 OR d365_orders < d365_rows THEN 'duplicate'
        WHEN d365_rows = 0 THEN 'only_in_salesforce'
        WHEN salesforce_rows = 0 THEN 'only_in_d365'
        WHEN fields IS NULL THEN 'matched'
        ELSE 'differs' END AS verdict, fields, salesforce_rows, d365_rows
FROM (
    SELECT both_sides._group_key AS key, nullif(concat_ws(',', CASE WHEN explained."differs_status" THEN 'status' END, CASE WHEN explained."differs_currency" THEN 'currency' END, CASE WHEN explained."differs_amount" THEN 'amount' END, CASE WHEN explained."differs_quantity" THEN 'quantity' END, CASE WHEN explained."differs_rate" THEN 'rate' END, CASE WHEN explained."differs_ship_date" THEN 'ship_date' END), '') AS fields,
        both_sides.salesforce_rows, both_sides.d365_rows, both_sides.d365_orders
    FROM keyed_group AS both_sides
    LEFT JOIN keyed_explained AS explained ON explained._group_key = both_sides._group_key
) AS found;

-- keyed_verdict
SELECT _group_key AS key, 'matched' AS verdict, CAST(NULL AS VARCHAR) AS fields,
    CAST(1 AS BIGINT) AS salesforce_rows, CAST(1 AS BIGINT) AS d365_rows
FROM keyed_salesforce AS sf
ANTI JOIN keyed_suspect AS suspect ON suspect._key_hash = sf._key_hash
UNION ALL
SELECT key, verdict, fields, salesforce_rows, d365_rows
FROM keyed_judged;

-- keyed_field_count
SELECT
    count(*) FILTER (WHERE "differs_status") AS "cmp_status",
    count(*) FILTER (WHERE "differs_currency") AS "cmp_currency",
    count(*) FILTER (WHERE "differs_amount") AS "cmp_amount",
    count(*) FILTER (WHERE "differs_quantity") AS "cmp_quantity",
    count(*) FILTER (WHERE "differs_rate") AS "cmp_rate",
    count(*) FILTER (WHERE "differs_ship_date") AS "cmp_ship_date"
FROM keyed_explained;

-- keyed_total
SELECT 'salesforce' AS side, "cmp_currency" AS currency, count(*) AS row_count, sum("cmp_amount") AS "cmp_amount"
FROM keyed_salesforce
GROUP BY "cmp_currency"
UNION ALL
SELECT 'd365' AS side, "cmp_currency" AS currency, count(*) AS row_count, sum("cmp_amount") AS "cmp_amount"
FROM keyed_d365
GROUP BY "cmp_currency";
