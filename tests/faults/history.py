"""What happened to each order, told from D365's journal alone: `invoke`, `ok`, `fail`, `info`, as Jepsen does.

An attempt begins when D365 is asked (`invoke`). It is `ok` when the caller got a success for it, `fail` when the caller got a refusal that
proves that nothing was done, and `info` when the caller cannot know: its connection broke, a gateway answered, or nobody answered.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.writes import is_write

LOST = frozenset(
    {"lose_answer", "drop", "time_out", "slow_commit", "cut_body", "gateway_page", "server_error", "replace_answer"}
)
"""Faults after which a caller does not know what became of its request."""
_REFERENCE = re.compile(r'"CustomersOrderReference":"(006\w{15})"')
HEADERS, LINES = "SalesOrderHeadersV2", "SalesOrderLines"


@dataclass(frozen=True)
class Attempt:
    """One request that asked for one order. `landed_at` is when its header took effect; `end` is ok, fail or info."""

    reference: str
    request_id: str
    asked_at: datetime
    end: str
    landed_at: datetime | None = None


@dataclass
class History:
    """Everything that D365 was asked and did behind one place of its journal, by opportunity."""

    attempts: dict[str, list[Attempt]] = field(default_factory=dict)
    created: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] = ()


def history_of(entries: Sequence[Mapping[str, Any]]) -> History:
    """The history of the orders in `entries`, which are in the order of the journal."""
    told = History(entries=entries)
    faults = {entry["request_id"]: entry["effect"] for entry in entries if entry["phase"] == "fault"}
    answered = {entry["request_id"] for entry in entries if entry["phase"] == "answered"}
    landed: dict[tuple[str, str], datetime] = {}
    number_to_reference: dict[tuple[str, str], str] = {}
    for entry in entries:
        if entry["phase"] != "effect" or entry["entity"] != HEADERS:
            continue
        key = (str(entry["company"]).lower(), entry["key"])
        if entry["effect"] == "created":
            reference = entry["values"].get("CustomersOrderReference") or ""
            number_to_reference[key] = reference
            told.created.setdefault(reference, []).append(dict(entry))
            landed[entry["request_id"], reference] = instant(entry)
        elif entry["effect"] == "deleted":
            reference = number_to_reference.get(key, "")
            told.removed[reference] = told.removed.get(reference, 0) + 1
    for entry in entries:
        if entry["phase"] != "asked" or not is_write(entry):
            continue
        request_id = entry["request_id"]
        for reference in dict.fromkeys(_REFERENCE.findall(entry.get("body") or "")):
            landed_at = landed.get((request_id, reference))
            lost = faults.get(request_id) in LOST or request_id not in answered
            end = "info" if lost else "ok" if landed_at else "fail"
            attempt = Attempt(reference, request_id, instant(entry), end, landed_at)
            told.attempts.setdefault(reference, []).append(attempt)
    return told


def instant(entry: Mapping[str, Any]) -> datetime:
    """When an entry was written."""
    return datetime.fromisoformat(entry["at"])


def strikes(entries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Kind of fault → how often it struck."""
    counts: dict[str, int] = {}
    for entry in entries:
        if entry["phase"] == "fault":
            counts[entry["effect"]] = counts.get(entry["effect"], 0) + 1
    return counts
