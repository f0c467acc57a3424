"""Which calls to D365 write: `$batch` carries changesets, and reads by key as well."""

from collections.abc import Mapping
from typing import Any

WRITES = {"method": "POST", "path": "/data/$batch", "holds": "boundary=changeset"}
"""The frame of a rule of faults that means the batches that write, and them only."""


def is_write(entry: Mapping[str, Any]) -> bool:
    """Whether a journal's entry `asked` is about a batch that writes."""
    return entry["path"].endswith("$batch") and WRITES["holds"] in (entry.get("body") or "")
