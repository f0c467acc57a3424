"""Installations for the tests of the whole: each module has one, on a seed that is laid only once."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest

from pipelines.services import dagster_instance, processes
from pipelines.services.home import Home
from resources.ledger import upgrade
from tests.conftest import PROJECT
from tests.pipeline.installation import Installation, environment_of, running_installation

SEED = "generated:200"
TEMPLATE = "pipeline_template"


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of sandboxes that hold the generated seed; to be copied, not used."""
    folder = tmp_path_factory.mktemp("seeded") / "sandbox"
    subprocess.run(
        processes.python("sandbox", "seed", SEED, "--state", str(folder)), check=True, capture_output=True, cwd=PROJECT
    )
    return folder


@pytest.fixture(scope="session")
def prepared_database(new_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes a database that holds the tables of the ledger and of Dagster, and no rows: what every first command would make."""
    url = new_database(name=TEMPLATE)
    upgrade(url)
    home = Home(tmp_path_factory.mktemp("home"))
    with environment_of({**os.environ, **dagster_instance.environment(home, url)}), dg.DagsterInstance.get() as dagster:
        dagster_instance.prepare(dagster)
    return lambda: new_database(TEMPLATE)


@pytest.fixture(scope="session")
def install(seeded: Path, prepared_database: Callable[[], str]) -> Callable[[], AbstractContextManager[Installation]]:
    """Starts an installation on the generated seed, with a database of its own."""
    return lambda: running_installation(seeded, prepared_database())


@pytest.fixture(scope="module")
def installation(install: Callable[[], AbstractContextManager[Installation]]) -> Iterator[Installation]:
    """The installation of this module."""
    with install() as running:
        yield running
