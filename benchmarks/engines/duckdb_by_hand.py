"""The same job as a person would write it in DuckDB SQL, staged: a narrow join of the canonical files, then a look at the suspects."""

from pathlib import Path

from benchmarks.engines.duckdb_settings import connected

# Everything that is not one row on each side with equal texts and numbers within their tolerances.
SUSPECT = """CREATE TEMP TABLE suspect AS
SELECT coalesce(sf._key_hash, d._key_hash) AS _key_hash
FROM salesforce sf FULL JOIN d365 d ON d._key_hash = sf._key_hash
GROUP BY 1
HAVING count(*) > 1 OR bool_or(
    sf._key_hash IS NULL OR d._key_hash IS NULL OR sf._compare_hash <> d._compare_hash
    OR coalesce(abs(sf.cmp_amount - d.cmp_amount) > 0.01, sf.cmp_amount IS DISTINCT FROM d.cmp_amount)
    OR coalesce(abs(sf.cmp_tax - d.cmp_tax) > 0.01, sf.cmp_tax IS DISTINCT FROM d.cmp_tax)
    OR coalesce(abs(sf.cmp_freight - d.cmp_freight) > 0.01, sf.cmp_freight IS DISTINCT FROM d.cmp_freight)
    OR coalesce(abs(sf.cmp_discount - d.cmp_discount) > 0.01, sf.cmp_discount IS DISTINCT FROM d.cmp_discount)
    OR sf.cmp_quantity IS DISTINCT FROM d.cmp_quantity
    OR coalesce(abs(sf.cmp_exchange_rate - d.cmp_exchange_rate) > 0.0001, sf.cmp_exchange_rate IS DISTINCT FROM d.cmp_exchange_rate)
    OR coalesce(abs(sf.cmp_modified_at - d.cmp_modified_at) > 1000000, sf.cmp_modified_at IS DISTINCT FROM d.cmp_modified_at))"""

JUDGED = """CREATE TEMP TABLE judged AS
WITH sf AS (SELECT *, count(*) OVER (PARTITION BY _group_key) AS copies FROM salesforce SEMI JOIN suspect USING (_key_hash)),
part AS (SELECT * FROM d365 SEMI JOIN suspect USING (_key_hash)),
delivered AS (
    SELECT _group_key, count(*) > count(DISTINCT _key) AS is_repeated, sum(cmp_amount) AS amount, sum(cmp_tax) AS tax,
        sum(cmp_freight) AS freight, sum(cmp_discount) AS discount, sum(cmp_quantity) AS quantity
    FROM part GROUP BY _group_key
)
SELECT coalesce(sf._group_key, d._group_key) AS key, max(sf.copies) > 1 OR bool_or(delivered.is_repeated) AS is_repeated,
    count(sf._key) = 0 AS is_only_d365, count(d._key) = 0 AS is_only_sf, concat_ws(',',
    CASE WHEN bool_or(sf.cmp_customer_name IS DISTINCT FROM d.cmp_customer_name) THEN 'customer_name' END,
    CASE WHEN bool_or(sf.cmp_purchase_order IS DISTINCT FROM d.cmp_purchase_order) THEN 'purchase_order' END,
    CASE WHEN bool_or(sf.cmp_sales_rep IS DISTINCT FROM d.cmp_sales_rep) THEN 'sales_rep' END,
    CASE WHEN bool_or(sf.cmp_customer_account IS DISTINCT FROM d.cmp_customer_account) THEN 'customer_account' END,
    CASE WHEN bool_or(sf.cmp_email IS DISTINCT FROM d.cmp_email) THEN 'email' END,
    CASE WHEN bool_or(sf.cmp_phone IS DISTINCT FROM d.cmp_phone) THEN 'phone' END,
    CASE WHEN bool_or(sf.cmp_street IS DISTINCT FROM d.cmp_street) THEN 'street' END,
    CASE WHEN bool_or(sf.cmp_city IS DISTINCT FROM d.cmp_city) THEN 'city' END,
    CASE WHEN bool_or(sf.cmp_postal_code IS DISTINCT FROM d.cmp_postal_code) THEN 'postal_code' END,
    CASE WHEN bool_or(sf.cmp_country IS DISTINCT FROM d.cmp_country) THEN 'country' END,
    CASE WHEN bool_or(sf.cmp_payment_terms IS DISTINCT FROM d.cmp_payment_terms) THEN 'payment_terms' END,
    CASE WHEN bool_or(sf.cmp_status IS DISTINCT FROM d.cmp_status) THEN 'status' END,
    CASE WHEN bool_or(sf.cmp_currency IS DISTINCT FROM d.cmp_currency) THEN 'currency' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_amount - amount) > 0.01, sf.cmp_amount IS DISTINCT FROM amount)) THEN 'amount' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_tax - tax) > 0.01, sf.cmp_tax IS DISTINCT FROM tax)) THEN 'tax' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_freight - freight) > 0.01, sf.cmp_freight IS DISTINCT FROM freight)) THEN 'freight' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_discount - discount) > 0.01, sf.cmp_discount IS DISTINCT FROM discount)) THEN 'discount' END,
    CASE WHEN bool_or(sf.cmp_quantity IS DISTINCT FROM quantity) THEN 'quantity' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_exchange_rate - d.cmp_exchange_rate) > 0.0001, sf.cmp_exchange_rate IS DISTINCT FROM d.cmp_exchange_rate)) THEN 'exchange_rate' END,
    CASE WHEN bool_or(sf.cmp_order_date IS DISTINCT FROM d.cmp_order_date) THEN 'order_date' END,
    CASE WHEN bool_or(sf.cmp_requested_ship_date IS DISTINCT FROM d.cmp_requested_ship_date) THEN 'requested_ship_date' END,
    CASE WHEN bool_or(coalesce(abs(sf.cmp_modified_at - d.cmp_modified_at) > 1000000, sf.cmp_modified_at IS DISTINCT FROM d.cmp_modified_at)) THEN 'modified_at' END,
    CASE WHEN bool_or(sf.cmp_is_rush IS DISTINCT FROM d.cmp_is_rush) THEN 'is_rush' END) AS fields
FROM sf FULL JOIN part d ON d._group_key = sf._group_key
LEFT JOIN delivered ON delivered._group_key = d._group_key
GROUP BY 1"""

VERDICT = """SELECT _group_key AS key, 'matched' AS verdict, NULL AS fields FROM salesforce ANTI JOIN suspect USING (_key_hash)
UNION ALL
SELECT key, CASE WHEN is_repeated THEN 'duplicate' WHEN is_only_sf THEN 'only_in_salesforce' WHEN is_only_d365 THEN 'only_in_d365'
    WHEN fields = '' THEN 'matched' ELSE 'differs' END,
    CASE WHEN NOT coalesce(is_repeated, false) AND NOT is_only_sf AND NOT is_only_d365 THEN fields END
FROM judged"""

TOTALS = """SELECT 'salesforce' AS side, cmp_currency, count(*), sum(cmp_amount), sum(cmp_tax), sum(cmp_freight), sum(cmp_discount)
FROM salesforce GROUP BY cmp_currency
UNION ALL
SELECT 'd365', cmp_currency, count(*), sum(cmp_amount), sum(cmp_tax), sum(cmp_freight), sum(cmp_discount)
FROM d365 GROUP BY cmp_currency"""

FIELD_COUNTS = """SELECT field, count(*) FROM (
    SELECT unnest(string_split(fields, ',')) AS field FROM judged
    WHERE NOT coalesce(is_repeated, false) AND NOT is_only_sf AND NOT is_only_d365 AND fields <> ''
) GROUP BY field"""


def reconcile(folder: Path, out: Path) -> None:
    """Suspects, verdicts, totals, counts per field."""
    with connected() as con:
        for side in ("salesforce", "d365"):
            con.execute(f"CREATE VIEW {side} AS SELECT * FROM read_parquet('{folder / f'{side}.canonical.parquet'}')")
        con.execute(SUSPECT)
        con.execute(JUDGED)
        con.execute(f"COPY ({VERDICT}) TO '{out}' (FORMAT parquet)")
        con.execute(TOTALS).fetchall()
        con.execute(FIELD_COUNTS).fetchall()
