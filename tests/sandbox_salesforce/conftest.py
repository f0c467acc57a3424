"""The running sandboxes that the tests of this folder talk to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.sandbox_salesforce.running_org import Sandbox, start_sandbox


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = start_sandbox(tmp_path_factory.mktemp("salesforce"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def org(running: Sandbox) -> Iterator[Sandbox]:
    """The shared sandbox, without faults, with all switches back at their defaults and real time afterwards."""
    yield running
    running.http.delete(f"{running.url}/_sandbox/faults", timeout=10)
    switches = running.http.get(f"{running.url}/_sandbox/settings", timeout=10).json()
    running.control("settings", **dict.fromkeys(switches))
    running.control("clock", now=None)
    running.log_in()


@pytest.fixture
def own_org(tmp_path: Path) -> Iterator[Callable[[], Sandbox]]:
    """Starts a sandbox over a state of the test's own; called again, it starts over the same state."""
    started: list[Sandbox] = []

    def start() -> Sandbox:
        started.append(start_sandbox(tmp_path / "state"))
        return started[-1]

    yield start
    for sandbox in started:
        if sandbox.process.poll() is None:
            sandbox.stop()


@pytest.fixture
def tag() -> str:
    """A word that no other test uses, to find one's own records by."""
    return uuid4().hex[:10]
