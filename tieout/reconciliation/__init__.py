"""Reconciliation: a verdict for every record, every difference field by field, and totals that tie out.

`reconcile_customers` and `reconcile_orders` make the tables; `due.py` says what follows from them for delivery and write-back, and
`after_delivery.py` what follows for orders that were delivered already.
"""

from tieout.reconciliation.after_delivery import LateChange, LateNotes, late_changes, late_notes
from tieout.reconciliation.due import (
    CustomerToCreate,
    CustomerUpdate,
    MirrorChange,
    OrderToDeliver,
    customer_updates,
    customers_to_create,
    mirror_changes,
    orders_to_deliver,
)
from tieout.reconciliation.rows import (
    DifferenceKind,
    DifferenceRow,
    ReadTimes,
    Reason,
    Verdict,
    VerdictRow,
    differences_to_look_at,
    unjudged_keys,
    verdicts_to_look_at,
)
from tieout.reconciliation.run import VerdictCounts, make_order_sides, reconcile_customers, reconcile_orders
from tieout.reconciliation.totals import explain

__all__ = [
    "CustomerToCreate",
    "CustomerUpdate",
    "DifferenceKind",
    "DifferenceRow",
    "LateChange",
    "LateNotes",
    "MirrorChange",
    "OrderToDeliver",
    "ReadTimes",
    "Reason",
    "Verdict",
    "VerdictCounts",
    "VerdictRow",
    "customer_updates",
    "customers_to_create",
    "differences_to_look_at",
    "explain",
    "late_changes",
    "late_notes",
    "make_order_sides",
    "mirror_changes",
    "orders_to_deliver",
    "reconcile_customers",
    "reconcile_orders",
    "unjudged_keys",
    "verdicts_to_look_at",
]
