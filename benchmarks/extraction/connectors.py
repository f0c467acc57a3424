"""The two connectors that are programs with files: what they are configured with, what they are asked to read, where they go on.

Their output is one file of JSON lines a read. A state that stands in it counts as soon as it is there, as the targets behind them keep it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.extraction.org import opportunity_table
from sandbox.common.credentials import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from sandbox.salesforce.org import SWITCHES

CONFIG, CATALOG, STATE = "config.json", "catalog.json", "state.json"
STREAM = "Opportunity"
YEAR_AGO_DAYS = 365


def write_config(folder: Path) -> None:
    """One configuration that both understand: the app, a refresh token, and a year to read."""
    start = (datetime.now(UTC) - timedelta(days=YEAR_AGO_DAYS)).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = {
        "client_id": DEFAULT_CLIENT_ID,
        "client_secret": DEFAULT_CLIENT_SECRET,
        "refresh_token": SWITCHES["refresh_token"],
        "start_date": start,
        "is_sandbox": False,
        "auth_type": "Client",
        "api_type": "REST",
    }
    (folder / CONFIG).write_text(json.dumps(config))


def outputs(folder: Path) -> list[Path]:
    """What the reads wrote, in their order."""
    return sorted(folder.glob("read-*.jsonl"))


def next_output(folder: Path) -> Path:
    """Where the next read writes to."""
    return folder / f"read-{len(outputs(folder)) + 1:04}.jsonl"


def messages(path: Path) -> Iterator[dict[str, Any]]:
    """The messages of one read; a last line that was cut off is none."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("{"):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    return


def choose_for_tap(folder: Path, discovered: str) -> None:
    """Select the opportunities with the contract's columns."""
    wanted = {column.name for column in opportunity_table().columns}
    catalog = json.loads(discovered)
    catalog["streams"] = [stream for stream in catalog["streams"] if stream["stream"] == STREAM]
    for entry in catalog["streams"][0]["metadata"]:
        chosen: dict[str, object] = {"selected": not entry["breadcrumb"] or entry["breadcrumb"][-1] in wanted}
        if not entry["breadcrumb"]:
            chosen |= {"replication-method": "INCREMENTAL", "replication-key": "SystemModstamp"}
        entry["metadata"] |= chosen
    (folder / CATALOG).write_text(json.dumps(catalog))


def tap_arguments(folder: Path) -> list[str]:
    """The arguments of one read of tap-salesforce."""
    state = _last(folder, lambda message: message.get("value") if message["type"] == "STATE" else None)
    arguments = ["--config", str(folder / CONFIG), "--properties", str(folder / CATALOG)]
    return arguments + _state_arguments(folder, state)


def choose_for_airbyte(folder: Path, discovered: str) -> None:
    """The configured catalog: the opportunities, incrementally."""
    found = [json.loads(line) for line in discovered.splitlines() if line.startswith("{")]
    streams = next(each["catalog"]["streams"] for each in found if each["type"] == "CATALOG")
    stream = next(each for each in streams if each["name"] == STREAM)
    configured = {
        "stream": stream,
        "sync_mode": "incremental",
        "destination_sync_mode": "append_dedup",
        "cursor_field": ["SystemModstamp"],
        "primary_key": [["Id"]],
    }
    (folder / CATALOG).write_text(json.dumps({"streams": [configured]}))


def airbyte_arguments(folder: Path) -> list[str]:
    """The arguments of one read of source-salesforce."""
    state = _last(folder, lambda message: [message["state"]] if message["type"] == "STATE" else None)
    arguments = ["read", "--config", str(folder / CONFIG), "--catalog", str(folder / CATALOG)]
    return arguments + _state_arguments(folder, state)


def _last(folder: Path, state_of: Any) -> object | None:
    for path in reversed(outputs(folder)):
        # From behind: the last state of a read stands at its end.
        states = [state for message in messages(path) if (state := state_of(message)) is not None]
        if states:
            return states[-1]
    return None


def _state_arguments(folder: Path, state: object | None) -> list[str]:
    if state is None:
        return []
    (folder / STATE).write_text(json.dumps(state))
    return ["--state", str(folder / STATE)]
