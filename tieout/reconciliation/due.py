"""What a reconciliation makes due: orders and customers to create, customers to update, copies in Salesforce to bring up to date.

Only reads what `reconcile_customers` and `reconcile_orders` left on the connection. Rows come one by one, in the order of their keys.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from tieout.compared_field import differs
from tieout.contract import Contract, Contracts, Field
from tieout.reconciliation.fields import compared_field, is_mirrored
from tieout.reconciliation.lines import numbered_lines
from tieout.reconciliation.population import account_state_cte
from tieout.reconciliation.rows import in_batches
from tieout.reconciliation.sides import line_total_statement, lines_of
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Row = Mapping[str, object]
"""Source columns under their API names, typed: decimals as Decimal, dates as date, instants aware."""


@dataclass(frozen=True, slots=True)
class OrderToDeliver:
    """A won opportunity that has no order and could have one.

    `opportunity` holds the source columns, with the company filled in where only the account knows it. `lines` are in the order of
    `line_number`, a key of each beside the source columns. `products` maps Product2Id to stored values of the product contract's fields.
    `customer_account` is `None` where the customer has to be created first.
    """

    salesforce_id: str
    company: str
    account_id: str
    customer_account: str | None
    opportunity: Row
    lines: tuple[Row, ...]
    products: Mapping[str, Row]


@dataclass(frozen=True, slots=True)
class CustomerToCreate:
    """An account that needs a customer in `company`, because an order that is to be delivered there needs one."""

    salesforce_id: str
    company: str
    account: Row


@dataclass(frozen=True, slots=True)
class CustomerUpdate:
    """A field that Salesforce owns and that differs in D365. `field` is the contract's name, `property` the one of D365.

    `version` is the version of the account that holds the value.
    """

    salesforce_id: str
    company: str
    customer_account: str
    field: str
    property: str
    value: object
    version: datetime | None = None


@dataclass(frozen=True, slots=True)
class MirrorChange:
    """A field of Salesforce that holds a copy of D365's value, and no longer the right one. `field` is the API name."""

    salesforce_id: str
    field: str
    salesforce_value: object
    wanted_value: object


def orders_to_deliver(con: "DuckDBPyConnection", contracts: Contracts) -> Iterator[OrderToDeliver]:
    """Won opportunities without an order: not in quarantine (nor a line of theirs), not linked, not in flight, nothing in the way."""
    company = contracts["sales_order"].link.company
    rows = in_batches(con, "sales_order_due", orders_due_statement(contracts))
    for salesforce_id, at_company, account_id, customer_account, opportunity, lines, products in rows:
        yield OrderToDeliver(
            salesforce_id=salesforce_id,
            company=at_company,
            account_id=account_id,
            customer_account=customer_account,
            opportunity=opportunity | ({company: at_company} if company else {}),
            lines=tuple(lines),
            products={product.pop("_key"): product for product in products or ()},
        )


def customers_to_create(con: "DuckDBPyConnection", contracts: Contracts) -> Iterator[CustomerToCreate]:
    """The accounts without a customer in the company of an order that is to be delivered. Ambiguous ones are not among them."""
    for row in in_batches(con, "customer_due", customers_due_statement(contracts)):
        yield CustomerToCreate(*row)


def customer_updates(con: "DuckDBPyConnection", contracts: Contracts) -> Iterator[CustomerUpdate]:
    """The fields of linked customers that Salesforce owns and that are to be written to D365.

    A text that is damaged on the Salesforce side is left out: it would carry the damage over.
    """
    contract = contracts["customer"]
    for row in in_batches(con, "customer_update_due", updates_due_statement(contract)):
        salesforce_id, company, customer_account, name, value, version = row
        yield CustomerUpdate(
            salesforce_id, company, customer_account, name, contract.field(name).d365 or "", value, version
        )


def mirror_changes(con: "DuckDBPyConnection", contracts: Contracts, entity: str) -> Iterator[MirrorChange]:
    """The Salesforce fields of linked records that are copies of D365's values and have to change.

    `entity` is `sales_order` (fields of the opportunity) or `customer` (of the account, from its primary customer): the stored link,
    and every field that D365 owns and that is to be written. Records in quarantine, on either side, are left alone.
    """
    contract = contracts[entity]
    types = {field.salesforce: field.type for field in contract.fields}
    if contract.lines is not None:
        # Orders that were delivered and read back since the comparison have their lines summed up too.
        con.execute(line_total_statement(contract))
    for salesforce_id, name, present, wanted in in_batches(con, f"{entity}_mirror_due", mirror_statement(contract)):
        type_ = types.get(name, "text")
        yield MirrorChange(salesforce_id, name, _typed(present, type_), _typed(wanted, type_))


def orders_due_statement(contracts: Contracts) -> str:
    """The SELECT of `orders_to_deliver`."""
    orders = contracts["sales_order"]
    lines = lines_of(orders)
    made_from = dict.fromkeys(field.salesforce_via_product for field in lines.fields if field.salesforce_via_product)
    products = contracts["product"]
    values = [f"{literal(name)}: product.{quoted(products.field(name).salesforce or '')}" for name in made_from]
    product = "{" + ", ".join(["'_key': product._key", *values]) + "}"
    return f"""WITH due AS (
    SELECT record.salesforce_key, record.company, record.account_id
    FROM sales_order_record AS record
    JOIN sales_order_verdict AS verdict ON verdict.salesforce_key = record.salesforce_key AND record.d365_lake_key IS NULL
    WHERE verdict.verdict = 'only_in_salesforce' AND verdict.reason IS NULL
),
{account_state_cte(contracts)},
due_line AS (
    SELECT line._parent_key, list({struct_of(orders, "line", is_line=True, is_numbered=True)} ORDER BY line.line_number, line._key) AS lines,
        list(DISTINCT {product}) FILTER (product._key IS NOT NULL) AS products
    FROM (
        {numbered_lines(contracts)}
    ) AS line
    SEMI JOIN due ON due.salesforce_key = line._parent_key
    LEFT JOIN {products.salesforce.table} AS product ON product._key = line."Product2Id"
    GROUP BY line._parent_key
)
SELECT due.salesforce_key, due.company, due.account_id, account_state.customer_account,
    {struct_of(orders, "opportunity")} AS opportunity, due_line.lines, due_line.products
FROM due
JOIN {orders.salesforce.table} AS opportunity ON opportunity._key = due.salesforce_key
JOIN due_line ON due_line._parent_key = due.salesforce_key
LEFT JOIN account_state ON account_state.account_id = due.account_id AND account_state.company = due.company
ORDER BY due.salesforce_key"""


def customers_due_statement(contracts: Contracts) -> str:
    """The SELECT of `customers_to_create`."""
    customers = contracts["customer"]
    return f"""WITH {account_state_cte(contracts)}
SELECT DISTINCT ON (record.account_id, record.company) record.account_id, record.company, {struct_of(customers, "account")} AS account
FROM sales_order_verdict AS verdict
JOIN sales_order_record AS record ON record.salesforce_key = verdict.salesforce_key AND record.d365_lake_key IS NULL
JOIN account_state ON account_state.account_id = record.account_id AND account_state.company = record.company
JOIN {customers.salesforce.table} AS account ON account._key = record.account_id
WHERE verdict.verdict = 'only_in_salesforce' AND verdict.reason IS NULL AND account_state.state IS NULL
ORDER BY record.account_id, record.company"""


def updates_due_statement(contract: Contract) -> str:
    """The SELECT of `customer_updates`."""
    version = quoted(contract.salesforce.version or "SystemModstamp")
    return f"""SELECT difference.salesforce_key, difference.company, difference.d365_key, difference.field, difference.salesforce_stored,
    account.{version} AS version
FROM customer_difference AS difference
JOIN {contract.salesforce.table} AS account ON account._key = difference.salesforce_key
WHERE difference.owner = 'salesforce' AND difference.on_difference = 'write' AND difference.kind <> 'case_or_blanks'
    AND difference.damaged_side IS DISTINCT FROM 'salesforce'
    AND difference.field IN ({", ".join(literal(field.name) for field in contract.fields if field.d365)})
ORDER BY difference.salesforce_key, difference.company, difference.field"""


def mirror_statement(contract: Contract) -> str:
    """The SELECT of `mirror_changes`; values as text."""
    changes = [_link_change(contract)] if contract.link.stored else []
    changes += [_mirror_change(field) for field in contract.fields if is_mirrored(field)]
    told = ",\n        ".join(changes)
    entity, total = contract.entity, ""
    if contract.lines is not None:
        total = "\n    LEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = d365._key"
    return f"""WITH told AS (
    SELECT linked.salesforce_id, unnest([
        {told}
    ]) AS told
    FROM crosswalk_{entity} AS linked
    JOIN {contract.salesforce.table} AS sf ON sf._key = linked.salesforce_id
    JOIN {contract.d365.table} AS d365 ON d365._key = linked.d365_lake_key{total}
    ANTI JOIN (SELECT * FROM {entity}_record WHERE is_quarantined) AS bad ON bad.salesforce_key = linked.salesforce_id
    WHERE linked.is_primary
)
SELECT salesforce_id, told.field, told.salesforce_value, told.wanted_value
FROM told WHERE told.changes
ORDER BY salesforce_id, told.field"""


def _link_change(contract: Contract) -> str:
    stored = f"sf.{quoted(contract.link.stored or '')}"
    return _change(contract.link.stored or "", stored, "linked.company || '/' || linked.d365_key")


def _mirror_change(field: Field) -> str:
    stored, compared = f"sf.{quoted(field.salesforce or '')}", quoted(f"cmp_{field.name}")
    if field.d365_sum_of is not None:
        # Salesforce keeps two decimals of a currency field; D365 adds up lines with more.
        total = f"round(coalesce(line_total.{quoted(f'total_{field.d365_sum_of}')}, 0), 2)"
        return _change(field.salesforce or "", stored, total, f"{stored} IS DISTINCT FROM {total}")
    test = differs(compared_field(field))
    if field.values is not None:
        commons = dict.fromkeys(field.values.d365.values())
        spellings = {common: field.values.stored("salesforce", common) for common in commons}
        whens = " ".join(
            f"WHEN {literal(common)} THEN {literal(spelling)}" for common, spelling in spellings.items() if spelling
        )
        wanted = f"CASE d365.{compared} {whens} END"
        # A D365 value that Salesforce has no word for is left alone; the comparison or the quality check tells of it.
        return _change(field.salesforce or "", stored, wanted, f"({test} AND {wanted} IS NOT NULL)")
    return _change(field.salesforce or "", stored, f"d365.{quoted(field.d365 or '')}", test)


def _change(name: str, stored: str, wanted: str, test: str | None = None) -> str:
    changes = test or f"{stored} IS DISTINCT FROM {wanted}"
    return f"{{'field': {literal(name)}, 'salesforce_value': {stored}::VARCHAR, 'wanted_value': ({wanted})::VARCHAR, 'changes': {changes}}}"


def _typed(value: str | None, type_: str) -> object:
    return Decimal(value) if value is not None and type_ == "decimal" else value


def struct_of(contract: Contract, relation: str, *, is_line: bool = False, is_numbered: bool = False) -> str:
    """All Salesforce columns of a row of `relation` as one STRUCT; `is_numbered`: with the `line_number` that `numbered_lines` gives."""
    table = contract.lines_table("salesforce") if is_line else contract.table("salesforce")
    members = [f"{literal(column.name)}: {relation}.{quoted(column.name)}" for column in table.columns]
    if is_numbered:
        members.append(f"'line_number': {relation}.line_number")
    return "{" + ", ".join(members) + "}"
