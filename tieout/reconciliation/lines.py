"""The lines of linked orders: by the line's reference first, by the line number for those without, then the further parts of a split.

An opportunity line stands for one order line, or for several of which each delivers a part, on one order or on several of its group
(`groups.py`). The parts are those that name the opportunity line, and those that name none and are of its product where no other line can be
meant; these only where the quantities and amounts come to the whole with them. A part that has the whole quantity or amount by itself repeats
it and is no part. Quantity and amount of a split are compared as sums, the other fields part by part.
"""

from collections.abc import Iterator

from tieout.canonical import MONEY_TYPE
from tieout.compared_field import differs
from tieout.contract import Contracts, Field
from tieout.reconciliation.comparison import as_text
from tieout.reconciliation.fields import LINE_PREFIX, summed_field
from tieout.reconciliation.groups import QUANTITY
from tieout.reconciliation.sides import is_live_in_d365, is_live_in_salesforce, lines_of
from tieout.sql import literal, literals, quoted


def line_record_statement(contracts: Contracts) -> str:
    """Make `sales_order_line_record`: one row for each pair of lines and for each line that has no partner.

    `line_number` is Salesforce's (see `numbered_lines`), the one of D365 where only D365 has the line. `is_second`: the line names an
    opportunity line that is paired with another. `is_canceled`: D365 has the line, but canceled. `is_split`: the opportunity line has more
    than one row, of which the first has its amount and the others are `is_further`.
    """
    ctes = [_unit(), _salesforce_line(contracts), _d365_line(contracts), _by_reference(), _by_number(), _further()]
    ctes += [_parts(contracts), _canceled()]
    chain = ",\n".join(ctes)
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_line_record AS
WITH {chain}
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
LEFT JOIN salesforce_line AS named ON lower(named.key) = d365.reference AND named.unit = d365.unit"""


def line_pair_statement() -> str:
    """Make `sales_order_line_pair`, the input of the comparison."""
    return """CREATE OR REPLACE TEMP TABLE sales_order_line_pair AS
SELECT salesforce_key, d365_key, true AS is_primary
FROM sales_order_line_record
WHERE salesforce_key IS NOT NULL AND d365_key IS NOT NULL"""


def line_sum_statements(contracts: Contracts) -> Iterator[str]:
    """Put the differences of the sums of split lines in the place of those of their parts in `sales_order_line_found`."""
    fields = _additive(contracts)
    names = literals([LINE_PREFIX + field.name for field in fields])
    yield f"""DELETE FROM sales_order_line_found AS found USING sales_order_line_record AS line
WHERE line.is_split AND line.salesforce_key = found.salesforce_key AND line.d365_key = found.d365_key AND found.field IN ({names})"""
    for field in fields:
        name = summed_field(field)
        sf, d365 = (as_text(f"{side}.{name.compared}", name) for side in ("sf", "d365"))
        amount = f"abs(sf.{name.compared} - d365.{name.compared})" if name.is_money else "NULL"
        yield f"""INSERT INTO sales_order_line_found
SELECT d365.salesforce_key, d365.d365_key, {literal(LINE_PREFIX + field.name)}, {literal(name.owner)}, {literal(name.on_difference)},
    {sf}, {d365}, {sf}, {d365}, 'differs', false, false, NULL, {amount}::{MONEY_TYPE}
FROM (
    SELECT line.salesforce_key, min(line.d365_key) FILTER (NOT line.is_further) AS d365_key, sum(part.{name.compared}) AS {name.compared}
    FROM sales_order_line_record AS line JOIN sales_order_line_d365 AS part ON part._key = line.d365_key
    WHERE line.is_split
    GROUP BY line.salesforce_key
) AS d365
JOIN sales_order_line_salesforce AS sf ON sf._key = d365.salesforce_key
WHERE {differs(name)}"""


def numbered_lines(contracts: Contracts) -> str:
    """SELECT of the live opportunity lines with `line_number`, the number that the line has in D365.

    The sort order where every line of the opportunity has one of its own, else the position by sort order, then by id.
    """
    lines = lines_of(contracts["sales_order"])
    sort_order = quoted(lines.field(lines.match_on).salesforce or "SortOrder")
    return f"""SELECT line.*, CASE
        WHEN count(DISTINCT {sort_order}) OVER of_opportunity = count(*) OVER of_opportunity THEN {sort_order}
        ELSE row_number() OVER (PARTITION BY line._parent_key ORDER BY {sort_order} NULLS LAST, line._key)
    END AS line_number
FROM {lines.salesforce.table} AS line
WHERE {is_live_in_salesforce(lines)}
WINDOW of_opportunity AS (PARTITION BY line._parent_key)"""


def _additive(contracts: Contracts) -> tuple[Field, ...]:
    """The fields of a line that are compared as sums where the line is split: the quantity, and what the header's amount sums up."""
    contract = contracts["sales_order"]
    lines = lines_of(contract)
    names = dict.fromkeys((QUANTITY, contract.field("amount").d365_sum_of))
    return tuple(lines.field(name) for name in names if name is not None)


def _unit() -> str:
    """`unit(salesforce_key, d365_key, unit, …)`: within a unit, a pair of orders or a group of them, lines are looked for."""
    return """unit AS (
    SELECT pair.salesforce_key, pair.d365_key, coalesce(grouped.group_key, pair.salesforce_key) AS unit,
        grouped.group_key IS NOT NULL AS is_group, coalesce(grouped.owns_salesforce, true) AS owns_salesforce,
        coalesce(grouped.owns_d365, true) AS owns_d365
    FROM sales_order_pair AS pair
    LEFT JOIN sales_order_group_row AS grouped
        ON grouped.salesforce_key = pair.salesforce_key AND grouped.d365_key = pair.d365_key
)"""


def _salesforce_line(contracts: Contracts) -> str:
    lines = lines_of(contracts["sales_order"])
    additive = "".join(f", numbered.{summed_field(field).compared}" for field in _additive(contracts))
    return f"""salesforce_line AS (
    SELECT numbered._key AS key, unit.salesforce_key AS order_salesforce_key, unit.d365_key AS order_d365_key, unit.unit, unit.is_group,
        numbered.line_number, numbered.{quoted(lines.field("product").salesforce or "")} AS product, numbered.cmp_product,
        CASE WHEN unit.is_group THEN numbered.cmp_product ELSE '' END AS with_number,
        numbered.{quoted(lines.field("amount").salesforce or "")} AS amount{additive}
    FROM (
        {numbered_lines(contracts)}
    ) AS numbered
    JOIN unit ON unit.salesforce_key = numbered._parent_key AND unit.owns_salesforce
)"""


def _d365_line(contracts: Contracts) -> str:
    lines = lines_of(contracts["sales_order"])
    reference = f"nullif(lower({quoted(lines.link.reference)}), '')" if lines.link.reference else "NULL::VARCHAR"
    # A line that was entered in D365 by hand has the number 0.
    number = quoted(f"cmp_{lines.match_on}")
    additive = "".join(f", line.{summed_field(field).compared}" for field in _additive(contracts))
    return f"""every_d365_line AS (
    SELECT line._key AS key, {quoted(lines.d365.key[-1])} AS lot, unit.salesforce_key AS order_salesforce_key,
        unit.d365_key AS order_d365_key, unit.unit, nullif({number}, 0) AS line_number, {reference} AS reference,
        {quoted(lines.field("product").d365 or "")} AS product, line.cmp_product,
        CASE WHEN unit.is_group THEN line.cmp_product ELSE '' END AS with_number,
        {quoted(lines.field("amount").d365 or "")} AS amount{additive}, {is_live_in_d365(lines)} AS is_live
    FROM {lines.d365.table} AS line
    JOIN unit ON unit.d365_key = line._parent_key AND unit.owns_d365
),
d365_line AS (
    SELECT * FROM every_d365_line WHERE is_live
)"""


def _by_reference() -> str:
    return """by_reference AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key
    FROM salesforce_line AS sf
    JOIN d365_line AS d365 ON d365.reference = lower(sf.key) AND d365.unit = sf.unit
    QUALIFY row_number() OVER (PARTITION BY sf.key ORDER BY d365.order_d365_key = sf.order_d365_key DESC, d365.key) = 1
)"""


def _by_number() -> str:
    """Lines that the reference did not pair, the first with the first where a number occurs more than once.

    In a group, lines of several opportunities can have one number: there the product has to be the same, too.
    """
    return """left_in_salesforce AS (
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
)"""


def _further() -> str:
    """`further`: order lines that are left, with the opportunity line that they may be a part of.

    By its reference, else (`is_sure` is false) by its product: where one line of the unit has it, or one with the same number.
    """
    return """one_to_one AS (
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
)"""


def _parts(contracts: Contracts) -> str:
    """`paired`: which order lines an opportunity line stands for; most stand for one."""
    fields = [summed_field(field) for field in _additive(contracts)]
    columns = ", ".join(f"sf.{field.compared} AS {_whole(field.name)}, d365.{field.compared}" for field in fields)
    wholes = ", ".join(f"any_value({_whole(field.name)}) AS {field.compared}" for field in fields)

    def summed(name: str, condition: str) -> str:
        sums = ", ".join(f"sum({field.compared}) FILTER ({condition}) AS {field.compared}" for field in fields)
        return f"""{name} AS (
    SELECT sf.salesforce_key
    FROM (SELECT salesforce_key, {wholes} FROM part GROUP BY salesforce_key) AS sf
    JOIN (SELECT salesforce_key, {sums} FROM part GROUP BY salesforce_key) AS d365 ON d365.salesforce_key = sf.salesforce_key
    WHERE {" AND ".join(f"NOT {differs(field)}" for field in fields)}
)"""

    repeats = " OR ".join(
        f"(d365.{field.compared} = sf.{field.compared} AND d365.{field.compared} <> 0)" for field in fields
    )
    return f"""part AS (
    SELECT sf.key AS salesforce_key, d365.key AS d365_key, member.is_first, member.is_sure, {columns},
        NOT member.is_first AND ({repeats}) AS is_repeating
    FROM (
        SELECT paired.salesforce_key, paired.d365_key, true AS is_first, true AS is_sure
        FROM one_to_one AS paired SEMI JOIN further ON further.salesforce_key = paired.salesforce_key
        UNION ALL
        SELECT salesforce_key, d365_key, false, is_sure FROM further
    ) AS member
    JOIN salesforce_line AS sf ON sf.key = member.salesforce_key
    JOIN d365_line AS d365 ON d365.key = member.d365_key
),
{summed("whole_with_all", "true")},
{summed("whole_with_sure", "is_sure")},
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
)"""


def _canceled() -> str:
    return """canceled AS (
    SELECT DISTINCT sf.key AS salesforce_key
    FROM every_d365_line AS d365
    JOIN salesforce_line AS sf ON sf.unit = d365.unit
        AND (d365.reference = lower(sf.key) OR d365.order_d365_key = sf.order_d365_key AND d365.line_number = sf.line_number)
    WHERE NOT d365.is_live
)"""


def _whole(name: str) -> str:
    return quoted(f"whole_{name}")
