"""The comparison of order headers in hash buckets, for amounts of orders that one run or one machine should not compare at once.

One asset writes both sides in canonical form, a lake table a side and bucket; the other is partitioned, and each of its partitions compares
one bucket. An opportunity and its orders share a bucket, so partitions need nothing of each other: they can run at the same time, on
machines that share nothing but the lake, and be run again one by one.
"""

import dagster as dg

from assets import catalogue
from assets.catalogue import counted, outcome
from resources.connections import ContractsResource, LakeResource
from resources.workbench import WorkbenchResource, duckdb_connection
from tieout.contract import System
from tieout.errors import SourceUnavailable
from tieout.keyed import bucket_of, compare
from tieout.keyed.orders import order_headers, order_side, shared_statement
from tieout.reconciliation import make_order_sides

BUCKETED_KEY = ["buckets", "sales_order"]
COMPARED_KEY = ["buckets", "sales_order_verdict"]
_SYSTEMS: tuple[System, System] = ("salesforce", "d365")


def bucketed_orders_of(buckets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that writes both sides; it has no partitions itself."""
    names = buckets.get_partition_keys()

    @dg.asset(
        key=BUCKETED_KEY,
        group_name=catalogue.BUCKETS,
        owners=[catalogue.OWNER],
        kinds={"duckdb", "deltalake"},
        pool="lake",
        deps=[["crosswalk", "customer"], ["crosswalk", "sales_order"]],
        description=(
            "Won opportunities and sales orders in canonical form, in hash buckets: made comparable once, so that each partition of the bucketed "
            "comparison reads only what is its own. An opportunity and its orders are in the same bucket."
        ),
    )
    def bucketed_orders(
        context: dg.AssetExecutionContext, workbench: WorkbenchResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        bench = workbench.bench()
        bench.links()
        con, rules, rows = bench.con, bench.contracts, {}
        make_order_sides(con, rules, bench.reads())
        con.execute(shared_statement())
        for system in _SYSTEMS:
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE bucketed AS SELECT *, {bucket_of(len(names))} AS _bucket, ?::VARCHAR AS _run_id "
                f"FROM ({order_side(rules, system)})",
                [context.run_id],
            )
            for number, name in enumerate(names):
                lake.lake().replace(
                    _side(system, name), con.sql(f"SELECT * EXCLUDE (_bucket) FROM bucketed WHERE _bucket = {number}")
                )
            [(rows[system],)] = con.sql("SELECT count(*) FROM bucketed").fetchall()
        [(shared,)] = con.sql("SELECT count(DISTINCT salesforce_key) FROM keyed_shared").fetchall()
        return outcome(
            f"{rows['salesforce']:,} opportunities and {rows['d365']:,} orders in {len(names)} buckets"
            + (f"; {shared:,} opportunities that share an order are left to the whole comparison" if shared else ""),
            rows=sum(rows.values()),
            columns=lake.lake().schema(_side("salesforce", names[0])),
            **rows,
            left_out=shared,
            compared=dg.MetadataValue.json(bench.versions),
        )

    return bucketed_orders


def bucket_comparison_of(buckets: dg.StaticPartitionsDefinition) -> dg.AssetsDefinition:
    """The partitioned asset that compares one bucket."""

    @dg.asset(
        key=COMPARED_KEY,
        group_name=catalogue.BUCKETS,
        owners=[catalogue.OWNER],
        kinds={"duckdb", "deltalake"},
        pool="buckets",
        deps=[BUCKETED_KEY],
        partitions_def=buckets,
        description=(
            "A verdict for every won opportunity and every sales order of one hash bucket, by header: matched, differs (in which fields), on one side "
            "only, duplicate. Buckets are independent of one another, and together they say what the whole comparison says."
        ),
    )
    def bucket_comparison(
        context: dg.AssetExecutionContext, contracts: ContractsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        name, tables = context.partition_key, lake.lake()
        with duckdb_connection() as con:
            for system in _SYSTEMS:
                tables.register(con, f"bucket_{system}", _side(system, name))
            runs = con.sql("SELECT _run_id FROM bucket_salesforce UNION SELECT _run_id FROM bucket_d365").fetchall()
            if len(runs) > 1:
                raise SourceUnavailable(
                    f"The two sides of bucket {name} were written by different runs. Materialize {'/'.join(BUCKETED_KEY)} again."
                )
            result = compare(con, order_headers(contracts.contracts()), "bucket_salesforce", "bucket_d365")
            tables.replace([*COMPARED_KEY, name], con.sql("SELECT * FROM keyed_verdict"))
        return outcome(
            counted(result.verdicts),
            rows=result.verdicts.total(),
            columns=tables.schema([*COMPARED_KEY, name]),
            **result.verdicts,
            fields=dg.MetadataValue.json(dict(result.fields)),
        )

    return bucket_comparison


def _side(system: System, bucket: str) -> list[str]:
    return ["buckets", f"sales_order_{system}", bucket]
