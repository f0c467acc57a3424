"""What is not right in what was read: a Great Expectations suite for each table, and the quarantine."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from assets.landing import violations_of
from resources.connections import ContractsResource, LakeResource
from resources.workbench import duckdb_connection, quarantine_key
from tieout.contract import Contracts, Table
from tieout.quality import Expectation, expectation_plan

QUARANTINE_KEY = ["quality", "quarantine"]


def checks_of(table: Table) -> dg.AssetChecksDefinition:
    """The asset checks of one table: one for each rule of its contract, judged together by one suite.

    DuckDB has counted the violations of every rule in one pass while the rows were landed; Great Expectations holds what is allowed and
    judges the one-row frame of counts. Handing it the rows instead was measured to take 13 times as long, with all rows in memory.
    """
    plan = expectation_plan(table)

    @dg.multi_asset_check(
        name=f"{table.system}_{table.name}_quality",
        specs=[
            dg.AssetCheckSpec(
                name=expected.column,
                asset=list(table.lake_key),
                description=f"{expected.description}. " + _CONSEQUENCE[expected.severity],
            )
            for expected in plan
        ],
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        counts = _counts(context.instance, table)
        verdicts = judge(plan, counts)
        for expected in plan:
            key = dg.AssetCheckKey(dg.AssetKey(list(table.lake_key)), expected.column)
            if key not in context.selected_asset_check_keys:
                continue
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=verdicts[expected.column],
                severity=dg.AssetCheckSeverity.ERROR if expected.severity == "error" else dg.AssetCheckSeverity.WARN,
                metadata={
                    "rows_that_break_the_rule": counts.get(expected.column, 0),
                    "rows_read": counts.get("rows", 0),
                },
            )

    return checks


def judge(plan: tuple[Expectation, ...], counts: Mapping[str, int]) -> dict[str, bool]:
    """Rule → whether its expectation holds. Raises RuntimeError where Great Expectations could not judge: no answer is no pass."""
    import os

    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    # Imported here: it takes seconds and a quarter of a gigabyte, which loading the definitions must not pay for.
    import great_expectations as gx
    import pandas as pd

    frame = pd.DataFrame([{expected.column: counts.get(expected.column, 0) for expected in plan}])
    suite = gx.ExpectationSuite(
        name="contract",
        expectations=[
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=expected.column, min_value=0, max_value=expected.max_value, meta={"rule": expected.column}
            )
            for expected in plan
        ],
    )
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    batch = (
        context.data_sources.add_pandas("counts")
        .add_dataframe_asset("counts")
        .add_batch_definition_whole_dataframe("counts")
        .get_batch({"dataframe": frame})
    )
    verdicts: dict[str, bool] = {}
    for result in batch.validate(suite, result_format={"result_format": "BOOLEAN_ONLY"}).results:
        rule = result.expectation_config.meta["rule"]
        if _raised(result.exception_info):
            raise RuntimeError(f"Great Expectations could not judge {rule}: {result.exception_info}")
        verdicts[rule] = bool(result.success)
    return verdicts


@dg.asset(
    key=QUARANTINE_KEY,
    group_name=catalogue.QUALITY,
    owners=[catalogue.OWNER],
    kinds={"deltalake"},
    pool="lake",
    deps=catalogue.EXTRACTED,
    description=(
        "Every row that waits for correction, once for each rule that it breaks: rule, value and reason. The row as received stays beside it, "
        "nothing is lost; all other rows went on. A row leaves when it is read again and is right."
    ),
)
def quarantine(
    context: dg.AssetExecutionContext, lake: LakeResource, contracts: ContractsResource
) -> dg.MaterializeResult[None]:
    import pyarrow as pa

    tables = _tables(contracts.contracts())
    rows: list[dict[str, Any]] = []
    with duckdb_connection() as con:
        for table in tables:
            if not lake.lake().exists(quarantine_key(table)):
                continue
            lake.lake().register(con, "waiting", quarantine_key(table))
            found = con.execute(
                "SELECT _key, _parent_key, violations, _extracted_at, _run_id FROM waiting ORDER BY _key"
            ).fetchall()
            for key, parent, violations, extracted_at, run_id in found:
                rows += [
                    {"system": table.system, "table": table.name, "key": key, "parent_key": parent, **violation}
                    | {"extracted_at": extracted_at, "run_id": run_id}
                    for violation in violations_of(violations)
                ]
    lake.lake().replace(QUARANTINE_KEY, pa.Table.from_pylist(rows, schema=_quarantine_schema()))
    by_table: dict[str, set[str]] = {}
    for row in rows:
        by_table.setdefault(f"{row['system']}/{row['table']}", set()).add(row["key"])
    counts = {name: len(keys) for name, keys in by_table.items()}
    return outcome(
        f"{sum(counts.values()):,} rows wait: {catalogue.counted(counts)}" if counts else "no row waits",
        rows=len(rows),
        columns=_quarantine_schema(),
        quarantined=dg.MetadataValue.json(counts),
    )


def _tables(contracts: Contracts) -> list[Table]:
    return [*contracts.tables("salesforce"), *contracts.tables("d365")]


def _quarantine_schema() -> Any:
    import pyarrow as pa

    texts = ["system", "table", "key", "parent_key", "rule", "field", "value", "reason"]
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            ("extracted_at", pa.timestamp("us", tz="UTC")),
            ("run_id", pa.string()),
        ]
    )


def _counts(instance: dg.DagsterInstance, table: Table) -> Mapping[str, int]:
    event = instance.get_latest_materialization_event(dg.AssetKey(list(table.lake_key)))
    if event is None or event.asset_materialization is None:
        return {}
    told = event.asset_materialization.metadata.get("rule_counts")
    counts: Mapping[str, int] = told.value if told is not None else {}  # type: ignore[assignment]
    return counts


def _raised(info: Any) -> bool:
    if not isinstance(info, Mapping):
        return False
    return bool(info.get("raised_exception")) or any(_raised(inner) for inner in info.values())


_CONSEQUENCE = {
    "error": "Rows that break it wait in quarantine; the others went on.",
    "warn": "Rows that break it went on; they are only counted.",
}
