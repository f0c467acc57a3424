"""simple-salesforce alone, as its documentation shows it, with the care that a developer can take: `>=` from the newest stamp seen on.

The folder to read into, the app's id, its secret and the columns are the arguments.
"""

import csv
import json
import sys
from pathlib import Path

from simple_salesforce import Salesforce

STAMP = "SystemModstamp"


def by_rest() -> None:
    """Pages of `queryAll` as lines of JSON, deleted records included; the newest stamp is kept when all are on disk."""
    folder, salesforce, statement = _begun()
    newest = _newest(folder)
    records = salesforce.query_all_iter(f"{statement} ORDER BY {STAMP}", include_deleted=True)
    with _next_file(folder, "json").open("w", encoding="utf-8") as file:
        for record in records:
            del record["attributes"]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            newest = max(newest, record[STAMP])
    _keep(folder, newest)


def by_bulk() -> None:
    """`bulk2.download`, the library's way for many rows: files of CSV. It knows no deleted records."""
    folder, salesforce, statement = _begun()
    newest = _newest(folder)
    target = _next_file(folder, "bulk")
    target.mkdir()
    for result in salesforce.bulk2.Opportunity.download(statement, path=str(target)):
        with open(result["file"], encoding="utf-8", newline="") as file:
            newest = max([newest, *(row[STAMP] for row in csv.DictReader(file))])
    _keep(folder, newest)


def _begun() -> tuple[Path, Salesforce, str]:
    folder, client_id, secret, domain, columns = sys.argv[1:6]
    salesforce = Salesforce(consumer_key=client_id, consumer_secret=secret, domain=domain, version="62.0")
    newest = _newest(Path(folder))
    where = f" WHERE {STAMP} >= {newest[:19]}Z" if newest else ""
    return Path(folder), salesforce, f"SELECT {columns} FROM Opportunity{where}"


def _newest(folder: Path) -> str:
    kept = folder / "newest"
    return kept.read_text() if kept.exists() else ""


def _keep(folder: Path, newest: str) -> None:
    (folder / "newest").write_text(newest)


def _next_file(folder: Path, suffix: str) -> Path:
    return folder / f"{len(list(folder.glob(f'*.{suffix}'))) + 1:04}.{suffix}"
