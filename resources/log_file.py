"""The log of decisions: one JSON object a line, the event's fixed name and its keys as fields, in TIEOUT_HOME/logs/tieout.log.

Runs that the daemon starts log the same events into their own page of the Dagster UI (`python_logs` in dagster.yaml).
"""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

OURS = ("tieout", "resources", "assets", "pipelines", "desk")
_MOST_BYTES = 10_000_000
_KEPT_FILES = 5


def keep_log(folder: Path) -> None:
    """Send what our own modules log to `tieout.log` in a folder and nowhere else; a second call changes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tieout.log"
    for name in OURS:
        logger = logging.getLogger(name)
        if any(isinstance(handler, RotatingFileHandler) for handler in logger.handlers):
            continue
        handler = RotatingFileHandler(path, maxBytes=_MOST_BYTES, backupCount=_KEPT_FILES, delay=True)
        handler.setFormatter(
            JsonFormatter(
                "{asctime}{levelname}{name}{message}",
                style="{",
                rename_fields={"asctime": "at", "levelname": "level", "name": "logger", "message": "event"},
            )
        )
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
