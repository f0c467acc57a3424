"""Installations for the tests of the whole: each module has one, on a seed that is laid only once."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipelines.services import processes
from tests.conftest import PROJECT
from tests.pipeline.installation import Installation, running_installation

SEED = "generated:200"


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of sandboxes that hold the generated seed; to be copied, not used."""
    folder = tmp_path_factory.mktemp("seeded") / "sandbox"
    subprocess.run(
        processes.python("sandbox", "seed", SEED, "--state", str(folder)), check=True, capture_output=True, cwd=PROJECT
    )
    return folder


@pytest.fixture(scope="session")
def install(seeded: Path, new_database: Callable[..., str]) -> Callable[[], AbstractContextManager[Installation]]:
    """Starts an installation on the generated seed, with an empty database of its own."""
    return lambda: running_installation(seeded, new_database())


@pytest.fixture(scope="module")
def installation(install: Callable[[], AbstractContextManager[Installation]]) -> Iterator[Installation]:
    """The installation of this module."""
    with install() as running:
        yield running
