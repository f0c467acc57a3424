"""Tieout's Salesforce client alone: raw pages on disk, nothing typed, nothing proven. What the asset adds to it is in `on_tieout.py`.

The folder to read into is the first argument; where everything else is, says the environment, as in production.
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from resources.salesforce import SalesforceClient
from tieout.contract import load_contracts
from tieout.settings import Settings


def to_pages() -> None:
    """One read from the watermark in the folder on, less the asset's overlap; the whole table where there is none."""
    folder = Path(sys.argv[1])
    settings = Settings.from_environment()
    assert settings.salesforce is not None, "the environment names a Salesforce"
    table = load_contracts(settings.contracts).table("salesforce", "opportunity")
    mark = folder / "watermark"
    since = datetime.fromisoformat(mark.read_text()) - _overlap() if mark.exists() else None
    number = len(list(folder.glob("pages-*"))) + 1
    with SalesforceClient(settings.salesforce, ca_bundle=settings.ca_bundle) as client:
        pages = client.extract(table, since, folder / f"pages-{number:04}")
    mark.write_text(pages.started_at.isoformat())


def _overlap() -> timedelta:
    from assets.salesforce import OVERLAP  # brings Dagster with it, which a first read must not pay for

    return OVERLAP
