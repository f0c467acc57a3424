"""A desk over HTTP for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.ledger import Ledger
from tests.desk.books import Served, served
from tieout.contract import Contracts


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger, contracts: Contracts) -> Iterator[Served]:
    """Whoever is at this machine may decide."""
    with served(tmp_path / "lake", ledger, contracts) as running:
        yield running
