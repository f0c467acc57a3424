"""A history that is played to every client in the same way: an hour of an org in which work goes on, with a read every ten minutes.

Records are made, changed and deleted by transactions that take up to twenty minutes, so they become visible that long after their stamp.
Records get the very second of the read, half of them before it and half after it. Deletes happen, and Salesforce says 429. A read that
fails is started again, as schedulers do.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from benchmarks.extraction.org import RECORDS_IN_CALL, Org
from sandbox.salesforce.ids import make_id

MINUTE_S = 60
BETWEEN_READS_S = 10 * MINUTE_S
LATE_BY_MINUTES = (0, 0.5, 2, 4, 6, 8, 9.5, 11, 13, 15, 17, 18.5, 20)
"""How long the transactions take. The last reads come when all of them are visible."""
BUSY_READS = 3
"""Reads between which work goes on; as many again as it takes to see the last of it follow."""
STARTS = 4
"""A read that fails is started again, so often in all."""
SAME_SECOND = 10
THROTTLED = {"kind": "throttle", "path": "/services/data/v", "times": 2, "retry_after_s": 1}

Read = Callable[[], str]
"""Reads once; returns what went wrong, or nothing."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often is read: `busy_reads` with work before each of them, every `between_s` seconds."""

    busy_reads: int = BUSY_READS
    between_s: float = BETWEEN_READS_S


@dataclass
class Played:
    """What was done: id → what happened to the record last. `failed`: starts of reads that ended in an error; `given_up`: reads of which all did."""

    touched: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    failed: int = 0
    given_up: int = 0
    problems: Counter[str] = field(default_factory=Counter)


def play(org: Org, read: Read, rhythm: Rhythm) -> Played:
    """Play the whole history; the client has everything that it will ever have afterwards."""
    played = Played()
    untouched = _live_ids(org)
    _read(org, read, played, [])
    for number in range(rhythm.busy_reads):
        _work(org, played, untouched, number, rhythm.between_s)
        _same_second(org, read, played, number)
    longest_s = max(LATE_BY_MINUTES) * MINUTE_S
    _renamed_alone(org, played, untouched, longest_s)
    for _ in range(1 + int(longest_s // rhythm.between_s)):
        org.pass_time(rhythm.between_s)
        _read(org, read, played, [])
    return played


def _work(org: Org, played: Played, untouched: Iterator[str], number: int, between_s: float) -> None:
    """What happens between two reads: for each length of transaction some records are made, changed and deleted, one after the other."""
    pause_s = between_s / len(LATE_BY_MINUTES)
    for late_min in LATE_BY_MINUTES:
        org.pass_time(pause_s)
        if late_min:
            org.control("faults", {"kind": "late_rows", "delay_s": late_min * MINUTE_S, "times": None})
        at = f"{late_min:g} minutes late"
        made = _make(org, [f"Made {number} {at} {each}" for each in range(3)])
        priced = [next(untouched) for _ in range(3)]
        _change(org, [{"id": id_, "Amount": 1_000_000 + number * 1000 + late_min} for id_ in priced])
        renamed = [next(untouched) for _ in range(3)]
        _change(org, [{"id": id_, "Name": f"Renamed {number} {at}"} for id_ in renamed])
        deleted = [next(untouched) for _ in range(2)]
        org.write("DELETE", params={"ids": ",".join(deleted), "allOrNone": "true"})
        org.calm()
        for kind, ids in (("made", made), ("priced", priced), ("renamed", renamed), ("deleted", deleted)):
            played.touched |= dict.fromkeys(ids, f"{kind} {at}")


def _renamed_alone(org: Org, played: Played, untouched: Iterator[str], late_s: float) -> None:
    """Late texts and nothing else: no count and no sum tells of them."""
    org.control("faults", {"kind": "late_rows", "delay_s": late_s, "times": None})
    renamed = [next(untouched) for _ in range(3)]
    _change(org, [{"id": id_, "Name": "Renamed and nothing else"} for id_ in renamed])
    org.calm()
    played.touched |= dict.fromkeys(renamed, f"renamed alone {late_s / MINUTE_S:g} minutes late")


def _same_second(org: Org, read: Read, played: Played, number: int) -> None:
    """A read in the middle of a second: records that were saved before it and after it carry one stamp."""
    now = org.control("clock", {"advance_s": 0})["now"]
    org.control("clock", {"now": now, "frozen": True})
    before = _make(org, [f"Same second {number} before {each}" for each in range(SAME_SECOND)])
    _read(org, read, played, [THROTTLED])
    after = _make(org, [f"Same second {number} after {each}" for each in range(SAME_SECOND)])
    org.control("clock", {"now": now})
    org.ahead_s = _ahead_s(org)
    played.touched |= dict.fromkeys((*before, *after), "in the second of a read")


def _read(org: Org, read: Read, played: Played, faults: list[Mapping[str, Any]]) -> None:
    played.reads += 1
    if faults:
        org.control("faults", faults)
    for _ in range(STARTS):
        problem = read()
        if not problem:
            break
        played.failed += 1
        played.problems[problem] += 1
    else:
        played.given_up += 1
    org.calm()


def _make(org: Org, names: list[str]) -> list[str]:
    records = [
        {
            "attributes": {"type": "Opportunity"},
            "Name": name,
            "StageName": "Prospecting",
            "AccountId": make_id("001", 1),
            "CloseDate": "2026-10-31",
            "Amount": 100 + place,
        }
        for place, name in enumerate(names)
    ]
    return [each["id"] for each in org.write("POST", json={"allOrNone": True, "records": records})]


def _change(org: Org, records: list[dict[str, Any]]) -> None:
    assert len(records) <= RECORDS_IN_CALL
    typed = [{"attributes": {"type": "Opportunity"}, **record} for record in records]
    org.write("PATCH", json={"allOrNone": True, "records": typed})


def _live_ids(org: Org) -> Iterator[str]:
    """Ids of records that the history has not touched yet, from all over the seeded ones."""
    ids = sorted(org.opportunities())
    return iter(ids[:: max(1, len(ids) // 1000)])


def _ahead_s(org: Org) -> float:
    now = datetime.fromisoformat(org.control("clock", {"advance_s": 0})["now"])
    return (now - datetime.now(UTC)).total_seconds()
