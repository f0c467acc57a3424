"""The differences of the judged records, field by field, and how often each field agrees.

Records in flight are left out: what they show may be gone in a second.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tieout.canonical import text
from tieout.compared_field import ComparedField
from tieout.damaged_text import repaired
from tieout.reconciliation.comparison import is_skippable
from tieout.reconciliation.rows import Reason, in_batches
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def mark_damaged_characters(con: "DuckDBPyConnection", name: str) -> int:
    """Give the kind `damaged_characters` to differences of `<name>_found` in which one text is the other one, damaged.

    Only differing texts beyond ASCII become Python objects. A repair is believed when it equals what the other side stores, as compared.
    Gives the number of differences found to be damage; `damaged_side` says which side is to be typed again.
    """
    con.execute(
        "CREATE OR REPLACE TEMP TABLE repaired_text (salesforce_key VARCHAR, d365_key VARCHAR, field VARCHAR, side VARCHAR, repaired VARCHAR)"
    )
    suspects = f"""SELECT salesforce_key, d365_key, field, salesforce_stored, d365_stored FROM {name}_found
WHERE kind = 'differs' AND can_be_damaged AND salesforce_stored IS NOT NULL AND d365_stored IS NOT NULL
    AND strlen(salesforce_stored) + strlen(d365_stored) > length(salesforce_stored) + length(d365_stored)"""
    repairs: list[tuple[str, ...]] = []
    for salesforce_key, d365_key, field, of_salesforce, of_d365 in in_batches(con, f"{name}_damage_suspect", suspects):
        for side, stored in (("salesforce", of_salesforce), ("d365", of_d365)):
            candidate = repaired(stored)
            if candidate is not None:
                repairs.append((salesforce_key, d365_key, field, side, candidate))
    if not repairs:
        return 0
    # One statement with five lists: a statement for each row takes a millisecond.
    con.execute(
        f"INSERT INTO repaired_text SELECT {', '.join(['unnest(?::VARCHAR[])'] * 5)}",
        [list(column) for column in zip(*repairs, strict=True)],
    )
    con.execute(
        f"""UPDATE {name}_found AS found SET kind = 'damaged_characters', damaged_side = repair.side
FROM repaired_text AS repair
WHERE repair.salesforce_key = found.salesforce_key AND repair.d365_key = found.d365_key AND repair.field = found.field
    AND {text("repair.repaired")} = CASE repair.side WHEN 'salesforce' THEN found.d365_compared ELSE found.salesforce_compared END"""
    )
    marked = con.execute(f"SELECT count(*) FROM {name}_found WHERE kind = 'damaged_characters'").fetchall()
    return int(marked[0][0])


_JUDGED = "verdict.verdict IN ('matched', 'differs')"
_TOLD = """found.field, found.owner, found.on_difference, found.salesforce_stored, found.d365_stored, found.salesforce_compared,
    found.d365_compared, found.kind, found.is_blanks, found.damaged_side, found.amount"""


def difference_statement(entity: str, *, converted: bool = False) -> str:
    """Make `<entity>_difference` from what was found in the headers. `converted`: there is `<entity>_unconverted`, which says why not."""
    part, note, grouped = "NULL::VARCHAR", "NULL::VARCHAR", ""
    if entity == "sales_order":
        part, note = "CASE WHEN NOT grouped.owns_salesforce THEN verdict.d365_key END", "grouped.reason"
        grouped = """
LEFT JOIN sales_order_group_row AS grouped ON grouped.salesforce_key = found.salesforce_key AND grouped.d365_key = found.d365_key"""
    why = ""
    if converted:
        # Sums are not converted, so of the members of a group only the group is told.
        note = (
            f"CASE WHEN grouped.d365_key IS NULL THEN unconverted.note ELSE {note} END"
            if grouped
            else "unconverted.note"
        )
        why = _unconverted(entity)
    return f"""CREATE OR REPLACE TABLE {entity}_difference AS
SELECT {literal(entity)} AS entity, verdict.company, verdict.currency, found.salesforce_key, verdict.d365_key, NULL::VARCHAR AS line_key,
    {_TOLD}, {part} AS part_key, {note} AS note
FROM {entity}_found AS found
JOIN {entity}_verdict AS verdict
    ON verdict.salesforce_key = found.salesforce_key AND verdict.d365_lake_key = found.d365_key{grouped}{why}
WHERE {_JUDGED}"""


def line_difference_statement(*, converted: bool = False) -> str:
    """Add what was found in the lines to `sales_order_difference`; `line_key` is the id of the opportunity line."""
    otherwise, why = (" ELSE unconverted.note", _unconverted("sales_order_line")) if converted else ("", "")
    return f"""INSERT INTO sales_order_difference
SELECT 'sales_order', verdict.company, verdict.currency, line.order_salesforce_key, verdict.d365_key, found.salesforce_key,
    {_TOLD}, CASE WHEN line.is_further THEN line.d365_lot END, CASE WHEN line.is_split THEN {literal(Reason.SPLIT_LINE)}{otherwise} END
FROM sales_order_line_found AS found
JOIN sales_order_line_record AS line ON line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key
JOIN sales_order_verdict AS verdict
    ON verdict.salesforce_key = line.order_salesforce_key AND verdict.d365_lake_key = line.order_d365_key{why}
WHERE {_JUDGED}"""


def _unconverted(name: str) -> str:
    return f"""
LEFT JOIN {name}_unconverted AS unconverted ON unconverted.salesforce_key = found.salesforce_key
    AND unconverted.d365_key = found.d365_key AND unconverted.field = found.field"""


def field_count_statement(entity: str, headers: Sequence[ComparedField], lines: Sequence[ComparedField] = ()) -> str:
    """Make `<entity>_field_count`: one row for each compared field, in the order of the contract.

    matched + differs + damaged_characters + not_compared is the number of judged pairs (of pairs of lines for line fields).
    `equal_after_normalising` of the matched are equal as compared but not as stored (for numbers: within the tolerance), `blanks` of
    these differ in nothing but blanks.
    """
    selects = [_counts("judged", field) for field in headers] + [_counts("judged_line", field) for field in lines]
    counted = "\n    UNION ALL ".join(
        f"SELECT {position} AS position, * FROM ({select})" for position, select in enumerate(selects)
    )
    return f"""CREATE OR REPLACE TABLE {entity}_field_count AS
WITH {_judged_pairs(entity, with_lines=bool(lines))},
pair_count AS (
    {counted}
),
found_count AS (
    SELECT field, count(*) FILTER (kind = 'differs') AS differs, count(*) FILTER (kind = 'damaged_characters') AS damaged_characters,
        count(*) FILTER (kind = 'case_or_blanks') AS noisy, count(*) FILTER (kind = 'case_or_blanks' AND is_blanks) AS blanks
    FROM {entity}_difference GROUP BY field
)
SELECT pair_count.field,
    pair_count.pairs - pair_count.not_compared - coalesce(differs, 0) - coalesce(damaged_characters, 0) AS matched,
    pair_count.close + coalesce(noisy, 0) AS equal_after_normalising, coalesce(blanks, 0) AS blanks, coalesce(differs, 0) AS differs,
    coalesce(damaged_characters, 0) AS damaged_characters, pair_count.not_compared
FROM pair_count LEFT JOIN found_count USING (field)
ORDER BY pair_count.position"""


def _judged_pairs(entity: str, *, with_lines: bool) -> str:
    headers = f"""judged AS (
    SELECT compared.* FROM {entity}_compared AS compared
    JOIN {entity}_verdict AS verdict
        ON verdict.salesforce_key = compared.salesforce_key AND verdict.d365_lake_key = compared.d365_key
    WHERE {_JUDGED}
)"""
    if not with_lines:
        return headers
    return f"""{headers},
judged_line AS (
    SELECT compared.* FROM {entity}_line_compared AS compared
    JOIN {entity}_line_record AS line ON line.salesforce_key = compared.salesforce_key AND line.d365_key = compared.d365_key
    JOIN judged ON judged.salesforce_key = line.order_salesforce_key AND judged.d365_key = line.order_d365_key
)"""


def _counts(pairs: str, field: ComparedField) -> str:
    close = f"count(*) FILTER ({quoted(f'close_{field.name}')})" if field.tolerance is not None else "0"
    skipped = f"count(*) FILTER ({quoted(f'skipped_{field.name}')})" if is_skippable(field) else "0"
    return f"SELECT {literal(field.shown_as)} AS field, count(*) AS pairs, {close} AS close, {skipped} AS not_compared FROM {pairs}"
