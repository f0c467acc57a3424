"""Write-back to Salesforce: the smallest updates in collections, each written down before it leaves and with its result afterwards.

What has to change is decided in `tieout/writeback.py`. One run writes to a table at a time, and none that knows an older D365 than
another run does: an older status must never go over a newer one.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from resources.ledger import Ledger
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.salesforce import RowResult, SalesforceClient
from tieout.breaker import Admission
from tieout.contract import Contract
from tieout.errors import TieoutError
from tieout.flow import Flow
from tieout.outcome import Outcome
from tieout.salesforce_package.order_status import EVENT, event_message
from tieout.writeback import RecordUpdate

log = logging.getLogger(__name__)

COLLECTION = 200
"""Records in one call: the most that a collection takes."""


@dataclass(frozen=True, slots=True)
class WriteBackSummary:
    """What became of the updates that were due. `held_back` are those whose flow is paused or cut off; the next run finds them due again."""

    updated: int = 0
    refused: int = 0
    held_back: int = 0
    reason: str = ""


def write_back(
    client: SalesforceClient,
    ledger: Ledger,
    contract: Contract,
    due: Sequence[RecordUpdate],
    companies: Mapping[str, str],
    *,
    flow: Flow,
    run_id: str,
    now: datetime,
) -> WriteBackSummary:
    """Send the updates of one object. `companies` maps Salesforce ids to the company that their flow is gated by.

    A record that is refused stops no other. Raises what the client raises, with the attempts ended.
    """
    gates = ledger.flows.gates(flow, now)
    free: list[RecordUpdate] = []
    reasons: dict[str, None] = {}
    probed: set[str] = set()
    for update in due:
        company = companies.get(update.salesforce_id, "")
        admission = gates.of(company).admission
        if admission is Admission.ONE and company not in probed:
            probed.add(company)
            if ledger.flows.take_probe(flow, company, now):
                free.append(update)
                continue
        if admission is Admission.ALL:
            free.append(update)
        else:
            reasons[gates.of(company).reason] = None
    results: list[RowResult] = []
    for start in range(0, len(free), COLLECTION):
        chunk = free[start : start + COLLECTION]
        answered = _collection(client, ledger, contract, chunk, run_id)
        results += answered
        if client.publishes_order_status and contract.lines is not None:
            _publish(client, contract, chunk, answered, companies)
        failures = [(companies.get(each.id, ""), not each.ok) for each in answered]
        for turned in ledger.flows.record(flow, failures, now):
            log.warning("writeback.breaker", extra=turned.fields)
    refused = sum(not result.ok for result in results)
    return WriteBackSummary(len(results) - refused, refused, len(due) - len(free), "; ".join(reasons))


def older_than_another_run(ledger: Ledger, contract: Contract, versions: Mapping[str, int]) -> str:
    """Which newer read of D365 there is than the one that was compared, in words; empty where there is none.

    `versions` maps lake tables (`d365/sales_order`) to the versions that were compared.
    """
    tables = [contract.table("d365")] + ([contract.lines_table("d365")] if contract.lines is not None else [])
    for table in tables:
        sweep = ledger.watermarks.latest_sweep("d365", table.name)
        compared = versions.get("/".join(table.lake_key))
        if sweep is not None and compared is not None and (sweep.lake_version or 0) > compared:
            return f"run {sweep.run_id} has read {table.source} since; what is due is found by it"
    return ""


def _publish(
    client: SalesforceClient,
    contract: Contract,
    chunk: Sequence[RecordUpdate],
    answered: Sequence[RowResult],
    companies: Mapping[str, str],
) -> None:
    """Tell subscribers of the records that were written. An event is a hint: what goes wrong is logged, and the write-back goes on."""
    published = 0
    for update, result in zip(chunk, answered, strict=True):
        if not result.ok:
            continue
        company = companies.get(update.salesforce_id, "")
        try:
            client.publish(EVENT, event_message(contract, update.salesforce_id, company, update.fields))
        except TieoutError as problem:
            # The next ones would meet the same: a right that is missing, a limit, a budget.
            log.warning("writeback.not_published", extra={"key": update.salesforce_id, "problem": str(problem)})
            break
        published += 1
    log.info("writeback.published", extra={"event": EVENT, "events": published})


def _collection(
    client: SalesforceClient, ledger: Ledger, contract: Contract, chunk: Sequence[RecordUpdate], run_id: str
) -> list[RowResult]:
    attempts = ledger.attempts.begin(
        [
            NewAttempt(
                entity=contract.entity,
                operation="update",
                business_key=update.salesforce_id,
                direction="to_salesforce",
                request=", ".join(sorted(update.fields)),
            )
            for update in chunk
        ],
        run_id,
    )
    calls, started = client.api_calls, time.monotonic()

    def ended(outcomes: Sequence[tuple[Outcome, str, str]]) -> None:
        duration_ms = round((time.monotonic() - started) * 1000)
        share = Decimal(client.api_calls - calls) / len(chunk)
        ledger.attempts.end(
            [
                AttemptResult(attempt, outcome, state, duration_ms, share, message=message)
                for attempt, (outcome, state, message) in zip(attempts, outcomes, strict=True)
            ]
        )

    try:
        answered = client.update_collection(
            contract.salesforce.source, [{"Id": update.salesforce_id, **update.fields} for update in chunk]
        )
    except TieoutError as problem:
        # Whether it was written is not known, and need not be: the next run compares, and writes what is still due.
        ended([(Outcome.IN_DOUBT, "unknown", str(problem))] * len(chunk))
        raise
    ended(
        [
            (Outcome.CONFIRMED, "written", "")
            if result.ok
            else (Outcome.REJECTED, "refused", f"{result.code}: {result.message}")
            for result in answered
        ]
    )
    return answered
