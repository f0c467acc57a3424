"""What agrees and what does not: verdicts, differences, totals, the breaks with their causes, and the report that people read."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets import catalogue
from assets.catalogue import counted, outcome
from assets.evidence import evidence_of
from assets.report import write_report
from resources.connections import (
    ContractsResource,
    D365Resource,
    HomeResource,
    LakeResource,
    LedgerResource,
    RunOptions,
    SalesforceResource,
)
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.breaks import FoundBreak
from resources.workbench import Workbench, WorkbenchResource
from tieout.breaks import ENTITIES, Break, DeliveryNote, DeliveryNotes, breaks_of, causes_by_record
from tieout.intended import salesforce_id_of
from tieout.reconciliation import (
    differences_to_look_at,
    explain,
    late_notes,
    unjudged_keys,
    verdicts_to_look_at,
)

BREAKS_KEY = ["reconciliation", "breaks"]

KEPT = {
    "customer": ("customer_verdict", "customer_difference", "customer_field_count"),
    "sales_order": (
        "sales_order_verdict",
        "sales_order_line_verdict",
        "sales_order_difference",
        "sales_order_field_count",
    ),
}
"""Entity → the tables of the workbench that are kept in the lake under the same names."""

_PROMISES = {
    "customer": "A verdict for every account and customer that take part, and every field that differs, with both values as stored and as compared.",
    "sales_order": "A verdict for every won opportunity and every sales order, header and lines, both directions, with every field that differs; totals per company, currency and month, exact to the last decimal.",
}


def reconciliation_of(entity: str) -> dg.AssetsDefinition:
    """The asset that compares one entity."""

    @dg.asset(
        key=["reconciliation", entity],
        group_name=catalogue.RECONCILIATION,
        owners=[catalogue.OWNER],
        kinds={"duckdb", "deltalake"},
        pool="lake",
        deps=[["crosswalk", "customer"], ["crosswalk", "sales_order"]],
        description=_PROMISES[entity],
    )
    def reconciliation(
        context: dg.AssetExecutionContext, workbench: WorkbenchResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        bench = workbench.bench()
        counts = bench.customers() if entity == "customer" else bench.orders()
        keep_tables(bench, lake.lake(), KEPT[entity])
        return outcome(
            counted(counts),
            rows=sum(counts.values()),
            columns=lake.lake().schema(["reconciliation", KEPT[entity][0]]),
            **counts,
            compared=dg.MetadataValue.json(bench.versions),
        )

    return reconciliation


@dg.asset(
    key=BREAKS_KEY,
    group_name=catalogue.RECONCILIATION,
    owners=[catalogue.OWNER],
    kinds={"postgres", "deltalake"},
    pool="lake",
    deps=[
        ["reconciliation", "customer"],
        ["reconciliation", "sales_order"],
        ["reconciliation", "read_again"],
        ["delivery", "customer"],
        ["delivery", "sales_order"],
    ],
    description=(
        "Every difference that somebody may have to look at, with the cause that the ledger gives it. A break keeps its identity over runs: it is "
        "opened, seen again, closed and opened again, and keeps its owner and comment. The tie-out is explained by the causes."
    ),
)
def breaks(
    context: dg.AssetExecutionContext, workbench: WorkbenchResource, lake: LakeResource, ledger: LedgerResource
) -> dg.MaterializeResult[None]:
    bench = workbench.bench()
    bench.customers()
    bench.orders()
    now = datetime.now(UTC)
    with ledger.opened() as book:
        found = list(find_breaks(bench, book, context.run_id))
        explain(bench.con, causes_by_record(found))
        keep_tables(bench, lake.lake(), ("tie_out", "tie_out_bridge"))
        counts = book.breaks.record(
            (_for_the_ledger(one) for one in found),
            context.run_id,
            now,
            whole_entities=ENTITIES,
            unjudged_keys=unjudged_keys(bench.con),
        )
    lake.lake().replace(BREAKS_KEY, _as_table(found))
    return outcome(
        f"{len(found):,} open ({counts.opened:,} new, {counts.reopened:,} again), {counts.closed:,} closed",
        rows=len(found),
        columns=lake.lake().schema(BREAKS_KEY),
        opened=counts.opened,
        reopened=counts.reopened,
        closed=counts.closed,
        breaks=len(found),
    )


@dg.asset(
    key=["reconciliation", "report"],
    group_name=catalogue.RECONCILIATION,
    owners=[catalogue.OWNER],
    kinds={"html", "excel"},
    pool="lake",
    freshness_policy=catalogue.FRESH,
    deps=[BREAKS_KEY, ["integration_log"], ["quality", "quarantine"]],
    description="What analysts open: one HTML page that needs no server, an XLSX with the same tables, and the summary of the command line.",
)
def report(
    context: dg.AssetExecutionContext,
    workbench: WorkbenchResource,
    lake: LakeResource,
    ledger: LedgerResource,
    contracts: ContractsResource,
    salesforce: SalesforceResource,
    d365: D365Resource,
    home: HomeResource,
    options: RunOptions,
) -> dg.MaterializeResult[None]:
    with ledger.opened() as book:
        written = write_report(
            instance=context.instance,
            run_id=context.run_id,
            bench=workbench.bench(),
            lake=lake.lake(),
            ledger=book,
            contracts=contracts.contracts(),
            contract_texts=contracts.texts(),
            addresses={"salesforce": salesforce.address(), "d365": d365.address()},
            folder=home.folder("reports"),
            dry_run=options.dry_run,
        )
    return outcome(
        written.headline,
        html=dg.MetadataValue.path(str(written.html)),
        workbook=dg.MetadataValue.path(str(written.workbook)),
        unexplained=dg.MetadataValue.json(written.unexplained),
    )


def keep_tables(bench: Workbench, lake: Lake, tables: Iterable[str]) -> None:
    """Make tables of the workbench the newest versions of the lake tables `reconciliation/<name>`."""
    for name in tables:
        lake.replace(["reconciliation", name], bench.con.sql(f"SELECT * FROM {name}"))


def find_breaks(bench: Workbench, ledger: Ledger, run_id: str) -> Iterable[Break]:
    """Every break of this comparison, with its cause from the ledger."""
    notes = delivery_notes(ledger, run_id)
    notes = _waiting_for_customers(bench, notes) | notes
    late = late_notes(bench.con, bench.contracts)
    evidence = evidence_of(bench, ledger, datetime.now(UTC))
    for entity in ("customer", "sales_order"):
        verdicts = list(verdicts_to_look_at(bench.con, f"{entity}_verdict"))
        differences = list(differences_to_look_at(bench.con, f"{entity}_difference"))
        yield from breaks_of(verdicts, differences, notes, late, evidence)
    yield from breaks_of(list(verdicts_to_look_at(bench.con, "sales_order_line_verdict")), (), notes, late, evidence)


def _waiting_for_customers(bench: Workbench, notes: DeliveryNotes) -> dict[tuple[str, str, str], DeliveryNote]:
    """The orders that were not sent because D365 refused their customer: refused themselves, in the same words."""
    orders = bench.con.execute(
        "SELECT salesforce_key, account_id FROM sales_order_record WHERE d365_lake_key IS NULL AND account_id IS NOT NULL"
    ).fetchall()
    refused = {
        order: note
        for order, account in orders
        if (note := notes.get(("customer", "create", account))) is not None and note.state == "rejected"
    }
    return {
        ("sales_order", "create", order): DeliveryNote(
            "rejected", f"Its customer was refused: {note.message}", note.in_this_run
        )
        for order, note in refused.items()
    }


def delivery_notes(ledger: Ledger, run_id: str) -> dict[tuple[str, str, str], DeliveryNote]:
    """(entity, operation, Salesforce id) → what the ledger knows about the record's newest delivery."""
    table = ledger.deliveries.as_table()
    rows = zip(
        *(
            table.column(name).to_pylist()
            for name in ("entity", "operation", "business_key", "state", "reason", "run_id")
        ),
        strict=True,
    )
    return {
        (entity, operation, salesforce_id_of(key)): DeliveryNote(state, reason or "", run == run_id)
        for entity, operation, key, state, reason, run in rows
    }


def _for_the_ledger(one: Break) -> FoundBreak:
    return FoundBreak(
        identity=one.identity,
        entity=one.entity,
        company=one.company,
        verdict=one.subject,
        currency=one.currency,
        salesforce_key=one.salesforce_key or "",
        d365_key=one.d365_key or "",
        line_key=one.line_key or "",
        field=one.subject,
        salesforce_value=one.salesforce_value,
        d365_value=one.d365_value,
        amount=one.amount,
        cause=one.cause,
        reason=one.detail,
        label=one.label,
        month=one.month,
        field_owner=one.owner,
        fix=one.fix,
        needs_a_person=one.cause.needs_a_person,
    )


def _as_table(found: list[Break]) -> Any:
    import pyarrow as pa

    texts = (
        "identity",
        "entity",
        "company",
        "currency",
        "salesforce_key",
        "d365_key",
        "line_key",
        "subject",
        "salesforce_value",
        "d365_value",
        "cause",
        "owner",
        "detail",
        "fix",
    )
    columns: dict[str, Any] = {name: pa.array([getattr(one, name) for one in found], pa.string()) for name in texts}
    columns["amount"] = pa.array([one.amount for one in found], pa.decimal128(28, 6))
    return pa.table(columns)
