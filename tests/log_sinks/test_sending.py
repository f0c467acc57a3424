"""Rows of the log in both targets, over HTTP and from a real ledger: each exactly once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from resources.ledger import Ledger, connect
from resources.log_sinks import Sink, send_waiting
from tests.conftest import PROJECT
from tests.log_sinks.conftest import NOW, Targets, attempts
from tieout.log_sinks.settings import SinkName

PATIENCE_S = 60
CALL: dict[SinkName, str] = {"dataverse": "UpsertMultiple", "sharepoint": r"v1.0/\$batch"}


def later(**difference: float) -> Callable[[], object]:
    return lambda: NOW + timedelta(**difference)


def test_a_thousand_rows_arrive_once_each_under_throttling_and_lost_answers(
    ledger: Ledger, targets: Targets, sink: Sink, name: SinkName
) -> None:
    ids = attempts(ledger, 1000)
    sink.rows_at_once = min(sink.rows_at_once, 200)
    # 30 calls or 30 items are let through in a window, which passes while the client waits.
    targets.post("settings", {"dataverse_requests": 4, "dataverse_window_s": 30, "graph_units_per_minute": 600})
    targets.fault("lose_answer", CALL[name], after=1, times=2)
    targets.fault("throttle", CALL[name], after=2, times=2, retry_after_s=3)
    targets.fault("gateway_page", CALL[name], after=2, times=1, committed=True)
    if name == "sharepoint":
        targets.fault("throttle_item", "batch", holds="POST", after=30, times=5, retry_after_s=2)
        targets.fault("lose_item", "batch", holds="POST", after=50, times=5)

    done = send_waiting(ledger, sink, now=later(hours=2))

    assert (done.sent, done.waiting.rows, done.waiting.refused, done.problem) == (1000, 0, 0, "")
    assert done.position == ids[-1]
    made = targets.made(name)
    assert len(made) == 1000
    assert set(made.values()) == {1}
    assert len(targets.rows(name)) == 1000
    assert {each["effect"] for each in targets.journal(phase="fault")} >= {"lose_answer", "throttle", "gateway_page"}
    assert send_waiting(ledger, sink, now=later(hours=2)).sent == 0
