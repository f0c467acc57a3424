"""What the ledger has lost and D365 still has: found before anything is sent, taken over, and then sent for again by nobody.

A ledger that was restored from last night's copy does not know what was delivered since. Two things tell: the mark beside the ledger
(`ledger_mark.py`), and D365 itself, whose orders carry our number or the id of their opportunity.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from resources.ledger import Ledger
from resources.ledger.deliveries import Adopted
from resources.ledger_mark import LedgerMark
from resources.workbench import Workbench
from tieout.contract import Contract
from tieout.reconciliation.own_records import own_records_statement

log = logging.getLogger(__name__)

ENTITIES = ("customer", "sales_order")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a run may send. `problem` says why not, for people; `adopted` counts the records that the ledger did not know."""

    adopted: int = 0
    problem: str = ""


def before_sending(
    ledger: Ledger, mark: LedgerMark, bench: Workbench, run_id: str, now: datetime, *, settle_s: float
) -> Readiness:
    """Adopt what D365 has and the ledger does not know, and say whether the run may send.

    A ledger that is older than the mark may send only after a complete read of D365 that began `settle_s` after the last request of the
    lost time: until then one of its slow commits could still land, unseen. From then on the ledger counts as the current one again, and its
    attempts go on behind the lost ones, whose numbers the integration log still has.
    """
    bench.links()
    adopted = sum(_adopt(ledger, bench, bench.contracts[entity], run_id, now) for entity in ENTITIES)
    if adopted:
        log.warning("ledger.adopted", extra={"records": adopted, "run_id": run_id})
    problem = mark.problem(ledger.attempts.newest_id())
    if not problem:
        return Readiness(adopted)
    kept = mark.read()
    assert kept is not None
    for entity in ENTITIES:
        table = bench.contracts.table("d365", bench.contracts[entity].d365.table)
        sweep = ledger.watermarks.latest_sweep("d365", table.name)
        if sweep is None or not sweep.complete or sweep.started_at < kept.at + timedelta(seconds=settle_s):
            log.error("ledger.is_old", extra={"run_id": run_id, "problem": problem})
            wait = f"until {settle_s:.0f} seconds after the last request have passed and D365 was read completely since"
            return Readiness(
                adopted, f"{problem} Nothing is sent {wait}; then what D365 has is adopted, and the next run sends."
            )
    ledger.attempts.go_on_behind(kept.attempt_id, problem=problem, adopted=adopted, now=now)
    log.warning("ledger.is_current_again", extra={"run_id": run_id, "adopted": adopted})
    return Readiness(adopted)


def _adopt(ledger: Ledger, bench: Workbench, contract: Contract, run_id: str, now: datetime) -> int:
    rows = bench.con.execute(own_records_statement(contract)).fetchall()
    known = ledger.deliveries.known_creations(contract.entity)
    found = [Adopted(contract.entity, key, company, d365_key) for key, company, d365_key in rows if key not in known]
    return ledger.deliveries.adopt_unknown(found, run_id, now)
