"""A small lake and ledger for the desk: a few orders of two companies, with names as hostile as names can be."""

import contextlib
import getpass
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import requests
import uvicorn

from desk.access import Access
from desk.app import create_app
from desk.desk import Desk
from desk.links import Links
from desk.settings import DeskSettings
from resources.lake import Lake
from resources.ledger import Ledger
from resources.ledger.breaks import FoundBreak
from tieout.contract import Contracts

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "a secret of the tests, long enough to sign with"
SCRIPT = "<script>alert('taken over')</script>"
FORMULA = "=cmd|' /C calc'!A0"
RIGHT_TO_LEFT = "\u202eשלום עולם\u202c مرحبا"
LONG = "Längst-Name " * 25
MONEY = pa.decimal128(28, 6)


def a_break(identity: str = "b1", **changes: Any) -> FoundBreak:
    """An open break of an order; `changes` names what the test is about."""
    values = {
        "identity": identity,
        "entity": "sales_order",
        "company": "usmf",
        "verdict": "amount",
        "field": "amount",
        "currency": "USD",
        "salesforce_key": "006000000000001AAA",
        "d365_key": "T-006000000000001AAA",
        "salesforce_value": "100.00",
        "d365_value": "90.00",
        "amount": Decimal("10.00"),
        "cause": "value_differs",
        "label": "Contoso: 3 pumps",
        "month": "2026-10",
    }
    return FoundBreak(**(values | changes))


def keep_breaks(ledger: Ledger, *found: FoundBreak, at: datetime = NOW, run_id: str = "run 1") -> None:
    """As a run that found exactly these."""
    ledger.breaks.record(found, run_id, at, whole_entities=("sales_order", "customer", "sales_order_line"))


def a_verdict(number: int, **changes: Any) -> dict[str, Any]:
    """A row of the verdict table: a matched order of 100.00 USD in usmf, October 2026."""
    key = f"006{number:012d}AAA"
    values: dict[str, Any] = {
        "entity": "sales_order",
        "verdict": "matched",
        "company": "usmf",
        "currency": "USD",
        "salesforce_key": key,
        "d365_key": f"T-{key}",
        "label": f"Order {number}",
        "salesforce_amount": Decimal("100.00"),
        "d365_amount": Decimal("100.00"),
        "fields": [],
        "reason": None,
        "d365_lake_key": f"usmf|t-{key.lower()}",
        "d365_currency": "USD",
        "month": "2026-10",
        "group_key": None,
    }
    return values | changes


def keep_verdicts(lake: Lake, *rows: dict[str, Any]) -> None:
    """Make these the newest reconciliation: the verdict table and the bridge that follows from it."""
    texts = [name for name in a_verdict(1) if name not in ("salesforce_amount", "d365_amount", "fields")]
    columns: dict[str, Any] = {name: pa.array([row[name] for row in rows], pa.string()) for name in texts}
    for name in ("salesforce_amount", "d365_amount"):
        columns[name] = pa.array([row[name] for row in rows], MONEY)
    columns["fields"] = pa.array([row["fields"] for row in rows], pa.list_(pa.string()))
    lake.replace(("reconciliation", "sales_order_verdict"), pa.table(columns))
    bridge = [
        {
            "company": row["company"],
            "currency": row["currency"],
            "month": row["month"],
            "verdict": row["verdict"],
            "cause": "within_tolerance" if row["verdict"] == "matched" else "unexplained",
            "is_explained": row["verdict"] == "matched",
            "records": 1,
            "salesforce": row["salesforce_amount"] or Decimal(0),
            "d365": row["d365_amount"] or Decimal(0),
            "difference": (row["salesforce_amount"] or Decimal(0)) - (row["d365_amount"] or Decimal(0)),
        }
        for row in rows
    ]
    types = {"records": pa.int64(), "is_explained": pa.bool_()} | dict.fromkeys(
        ("salesforce", "d365", "difference"), MONEY
    )
    names = list(bridge[0])
    lake.replace(
        ("reconciliation", "tie_out_bridge"),
        pa.table({name: pa.array([row[name] for row in bridge], types.get(name, pa.string())) for name in names}),
    )


@dataclass
class Served:
    """A desk that answers over HTTP."""

    address: str
    desk: Desk

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(f"{self.address}{path}", timeout=30, allow_redirects=False, **options)

    def post(self, path: str, form: dict[str, Any], **options: Any) -> requests.Response:
        """A form as a browser sends it, with the token of the page, unless the form has one."""
        token = self.desk.access.token(self.desk.access._named(getpass.getuser()))
        return requests.post(
            f"{self.address}{path}", data={"csrf": token} | form, timeout=30, allow_redirects=False, **options
        )


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(
    folder: Path,
    ledger: Ledger,
    contracts: Contracts,
    settings: DeskSettings | None = None,
    *,
    secret: str = SECRET,
    port: int | None = None,
) -> Iterator[Served]:
    """The desk over a lake in `folder`, on a free port unless one is given."""
    port = port or free_port()
    settings = settings or DeskSettings()
    links = Links("https://example.my.salesforce.com", "https://example.operations.dynamics.com")
    desk = Desk(settings, Access(settings, secret), Lake(folder), ledger, contracts, links)
    config = uvicorn.Config(
        create_app(desk, secret),
        host="127.0.0.1",
        port=port,
        log_level="warning",
        proxy_headers=False,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    try:
        yield Served(f"http://127.0.0.1:{port}", desk)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def in_days(days: int) -> date:
    return datetime.now(UTC).date() + timedelta(days=days)
