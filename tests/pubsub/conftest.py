"""A Salesforce whose event bus is listened to, by a listener of the test's own into a ledger of its own."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resources.ledger import Ledger
from resources.listening import Listener
from tests.pubsub.hearing import Hearing, settings_of
from tests.sandbox_salesforce.running_org import Sandbox, start_sandbox
from tieout.contract import Contracts


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = start_sandbox(tmp_path_factory.mktemp("salesforce"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def org(running: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox, with all switches back at their defaults and real time afterwards."""
    yield running
    switches = running.http.get(f"{running.url}/_sandbox/settings", timeout=10).json()
    running.control("settings", **dict.fromkeys(switches))
    running.control("clock", now=None)
    running.log_in()


@pytest.fixture
def hearing(org: Sandbox, ledger: Ledger, contracts: Contracts) -> Iterator[Callable[..., Hearing]]:
    """Starts a listener and waits until it hears; called again, another one. All are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(
            *topics: str, ca_bundle: Path | None = None, silence_s: float = 60, waits_for_streams: bool = True
        ) -> Hearing:
            listener = Listener(
                ledger, settings_of(org, *topics), contracts, ca_bundle,
                silence_s=silence_s, first_pause_s=0.05, pause_after_refusal_s=0.3, look_every_s=0.05,
            )  # fmt: skip
            started = Hearing(org, ledger, listener)
            before = started.opened()
            listener.start()
            stack.callback(listener.stop)
            if waits_for_streams:
                started.wait(lambda: started.opened() > before)
            return started

        yield start
