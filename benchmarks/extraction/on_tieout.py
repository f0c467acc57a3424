"""Tieout's own extraction in one process, to the lake as its asset reads it.

The folder to read into is the first argument; where everything else is, says the environment, as in production.
"""

import json
import sys
import uuid
from pathlib import Path

from assets.salesforce import read_changes
from resources.connections import ContractsResource, HomeResource, LakeResource, LedgerResource, SalesforceResource

SWEPT = "swept.json"
"""How many records each read had to be told by the sweep of keys."""


def to_lake() -> None:
    """One read as the asset makes it: pages, landing, Delta, proof, watermark."""
    folder = Path(sys.argv[1])
    contracts = ContractsResource().contracts()
    table = contracts.table("salesforce", "opportunity")
    with SalesforceResource().client() as client, LedgerResource().opened() as ledger:
        done = read_changes(
            client,
            LakeResource().lake(),
            ledger,
            contracts,
            table,
            HomeResource(),
            run_id=uuid.uuid4().hex,
            full=False,
        )
    if done.proof.problem:
        raise SystemExit(f"Not proven complete: {done.proof.problem}")
    swept = folder / SWEPT
    earlier = json.loads(swept.read_text()) if swept.exists() else []
    swept.write_text(json.dumps([*earlier, done.proof.missed + done.proof.gone]))
