"""One sandbox process for all tests of a module, one caller with a token per test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sandbox_d365.environment import Caller, Process, fill


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A filled sandbox, running."""
    state: Path = tmp_path_factory.mktemp("d365")
    fill(state)
    running = Process.start(state)
    yield running
    running.stop()


@pytest.fixture
def d365(process: Process) -> Iterator[Caller]:
    """A caller that is signed in; switches and faults are put back afterwards."""
    caller = Caller(process)
    before = caller.http.get(f"{process.url}/_sandbox/settings").json()
    yield caller
    caller.control("settings", before)
    caller.http.delete(f"{process.url}/_sandbox/faults")


_numbers = itertools.count(1)


@pytest.fixture
def new_number() -> Callable[[], str]:
    """Order numbers that no other test has."""
    return lambda: f"T-{next(_numbers):06d}"
