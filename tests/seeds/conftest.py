"""Seeds laid out once for all tests of this folder."""

from pathlib import Path

import pytest

from sandbox.seeds.adventureworks import AdventureWorks
from sandbox.seeds.generated import Generated
from tests.seeds.laid import Laid, lay


@pytest.fixture(scope="session")
def adventureworks(adventureworks_folder: Path) -> Laid:
    """All rows of the AdventureWorks seed; not to be changed by a test."""
    return lay(AdventureWorks(adventureworks_folder))


@pytest.fixture(scope="session")
def generated() -> Laid:
    """All rows of the generated seed in its usual size; not to be changed by a test."""
    return lay(Generated())
