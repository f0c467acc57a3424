"""Secrets that are rotated in the middle of a run, over HTTP and through the command line, and where they never show."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.pipeline.installation import Installation, System
from tests.pipeline.test_cli import tenants

OLD, NEW = "sandbox-secret", "canary-rotated-3Zq7"
COULD_NOT_RUN = 2


@pytest.fixture
def installation(install: Callable[[], AbstractContextManager[Installation]]) -> Installation:  # type: ignore[misc]
    with install() as running:
        yield running


def mounted(installation: Installation, folder: Path) -> dict[str, str]:
    """The variables of two tenants whose secrets are files, which hold those of today."""
    variables = tenants(installation)
    for system in ("SALESFORCE", "D365"):
        (folder / system).write_text(f"{OLD}\n")
        del variables[f"{system}_CLIENT_SECRET"]
        variables[f"{system}_CLIENT_SECRET_FILE"] = str(folder / system)
    return variables


def rotate(systems: dict[str, System], folder: Path | None) -> None:
    """Both apps have another secret and no live token; `folder` holds the mounted files that are written anew."""
    for name, system in systems.items():
        if folder is not None:
            (folder / name.upper()).write_text(NEW)
        system.post("settings", {"client_secret": NEW})
        system.post("tokens/expire")


def test_a_run_in_whose_middle_both_secrets_are_rotated_ends_as_if_nothing_had_been(
    installation: Installation, tmp_path: Path
) -> None:
    variables = mounted(installation, tmp_path)
    before = {name: system.position() for name, system in installation.systems.items()}

    installation.d365.post("faults", {"kind": "slow_first_byte", "path": "/data/CustomersV3", "delay_s": 1.5})

    def rotate_while_d365_is_read() -> None:
        while not any("/CustomersV3" in entry["path"] for entry in installation.d365.asked(before["d365"])):
            time.sleep(0.02)
        rotate(installation.systems, tmp_path)

    rotation = threading.Thread(target=rotate_while_d365_is_read, daemon=True)
    rotation.start()
    finished = installation.called("run", "--json", environment=variables)
    rotation.join(10)

    assert finished.code != COULD_NOT_RUN, finished.stderr
    assert installation.d365.effects(before["d365"])
    answered = installation.d365.answered(before["d365"])
    assert {401, 200} <= {entry["status"] for entry in answered if "/oauth2/" in entry["path"]}
    assert OLD not in finished.stdout + finished.stderr
    assert NEW not in finished.stdout + finished.stderr + written_below(installation)


def test_a_rotation_that_reaches_no_file_is_told_once_with_the_variable(
    installation: Installation, tmp_path: Path
) -> None:
    variables = mounted(installation, tmp_path)
    rotate(installation.systems, None)

    finished = installation.called("run", environment=variables)

    assert finished.code == COULD_NOT_RUN
    assert "CLIENT_SECRET_FILE" in finished.stderr
    assert "was read again: it holds no other value" in finished.stderr
    assert OLD not in finished.stdout + finished.stderr


def written_below(installation: Installation) -> str:
    """Everything that a run leaves behind, except for the sandboxes' own state: files, and the tables of Dagster and the ledger."""
    files = [
        file.read_bytes().decode("utf-8", "replace")
        for file in installation.home.rglob("*")
        if file.is_file() and "sandbox" not in file.relative_to(installation.home).parts
    ]
    assert installation.database_url is not None
    engine = create_engine(installation.database_url)
    with engine.connect() as connection:
        tables = connection.execute(
            text(
                "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('public', 'tieout')"
            )
        ).scalars()
        rows = [str(row) for table in tables for row in connection.execute(text(f"select t::text from {table} t"))]
    engine.dispose()
    assert rows
    return "\n".join(files + rows)
