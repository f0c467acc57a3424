"""Seeds laid out once for all tests of this folder."""

import os
from pathlib import Path

import pytest

from sandbox.seeds.adventureworks import AdventureWorks
from sandbox.seeds.generated import Generated
from tests.seeds.laid import Laid, lay

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def adventureworks_folder() -> Path:
    """The folder of AdventureWorks files, which are not part of the project."""
    shared = Path(os.environ.get("TIEOUT_SHARED_DATA") or PROJECT.parent / "shared" / "data")
    folder = shared / "adventureworks"
    if not folder.is_dir():
        pytest.skip(f"no AdventureWorks files in {folder}; TIEOUT_SHARED_DATA names another data folder")
    return folder


@pytest.fixture(scope="session")
def adventureworks(adventureworks_folder: Path) -> Laid:
    """All rows of the AdventureWorks seed; not to be changed by a test."""
    return lay(AdventureWorks(adventureworks_folder))


@pytest.fixture(scope="session")
def generated() -> Laid:
    """All rows of the generated seed in its usual size; not to be changed by a test."""
    return lay(Generated())
