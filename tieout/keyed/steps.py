"""The SQL of a keyed comparison, one named SELECT a step, in the order in which the steps build on each other.

    salesforce, d365 ─ unsettled ─ suspect ─┬─ group ─ explained ─┬─ judged ─┬─ verdict
                                            │                     └─ field_count
                                            └─ (all others match) ───────────┘
    salesforce, d365 ─ total

Every row is read once, and of it two hashes. Only keys that these do not settle are read again: first their numbers, against the
tolerances, then, of the few that are still suspect, all fields. Nothing here hashes: hashes are columns of the canonical files, so the text
means the same to any engine that it is translated for.
"""

from dataclasses import dataclass

from tieout.compared_field import differs
from tieout.keyed.comparison import KeyedComparison, difference_column
from tieout.sql import literal

SALESFORCE, D365 = "keyed_salesforce", "keyed_d365"
"""The relations that hold the two sides in canonical form."""

_AMONG_SUSPECTS = "_key_hash IN (SELECT _key_hash FROM keyed_suspect)"
_NO_FIELDS = "CAST(NULL AS VARCHAR)"


@dataclass(frozen=True, slots=True)
class Step:
    """A SELECT whose result the later steps find under `name`."""

    name: str
    select: str


def comparison_steps(comparison: KeyedComparison) -> tuple[Step, ...]:
    """Everything that the verdicts are made from."""
    return (
        Step("keyed_unsettled", unsettled()),
        Step("keyed_suspect", suspect(comparison)),
        Step("keyed_group", group(comparison)),
        Step("keyed_explained", explained(comparison)),
        Step("keyed_judged", judged(comparison)),
    )


def result_steps(comparison: KeyedComparison) -> tuple[Step, ...]:
    """What a comparison gives: `keyed_verdict`, `keyed_field_count` and `keyed_total`."""
    return (
        Step("keyed_verdict", verdict()),
        Step("keyed_field_count", field_count(comparison)),
        Step("keyed_total", total(comparison)),
    )


def unsettled() -> str:
    """Key hashes that are not one row a side with equal values; `is_pair`: one row a side all the same.

    D365 gives the complement of its hash. Two rows that xor to -1 are therefore a row of each side with one hash: two rows of one side have
    equal signs and never do. One pass finds missing rows, repeated rows and changed rows alike.
    """
    return f"""SELECT _key_hash, count(*) = 2 AND bit_xor(_signed_hash) < 0 AS is_pair
FROM (
    SELECT _key_hash, _values_hash AS _signed_hash FROM {SALESFORCE}
    UNION ALL
    SELECT _key_hash, -1 - _values_hash AS _signed_hash FROM {D365}
) AS every_row
GROUP BY _key_hash
HAVING NOT (count(*) = 2 AND bit_xor(_signed_hash) = -1)"""


def suspect(comparison: KeyedComparison) -> str:
    """The unsettled without the pairs whose numbers differ within the tolerance and whose other fields are equal."""
    columns = ", ".join(["_key_hash", "_group_key", "_compare_hash", *(field.compared for field in comparison.carried)])
    # The group keys are compared, too: two keys may share a hash.
    tests = ["sf._group_key <> d365._group_key", "sf._compare_hash <> d365._compare_hash"]
    listed = "\n        OR ".join(tests + [differs(field) for field in comparison.carried])
    pairs = "(SELECT _key_hash FROM keyed_unsettled WHERE is_pair)"
    return f"""SELECT unsettled._key_hash
FROM keyed_unsettled AS unsettled
ANTI JOIN (
    SELECT sf._key_hash
    FROM (SELECT {columns} FROM {SALESFORCE} WHERE _key_hash IN {pairs}) AS sf
    JOIN (SELECT {columns} FROM {D365} WHERE _key_hash IN {pairs}) AS d365 ON d365._key_hash = sf._key_hash
    WHERE NOT ({listed})
) AS forgiven ON forgiven._key_hash = unsettled._key_hash"""


def group(comparison: KeyedComparison) -> str:
    """The suspects of both sides by group key: rows on each, different orders among those of D365, and the sums of what adds up there.

    `is_comparable`: both sides have it, and no record twice. An empty part adds nothing to a sum.
    """
    names = [field.compared for field in comparison.fields if field.name in comparison.additive]
    sums = "".join(f", sum({name}) AS {name}" for name in names)
    carried = "".join(f", delivered.{name}" for name in names)
    # Orders are counted in two steps, because counting distinct keys costs twice as much.
    return f"""SELECT coalesce(whole._key_hash, delivered._key_hash) AS _key_hash,
    coalesce(whole._group_key, delivered._group_key) AS _group_key,
    coalesce(whole._rows, 0) AS salesforce_rows, coalesce(delivered._rows, 0) AS d365_rows,
    coalesce(delivered._orders, 0) AS d365_orders,
    coalesce(whole._rows = 1 AND delivered._orders = delivered._rows, FALSE) AS is_comparable{carried}
FROM (
    SELECT _group_key, min(_key_hash) AS _key_hash, count(*) AS _rows
    FROM {SALESFORCE} WHERE {_AMONG_SUSPECTS}
    GROUP BY _group_key
) AS whole
FULL JOIN (
    SELECT _group_key, min(_key_hash) AS _key_hash, CAST(sum(_rows) AS BIGINT) AS _rows, count(*) AS _orders{sums}
    FROM (
        SELECT _group_key, _key, min(_key_hash) AS _key_hash, count(*) AS _rows{sums}
        FROM {D365} WHERE {_AMONG_SUSPECTS}
        GROUP BY _group_key, _key
    ) AS delivered_order
    GROUP BY _group_key
) AS delivered ON delivered._group_key = whole._group_key"""


def explained(comparison: KeyedComparison) -> str:
    """For each comparable suspect whether the whole and its parts differ, field by field.

    What adds up is compared as the sum of the parts, every other field with each part.
    """
    columns = ", ".join(["_key_hash", "_group_key", *(field.compared for field in comparison.fields)])
    parts = ", ".join(
        f"{'delivered' if field.name in comparison.additive else 'part'}.{field.compared}"
        for field in comparison.fields
    )
    flags = ",\n    ".join(f"bool_or({differs(field)}) AS {difference_column(field)}" for field in comparison.fields)
    comparable = "_key_hash IN (SELECT _key_hash FROM keyed_group WHERE is_comparable)"
    return f"""SELECT sf._group_key,
    {flags}
FROM (SELECT {columns} FROM {SALESFORCE} WHERE {comparable}) AS sf
JOIN (
    SELECT part._key_hash, part._group_key, {parts}
    FROM (SELECT {columns} FROM {D365} WHERE {comparable}) AS part
    JOIN (SELECT * FROM keyed_group WHERE is_comparable) AS delivered
        ON delivered._key_hash = part._key_hash AND delivered._group_key = part._group_key
) AS d365 ON d365._key_hash = sf._key_hash AND d365._group_key = sf._group_key
GROUP BY sf._group_key"""


def judged(comparison: KeyedComparison) -> str:
    """The verdict on every suspect group."""
    names = ", ".join(
        f"CASE WHEN explained.{difference_column(field)} THEN {literal(field.shown_as)} END"
        for field in comparison.fields
    )
    return f"""SELECT key, CASE
        WHEN salesforce_rows > 1 OR d365_orders < d365_rows THEN 'duplicate'
        WHEN d365_rows = 0 THEN 'only_in_salesforce'
        WHEN salesforce_rows = 0 THEN 'only_in_d365'
        WHEN fields IS NULL THEN 'matched'
        ELSE 'differs' END AS verdict, fields, salesforce_rows, d365_rows
FROM (
    SELECT both_sides._group_key AS key, nullif(concat_ws(',', {names}), '') AS fields,
        both_sides.salesforce_rows, both_sides.d365_rows, both_sides.d365_orders
    FROM keyed_group AS both_sides
    LEFT JOIN keyed_explained AS explained ON explained._group_key = both_sides._group_key
) AS found"""


def verdict() -> str:
    """One row a group key: `key`, `verdict`, `fields` that differ (comma between them), rows on either side.

    Who was never a suspect is one row on each side, and they match.
    """
    return f"""SELECT _group_key AS key, 'matched' AS verdict, {_NO_FIELDS} AS fields,
    CAST(1 AS BIGINT) AS salesforce_rows, CAST(1 AS BIGINT) AS d365_rows
FROM {SALESFORCE} AS sf
ANTI JOIN keyed_suspect AS suspect ON suspect._key_hash = sf._key_hash
UNION ALL
SELECT key, verdict, fields, salesforce_rows, d365_rows
FROM keyed_judged"""


def field_count(comparison: KeyedComparison) -> str:
    """For every compared field, in how many groups it differs."""
    counts = ",\n    ".join(
        f"count(*) FILTER (WHERE {difference_column(field)}) AS {field.compared}" for field in comparison.fields
    )
    return f"SELECT\n    {counts}\nFROM keyed_explained"


def total(comparison: KeyedComparison) -> str:
    """Rows and sums of the additive money, decimal exact, by side and currency. Every row counts, duplicates too."""
    currency = "CAST(NULL AS VARCHAR)"
    if comparison.currency is not None:
        currency = next(field.compared for field in comparison.fields if field.name == comparison.currency)
    sums = "".join(f", sum({field.compared}) AS {field.compared}" for field in comparison.money)
    return "\nUNION ALL\n".join(
        f"SELECT {literal(side)} AS side, {currency} AS currency, count(*) AS row_count{sums}\nFROM {relation}\nGROUP BY {currency}"
        for side, relation in (("salesforce", SALESFORCE), ("d365", D365))
    )
