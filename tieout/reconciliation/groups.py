"""Orders and opportunities that belong together but not one to one: found by their keys, judged by their sums.

What joins an opportunity to an order, beside the link of the crosswalk:

- a *key that D365 holds*: the order carries the opportunity's id as its reference or in its number, or one of its lines carries the id of
  one of the opportunity's lines;
- the *stored link* of the opportunity, where the crosswalk could make no link of it. It counts only where it makes the sums agree: a
  cloned opportunity has the link of the one that it was cloned from.

Nothing else joins: two records with one purchase order number, customer or amount stay two, and so do two linked pairs that agree, unless a
line of one is on the order of the other. A group is a connected component of these joins with more than one record on a side. Only records
take part that are won, not canceled, readable and there once, in one currency and company; an order without lines delivers nothing.

A group is *whole* where the amounts of its orders come to those of its opportunities within the contract's tolerance, and the quantities of
the lines do, too. Of one that is not, an order beyond the linked one that has the whole amount all by itself (the whole quantity, if it costs
nothing) repeats the delivery: it is taken out and stays a duplicate. What is left and still does not come to the whole amount differs, as a
group: one difference, with both sums. Where no order is linked and one of several has the whole amount, nothing is decided: the link stays
ambiguous. Quantities are told line by line (`lines.py`), every other field of header and lines member by member.

An opportunity that any order names is never delivered again, whether its group could be judged or not.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tieout.canonical import MONEY_TYPE
from tieout.compared_field import differs
from tieout.contract import Contract, Contracts
from tieout.reconciliation.comparison import as_text
from tieout.reconciliation.fields import summed_field
from tieout.reconciliation.population import month_of, quarantined_orders
from tieout.reconciliation.sides import in_scope, is_live_in_d365, is_live_in_salesforce, lines_of
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUANTITY = "quantity"
"""The field of a line whose sums are compared beside those of the amount; the other fields are compared member by member."""


def find_groups(con: "DuckDBPyConnection", contracts: Contracts) -> None:
    """Make the groups of orders. Needs `link_orders` to have run, and `sales_order_repeated` to be there.

    Makes the tables `sales_order_named(salesforce_key, d365_key, is_sure, is_by_line)`, what the keys join beyond the links; and
    `sales_order_group_row`, one row for each opportunity and order of a group that are joined: `group_key` is the smallest Salesforce id
    of the group, `owns_salesforce` and `owns_d365` mark the one row in which the amount of the opportunity, of the order, is counted.
    """
    for statement in statements(contracts):
        con.execute(statement)
        if statement in _FIRST_NAMES:
            _spread(con, _FIRST_NAMES[statement])


def statements(contracts: Contracts) -> tuple[str, ...]:
    """The statements that `find_groups` runs, in order; after each that names components, the names are spread (see `round_statements`)."""
    return (
        named_statement(contracts),
        _opportunity_statement(contracts),
        _order_statement(contracts),
        _edge_statement(contracts),
        _name_statement("every"),
        total_statement("every", contracts),
        # Without what only a stored link says, and without the orders that repeat a delivery.
        sure_edge_statement(),
        _name_statement("sure"),
        total_statement("sure", contracts),
        repeating_statement(contracts),
        unrepeated_edge_statement(),
        _name_statement("unrepeated"),
        total_statement("unrepeated", contracts),
        row_statement(),
    )


def named_statement(contracts: Contracts) -> str:
    """Make `sales_order_named`. Opportunities and orders that are linked with each other are left out, so it is small."""
    contract = contracts["sales_order"]
    lines = lines_of(contract)
    prefix, link = (contract.create.number_prefix or "").lower(), contract.link
    company, number = (quoted(name) for name in contract.d365.key)
    joins = []
    if link.reference:
        joins.append(_named_by(contract, f"nullif(lower({quoted(link.reference)}), '')"))
    if prefix:
        joins.append(
            _named_by(
                contract,
                f"CASE WHEN starts_with(lower({number}), {literal(prefix)}) THEN substr(lower({number}), {len(prefix) + 1}) END",
            )
        )
    if lines.link.reference:
        joins.append(f"""SELECT DISTINCT sf._parent_key AS salesforce_key, d365._parent_key AS d365_key, true AS is_sure, true AS is_by_line
    FROM (
        SELECT _parent_key, lower({quoted(lines.link.reference)}) AS reference FROM {lines.d365.table} WHERE {is_live_in_d365(lines)}
    ) AS d365
    JOIN (SELECT _parent_key, lower(_key) AS reference FROM {lines.salesforce.table} WHERE {is_live_in_salesforce(lines)}) AS sf
        ON sf.reference = d365.reference
    ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = sf._parent_key AND linked.d365_lake_key = d365._parent_key""")
    if link.stored:
        joins.append(f"""SELECT sf._key, d365._key, false, false
    FROM {contract.salesforce.table} AS sf
    JOIN {contract.d365.table} AS d365 ON lower(sf.{quoted(link.stored)}) = lower(d365.{company} || '/' || d365.{number})
    ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = sf._key""")
    nothing = "SELECT NULL::VARCHAR AS salesforce_key, NULL::VARCHAR AS d365_key, false AS is_sure, false AS is_by_line WHERE false"
    joined = "\n    UNION ALL\n    ".join(joins or [nothing])
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_named AS
SELECT joined.salesforce_key, joined.d365_key, bool_or(joined.is_sure) AS is_sure, bool_or(joined.is_by_line) AS is_by_line
FROM (
    {joined}
) AS joined (salesforce_key, d365_key, is_sure, is_by_line)
SEMI JOIN {contract.salesforce.table} AS opportunity ON opportunity._key = joined.salesforce_key
SEMI JOIN {contract.d365.table} AS sales_order ON sales_order._key = joined.d365_key
GROUP BY joined.salesforce_key, joined.d365_key"""


def total_statement(edges: str, contracts: Contracts) -> str:
    """Make `<edges>_group(group_key, …)`: the sums of both sides of each component, and whether they agree."""
    quantity = summed_field(lines_of(contracts["sales_order"]).field(QUANTITY))
    amount = summed_field(contracts["sales_order"].field("amount"))
    return f"""CREATE OR REPLACE TEMP TABLE {edges}_group AS
WITH salesforce_sum AS (
    SELECT label.group_key, count(*) AS opportunities, sum(member.amount)::{MONEY_TYPE} AS {amount.compared},
        sum(member.quantity) AS {quantity.compared}, sum(member.lines) AS lines, min(member.month) AS month, min(member.currency) AS currency
    FROM {edges}_label AS label JOIN grouped_opportunity AS member ON member.salesforce_key = label.salesforce_key
    GROUP BY label.group_key
),
d365_sum AS (
    SELECT label.group_key, count(*) AS orders, sum(member.amount)::{MONEY_TYPE} AS {amount.compared}, sum(member.quantity) AS {quantity.compared},
        count(DISTINCT member.company) AS companies, min(member.company) AS company
    FROM (
        SELECT DISTINCT label.group_key, edge.d365_key
        FROM {edges}_edge AS edge JOIN {edges}_label AS label ON label.salesforce_key = edge.salesforce_key
    ) AS label
    JOIN grouped_order AS member ON member.d365_key = label.d365_key
    GROUP BY label.group_key
),
linked AS (
    SELECT label.group_key, bool_or(edge.is_linked) AS is_linked
    FROM {edges}_edge AS edge JOIN {edges}_label AS label ON label.salesforce_key = edge.salesforce_key
    GROUP BY label.group_key
),
summed AS (
    SELECT linked.group_key, linked.is_linked, sf.opportunities, sf.month, sf.lines, sf.currency, d365.orders, d365.companies, d365.company,
        sf.{amount.compared} AS salesforce_amount, d365.{amount.compared} AS d365_amount, sf.{quantity.compared} AS salesforce_quantity,
        NOT {differs(amount)} AS is_equal_in_amount,
        sf.lines = 0 OR NOT {differs(quantity)} AS is_equal_in_quantity
    FROM linked
    JOIN salesforce_sum AS sf ON sf.group_key = linked.group_key
    JOIN d365_sum AS d365 ON d365.group_key = linked.group_key
)
SELECT *, companies = 1 AND is_equal_in_amount AND is_equal_in_quantity AND opportunities + orders > 2 AS is_whole
FROM summed"""


def sure_edge_statement() -> str:
    """Make `sure_edge`: what D365's keys and the crosswalk join, of the components that are not whole."""
    return """CREATE OR REPLACE TEMP TABLE sure_edge AS
SELECT edge.*
FROM every_edge AS edge
JOIN every_label AS label ON label.salesforce_key = edge.salesforce_key
JOIN every_group AS component ON component.group_key = label.group_key
WHERE edge.is_sure AND NOT component.is_whole"""


def repeating_statement(contracts: Contracts) -> str:
    """Make `repeating_order(d365_key, group_key)`: orders of components that are not whole, with the whole by themselves.

    That is the whole amount; for an order that costs nothing, the whole quantity. The linked order is none of them; where nothing is linked,
    every one that has the whole is.
    """
    amount = summed_field(contracts["sales_order"].field("amount"))
    quantity = summed_field(lines_of(contracts["sales_order"]).field(QUANTITY))
    return f"""CREATE OR REPLACE TEMP TABLE repeating_order AS
SELECT DISTINCT d365.d365_key, label.group_key
FROM sure_edge AS edge
JOIN sure_label AS label ON label.salesforce_key = edge.salesforce_key
JOIN (
    SELECT group_key, orders, is_whole, salesforce_amount AS {amount.compared}, salesforce_quantity AS {quantity.compared} FROM sure_group
) AS sf ON sf.group_key = label.group_key
JOIN (
    SELECT d365_key, amount AS {amount.compared}, quantity AS {quantity.compared} FROM grouped_order
) AS d365 ON d365.d365_key = edge.d365_key
ANTI JOIN (SELECT d365_key FROM sure_edge WHERE is_linked) AS linked ON linked.d365_key = edge.d365_key
WHERE sf.orders > 1 AND NOT sf.is_whole AND (
        (sf.{amount.compared} <> 0 AND NOT {differs(amount)}) OR (d365.{amount.compared} = 0 AND NOT {differs(quantity)})
    )"""


def unrepeated_edge_statement() -> str:
    """Make `unrepeated_edge`: `sure_edge` without the orders that repeat a delivery."""
    return """CREATE OR REPLACE TEMP TABLE unrepeated_edge AS
SELECT edge.* FROM sure_edge AS edge ANTI JOIN repeating_order AS repeating ON repeating.d365_key = edge.d365_key"""


def row_statement() -> str:
    """Make `sales_order_group_row`: the groups that are whole, with or without what is less sure, and those that differ as a group."""
    return """CREATE OR REPLACE TEMP TABLE sales_order_group_row AS
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
FROM judged"""


def header_sum_statements(contracts: Contracts) -> Iterator[str]:
    """Put the difference of the sums of a group, if there is one, in the place of those of its members in `sales_order_found`."""
    field = summed_field(contracts["sales_order"].field("amount"))
    yield f"""DELETE FROM sales_order_found AS found USING sales_order_group_row AS grouped
WHERE found.field = {literal(field.shown_as)} AND grouped.salesforce_key = found.salesforce_key AND grouped.d365_key = found.d365_key"""
    sf, d365 = (as_text(f"grouped.{side}_amount", field) for side in ("salesforce", "d365"))
    yield f"""INSERT INTO sales_order_found
SELECT grouped.salesforce_key, grouped.d365_key, {literal(field.shown_as)}, {literal(field.owner)}, {literal(field.on_difference)},
    {sf}, {d365}, {sf}, {d365}, 'differs', false, false, NULL,
    abs(grouped.salesforce_amount - grouped.d365_amount)::{MONEY_TYPE}
FROM sales_order_group_row AS grouped
WHERE grouped.is_lead AND NOT grouped.is_equal_in_amount"""


def recent_statement() -> str:
    """Mark every record of a group as recent where one of them is: the sums of a group are as old as its oldest read."""
    return """UPDATE sales_order_record SET is_recent = true
WHERE group_key IN (SELECT group_key FROM sales_order_record WHERE is_recent AND group_key IS NOT NULL)"""


def round_statements(edges: str) -> tuple[str, str]:
    """One round of naming the components: every opportunity takes the smallest name around it, then the name of that name."""
    return (
        f"""CREATE OR REPLACE TEMP TABLE {edges}_nearer AS
WITH of_order AS (
    SELECT edge.d365_key, min(label.group_key) AS group_key
    FROM {edges}_edge AS edge JOIN {edges}_label AS label ON label.salesforce_key = edge.salesforce_key
    GROUP BY edge.d365_key
)
SELECT edge.salesforce_key, min(of_order.group_key) AS group_key
FROM {edges}_edge AS edge JOIN of_order ON of_order.d365_key = edge.d365_key
GROUP BY edge.salesforce_key""",
        f"""CREATE OR REPLACE TEMP TABLE {edges}_label AS
SELECT nearer.salesforce_key, of_name.group_key
FROM {edges}_nearer AS nearer JOIN {edges}_nearer AS of_name ON of_name.salesforce_key = nearer.group_key""",
    )


def _name_statement(edges: str) -> str:
    return f"""CREATE OR REPLACE TEMP TABLE {edges}_label AS
SELECT DISTINCT salesforce_key, salesforce_key AS group_key FROM {edges}_edge"""


_FIRST_NAMES = {_name_statement(edges): edges for edges in ("every", "sure", "unrepeated")}


def _spread(con: "DuckDBPyConnection", edges: str) -> None:
    """Let the names of `<edges>_label` spread until each component has one: a logarithm of its length in rounds."""
    nearer, named_again = round_statements(edges)
    changed = f"""SELECT count(*) FROM {edges}_nearer AS nearer
JOIN {edges}_label AS label ON label.salesforce_key = nearer.salesforce_key AND label.group_key <> nearer.group_key"""
    con.execute(nearer)
    while con.execute(changed).fetchall() != [(0,)]:
        con.execute(named_again)
        con.execute(nearer)


def _named_by(contract: Contract, name: str) -> str:
    return f"""SELECT sf._key, d365._key, true, false
    FROM (SELECT _key, {name} AS name FROM {contract.d365.table}) AS d365
    LEFT JOIN crosswalk_sales_order AS linked ON linked.d365_lake_key = d365._key AND lower(linked.salesforce_id) = d365.name
    JOIN {contract.salesforce.table} AS sf ON lower(sf._key) = d365.name
    WHERE linked.d365_lake_key IS NULL"""


def _opportunity_statement(contracts: Contracts) -> str:
    """Make `grouped_opportunity`: the opportunities that can be members, with their sums."""
    contract = contracts["sales_order"]
    lines = lines_of(contract)
    quantity = summed_field(lines.field(QUANTITY)).compared
    return f"""CREATE OR REPLACE TEMP TABLE grouped_opportunity AS
WITH {quarantined_orders(contract)},
touched AS (
    SELECT salesforce_key FROM sales_order_named
    UNION
    SELECT linked.salesforce_id
    FROM crosswalk_sales_order AS linked SEMI JOIN sales_order_named AS named ON named.d365_key = linked.d365_lake_key
),
line_sum AS (
    SELECT line._parent_key, count(*) AS lines, sum({quantity}) AS quantity
    FROM {lines.salesforce.table} AS line SEMI JOIN touched ON touched.salesforce_key = line._parent_key
    WHERE {is_live_in_salesforce(lines)}
    GROUP BY line._parent_key
)
SELECT opportunity._key AS salesforce_key, opportunity.cmp_currency AS currency, coalesce({month_of(contract, "salesforce")}, '') AS month,
    coalesce(opportunity.{quoted(contract.field("amount").salesforce or "")}, 0) AS amount, coalesce(line_sum.lines, 0) AS lines,
    coalesce(line_sum.quantity, 0) AS quantity
FROM {contract.salesforce.table} AS opportunity
SEMI JOIN touched ON touched.salesforce_key = opportunity._key
LEFT JOIN line_sum ON line_sum._parent_key = opportunity._key
ANTI JOIN bad_opportunity AS bad ON bad._key = opportunity._key
ANTI JOIN sales_order_repeated AS repeated ON repeated._key = opportunity._key
WHERE {in_scope(contract)}"""


def _order_statement(contracts: Contracts) -> str:
    """Make `grouped_order`: the orders that can be members, with their sums. An order without a live line delivers nothing."""
    contract = contracts["sales_order"]
    lines = lines_of(contract)
    quantity = summed_field(lines.field(QUANTITY)).compared
    amount = quoted(lines.field(contract.field("amount").d365_sum_of or "").d365 or "")
    return f"""CREATE OR REPLACE TEMP TABLE grouped_order AS
WITH {quarantined_orders(contract)},
touched AS (
    SELECT d365_key FROM sales_order_named
    UNION
    SELECT linked.d365_lake_key
    FROM crosswalk_sales_order AS linked SEMI JOIN sales_order_named AS named ON named.salesforce_key = linked.salesforce_id
),
line_sum AS (
    SELECT line._parent_key, sum({amount})::{MONEY_TYPE} AS amount, sum({quantity}) AS quantity
    FROM {lines.d365.table} AS line SEMI JOIN touched ON touched.d365_key = line._parent_key
    WHERE {is_live_in_d365(lines)}
    GROUP BY line._parent_key
)
SELECT sales_order._key AS d365_key, lower(sales_order.{quoted(contract.d365.key[0])}) AS company, sales_order.cmp_currency AS currency,
    coalesce(line_sum.amount, 0) AS amount, coalesce(line_sum.quantity, 0) AS quantity
FROM {contract.d365.table} AS sales_order
JOIN line_sum ON line_sum._parent_key = sales_order._key
ANTI JOIN bad_order AS bad ON bad._key = sales_order._key
ANTI JOIN sales_order_repeated AS repeated ON repeated._key = sales_order._key
WHERE cmp_order_status IS DISTINCT FROM 'canceled'"""


def _edge_statement(contracts: Contracts) -> str:
    """Make `every_edge(salesforce_key, d365_key, is_linked, is_sure)`.

    A record whose own link leads to one that cannot be a member is none either: it is judged with that one. Nor does a header join
    two records that both agree with the one that they are linked with: whatever it names, each delivery is there.
    """
    amount = summed_field(contracts["sales_order"].field("amount"))
    quantity = summed_field(lines_of(contracts["sales_order"]).field(QUANTITY))
    sums = f"amount AS {amount.compared}, quantity AS {quantity.compared}"
    return f"""CREATE OR REPLACE TEMP TABLE every_edge AS
WITH link AS (
    SELECT linked.salesforce_id AS salesforce_key, linked.d365_lake_key AS d365_key, linked.company,
        coalesce(sf.currency = d365.currency, false) AS is_good,
        coalesce(sf.currency = d365.currency AND NOT {differs(amount)} AND NOT {differs(quantity)}, false) AS is_even
    FROM crosswalk_sales_order AS linked
    LEFT JOIN (SELECT salesforce_key, currency, {sums} FROM grouped_opportunity) AS sf ON sf.salesforce_key = linked.salesforce_id
    LEFT JOIN (SELECT d365_key, currency, {sums} FROM grouped_order) AS d365 ON d365.d365_key = linked.d365_lake_key
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
    AND (named.is_by_line OR NOT (coalesce(of_opportunity.is_even, false) AND coalesce(of_order.is_even, false)))"""
