"""How a seed gets into the sandboxes: all of it or nothing, into files that are still empty, with a note of what was planted."""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from sandbox.d365.store import Store as D365Store
from sandbox.salesforce.store import Store as SalesforceStore
from sandbox.seeds.adventureworks import AdventureWorks
from sandbox.seeds.csv_folder import CsvFolder
from sandbox.seeds.generated import DEFAULT_OPPORTUNITIES, Generated
from sandbox.seeds.seed import Row, Seed, SeedError

SALESFORCE_FILE = "salesforce.sqlite"
D365_FILE = "d365.sqlite"
MANIFEST_FILE = "seed.json"
KINDS = "generated[:OPPORTUNITIES], adventureworks:DIR, csv:DIR"


@dataclass(frozen=True, slots=True)
class Filled:
    """What a seeding did: rows per table of both systems, how often each kind of difference was planted, and the time it took."""

    seed: str
    salesforce: dict[str, int]
    d365: dict[str, int]
    planted: dict[str, int]
    duration_s: float

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def seed_of(spec: str) -> Seed:
    """The seed that a text such as `generated:500` names. Raises SeedError for what is no seed."""
    kind, _, rest = spec.partition(":")
    if kind == "generated":
        if rest and not (rest.isascii() and rest.isdigit()):
            raise SeedError(
                f"{spec}: {rest!r} is no number of opportunities. Write generated:5000, or generated alone."
            )
        return Generated(int(rest) if rest else DEFAULT_OPPORTUNITIES)
    if kind == "adventureworks" and rest:
        return AdventureWorks(Path(rest).expanduser())
    if kind == "csv" and rest:
        return CsvFolder(Path(rest).expanduser())
    raise SeedError(f"{spec!r} is no seed. Known are {KINDS}.")


def fill(spec: str, state_dir: Path, console: Console) -> Filled:
    """Lay the seed into both sandboxes in `state_dir`; nothing is kept when anything goes wrong.

    Progress goes to `console`. Raises SeedError when the sandboxes hold data already, or when the seed is wrong.
    """
    started, now = time.monotonic(), datetime.now(UTC)
    seed = seed_of(spec)
    state_dir.mkdir(parents=True, exist_ok=True)
    with (
        closing(SalesforceStore(state_dir / SALESFORCE_FILE)) as salesforce,
        closing(D365Store(state_dir / D365_FILE)) as d365,
    ):
        _refuse_if_filled(state_dir, salesforce.counts() | d365.counts())
        rows: dict[str, dict[str, int]] = {"salesforce": {}, "d365": {}}
        # One transaction in each file: a seed that breaks off, or is broken off, leaves both as empty as they were.
        with console.status("Seeding"), salesforce.transaction(), d365.transaction():
            for system, table, content in seed.rows(salesforce.next_id, now):
                store = salesforce if system == "salesforce" else d365
                count = _Count(content)
                try:
                    store.insert_many(table, count)
                except sqlite3.IntegrityError as problem:
                    raise SeedError(f"{table}: a key is there twice ({problem}). Remove one of the rows.") from problem
                rows[system][table] = count.rows
                console.print(f"{system:<10}  {table:<20} {count.rows:>9,} rows", highlight=False)
            _write_manifest(state_dir / MANIFEST_FILE, spec, now, rows, seed)
    return Filled(spec, rows["salesforce"], rows["d365"], seed.manifest.counts(), round(time.monotonic() - started, 2))


class _Count:
    """Passes rows on and counts them."""

    def __init__(self, content: Iterable[Row]) -> None:
        self._content = content
        self.rows = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._content:
            self.rows += 1
            yield row


def _refuse_if_filled(state_dir: Path, counts: dict[str, int]) -> None:
    filled = [f"{count:,} {table}" for table, count in counts.items() if count]
    if filled:
        raise SeedError(
            f"The sandboxes in {state_dir} hold data already: {', '.join(filled)}. Give another --state, or remove "
            f"{SALESFORCE_FILE} and {D365_FILE} while no sandbox runs."
        )


def _write_manifest(path: Path, spec: str, now: datetime, rows: dict[str, dict[str, int]], seed: Seed) -> None:
    planted = {kind: {"count": len(keys), "keys": keys} for kind, keys in seed.manifest.planted.items()}
    note = {"seed": spec, "seeded_at": now.isoformat(timespec="seconds"), "rows": rows, "planted": planted}
    path.write_text(json.dumps(note, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
