"""Faults on demand: what a network, a gateway or a tired org does to a call, switched on by a test.

The switch `faults` is a list of objects. `method` and `path` (a regular expression on the URL's path) say which calls
are meant, `skip` how many of them pass first, `times` (1) how many are hit. `do` says what happens:
answer   answers `status` and `body` (text, or JSON of any kind) as `content_type`, without running the call
delay    waits `seconds`, then runs the call
drop     breaks the connection before the call runs
lose     runs the call, then breaks the connection: the answer is lost after the commit
truncate runs the call, and breaks the connection in the middle of its answer
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

KINDS = ("answer", "delay", "drop", "lose", "truncate")


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault that hits one call."""

    kind: str
    status: int = 503
    body: bytes = b""
    content_type: str = "text/html"
    seconds: float = 0.0


def next_fault(rules: list[Any], method: str, path: str) -> Fault | None:
    """The fault for this call, if any; counts down the rule that it comes from."""
    for rule in rules:
        if not isinstance(rule, dict) or rule.get("do") not in KINDS or rule.get("times", 1) <= 0:
            continue
        if rule.get("method", method) != method or not re.search(rule.get("path", ""), path):
            continue
        if rule.get("skip", 0) > 0:
            rule["skip"] -= 1
            continue
        rule["times"] = rule.get("times", 1) - 1
        body = rule.get("body", "")
        return Fault(
            rule["do"],
            int(rule.get("status", 503)),
            body.encode() if isinstance(body, str) else orjson.dumps(body),
            rule.get("content_type", "text/html" if isinstance(body, str) else "application/json;charset=UTF-8"),
            float(rule.get("seconds", 0)),
        )
    return None
