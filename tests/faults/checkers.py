"""The judges: each takes what the systems' own journals and files say, and returns every violation of one property in words.

None of them asks Tieout, but for one question that only it can answer: in which named state is an opportunity without an order (R2).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.history import HEADERS, History, instant
from tests.faults.world import Won

Violations = list[str]
ON_ITS_WAY_S = 0.6
"""How long an answer may take to its reader, and the news of it from one process to another on a busy machine."""


def no_duplicate_order(history: History) -> Violations:
    """R1: of each opportunity, D365 holds one order at the most, however its number was given."""
    told = []
    for reference, created in history.created.items():
        held = len(created) - history.removed.get(reference, 0)
        if held > 1:
            numbers = ", ".join(str(entry["key"]) for entry in created)
            told.append(f"R1: {held} orders of {reference}: {numbers}")
    return told


def no_lost_order(
    won: Sequence[Won], orders: Mapping[str, Sequence[Any]], states: Mapping[str, tuple[str, str]]
) -> Violations:
    """R2: every won opportunity has an order, or one open state with a reason; that of its customer where it waits for one.

    `states` maps business keys to (state, reason).
    """
    told = []
    for deal in won:
        if orders.get(deal.opportunity):
            continue
        state, reason = states.get(deal.opportunity) or states.get(deal.customer_key) or ("", "")
        named = state in {"planned", "in_doubt"} or (state == "rejected" and reason)
        if not named:
            told.append(f"R2: {deal.opportunity} was won, has no order and is {state or 'nowhere'}")
    return told


def never_guessed(history: History) -> Violations:
    """R3: an order is not asked for again while an earlier request for it could still land, and did."""
    told = []
    for reference, attempts in history.attempts.items():
        for at, later in enumerate(attempts):
            told += [
                f"R3: {reference} was asked for again at {later.asked_at}, and the first request landed at {earlier.landed_at}"
                for earlier in attempts[:at]
                if earlier.landed_at is not None and earlier.landed_at > later.asked_at
            ]
    return told


def no_half_order(won: Sequence[Won], orders: Mapping[str, Sequence[Mapping[str, Any]]]) -> Violations:
    """R4: an order has all lines of its opportunity, or is stopped and has none."""
    lines = {deal.opportunity: deal.lines for deal in won}
    return [
        f"R4: the order {order['number']} of {reference} has {order['lines']} lines of {lines[reference]}"
        for reference, its_orders in orders.items()
        if reference in lines
        for order in its_orders
        if order["lines"] != lines[reference] and not (order["lines"] == 0 and order["stopped"] == "Yes")
    ]


def versions_never_go_back(entries: Iterable[Mapping[str, Any]], property_name: str) -> Violations:
    """R5: a property whose values end in a rising number (`Name v7`) only rises in each record."""
    told: Violations = []
    newest: dict[tuple[str, str], int] = {}
    for entry in entries:
        if entry["phase"] != "effect" or property_name not in (entry.get("values") or {}):
            continue
        _, mark, number = str(entry["values"][property_name]).rpartition(" v")
        if not mark or not number.isdigit():
            continue
        key = (entry["company"], entry["key"])
        if int(number) < newest.get(key, -1):
            told.append(f"R5: {key} went back from v{newest[key]} to v{number}")
        newest[key] = int(number)
    return told


def nothing_was_written(entries: Iterable[Mapping[str, Any]]) -> Violations:
    """R10, R11: no effect at all."""
    effects = Counter(f"{e['effect']} {e['entity']}" for e in entries if e["phase"] == "effect")
    return [f"R10: {count} times {what}" for what, count in effects.items()]


def nothing_before_retry_after(entries: Sequence[Mapping[str, Any]], on_its_way_s: float = ON_ITS_WAY_S) -> Violations:
    """R14: after an answer that names a time to wait, the system is not asked before that time has passed.

    The time counts from when the answer left, and only where one did: a caller whose connection broke was told nothing. Who asks within
    `on_its_way_s` of it could not know yet.
    """
    told: Violations = []
    asked_for = {
        entry["request_id"]: (entry.get("values") or {}).get("retry_after_s")
        for entry in entries
        if entry["phase"] == "fault" and entry["effect"] in {"throttle", "throttle_part"}
    }
    told_at, not_before = datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        at = instant(entry)
        is_call = entry["phase"] == "asked" and "/oauth2/" not in entry["path"]
        if is_call and told_at + timedelta(seconds=on_its_way_s) < at < not_before:
            told.append(f"R14: asked at {entry['at']}, and was told to wait until {not_before}")
        wait_s = asked_for.get(entry["request_id"])
        if entry["phase"] == "answered" and entry.get("status") and wait_s:
            told_at, not_before = at, max(not_before, at + timedelta(seconds=wait_s))
    return told


def concurrency_within(entries: Iterable[Mapping[str, Any]], most: int) -> Violations:
    """R14: never more than `most` writing requests under way at once."""
    under_way, highest = 0, 0
    for entry in entries:
        if entry.get("method") == "POST" and "$batch" in entry.get("path", ""):
            under_way += {"asked": 1, "answered": -1}.get(entry["phase"], 0)
            highest = max(highest, under_way)
    return [f"R14: {highest} batches under way at once, {most} allowed"] if highest > most else []


def created_headers(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """The numbers of the orders that were created."""
    return [e["key"] for e in entries if e["phase"] == "effect" and e["effect"] == "created" and e["entity"] == HEADERS]
