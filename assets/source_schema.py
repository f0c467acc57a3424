"""Schema drift: the fields of both systems, looked at once a night and whenever everything is read."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from assets import catalogue
from assets.catalogue import outcome
from resources.connections import (
    ContractsResource,
    D365Resource,
    LedgerResource,
    RunOptions,
    SalesforceResource,
)
from resources.d365 import D365Client
from resources.salesforce import SalesforceClient
from tieout.contract import Contracts, System
from tieout.contract.drift import FieldChange, changes, salesforce_fields

SOURCE_SCHEMA_KEY = ["quality", "source_schema"]
CHECK = "contracts_still_fit"


@dg.asset(
    key=SOURCE_SCHEMA_KEY,
    group_name=catalogue.QUALITY,
    owners=[catalogue.OWNER],
    kinds={"salesforce", "dynamics365", "postgres"},
    pool="d365",
    check_specs=[
        dg.AssetCheckSpec(
            name=CHECK,
            asset=SOURCE_SCHEMA_KEY,
            description="No field that a contract reads or writes was removed, hidden, retyped or locked since the last look.",
        )
    ],
    description=(
        "The fields of the objects and entity sets that the contracts read, against how they were at the last look: added, removed (or hidden from "
        "the integration user), retyped, locked, each with what it means for the contracts. Looked at when everything is read, so once a night: "
        "a field that is read and is gone stops the next read with its own message anyway."
    ),
)
def source_schema(
    salesforce: SalesforceResource,
    d365: D365Resource,
    ledger: LedgerResource,
    contracts: ContractsResource,
    options: RunOptions,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    rules = contracts.contracts()
    with ledger.opened() as book:
        before: Mapping[System, Mapping[str, Mapping[str, str]]] = {
            "salesforce": book.source_schemas.of("salesforce"),
            "d365": book.source_schemas.of("d365"),
        }
        is_looked_at = options.full or not all(before.values())
        found: list[FieldChange] = []
        if is_looked_at:
            with salesforce.client() as sales, d365.client() as erp:
                now: dict[System, dict[str, dict[str, str]]] = {
                    "salesforce": _of_salesforce(sales, rules),
                    "d365": _of_d365(erp, rules),
                }
            at = datetime.now(UTC)
            for system, sources in now.items():
                found += changes(system, rules, before[system], sources)
                book.source_schemas.keep(system, sources, at)
    matter = [change for change in found if change.matters]
    text = "not looked at: the nightly run does" if not is_looked_at else f"{len(found):,} fields changed"
    if matter:
        text += f", {len(matter):,} of them matter to the contracts"
    table = dg.MetadataValue.md(_as_markdown(found))
    yield outcome(text, rows=len(found), changed=len(found), matter=len(matter), changes=table)
    yield dg.AssetCheckResult(
        asset_key=SOURCE_SCHEMA_KEY,
        check_name=CHECK,
        passed=not matter,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"changes": dg.MetadataValue.md(_as_markdown(matter))},
    )


def _of_salesforce(client: SalesforceClient, contracts: Contracts) -> dict[str, dict[str, str]]:
    sources = dict.fromkeys(table.source for table in contracts.tables("salesforce"))
    return {source: salesforce_fields(client.describe(source)) for source in sources}


def _of_d365(client: D365Client, contracts: Contracts) -> dict[str, dict[str, str]]:
    return client.metadata([table.source for table in contracts.tables("d365")])


def _as_markdown(found: list[FieldChange]) -> str:
    if not found:
        return "No field changed."
    rows = [
        f"| {each.system} | `{each.source}.{each.field}` | {each.drift} | {each.before or '–'} | {each.now or '–'} | {each.effect} |"
        for each in found
    ]
    return "\n".join(["| System | Field | Change | Before | Now | What follows |", "|---|---|---|---|---|---|", *rows])
