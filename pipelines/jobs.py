"""The jobs: the whole way, the whole way with everything read again, and the backfill of historical orders."""

import dagster as dg

from assets.backfill import BACKFILL_KEY
from pipelines.partitions import month_and_company

FLOW = "tieout/flow"
_backfill = dg.AssetSelection.assets(BACKFILL_KEY)

main = dg.define_asset_job(
    "main",
    selection=dg.AssetSelection.all() - _backfill,
    description="The whole way: extract what changed, check, reconcile, deliver what is missing, write back, report.",
    tags={FLOW: "main"},
)

full_reconciliation = dg.define_asset_job(
    "full_reconciliation",
    selection=dg.AssetSelection.all() - _backfill,
    description="The whole way with Salesforce read whole, which also finds what was deleted there without a trace.",
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
