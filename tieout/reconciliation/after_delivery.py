"""What the contract's policies ask of an order whose opportunity changed after the order was made: amend it, stop it, release it, or leave it.

Only reads what `reconcile_orders` left on the connection; what a change looks like in D365 is in `tieout/amendment.py`. An order is amended
as a whole or not at all: half an amendment would be an order that nobody ever agreed to.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from tieout.amendment import ChangedLine, Processing, can_be_emptied, is_amendable
from tieout.compared_field import differs
from tieout.contract import Contract, Contracts
from tieout.contract.model import STOPPED
from tieout.crosswalk import not_deleted
from tieout.reconciliation.due import Row, struct_of
from tieout.reconciliation.fields import LINE_PREFIX, compared_field
from tieout.reconciliation.rows import Reason, in_batches
from tieout.reconciliation.sides import lines_of
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NOTHING_POSTED = ("open", "confirmed")
"""Common values of the order status at which nothing of an order was picked, delivered or invoiced."""


@dataclass(frozen=True, slots=True)
class LateChange:
    """What is due for one order that was delivered.

    `fields` are the header fields that differ, `opportunity` the source columns. `processing`: to be stopped because the opportunity is lost,
    or stopped and won again; whether it was Tieout that stopped it is not known here. `version`: newest of the opportunity and its lines.
    """

    salesforce_id: str
    company: str
    order_number: str
    version: datetime | None
    opportunity: Row
    fields: tuple[str, ...] = ()
    lines: tuple[ChangedLine, ...] = ()
    processing: Processing | None = None


@dataclass(frozen=True, slots=True)
class LateNotes:
    """What the breaks say about orders whose opportunity changed after delivery.

    `is_amended_by_policy`: the contract's policy. `obstacles`: Salesforce id → why its order is not amended, empty where it is.
    `processing`: (company, order number) → what became of the processing of an order that is lost.
    """

    is_amended_by_policy: bool
    obstacles: Mapping[str, str]
    processing: Mapping[tuple[str, str], str]


def late_changes(con: "DuckDBPyConnection", contracts: Contracts) -> Iterator[LateChange]:
    """The changes that are due by the policies, by Salesforce id; none where the policies only report."""
    if not _judged(con, contracts):
        return
    for row in in_batches(con, "sales_order_late_due", late_due_statement(contracts)):
        salesforce_id, company, number, version, opportunity, fields, lines, processing = row
        changed = (ChangedLine(line["lot"], tuple(line["fields"]), line["line"]) for line in lines or ())
        yield LateChange(
            salesforce_id, company, number, version, opportunity, tuple(fields or ()), tuple(changed), processing
        )


def late_notes(con: "DuckDBPyConnection", contracts: Contracts) -> LateNotes:
    """What is to be said about every order that differs or is lost."""
    is_amended = contracts["sales_order"].after_delivery.changed == "amend"
    if not _judged(con, contracts):
        return LateNotes(is_amended, {}, {})
    rows = con.execute(
        "SELECT salesforce_key, company, order_number, is_amended, obstacle, processing, processing_obstacle FROM sales_order_late"
    ).fetchall()
    obstacles: dict[str, str] = {}
    processing: dict[tuple[str, str], str] = {}
    for salesforce_id, company, number, amended, obstacle, wanted, stop_obstacle in rows:
        if amended or obstacle:
            obstacles[salesforce_id] = obstacle or ""
        if stop_obstacle or wanted in _SAID:
            processing[company, number] = (
                f"it is not stopped, because {stop_obstacle}" if stop_obstacle else _SAID[wanted]
            )
    return LateNotes(is_amended, obstacles, processing)


_SAID = {"stop": "its processing is being stopped in D365", "stopped": "its processing is stopped in D365"}


def _judged(con: "DuckDBPyConnection", contracts: Contracts) -> bool:
    """Whether the policies ask for anything; if so, `sales_order_late` is made."""
    policy = contracts["sales_order"].after_delivery
    if policy.changed == "report" and policy.lost == "report":
        return False
    con.execute(late_statement(contracts))
    return True


def late_statement(contracts: Contracts) -> str:
    """Make `sales_order_late`: one row for each order that differs, is lost, or is stopped, with what is done and what stands in the way."""
    contract = contracts["sales_order"]
    stops, amends = contract.after_delivery.lost == "stop", contract.after_delivery.changed == "amend"
    is_open = f"coalesce(late.status IN ({_listed(NOTHING_POSTED)}), false)"
    posted = "coalesce('the order is ' || replace(late.status, '_', ' '), 'the state of the order is unknown')"
    stranger = literal("the order does not carry the id of the opportunity, so Tieout did not make it")
    return f"""CREATE OR REPLACE TEMP TABLE sales_order_late AS
WITH {_late(contract, stops=stops)},
{_differing(contract)},
{_adding_up(contract)},
judged AS (
    SELECT late.*, coalesce(differing.writes, false) AS writes, CASE
            WHEN NOT late.is_won OR late.verdict = 'matched' THEN NULL
            WHEN NOT late.is_ours THEN {stranger}
            WHEN NOT {is_open} THEN {posted}
            WHEN list_contains(late.fields, 'lines') THEN 'lines were added or removed'
            WHEN split.order_d365_key IS NOT NULL THEN 'a line of the opportunity is split over several order lines'
            WHEN differing.untouched IS NOT NULL THEN 'Tieout never changes ' || differing.untouched || ' of an order'
            WHEN NOT coalesce(adding_up.is_equal, true) THEN 'the lines do not add up to the amount of the opportunity'
            WHEN list_contains(late.fields, 'amount') AND NOT coalesce(differing.writes, false)
                THEN 'no line differs by more than its tolerance'
        END AS obstacle, CASE
            WHEN late.is_won AND late.is_stopped AND {is_open} THEN 'release'
            WHEN late.is_won THEN NULL
            WHEN late.is_stopped THEN 'stopped'
            WHEN late.is_ours AND {is_open} THEN 'stop'
        END AS processing, CASE
            WHEN late.is_won OR late.is_stopped THEN NULL
            WHEN NOT late.is_ours THEN {stranger}
            WHEN NOT {is_open} THEN {posted}
        END AS processing_obstacle
    FROM late
    LEFT JOIN differing ON differing.salesforce_key = late.salesforce_key
    LEFT JOIN adding_up ON adding_up.salesforce_key = late.salesforce_key
    LEFT JOIN (SELECT DISTINCT order_d365_key FROM sales_order_line_record WHERE is_split) AS split
        ON split.order_d365_key = late.d365_lake_key
)
SELECT salesforce_key, company, order_number,
    {"is_won AND writes AND obstacle IS NULL" if amends else "false"} AS is_amended,
    {"obstacle" if amends else "NULL::VARCHAR"} AS obstacle,
    {"processing" if stops else "NULL::VARCHAR"} AS processing,
    {"processing_obstacle" if stops else "NULL::VARCHAR"} AS processing_obstacle
FROM judged"""


def late_due_statement(contracts: Contracts) -> str:
    """The SELECT of `late_changes`."""
    contract = contracts["sales_order"]
    lines = lines_of(contract)
    version, line_version = (
        quoted(side.version or "SystemModstamp") for side in (contract.salesforce, lines.salesforce)
    )
    return f"""WITH due AS (
    SELECT * FROM sales_order_late WHERE is_amended OR processing IN ('stop', 'release')
),
{_written(contract)},
changed_field AS (
    SELECT salesforce_key, list(field ORDER BY field) AS fields FROM written WHERE line_key IS NULL GROUP BY salesforce_key
),
line_fields AS (
    SELECT salesforce_key, line_key, list(substr(field, {len(LINE_PREFIX) + 1}) ORDER BY field) AS fields
    FROM written WHERE line_key IS NOT NULL GROUP BY salesforce_key, line_key
),
changed_line AS (
    SELECT line_fields.salesforce_key, list({{
            'lot': record.d365_lot, 'fields': line_fields.fields, 'line': {struct_of(contract, "line", is_line=True)}
        }} ORDER BY record.line_number, record.d365_lot) AS lines
    FROM line_fields
    JOIN sales_order_line_record AS record
        ON record.salesforce_key = line_fields.line_key AND record.order_salesforce_key = line_fields.salesforce_key
    JOIN {lines.salesforce.table} AS line ON line._key = line_fields.line_key
    WHERE record.d365_key IS NOT NULL
    GROUP BY line_fields.salesforce_key
),
line_version AS (
    SELECT _parent_key, max({line_version}) AS version FROM {lines.salesforce.table} GROUP BY _parent_key
)
SELECT due.salesforce_key, due.company, due.order_number, greatest(opportunity.{version}, line_version.version) AS version,
    {struct_of(contract, "opportunity")} AS opportunity, CASE WHEN due.is_amended THEN changed_field.fields END AS fields,
    CASE WHEN due.is_amended THEN changed_line.lines END AS lines, due.processing
FROM due
JOIN {contract.salesforce.table} AS opportunity ON opportunity._key = due.salesforce_key
LEFT JOIN changed_field ON changed_field.salesforce_key = due.salesforce_key
LEFT JOIN changed_line ON changed_line.salesforce_key = due.salesforce_key
LEFT JOIN line_version ON line_version._parent_key = due.salesforce_key
ORDER BY due.salesforce_key"""


def _late(contract: Contract, *, stops: bool) -> str:
    """`late`: the orders whose opportunity is still won and differs (or whose order is stopped), is won no more, or was deleted."""
    number = quoted(contract.d365.key[-1])
    reference = f"lower({quoted(contract.link.reference)})" if contract.link.reference else "NULL::VARCHAR"
    is_stopped = f"coalesce(lower({quoted(STOPPED)}) = 'yes', false)" if stops else "false"
    prefix = (contract.create.number_prefix or "").lower()
    our_name = (
        f"CASE WHEN starts_with(lower({number}), {literal(prefix)}) THEN substr(lower({number}), {len(prefix) + 1}) END"
    )
    return f"""order_now AS (
    SELECT DISTINCT ON (_key) _key, cmp_order_status AS status, {is_stopped} AS is_stopped,
        [{reference}, {our_name if prefix else "NULL"}] AS names
    FROM {contract.d365.table}
),
deleted AS (
    SELECT DISTINCT _key FROM {contract.salesforce.table} WHERE NOT ({not_deleted(contract)})
),
linked AS (
    SELECT verdict.salesforce_key, verdict.company, verdict.d365_key AS order_number, verdict.d365_lake_key, verdict.verdict, verdict.fields,
        verdict.reason IS NULL AS is_won, list_contains(order_now.names, lower(verdict.salesforce_key)) AS is_ours, order_now.status, order_now.is_stopped
    FROM sales_order_verdict AS verdict
    JOIN order_now ON order_now._key = verdict.d365_lake_key
    WHERE verdict.salesforce_key IS NOT NULL AND (
        verdict.verdict = 'differs' AND (verdict.reason IS NULL OR verdict.reason = {literal(Reason.NOT_WON)})
        OR verdict.verdict = 'matched' AND order_now.is_stopped
    )
),
orphan AS (
    SELECT deleted._key AS salesforce_key, verdict.company, verdict.d365_key AS order_number, verdict.d365_lake_key, verdict.verdict,
        verdict.fields, false AS is_won, true AS is_ours, order_now.status, order_now.is_stopped
    FROM sales_order_verdict AS verdict
    JOIN order_now ON order_now._key = verdict.d365_lake_key
    JOIN (SELECT _key, unnest(names) AS name FROM order_now) AS naming ON naming._key = order_now._key
    JOIN deleted ON lower(deleted._key) = naming.name
    WHERE verdict.reason = {literal(Reason.DELETED)}
),
late AS (
    SELECT * FROM (SELECT * FROM linked UNION ALL SELECT * FROM orphan)
    -- One change at a time for an opportunity that more than one order names.
    QUALIFY row_number() OVER (PARTITION BY salesforce_key ORDER BY is_stopped, d365_lake_key) = 1
)"""


def _differing(contract: Contract) -> str:
    """`differing`: for each opportunity, whether an amendment writes something, and which differences none would settle."""
    return f"""{_written(contract)},
differing AS (
    SELECT found.salesforce_key, bool_or(written.field IS NOT NULL) AS writes,
        string_agg(DISTINCT found.field, ', ' ORDER BY found.field) FILTER (written.field IS NULL AND found.field <> 'amount') AS untouched
    FROM sales_order_difference AS found
    LEFT JOIN written ON written.salesforce_key = found.salesforce_key AND written.field = found.field
        AND written.line_key IS NOT DISTINCT FROM found.line_key
    WHERE found.owner = 'salesforce' AND {_IS_DUE}
    GROUP BY found.salesforce_key
)"""


def _written(contract: Contract) -> str:
    """`written`: the differences that an amendment writes."""
    lines = lines_of(contract)
    fields = {field.name: field for field in contract.fields if is_amendable(field)}
    fields |= {
        LINE_PREFIX + field.name: field
        for field in lines.fields
        if is_amendable(field) and field.name != lines.match_on
    }
    emptied = [name for name, field in fields.items() if can_be_emptied(field)]
    return f"""written AS (
    SELECT found.salesforce_key, found.line_key, found.field
    FROM sales_order_difference AS found
    WHERE found.field IN ({_listed(fields)}) AND (found.salesforce_stored IS NOT NULL OR found.field IN ({_listed(emptied)}))
        AND {_IS_DUE}
)"""


# A text that is damaged in Salesforce would only carry the damage over.
_IS_DUE = "found.kind <> 'case_or_blanks' AND found.damaged_side IS DISTINCT FROM 'salesforce'"


def _adding_up(contract: Contract) -> str:
    """`adding_up`: whether the lines of an opportunity come to its amount, so that an order with these lines would agree with it."""
    amount = compared_field(contract.field("amount"))
    return f"""adding_up AS (
    SELECT sf.salesforce_key, NOT {differs(amount)} AS is_equal
    FROM (
        SELECT salesforce_key, salesforce_amount AS {amount.compared} FROM sales_order_record WHERE is_pair
    ) AS sf
    JOIN (
        SELECT order_salesforce_key, sum(salesforce_amount) AS {amount.compared} FROM sales_order_line_record GROUP BY order_salesforce_key
    ) AS d365 ON d365.order_salesforce_key = sf.salesforce_key
)"""


def _listed(values: Iterable[str]) -> str:
    return ", ".join(map(literal, values)) or "NULL"
