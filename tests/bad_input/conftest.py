"""Installations of Tieout beside two sandboxes, seeded as each test wants them."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from resources import d365_http, salesforce_session
from tests.bad_input.books import Books
from tests.bad_input.installation import Installation
from tests.bad_input.systems import running_systems

Install = Callable[[Books], Installation]


@pytest.fixture(scope="module")
def install(new_database: Callable[..., str], ledger_template: str) -> Iterator[Install]:
    """Lays books into two new sandboxes, starts them, and puts an empty Tieout beside them."""
    with ExitStack() as end:

        def make(books: Books) -> Installation:
            folder = Path(end.enter_context(tempfile.TemporaryDirectory(prefix="tieout-")))
            books.lay(folder / "sandbox")
            systems = end.enter_context(running_systems(folder / "sandbox"))
            return Installation(folder / "home", new_database(ledger_template), systems)

        yield make


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    """Both clients repeat as often as ever, but pause for seconds only where the server asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        for client in (d365_http, salesforce_session):
            patch.setattr(client, "LONGEST_PAUSE_S", 0.05)
        yield
