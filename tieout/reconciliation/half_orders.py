"""Orders that have D365's number and no lines yet: stopped, and no order for anybody but the delivery that goes on with them."""

from tieout.contract import STOPPED, Contract
from tieout.sql import literal, quoted

EVERY_ORDER = "every_order"
"""The relation that holds half orders, too, where D365 gives the numbers."""


def has_half_orders(contract: Contract) -> bool:
    """Whether orders of this contract can be half: only where header and lines cannot travel together."""
    return contract.create.number_given_by == "d365"


def whole_orders_statement(contract: Contract) -> str:
    """Makes the relation of the orders, without the half ones, from `every_order` and the lines.

    Linked, a half order would count as delivered and its lines would never be sent.
    """
    lines, reference = contract.lines_table("d365").name, contract.link.reference or ""
    return f"""CREATE OR REPLACE TEMP VIEW {quoted(contract.d365.table)} AS
SELECT header.* FROM {EVERY_ORDER} AS header
WHERE NOT (
    header.{quoted(STOPPED)} IS NOT DISTINCT FROM {literal("Yes")} AND coalesce(header.{quoted(reference)}, {literal("")}) <> {literal("")}
    AND NOT EXISTS (SELECT 1 FROM {quoted(lines)} AS line WHERE line._parent_key = header._key)
)"""
