"""The two sides of each comparison as views with equal columns, whatever the source calls them.

Every view has `_key`, `_compare_hash`, `cmp_<field>` (comparable) and `stored_<field>` (as the system has it) for the compared fields. What
a table does not hold itself is brought in here: an order's amount from its lines, its customer through the crosswalk, a line's unit from
its product.
"""

from collections.abc import Iterator

from tieout.canonical import MONEY_TYPE, shown
from tieout.contract import Contract, Contracts, Field, Lines, System
from tieout.crosswalk import not_deleted
from tieout.reconciliation.fields import is_mirrored
from tieout.sql import literal, quoted

_LINE_STATUS = "SalesOrderLineStatus"


def customer_views(contracts: Contracts) -> Iterator[str]:
    """`customer_salesforce` and `customer_d365`."""
    contract = contracts["customer"]
    for side in (contract.salesforce, contract.d365):
        columns = [_columns(field, side.system) for field in contract.fields if field.is_compared]
        yield _view(f"customer_{side.system}", columns, f"{side.table} AS source")


def order_views(contracts: Contracts) -> Iterator[str]:
    """`sales_order_line_total` and `sales_order_on_merged`, then `sales_order_salesforce` and `sales_order_d365`."""
    contract = contracts["sales_order"]
    yield line_total_statement(contract)
    yield orders_of_merged_accounts_statement(contract)
    for side in (contract.salesforce, contract.d365):
        fields = [field for field in contract.fields if field.is_compared and not is_mirrored(field)]
        columns = [_order_columns(field, side.system) for field in fields] + _company_columns(contract, side.system)
        yield _view(f"sales_order_{side.system}", columns, _order_source(contract, side.system))


def line_views(contracts: Contracts) -> Iterator[str]:
    """`sales_order_line_salesforce` and `sales_order_line_d365`."""
    lines = lines_of(contracts["sales_order"])
    for side in (lines.salesforce, lines.d365):
        columns = [_line_columns(field, side.system, contracts) for field in lines.fields if field.is_compared]
        source = f"{side.table} AS source"
        if side.system == "salesforce" and any(field.salesforce_via_product for field in lines.fields):
            source += (
                f'\nLEFT JOIN {contracts["product"].salesforce.table} AS product ON product._key = source."Product2Id"'
            )
        yield _view(f"sales_order_line_{side.system}", columns, source)


def lines_of(contract: Contract) -> Lines:
    """The lines of an entity that has them."""
    assert contract.lines is not None, f"{contract.file} describes no lines"
    return contract.lines


def is_live_in_salesforce(lines: Lines) -> str:
    """The condition under which a Salesforce line counts: not deleted."""
    return 'NOT coalesce("IsDeleted", false)' if "IsDeleted" in lines.salesforce.extra else "true"


def is_live_in_d365(lines: Lines) -> str:
    """The condition under which a D365 line counts: not canceled."""
    known = _LINE_STATUS in lines.d365.extra
    return f"lower(coalesce({quoted(_LINE_STATUS)}, '')) <> 'canceled'" if known else "true"


def _view(name: str, columns: list[str], source: str) -> str:
    listed = ",\n    ".join(["source._key", "source._compare_hash", *columns])
    return f"CREATE OR REPLACE TEMP VIEW {name} AS\nSELECT {listed}\nFROM {source}"


def _columns(field: Field, system: System, relation: str = "source") -> str:
    compared, stored = quoted(f"cmp_{field.name}"), quoted(f"stored_{field.name}")
    columns = [f"{relation}.{quoted(name)}" for name in field.sources(system)]
    rate_date = ""
    if field.exchange is not None and system == "salesforce":
        rate_date = f", {relation}.{quoted(field.exchange.date)}::DATE AS {quoted(f'rate_date_{field.name}')}"
    return f"{relation}.{compared}, {shown(columns)} AS {stored}{rate_date}"


def _order_columns(field: Field, system: System) -> str:
    compared, stored = quoted(f"cmp_{field.name}"), quoted(f"stored_{field.name}")
    if field.compare == "reference" and system == "salesforce":
        # The id of the account becomes the key of its customer in the company of the order.
        return f"coalesce(merged.d365_lake_key, linked.d365_lake_key) AS {compared}, source.{quoted(field.salesforce or '')} AS {stored}"
    if field.d365_sum_of is not None and system == "d365":
        total = quoted(f"total_{field.d365_sum_of}")
        return f"line_total.{total} AS {compared}, line_total.{total} AS {stored}"
    return _columns(field, system)


def _company_columns(contract: Contract, system: System) -> list[str]:
    if contract.link.company is None:
        return []
    company = quoted(contract.link.company if system == "salesforce" else contract.d365.key[0])
    return [f"nullif(lower(source.{company}), '') AS cmp_company, source.{company} AS stored_company"]


def _order_source(contract: Contract, system: System) -> str:
    if system == "d365":
        return f"{contract.d365.table} AS source\nLEFT JOIN sales_order_line_total AS line_total ON line_total.order_key = source._key"
    account = quoted(contract.field("customer").salesforce or "")
    return f"""{contract.salesforce.table} AS source
LEFT JOIN (
    SELECT salesforce_id, company FROM crosswalk_sales_order
    UNION ALL
    SELECT grouped.salesforce_key, grouped.company
    FROM sales_order_group_row AS grouped ANTI JOIN crosswalk_sales_order AS linked ON linked.salesforce_id = grouped.salesforce_key
    WHERE grouped.owns_salesforce
) AS paired ON paired.salesforce_id = source._key
LEFT JOIN crosswalk_customer AS linked ON linked.salesforce_id = source.{account} AND linked.company = paired.company
LEFT JOIN sales_order_on_merged AS merged ON merged.salesforce_id = source._key"""


def _line_columns(field: Field, system: System, contracts: Contracts) -> str:
    if system == "salesforce" and field.salesforce_via_product is not None:
        made_from = contracts["product"].field(field.salesforce_via_product)
        compared, stored = quoted(f"cmp_{field.name}"), quoted(f"stored_{field.name}")
        return f"product.{quoted(f'cmp_{made_from.name}')} AS {compared}, product.{quoted(made_from.salesforce or '')} AS {stored}"
    return _columns(field, system)


def line_total_statement(contract: Contract) -> str:
    """Make `sales_order_line_total`, which D365 does not keep in the header: sums over the lines that are not canceled."""
    lines = lines_of(contract)
    sums = dict.fromkeys(field.d365_sum_of for field in contract.fields if field.d365_sum_of is not None)
    totals = [
        f"sum({quoted(lines.field(name).d365 or '')}) FILTER ({is_live_in_d365(lines)})::{MONEY_TYPE}"
        f" AS {quoted(f'total_{name}')}"
        for name in sums
    ]
    listed = ",\n    ".join(["_parent_key AS order_key", *totals])
    return f"CREATE OR REPLACE TABLE sales_order_line_total AS\nSELECT {listed}\nFROM {lines.d365.table}\nGROUP BY _parent_key"


def orders_of_merged_accounts_statement(contract: Contract) -> str:
    """Make `sales_order_on_merged(salesforce_id, d365_lake_key)`: the customer of each order that stands on any customer of a merged account.

    After a merge an account may have several customers in a company, and an order may stand on each of them. Few accounts are merged, so this
    is found beside the comparison and not in it.
    """
    account = quoted(contract.field("customer").salesforce or "")
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_on_merged AS
WITH alias AS (
    SELECT account_id, master_id FROM account_master
    UNION
    SELECT master_id, master_id FROM account_master
),
belongs AS (
    SELECT linked.salesforce_id AS master_id, linked.company, linked.d365_lake_key FROM crosswalk_customer AS linked
    UNION ALL
    SELECT master_id, company, d365_lake_key FROM crosswalk_customer_merged
)
SELECT paired.salesforce_id, min(belongs.d365_lake_key) AS d365_lake_key
FROM alias
JOIN {contract.salesforce.table} AS opportunity ON opportunity.{account} = alias.account_id
JOIN crosswalk_sales_order AS paired ON paired.salesforce_id = opportunity._key
JOIN {contract.d365.table} AS ordered ON ordered._key = paired.d365_lake_key
JOIN belongs ON belongs.master_id = alias.master_id AND belongs.company = paired.company AND belongs.d365_lake_key = ordered.cmp_customer
GROUP BY paired.salesforce_id"""


def in_scope(contract: Contract) -> str:
    """The condition under which a Salesforce record takes part: still there, and inside the contract's scope."""
    tests = [not_deleted(contract)]
    tests += [
        f"{quoted(f'cmp_{name}')} IS NOT DISTINCT FROM {literal(value)}" for name, value in contract.scope.items()
    ]
    return " AND ".join(tests)
