"""Gathers what the causes of breaks rest on, for the records that differ only: payloads are big, and most records agree."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from resources.ledger import Ledger
from resources.workbench import Workbench, quarantined_relation
from tieout.contract import Contracts
from tieout.evidence import Evidence, Sent
from tieout.flow import Flow
from tieout.intended import salesforce_id_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def evidence_of(bench: Workbench, ledger: Ledger, now: datetime) -> Evidence:
    """The evidence for what differs or is in quarantine on the workbench. Needs `customers` and `orders` to have run."""
    con, contracts = bench.con, bench.contracts
    gates = ledger.flows.gates(Flow.DELIVERY_SALES_ORDER, now)
    companies = [row[0] for row in con.execute("SELECT DISTINCT company FROM sales_order_verdict").fetchall()]
    return Evidence(
        contracts,
        sent={
            key: value
            for entity in ("customer", "sales_order")
            for key, value in _sent(con, contracts, ledger, entity).items()
        },
        line_counts=_line_counts(con),
        rules=_rules(con, contracts),
        held_back={company: gates.of(company).reason for company in companies if gates.of(company).reason},
    )


def _sent(
    con: "DuckDBPyConnection", contracts: Contracts, ledger: Ledger, entity: str
) -> dict[tuple[str, str, str], Sent]:
    keys = con.execute(
        f"SELECT DISTINCT salesforce_key, company FROM {entity}_difference WHERE kind = 'differs' ORDER BY ALL"
    ).fetchall()
    wanted = [f"{key}/{company.lower()}" if entity == "customer" else key for key, company in keys]
    company_of = dict(zip(wanted, (company for _, company in keys), strict=True))
    lines = contracts[entity].lines
    reference = lines.link.reference if lines is not None else None
    found: dict[tuple[str, str, str], Sent] = {}
    for business_key, payload, at in ledger.deliveries.confirmed_payloads(entity, wanted):
        key = (entity, salesforce_id_of(business_key), company_of[business_key])
        before = found.get(key)
        found[key] = Sent(
            {**(before.header if before else {}), **payload["header"]},
            {**(before.lines if before else {}), **_by_reference(payload["lines"], reference)},
            at,
        )
    return found


def _by_reference(lines: Sequence[dict[str, Any]], reference: str | None) -> dict[str, dict[str, Any]]:
    return {str(line[reference]): line for line in lines if reference and line.get(reference)}


def _line_counts(con: "DuckDBPyConnection") -> dict[str, int]:
    return dict(
        con.execute(
            """SELECT order_salesforce_key, count(*) FROM sales_order_line_record
SEMI JOIN sales_order_difference AS difference ON difference.salesforce_key = order_salesforce_key
WHERE order_salesforce_key IS NOT NULL GROUP BY order_salesforce_key"""
        ).fetchall()
    )


def _rules(con: "DuckDBPyConnection", contracts: Contracts) -> dict[str, str]:
    """Key of a record → `rule of field` for each rule that it or a line of it breaks. Values may be personal and stay in the quarantine."""
    found: dict[str, dict[str, None]] = {}
    for system in ("salesforce", "d365"):
        for table in contracts.tables(system):
            view = quarantined_relation(table)
            columns = {row[0] for row in con.execute(f"DESCRIBE {view}").fetchall()}
            if "violations" not in columns:
                continue
            for key, parent, violations in con.execute(f"SELECT _key, _parent_key, violations FROM {view}").fetchall():
                for broken in json.loads(violations or "[]"):
                    said = f"{broken['rule']} of {broken['field']}" if broken.get("field") else str(broken["rule"])
                    for name in {key, parent, _number_in(key), _number_in(parent)} - {None, ""}:
                        found.setdefault(name, {})[said] = None
    return {key: ", ".join(said) for key, said in found.items()}


def _number_in(key: str | None) -> str | None:
    """The number in a D365 key, `usmf|c000022`: breaks name their record by it."""
    return key.partition("|")[2] if key else None
