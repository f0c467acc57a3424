"""The feed as a client reads it that was written by others and knows nothing of us: python-odata builds its classes from `$metadata`."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from odata import ODataService
from odata.exceptions import ODataError
from requests.auth import HTTPBasicAuth

from desk.feed.model import ENTITY_SETS
from desk.settings import DeskSettings
from resources.ledger import Ledger
from resources.ledger.attempts import NewAttempt
from tests.desk.books import NOW, a_break, a_verdict, keep_breaks, keep_verdicts, served
from tieout.contract import Contracts

TOKEN = "a token of the tests, long enough for the feed"


@pytest.fixture
def service(tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[ODataService]:
    """A client that has signed in with the token and read `$metadata`."""
    keep_breaks(
        ledger,
        a_break("b1", amount=Decimal("10.25"), label="O'Neil & Söhne, 100% +1"),
        a_break("b2", amount=None, company="demf"),
        a_break("b3", amount=Decimal("-3.5"), needs_a_person=False),
    )
    with served(tmp_path / "lake", ledger, contracts, DeskSettings("header", feed_token=TOKEN)) as running:
        keep_verdicts(running.desk.lake, a_verdict(1), a_verdict(2, company="demf"))
        yield ODataService(
            f"{running.address}/odata/",
            reflect_entities=True,
            auth=HTTPBasicAuth("tieout", TOKEN),
            quiet_progress=True,
        )


def named(rows: list[Any]) -> list[str]:
    return [row.identity for row in rows]


def test_the_client_finds_every_entity_set(service: ODataService) -> None:
    assert set(service.entities) == set(ENTITY_SETS)


def test_filters_orders_and_limits_of_the_client(service: ODataService) -> None:
    breaks = service.entities["Breaks"]

    def ask() -> Any:
        return service.query(breaks)

    assert named(ask().all()) == ["b1", "b2", "b3"]
    assert named(ask().filter(breaks.amount > Decimal("-3.6")).order_by(breaks.amount.desc()).all()) == ["b1", "b3"]
    assert named(ask().filter(breaks.label == "O'Neil & Söhne, 100% +1").all()) == ["b1"]
    assert named(ask().filter(breaks.label.contains("100% +")).all()) == ["b1"]
    assert named(ask().filter(breaks.label.lacks("Neil")).all()) == ["b2", "b3"]
    assert named(ask().filter((breaks.company == "demf") | (breaks.needs_a_person == False)).all()) == ["b2", "b3"]  # noqa: E712
    assert named(ask().filter(breaks.amount.is_null()).all()) == ["b2"]
    assert named(ask().filter(breaks.first_seen > NOW - timedelta(days=1)).all()) == ["b1", "b2", "b3"]
    assert named(ask().filter(breaks.identity.startswith("b")).limit(1).offset(1).all()) == ["b2"]
    assert ask().filter(breaks.company == "usmf").count() == 2


def test_values_come_in_their_types(service: ODataService) -> None:
    row = service.query(service.entities["Breaks"]).get("b1")

    assert row.amount == Decimal("10.25")
    assert row.first_seen == NOW
    assert row.needs_a_person is True
    assert row.label == "O'Neil & Söhne, 100% +1"
    assert service.query(service.entities["Breaks"]).get("b2").amount is None


def test_the_tie_out_of_the_lake(service: ODataService) -> None:
    bridge = service.entities["TieOutBridge"]

    rows = service.query(bridge).filter(bridge.company == "demf").all()

    assert [(row.salesforce, row.records) for row in rows] == [(Decimal("100.00"), 1)]


def test_the_client_follows_the_pages_to_the_end(service: ODataService, ledger: Ledger) -> None:
    ledger.attempts.begin(
        [NewAttempt("customer", "update", f"k{each}", "to_d365") for each in range(2_500)], "run 1", NOW
    )
    log = service.entities["IntegrationLog"]

    rows = service.query(log).filter(log.entity == "customer").order_by(log.at.desc()).all()

    assert sorted(row.attempt_id for row in rows) == list(range(1, 2_501))


def test_the_client_is_told_what_is_wrong_and_cannot_write(service: ODataService) -> None:
    breaks = service.entities["Breaks"]

    with pytest.raises(ODataError, match="not supported"):
        service.query(breaks).raw({"$expand": "lines"})
    row = service.query(breaks).get("b1")
    row.owner = "eve"
    with pytest.raises(ODataError, match="can only be read"):
        service.save(row)
