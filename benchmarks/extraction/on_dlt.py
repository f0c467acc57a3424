"""dlt with its incremental loading and merge on simple-salesforce, into DuckDB.

dlt's verified source for Salesforce is in no package index, and its REST way cannot go on behind the first page (facts/salesforce.md,
Third-party clients). This is the resource that dlt's documentation gives for such a source, with what the verified one does: all records
after the newest stamp (`>`), in its order, deleted ones included. The folder, the app's id, its secret and the columns are the arguments.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from simple_salesforce import Salesforce

STAMP = "SystemModstamp"
PIPELINE = "salesforce"


def load() -> None:
    """One run of the pipeline."""
    folder, client_id, secret, domain, columns = sys.argv[1:6]
    salesforce = Salesforce(consumer_key=client_id, consumer_secret=secret, domain=domain, version="62.0")

    @dlt.resource(write_disposition="merge", primary_key="Id")
    def opportunity(
        changed: Any = dlt.sources.incremental(STAMP, initial_value=None),  # noqa: B008 dlt's way
    ) -> Iterator[dict[str, Any]]:
        where = f" WHERE {STAMP} > {_literal(changed.last_value)}" if changed.last_value else ""
        statement = f"SELECT {columns} FROM Opportunity{where} ORDER BY {STAMP} ASC"
        for record in salesforce.query_all_iter(statement, include_deleted=True):
            del record["attributes"]
            yield record

    pipeline = dlt.pipeline(
        PIPELINE,
        pipelines_dir=str(Path(folder) / "pipelines"),
        destination=dlt.destinations.duckdb(str(Path(folder) / "opportunities.duckdb")),
        dataset_name=PIPELINE,
    )
    pipeline.run(opportunity)


def _literal(stamp: str) -> str:
    return f"{stamp[:19]}Z"
