"""The jobs: the whole way, the whole way with everything read again, the backfill of historical orders, the comparison in buckets, the records of events, the log."""

import dagster as dg

from assets.backfill import BACKFILL_KEY
from assets.buckets import BUCKETED_KEY, COMPARED_KEY
from assets.events import CHANGED_RECORDS_KEY
from assets.log_sinks import log_sink_key
from pipelines.partitions import buckets, month_and_company
from tieout.log_sinks.settings import SINKS, TITLES

FLOW = "tieout/flow"
_backfill = dg.AssetSelection.assets(BACKFILL_KEY)
_bucketed, _compared = (dg.AssetSelection.assets(key) for key in (BUCKETED_KEY, COMPARED_KEY))
_changed = dg.AssetSelection.assets(CHANGED_RECORDS_KEY)
_logs = dg.AssetSelection.assets(*(log_sink_key(name) for name in SINKS))
WHOLE_WAY = dg.AssetSelection.all() - _backfill - _bucketed - _compared - _changed - _logs
"""Everything that a run of the main job makes."""

main = dg.define_asset_job(
    "main",
    selection=WHOLE_WAY,
    description="The whole way: extract what changed, check, reconcile, deliver what is missing, write back, report.",
    tags={FLOW: "main"},
)

full_reconciliation = dg.define_asset_job(
    "full_reconciliation",
    selection=WHOLE_WAY,
    description="The whole way with both systems read whole, which also finds what was deleted without a trace, and what changed in closed orders.",
    tags={FLOW: "main"},
    config={"resources": {"options": {"config": {"full": True}}}},
)

backfill_sales_orders = dg.define_asset_job(
    "backfill_sales_orders",
    selection=_backfill,
    partitions_def=month_and_company,
    description="Historical orders by close month and company. Repeating a partition, or running beside the main job, sends nothing twice.",
    tags={FLOW: "backfill"},
)

bucket_sales_orders = dg.define_asset_job(
    "bucket_sales_orders",
    selection=_bucketed,
    description="Both sides of the comparison of orders in canonical form, in hash buckets, from what was last read.",
    tags={FLOW: "buckets"},
)

reconcile_buckets = dg.define_asset_job(
    "reconcile_buckets",
    selection=_compared,
    partitions_def=buckets,
    description="Order headers compared, a hash bucket a partition: for more orders than one machine should compare at once. Run `bucket_sales_orders` before.",
    tags={FLOW: "buckets"},
)

changed_records = dg.define_asset_job(
    "changed_records",
    selection=_changed,
    description="The records of which events say that they changed, 200 at a time. The sensor starts it; without any event the main job finds the same.",
    tags={FLOW: "events"},
)

LOG_JOBS = {
    name: dg.define_asset_job(
        f"log_to_{name}",
        selection=dg.AssetSelection.assets(log_sink_key(name)),
        description=f"The integration log into {TITLES[name]}, from where it ended last. The sensor starts it when rows wait.",
        tags={FLOW: f"log_{name}"},
    )
    for name in SINKS
}
"""A job for each sink: one that is down or slow holds up neither the other nor the main job."""
