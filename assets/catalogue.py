"""How assets present themselves in the UI: groups, owners, kinds, columns, and the metadata that every write reports."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.column_meanings import MEANINGS
from tieout.contract import Table
from tieout.reconciliation.rows import Verdict

OWNER = "team:integration"

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=45))
"""What the main job makes every 15 minutes: three runs that did not come are a warning in the UI, two hours without one are a failure."""

# One word per step of the way, in the order in which the UI shows them.
SALESFORCE = "salesforce"
D365 = "d365"
QUALITY = "quality"
CROSSWALK = "crosswalk"
RECONCILIATION = "reconciliation"
DELIVERY = "delivery"
WRITEBACK = "writeback"
LOG = "integration_log"
BACKFILL = "backfill"
BUCKETS = "buckets"
EVENTS = "events"

# Every table that is read, in the order of reading.
EXTRACTED = [
    ["salesforce", "product"],
    ["salesforce", "account"],
    ["salesforce", "opportunity"],
    ["salesforce", "opportunity_line"],
    ["d365", "released_product"],
    ["d365", "customer"],
    ["d365", "sales_order"],
    ["d365", "sales_order_line"],
]

_LAKE_TYPES = {
    "text": "string",
    "decimal": "decimal(28,6)",
    "integer": "bigint",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamp with time zone",
}


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of an extracted table with what each is for, from its contract."""
    purposes = _purposes(table)
    source = [
        dg.TableColumn(
            column.name,
            _LAKE_TYPES[column.type],
            description=purposes.get(column.name),
            constraints=dg.TableColumnConstraints(nullable=column.name not in table.key),
        )
        for column in table.columns
    ]
    compared = [
        dg.TableColumn(f"cmp_{field.name}", _LAKE_TYPES[field.type], description=f"{field.label} as it is compared")
        for field in table.fields
        if field.is_compared and field.compare != "reference"
    ]
    own = [
        dg.TableColumn("_key", "string", description="key of the record, lower case where D365 does not care"),
        dg.TableColumn("_row_hash", "bigint", description="changes with any column"),
        dg.TableColumn("_compare_hash", "bigint", description="changes with any compared value"),
        dg.TableColumn("_extracted_at", "timestamp with time zone", description="when the record was read"),
        dg.TableColumn("_run_id", "string", description="the run that wrote this version of the record"),
    ]
    return dg.TableSchema([*source, *compared, *own])


def _purposes(table: Table) -> dict[str, str]:
    """Column → what it is for: its field and owner, or its part in telling records apart and linking them."""
    link = table.contract.lines.link if table.is_lines and table.contract.lines else table.contract.link
    special = {
        table.version: "moves with every change; the next read begins at its newest value",
        table.parent: "the header that the line belongs to",
        "dataAreaId": "company",
    }
    if table.system == "salesforce":
        special |= {
            link.stored: "link to the D365 record, company/number; written by Tieout",
            link.company: "D365 company of the record",
            link.synced_at: "time of the last write-back; written by Tieout",
        }
    else:
        special |= {link.reference: "id of the Salesforce record; written by Tieout when it creates the record"}
    keys = {column: "key of the record" for column in table.key if column != "dataAreaId"}
    fields = {
        column: f"{field.label}; owned by {'Salesforce' if field.owner == 'salesforce' else 'D365'}"
        for field in table.fields
        for column in field.sources(table.system)
    }
    return {column: purpose for column, purpose in (special | keys | fields).items() if column is not None}


def outcome(
    summary: str, *, rows: int | None = None, columns: Any = None, **figures: Any
) -> dg.MaterializeResult[None]:
    """What an asset reports: one sentence, the row count, the columns (an Arrow schema), and figures that the UI draws over time."""
    metadata: dict[str, Any] = {"summary": summary, **figures}
    if rows is not None:
        metadata["dagster/row_count"] = rows
    if columns is not None:
        metadata["dagster/column_schema"] = dg.TableSchema(
            [dg.TableColumn(field.name, str(field.type), description=MEANINGS.get(field.name)) for field in columns]
        )
    return dg.MaterializeResult(metadata=metadata)


def counted(counts: Mapping[str, int]) -> str:
    """`12 matched, 3 only in D365`: counts in words, verdicts in the order of reports, without the zeros. Names of tables stay as they are."""
    verdicts = [str(verdict) for verdict in Verdict]
    ordered = sorted(counts.items(), key=lambda entry: verdicts.index(entry[0]) if entry[0] in verdicts else 0)
    return ", ".join(f"{count:,} {_spoken(name)}" for name, count in ordered if count) or "nothing"


def _spoken(name: str) -> str:
    if "/" in name:
        return name
    return name.replace("_", " ").replace("salesforce", "Salesforce").replace("d365", "D365")
