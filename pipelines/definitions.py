"""The code location: every asset, check, job, schedule and sensor. Loading it opens nothing and needs no environment."""

import warnings

import dagster as dg

from assets.backfill import backfill_of
from assets.buckets import bucket_comparison_of, bucketed_orders_of
from assets.crosswalk import crosswalk_of
from assets.d365 import extraction_of as d365_extraction_of
from assets.delivery import delivery_of
from assets.events import changed_records as records_of_events
from assets.integration_log import integration_log
from assets.log_sinks import log_sink_of
from assets.matching import match_proposals
from assets.periods import periods
from assets.quality import checks_of, quarantine
from assets.reconciliation import breaks, reconciliation_of, report
from assets.reread import read_again
from assets.salesforce import extraction_of as salesforce_extraction_of
from assets.source_schema import source_schema
from assets.writeback import writeback_of
from pipelines.event_sensor import events_wait, sweep_wanted
from pipelines.jobs import (
    LOG_JOBS,
    backfill_sales_orders,
    bucket_sales_orders,
    changed_records,
    full_reconciliation,
    main,
    reconcile_buckets,
)
from pipelines.log_sensor import log_rows_wait
from pipelines.partitions import buckets, month_and_company
from pipelines.schedules import every_night, throughout_the_day
from pipelines.sensors import alerts_after_a_failed_run, alerts_after_a_run, alerts_every_minute
from resources.connections import (
    ContractsResource,
    D365Resource,
    HomeResource,
    LakeResource,
    LedgerResource,
    LogSinksResource,
    RunOptions,
    SalesforceResource,
)
from resources.workbench import WorkbenchResource
from tieout.contract import load_contracts
from tieout.log_sinks.settings import SINKS
from tieout.settings import contracts_folder

# Dagster calls `backfill_policy` beta at every start of every process; the release is pinned to one minor version.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

_contracts = load_contracts(contracts_folder())
_salesforce, _d365 = _contracts.tables("salesforce"), _contracts.tables("d365")
_lake, _ledger, _rules = LakeResource(), LedgerResource(), ContractsResource()

defs = dg.Definitions(
    assets=[
        *(salesforce_extraction_of(table) for table in _salesforce),
        *(d365_extraction_of(table) for table in _d365),
        quarantine,
        source_schema,
        *(crosswalk_of(entity) for entity in ("customer", "sales_order")),
        match_proposals,
        *(reconciliation_of(entity) for entity in ("customer", "sales_order")),
        read_again,
        *(delivery_of(entity) for entity in ("customer", "sales_order")),
        *(writeback_of(table) for table in ("account", "opportunity")),
        integration_log,
        breaks,
        periods,
        report,
        backfill_of(month_and_company),
        bucketed_orders_of(buckets),
        bucket_comparison_of(buckets),
        records_of_events,
        *(log_sink_of(name) for name in SINKS),
    ],
    asset_checks=[checks_of(table) for table in (*_salesforce, *_d365)],
    jobs=[
        main,
        full_reconciliation,
        backfill_sales_orders,
        bucket_sales_orders,
        reconcile_buckets,
        changed_records,
        *LOG_JOBS.values(),
    ],
    schedules=[throughout_the_day, every_night],
    sensors=[
        alerts_every_minute,
        alerts_after_a_run,
        alerts_after_a_failed_run,
        events_wait,
        sweep_wanted,
        log_rows_wait,
    ],
    resources={
        "salesforce": SalesforceResource(),
        "d365": D365Resource(),
        "ledger": _ledger,
        "lake": _lake,
        "contracts": _rules,
        "home": HomeResource(),
        "log_sinks": LogSinksResource(),
        "options": RunOptions.configure_at_launch(),
        "workbench": WorkbenchResource(lake=_lake, ledger=_ledger, contracts=_rules),
    },
    # One process for a run: the steps are short, and the heavy ones use all cores inside DuckDB.
    executor=dg.in_process_executor,
)
