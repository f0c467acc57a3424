"""Sales orders in canonical form: what their keyed comparison compares, and the rows of both sides, read from the tables of the crosswalk.

Only headers: lines are read for the amount of an order. An order meets its opportunity under the opportunity's id, by the link of the
crosswalk or as one of several that deliver it. Opportunities that share an order are left out (`shared_statement`), because the sums of
such a group are no sum of parts of one record.
"""

from tieout.canonical import MONEY_TYPE
from tieout.compared_field import as_is
from tieout.contract import Contracts, System
from tieout.keyed.canonical_file import SideColumns, canonical_select
from tieout.keyed.comparison import KeyedComparison
from tieout.reconciliation.fields import order_fields
from tieout.reconciliation.sides import in_scope

SHARED = "keyed_shared"


def order_headers(contracts: Contracts) -> KeyedComparison:
    """The fields of order headers; the amounts of the orders that deliver one opportunity add up.

    Amounts in different currencies are not converted here.
    """
    fields = tuple(map(as_is, order_fields(contracts["sales_order"])))
    additive = frozenset(field.name for field in fields if field.is_money)
    return KeyedComparison(fields, additive, "currency" if any(field.name == "currency" for field in fields) else None)


def shared_statement() -> str:
    """Make `keyed_shared(salesforce_key, d365_key)`: the members of groups with more than one opportunity."""
    return f"""CREATE OR REPLACE TEMP TABLE {SHARED} AS
SELECT salesforce_key, d365_key FROM sales_order_group_row
WHERE group_key IN (SELECT group_key FROM sales_order_group_row GROUP BY group_key HAVING count(DISTINCT salesforce_key) > 1)"""


def order_side(contracts: Contracts, system: System) -> str:
    """SELECT that gives the canonical rows of a side. Needs `make_order_sides` to have run, and `shared_statement`.

    Of Salesforce the opportunities in the contract's scope, of D365 the orders that are linked or not canceled; nothing in quarantine.
    """
    comparison = order_headers(contracts)
    values = {
        # Hashes of one number differ by its type, and sums have another one than columns.
        field.name: f"CAST({field.compared} AS {MONEY_TYPE})" if field.is_number else field.compared
        for field in comparison.fields
    }
    rows = _opportunities(contracts) if system == "salesforce" else _orders(contracts)
    return canonical_select(comparison, SideColumns("_key", "_group_key", values), f"(\n{rows}\n)")


def _opportunities(contracts: Contracts) -> str:
    contract = contracts["sales_order"]
    return f"""SELECT source.*, source._key AS _group_key
FROM sales_order_salesforce AS source
SEMI JOIN (SELECT _key FROM {contract.salesforce.table} WHERE {in_scope(contract)}) AS there ON there._key = source._key
ANTI JOIN {SHARED} AS shared ON shared.salesforce_key = source._key"""


def _orders(contracts: Contracts) -> str:
    contract = contracts["sales_order"]
    return f"""SELECT source.*, coalesce(linked.salesforce_id, part.salesforce_key, source._key) AS _group_key
FROM sales_order_d365 AS source
LEFT JOIN crosswalk_sales_order AS linked ON linked.d365_lake_key = source._key
LEFT JOIN (
    SELECT d365_key, min(salesforce_key) AS salesforce_key FROM sales_order_group_row GROUP BY d365_key
) AS part ON part.d365_key = source._key
LEFT JOIN (
    SELECT DISTINCT _key FROM {contract.d365.table} WHERE cmp_order_status = 'canceled'
) AS canceled ON canceled._key = source._key
ANTI JOIN {SHARED} AS shared ON shared.d365_key = source._key
WHERE canceled._key IS NULL OR linked.salesforce_id IS NOT NULL"""
