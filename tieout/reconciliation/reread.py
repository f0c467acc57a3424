"""Which records are read again before a break is told, and what the second look makes of the first judgement.

Statements over what `link_…` and `reconcile_…` left on the connection; reading is in `resources/reread.py`. A suspect is a record whose
verdict would become a break. Its own rows are read again by key, what it hangs on (account, customer, products) with them. A suspect
whose own rows changed, appeared or went, or that agrees now, is in flight: the next run judges it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tieout.canonical import canonical_column
from tieout.contract import Contract, Contracts, Table
from tieout.reconciliation.groups import recent_statement
from tieout.reconciliation.rows import Reason
from tieout.reconciliation.run import customer_judgement, order_judgement
from tieout.reconciliation.sides import lines_of
from tieout.reconciliation.totals import total
from tieout.sql import literal, literals, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BASE, NOW = "base", "now"
_ENTITIES = ("customer", "sales_order")


def suspect_statement() -> str:
    """Make `suspect(position, entity, salesforce_key, d365_lake_key, company, verdict, fields, together, stake)`: the largest amounts come first.

    A pair whose two amounts agree has a stake of 0, a customer none at all; they come last. The members of a group are suspects together:
    it is judged by their sums, so the one that has moved may be one that looks right. `together` is the same for them.
    """
    of_group = """
    OR verdict = 'matched' AND group_key IN (SELECT group_key FROM sales_order_verdict WHERE verdict NOT IN ('matched', 'in_flight'))"""
    selects = [
        f"""SELECT {literal(entity)} AS entity, salesforce_key, d365_lake_key, company, verdict, fields,
    coalesce(group_key, salesforce_key, d365_lake_key) AS together,
    abs(coalesce(salesforce_amount, 0) - coalesce(d365_amount, 0)) AS stake, salesforce_amount IS NULL AND d365_amount IS NULL AS is_free
FROM {entity}_verdict WHERE verdict NOT IN ('matched', 'in_flight'){of_group if entity == "sales_order" else ""}"""
        for entity in _ENTITIES
    ]
    return f"""CREATE OR REPLACE TEMP TABLE suspect AS
SELECT row_number() OVER (ORDER BY is_free, most DESC, together, entity, salesforce_key, d365_lake_key, company) AS position,
    * EXCLUDE (is_free, most)
FROM (SELECT *, max(stake) OVER (PARTITION BY together) AS most FROM ({" UNION ALL ".join(selects)}))"""


def asked_statement(contracts: Contracts) -> str:
    """Make `asked(position, table_name, column_name, company, value)` for the suspects at the positions `$first` to `$last`.

    `column_name` is the column that is asked by; `company` is NULL for Salesforce. Keys of D365 are in small letters, as D365 compares them.
    `position` is the suspect on whose behalf it is asked.
    """
    selects = [*_asked_for_customers(contracts), *_asked_for_orders(contracts)]
    return f"""CREATE OR REPLACE TEMP TABLE asked AS
WITH one AS (SELECT * FROM suspect WHERE position BETWEEN $first AND $last),
wanted (position, table_name, column_name, company, value) AS (
{_union(selects)}
)
-- D365 takes a star for a pattern: such a key cannot be asked for.
SELECT DISTINCT * FROM wanted WHERE value <> '' AND company IS DISTINCT FROM '' AND (company IS NULL OR NOT contains(value, '*'))"""


def _asked_for_customers(contracts: Contracts) -> Iterator[str]:
    contract = contracts["customer"]
    account, customer = contract.salesforce, contract.d365
    number = literal(customer.key[1])
    yield _salesforce(account.table, account.key[0], "salesforce_key", "one", "entity = 'customer'")
    yield _by_lake_key(customer.table, number, "one", "entity = 'customer'")
    # A customer that may have appeared for an account that had none: under the numbers that would link it.
    alone = "one.entity = 'customer' AND one.d365_lake_key IS NULL"
    source = f"one JOIN {account.table} AS account ON account._key = one.salesforce_key"
    for value in _numbers_of(contract, "account"):
        yield f"SELECT one.position, {literal(customer.table)}, {number}, one.company, {value} FROM {source} WHERE {alone}"
    yield from _linked_elsewhere(contract, "customer", number)


def _asked_for_orders(contracts: Contracts) -> Iterator[str]:
    customers, contract = contracts["customer"], contracts["sales_order"]
    lines = lines_of(contract)
    opportunity, order = contract.salesforce, contract.d365
    number, is_order = literal(order.key[1]), "entity = 'sales_order'"
    yield _salesforce(opportunity.table, opportunity.key[0], "salesforce_key", "one", is_order)
    yield _salesforce(lines.salesforce.table, lines.salesforce.parent or "", "salesforce_key", "one", is_order)
    yield _by_lake_key(order.table, number, "one", is_order)
    yield _by_lake_key(lines.d365.table, literal(lines.d365.parent or ""), "one", is_order)
    alone = "one.entity = 'sales_order' AND one.d365_lake_key IS NULL"
    source = f"one JOIN {opportunity.table} AS opportunity ON opportunity._key = one.salesforce_key"
    for value in _numbers_of(contract, "opportunity"):
        yield f"SELECT one.position, {literal(order.table)}, {number}, one.company, {value} FROM {source} WHERE {alone}"
    yield from _linked_elsewhere(contract, "sales_order", number)
    prefix = (contract.create.number_prefix or "").lower()
    if prefix:
        stripped = f"substr({quoted(order.key[1])}, {len(prefix) + 1})"
        named = (
            f"JOIN {order.table} AS sales_order ON sales_order._key = one.d365_lake_key AND one.salesforce_key IS NULL"
        )
        its = f"starts_with(lower({quoted(order.key[1])}), {literal(prefix)})"
        yield _salesforce(opportunity.table, opportunity.key[0], stripped, f"one {named}", f"{is_order} AND {its}")
    if contract.link.reference:
        reference = quoted(contract.link.reference)
        named = f"JOIN {order.table} AS sales_order ON sales_order._key = one.d365_lake_key"
        yield f"""SELECT one.position, {literal(order.table)}, {literal(contract.link.reference)}, one.company, one.salesforce_key
FROM one WHERE {is_order} AND one.salesforce_key IS NOT NULL"""
        yield f"""SELECT one.position, {literal(order.table)}, {literal(contract.link.reference)}, one.company, {reference}
FROM one {named} WHERE {is_order} AND {reference} IS NOT NULL"""
        yield _salesforce(opportunity.table, opportunity.key[0], reference, f"one {named}", is_order)
    # What an order hangs on.
    account_id = quoted(contract.field("customer").salesforce or "")
    yield _salesforce(customers.salesforce.table, customers.salesforce.key[0], account_id, source, is_order)
    customer, customer_number = customers.d365.table, literal(customers.d365.key[1])
    linked = f"{source} JOIN crosswalk_customer AS linked ON linked.salesforce_id = {account_id} AND linked.company = one.company"
    yield f"SELECT one.position, {literal(customer)}, {customer_number}, linked.company, {_after_bar('linked.d365_lake_key')} FROM {linked} WHERE {is_order}"
    ordering = quoted(contract.field("customer").d365 or "")
    yield f"""SELECT one.position, {literal(customer)}, {customer_number}, one.company, lower({ordering})
FROM one JOIN {order.table} AS sales_order ON sales_order._key = one.d365_lake_key WHERE {is_order}"""
    if any(column.name == "Product2Id" for column in contract.lines_table("salesforce").columns):
        product = contracts["product"].salesforce
        its_lines = f"one JOIN {lines.salesforce.table} AS line ON line._parent_key = one.salesforce_key"
        yield _salesforce(product.table, product.key[0], 'line."Product2Id"', its_lines, is_order)


def _numbers_of(contract: Contract, relation: str) -> Iterator[str]:
    """The numbers under which a counterpart may have appeared: the record's own, ours, and that of the stored link."""
    if contract.create.number_from:
        yield f"lower({relation}.{quoted(contract.create.number_from)})"
    if contract.create.number_prefix:
        yield f"lower({literal(contract.create.number_prefix)} || one.salesforce_key)"
    if contract.link.stored:
        stored = f"lower({relation}.{quoted(contract.link.stored)})"
        yield f"CASE WHEN starts_with({stored}, one.company || '/') THEN substr({stored}, length(one.company) + 2) END"


def _linked_elsewhere(contract: Contract, entity: str, number: str) -> Iterator[str]:
    """The counterpart that the ledger knows and the first read did not find."""
    yield f"""SELECT one.position, {literal(contract.d365.table)}, {number}, lower(known.company), lower(known.d365_key)
FROM one JOIN known_crosswalk AS known ON known.entity = {literal(entity)} AND known.salesforce_id = one.salesforce_key
WHERE one.entity = {literal(entity)} AND one.d365_lake_key IS NULL"""


def _salesforce(table: str, by: str, value: str, source: str, condition: str) -> str:
    return f"SELECT one.position, {literal(table)}, {literal(by)}, NULL, {value} FROM {source} WHERE {condition} AND {value} IS NOT NULL"


def _by_lake_key(table: str, number: str, source: str, condition: str) -> str:
    key = f"{source}.d365_lake_key"
    return f"SELECT one.position, {literal(table)}, {number}, split_part({key}, '|', 1), {_after_bar(key)} FROM {source} WHERE {condition} AND {key} IS NOT NULL"


def _after_bar(key: str) -> str:
    return f"substr({key}, strpos({key}, '|') + 1)"


def _union(selects: Sequence[str]) -> str:
    return "\nUNION ALL\n".join(selects)


def changed_statement(contracts: Contracts) -> str:
    """Make `changed(table_name, _key, parent_key, reference, how)`: rows that are not as they were; `how` is changed, appeared or vanished.

    For each table of the contracts that is in `asked`: `base_<table>` holds the rows of the first read, `now_<table>` those of the second,
    both with `_key`, `_parent_key`, `reference` and `content`, which is all that the rows say. Only a row that was asked for can be missed.
    """
    selects: list[str] = []
    for name, key_column, parent_column, reference_column in _compared_tables(contracts):
        base, now = f"{BASE}_{name}", f"{NOW}_{name}"
        asked = [_asked_by(name, key_column, f"{base}._key")]
        asked += [_asked_by(name, parent_column, f"{base}._parent_key")] if parent_column else []
        if reference_column:
            asked.append(
                f"""EXISTS (SELECT 1 FROM asked WHERE table_name = {literal(name)} AND column_name = {literal(reference_column)}
            AND asked.company = split_part({base}._key, '|', 1) AND lower(asked.value) = {base}.reference)"""
            )
        selects.append(
            f"""SELECT {literal(name)} AS table_name, {now}._key, {now}._parent_key AS parent_key, {now}.reference,
    CASE WHEN {base}._key IS NULL THEN 'appeared' ELSE 'changed' END AS how
FROM {now} LEFT JOIN {base} ON {base}._key = {now}._key
WHERE {base}._key IS NULL OR {base}.content IS DISTINCT FROM {now}.content
UNION ALL
SELECT {literal(name)}, {base}._key, {base}._parent_key, {base}.reference, 'vanished'
FROM {base} ANTI JOIN {now} ON {now}._key = {base}._key
WHERE {" OR ".join(asked)}"""
        )
    return f"CREATE OR REPLACE TEMP TABLE changed AS\n{_union(selects)}"


def base_statement(contracts: Contracts, table: Table, relation: str, quarantined: str) -> str:
    """Make `base_<table>`: the rows of the first read that were asked for again, or came again."""
    key, parent, reference = next(columns for name, *columns in _compared_tables(contracts) if name == table.name)
    tests = [f"_key IN (SELECT _key FROM {NOW}_{table.name})", f"_key IN ({_keys_asked(table.name, key)})"]
    tests += [f"{_parent(table)} IN ({_keys_asked(table.name, parent)})"] if parent else []
    good = list(tests)
    if reference:
        by = f"SELECT lower(value) FROM asked WHERE table_name = {literal(table.name)} AND column_name = {literal(reference)}"
        good.append(f"lower({quoted(reference)}) IN ({by})")
    return f"""CREATE OR REPLACE TEMP TABLE {BASE}_{table.name} AS
{rows_statement(table, relation, reference)} WHERE {" OR ".join(good)}
UNION ALL
{quarantined_statement(quarantined)} WHERE {" OR ".join(tests).replace(_parent(table), "_parent_key")}"""


def rows_statement(table: Table, relation: str, reference: str) -> str:
    """SELECT of `_key`, `_parent_key`, `reference` and `content` of good rows. Values are compared, not hashes: a hash may be of an older version."""
    names = [column.name for column in table.columns] + [canonical_column(field) for field in table.fields]
    content = ", ".join(f"{literal(name)}: {quoted(name)}" for name in names)
    shown = f"lower({quoted(reference)})" if reference else "NULL::VARCHAR"
    return f"SELECT _key, {_parent(table)} AS _parent_key, {shown} AS reference, to_json({{{content}}})::VARCHAR AS content FROM {relation}"


def quarantined_statement(relation: str) -> str:
    """As `rows_statement`, of rows that are in quarantine.

    Their values are as they were received, and Salesforce writes the same value in two ways: `0` and an empty field in the CSV of its bulk
    interface, `0.0` and null in JSON; `Z` there, `+0000` here.
    """
    value = "json_extract_string(\"row\", '$.\"' || name || '\"')"
    same = f"coalesce(try_cast({value} AS DECIMAL(38,10))::VARCHAR, replace(replace(lower({value}), '+00:00', 'z'), '+0000', 'z'))"
    told = f"[name || '=' || {same} FOR name IN list_sort(json_keys(\"row\")) IF coalesce({value}, '') <> '' AND name <> 'attributes']"
    return f"SELECT _key, _parent_key, NULL::VARCHAR AS reference, 'quarantined ' || ({told})::VARCHAR AS content FROM {relation}"


def reference_of(contracts: Contracts, table: Table) -> str:
    """The column by which rows of `table` are looked for besides their key; empty where there is none."""
    return next(reference for name, _, _, reference in _compared_tables(contracts) if name == table.name)


def _parent(table: Table) -> str:
    return "_parent_key" if table.parent else "NULL::VARCHAR"


def _keys_asked(table: str, column: str) -> str:
    key = "CASE WHEN company IS NULL THEN value ELSE company || '|' || value END"
    return f"SELECT {key} FROM asked WHERE table_name = {literal(table)} AND column_name = {literal(column)}"


def _asked_by(table: str, column: str, key: str) -> str:
    return f"""EXISTS (SELECT 1 FROM asked WHERE table_name = {literal(table)} AND column_name = {literal(column)}
            AND {key} = CASE WHEN company IS NULL THEN value ELSE company || '|' || value END)"""


def _compared_tables(contracts: Contracts) -> Iterator[tuple[str, str, str, str]]:
    """Table, the column of its key, of its parent, of its reference; empty where it has none or is not asked for by it."""
    customers, orders, lines = contracts["customer"], contracts["sales_order"], lines_of(contracts["sales_order"])
    yield contracts["product"].salesforce.table, contracts["product"].salesforce.key[0], "", ""
    yield customers.salesforce.table, customers.salesforce.key[0], "", ""
    yield customers.d365.table, customers.d365.key[1], "", ""
    yield orders.salesforce.table, orders.salesforce.key[0], "", ""
    yield lines.salesforce.table, "", lines.salesforce.parent or "", ""
    yield orders.d365.table, orders.d365.key[1], "", orders.link.reference or ""
    yield lines.d365.table, "", lines.d365.parent or "", ""


def tables_read_again(contracts: Contracts) -> tuple[str, ...]:
    """The tables of which rows are read again."""
    return tuple(name for name, *_ in _compared_tables(contracts))


def settled_statement(contracts: Contracts) -> str:
    """Add to `settled(entity, salesforce_key, d365_lake_key, company, reason)` the suspects at `$first` to `$last` that are in flight.

    `second_verdict` holds what the same statements say about the rows of the second read. A suspect whose own rows are as they were keeps
    its verdict, unless it agrees now, has found its counterpart, or differs otherwise because of what it hangs on.
    """
    customers, orders, lines = contracts["customer"], contracts["sales_order"], lines_of(contracts["sales_order"])
    header = {
        "customer": (customers.salesforce.table, customers.d365.table),
        "sales_order": (orders.salesforce.table, orders.d365.table),
    }
    own = [
        f"""SELECT one.position, changed.how FROM one JOIN changed ON changed.table_name = {literal(table)} AND changed._key = one.{key}
WHERE one.entity = {literal(entity)}"""
        for entity, tables in header.items()
        for table, key in zip(tables, ("salesforce_key", "d365_lake_key"), strict=True)
    ]
    # That a line came or went is a change of its order.
    own += [
        f"""SELECT one.position, 'changed' FROM one JOIN changed ON changed.table_name = {literal(table)} AND changed.parent_key = one.{key}
WHERE one.entity = 'sales_order'"""
        for table, key in ((lines.salesforce.table, "salesforce_key"), (lines.d365.table, "d365_lake_key"))
    ]
    if orders.link.reference:
        own.append(
            f"""SELECT one.position, CASE WHEN one.d365_lake_key IS NULL THEN changed.how ELSE 'changed' END
FROM one JOIN changed ON changed.table_name = {literal(orders.d365.table)} AND changed.reference = lower(one.salesforce_key)
WHERE one.entity = 'sales_order'"""
        )
        own.append(
            f"""SELECT one.position, 'changed'
FROM one JOIN {BASE}_{orders.d365.table} AS mine ON mine._key = one.d365_lake_key
JOIN changed ON changed.table_name = {literal(orders.d365.table)} AND changed.reference = mine.reference
WHERE one.entity = 'sales_order'"""
        )
    counterparts = literals((customers.salesforce.table, orders.salesforce.table))
    key = "CASE WHEN asked.company IS NULL THEN asked.value ELSE asked.company || '|' || asked.value END"
    return f"""INSERT INTO settled
WITH one AS (SELECT * FROM suspect WHERE position BETWEEN $first AND $last),
moved AS (
    SELECT position, bool_or(how = 'vanished') AS vanished, bool_or(how = 'appeared') AS appeared FROM (
{_union(own)}
    ) GROUP BY position
),
-- Something that was asked for on behalf of the suspect is not as it was: its own rows, or what it hangs on.
touched AS (
    SELECT asked.position FROM asked JOIN changed ON changed.table_name = asked.table_name AND changed._key = {key}
    UNION
    SELECT asked.position FROM asked JOIN changed ON changed.table_name = asked.table_name AND changed.parent_key = {key}
    UNION
    SELECT asked.position FROM asked JOIN changed ON changed.table_name = asked.table_name AND changed.reference = lower(asked.value)
),
now AS (
    SELECT one.position, bool_or(second.verdict = 'matched' AND one.verdict <> 'matched') AS agrees,
        bool_or(one.salesforce_key IS NULL OR one.d365_lake_key IS NULL) AS is_paired,
        bool_or(one.salesforce_key IS NULL AND found._key IS NOT NULL) AS is_found,
        bool_or(second.fields IS DISTINCT FROM one.fields) AS differs_otherwise
    FROM one JOIN second_verdict AS second ON second.entity = one.entity
        AND second.salesforce_key IS NOT NULL AND second.d365_lake_key IS NOT NULL
        AND (second.salesforce_key = one.salesforce_key OR one.salesforce_key IS NULL)
        AND (second.d365_lake_key = one.d365_lake_key OR one.d365_lake_key IS NULL)
        AND (second.company = one.company OR one.company = '' OR one.entity <> 'customer')
    LEFT JOIN changed AS found ON found._key = second.salesforce_key AND found.table_name IN ({counterparts})
    GROUP BY one.position
)
SELECT DISTINCT one.entity, one.salesforce_key, one.d365_lake_key, one.company, CASE
        WHEN now.agrees THEN {literal(Reason.AGREES_NOW)}
        WHEN moved.vanished THEN {literal(Reason.VANISHED)}
        WHEN moved.appeared OR now.is_paired THEN {literal(Reason.APPEARED)}
        ELSE {literal(Reason.CHANGED_BETWEEN)} END AS reason
FROM one LEFT JOIN moved USING (position) LEFT JOIN now USING (position) LEFT JOIN touched USING (position)
-- A part of the records judged alone can say something else, because the rest is missing: without a change it proves nothing.
WHERE moved.position IS NOT NULL OR now.is_found
    OR touched.position IS NOT NULL AND (now.agrees OR now.is_paired OR now.differs_otherwise)"""


SETTLED_TABLE = """CREATE OR REPLACE TEMP TABLE settled (
    entity VARCHAR, salesforce_key VARCHAR, d365_lake_key VARCHAR, company VARCHAR, reason VARCHAR
)"""

_SAME = """settled.salesforce_key IS NOT DISTINCT FROM judged.salesforce_key
    AND settled.d365_lake_key IS NOT DISTINCT FROM judged.d365_lake_key AND settled.company = judged.company"""


def apply_settled(con: "DuckDBPyConnection", contracts: Contracts, entity: str) -> dict[str, int] | None:
    """Judge `entity` again with the records of `settled` in flight: verdicts, lines, differences, counts and totals follow.

    Returns verdict → number of records; None where nothing was settled.
    """
    [(count,)] = con.execute(f"SELECT count(*) FROM settled WHERE entity = {literal(entity)}").fetchall()
    if not count:
        return None
    con.execute(
        f"UPDATE {entity}_record AS judged SET is_recent = true FROM settled WHERE settled.entity = {literal(entity)} AND {_SAME}"
    )
    if entity == "sales_order":
        con.execute(recent_statement())
    statements = customer_judgement(contracts) if entity == "customer" else order_judgement(contracts)
    for statement in statements:
        con.execute(statement)
    # A record in quarantine has been put right meanwhile, or wrong otherwise: it is in flight as well.
    con.execute(
        f"""UPDATE {entity}_verdict AS judged SET verdict = 'in_flight', reason = settled.reason
FROM settled WHERE settled.entity = {literal(entity)} AND judged.verdict <> 'matched' AND {_SAME}"""
    )
    if entity == "sales_order":
        total(con)
    return dict(
        con.execute(f"SELECT verdict, count(*) FROM {entity}_verdict GROUP BY verdict ORDER BY verdict").fetchall()
    )
