"""Tieout's own extraction in one process: to the lake as its asset reads it, or its client alone to raw pages.

The folder to read into is the first argument; where everything else is, says the environment, as in production.
"""

import json
import sys
import uuid
from datetime import datetime
from pathlib import Path

from assets.salesforce import OVERLAP, read_changes
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


def to_pages() -> None:
    """One read of the client alone, by the asset's overlap: raw pages on disk, nothing typed, nothing proven."""
    folder = Path(sys.argv[1])
    table = ContractsResource().contracts().table("salesforce", "opportunity")
    mark = folder / "watermark"
    since = datetime.fromisoformat(mark.read_text()) - OVERLAP if mark.exists() else None
    number = len(list(folder.glob("pages-*"))) + 1
    with SalesforceResource().client() as client:
        pages = client.extract(table, since, folder / f"pages-{number:04}")
    mark.write_text(pages.started_at.isoformat())
