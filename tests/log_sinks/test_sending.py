"""Rows of the log in both targets, over HTTP and from a real ledger: each exactly once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from resources.ledger import Ledger, connect
from resources.ledger.attempts import NewAttempt, begin_attempts
from resources.ledger.log_sinks import SETTLED_AFTER, UNANSWERED_AFTER
from resources.log_sinks import Pass, Sink, send_waiting
from tests.conftest import PROJECT
from tests.log_sinks.conftest import Log, Targets
from tieout.log_sinks import LogRow
from tieout.log_sinks.settings import SinkName

PATIENCE_S = 60
CALL: dict[SinkName, str] = {"dataverse": "UpsertMultiple", "sharepoint": r"v1.0/\$batch"}

# A pass in a process of its own, which is killed.
_SEND = """
import os, sys
from pathlib import Path
from sqlalchemy import text

from resources.ledger import Ledger, connect
from resources.ledger.attempts import NewAttempt, begin_attempts
from resources.log_sinks import open_sink, send_waiting
from tieout.log_sinks.settings import settings_of
with Ledger.opened(os.environ["LEDGER"]) as ledger, open_sink(settings_of(sys.argv[1]), ca_bundle=Path(os.environ["CA"])) as sink:
    send_waiting(ledger, sink)
"""


def sent(log: Log, sink: Sink) -> Pass:
    """One pass at the time of this test."""
    return send_waiting(log.ledger, sink, now=log.clock)


def test_a_thousand_rows_arrive_once_each_under_throttling_and_lost_answers(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    ids = log.attempts(1000)
    sink.rows_at_once = min(sink.rows_at_once, 200)
    # So many calls or units are let through in a window, which passes while the client waits.
    targets.post("settings", {"dataverse_requests": 4, "dataverse_window_s": 30, "graph_units_per_minute": 600})
    targets.fault("lose_answer", CALL[name], after=1, times=2)
    targets.fault("throttle", CALL[name], after=2, times=2, retry_after_s=3)
    targets.fault("gateway_page", CALL[name], after=2, times=1, committed=True)
    if name == "sharepoint":
        targets.fault("throttle_item", "batch", holds="POST", after=30, times=5, retry_after_s=2)
        targets.fault("lose_item", "batch", holds="POST", after=50, times=5)

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows, done.waiting.refused, done.problem) == (1000, 0, 0, "")
    assert done.position == ids[-1]
    made = targets.made(name)
    assert len(made) == 1000
    assert set(made.values()) == {1}
    assert len(targets.rows(name)) == 1000
    assert {each["effect"] for each in targets.journal(phase="fault")} >= {"lose_answer", "throttle", "gateway_page"}
    statuses = [each["status"] for each in targets.journal(phase="answered") if "status" in each]
    assert 429 in statuses
    assert sent(log, sink).sent == 0


def test_the_columns_hold_what_the_log_says(log: Log, targets: Targets, sink: Sink, name: SinkName) -> None:
    (attempt_id,) = log.attempts(1, reason="all well")

    sent(log, sink)

    (row,) = targets.rows(name)
    at = f"{log.now:%Y-%m-%dT%H:%M:%SZ}"
    if name == "dataverse":
        assert row["new_at"] == at
        assert row["new_direction"] == 100_000_000
        assert (row["new_apicalls"], row["new_httpstatus"], row["new_durationms"]) == ("0.333333", 204, 120)
        assert (row["new_attemptid"], row["new_businesskey"], row["new_reason"]) == (
            attempt_id,
            "0065g000000",
            "all well",
        )
        assert row["new_name"] == "create sales order 0065g000000: confirmed"
    else:
        assert (row["At"], row["Direction"], row["AttemptId"]) == (at, "To D365", attempt_id)
        assert (row["ApiCalls"], row["HttpStatus"], row["DurationMs"]) == (0.333333, 204, 120)
        assert (row["BusinessKey"], row["Reason"]) == ("0065g000000", "all well")
        assert row["Title"] == "create sales order 0065g000000: confirmed"


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ('=HYPERLINK("http://evil.example","click")', '=HYPERLINK("http://evil.example","click")'),
        ("<script>alert(1)</script> 👩‍🚀 naïve", "<script>alert(1)</script> 👩‍🚀 naïve"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("bell \x07 and escape \x1b[31m", "bell ⟨U+0007⟩ and escape ⟨U+001B⟩[31m"),
        ("x" * 4000, "x" * 4000),
        ("x" * 4001, ""),
        ("🚀" * 2500, ""),
    ],
    ids=["formula", "markup and emoji", "lines", "controls", "4,000", "4,001", "emoji"],
)
def test_hostile_text_arrives_or_is_cut_visibly(
    log: Log, targets: Targets, sink: Sink, name: SinkName, given: str, arrives: str
) -> None:
    log.attempts(1, reason=given)

    done = sent(log, sink)

    assert (done.sent, done.problem) == (1, "")
    (row,) = targets.rows(name)
    found = row["new_reason" if name == "dataverse" else "Reason"]
    if len(given.encode("utf-16-le")) // 2 <= 4000:
        assert found == arrives
    else:
        mark = f" … [cut, {len(given):,} characters]"
        kept = found.removesuffix(mark)
        assert found.endswith(mark)
        assert given.startswith(kept)
        assert 3990 <= len(found.encode("utf-16-le")) // 2 <= 4000


def test_a_hostile_key_arrives_in_one_line(log: Log, targets: Targets, sink: Sink, name: SinkName) -> None:
    log.attempts(1, key="O'Neil%&/\r\n<b>\x01")

    assert sent(log, sink).sent == 1

    (row,) = targets.rows(name)
    found = row["new_businesskey" if name == "dataverse" else "BusinessKey"]
    assert found == "O'Neil%&/⟨U+000D⟩⟨U+000A⟩<b>⟨U+0001⟩000000"


def test_a_process_killed_between_sending_and_keeping_leaves_no_row_twice_and_none_missing(
    log: Log, targets: Targets, sink: Sink, name: SinkName, ledger_url: str
) -> None:
    log.attempts(300)
    # The target acts, and its answer is still on the way when the process dies.
    targets.fault("slow_first_byte", CALL[name], after=0 if name == "dataverse" else 3, delay_s=PATIENCE_S)
    environment = os.environ | targets.environment | {"LEDGER": ledger_url, "CA": str(targets.ca)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SEND, name],
        cwd=PROJECT,
        env=environment | {"PYTHONPATH": str(PROJECT)},
    )
    expected = 300 if name == "dataverse" else 80
    wait_for(lambda: len(targets.made(name)) == expected)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    before = log.ledger.log_sinks.state(sink.name, sink.target)
    assert before.sent == (0 if name == "dataverse" else 60)

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows, done.problem) == (300 - before.sent, 0, "")
    made = targets.made(name)
    assert len(made) == 300
    assert set(made.values()) == {1}
    assert len(targets.rows(name)) == 300


def test_a_target_that_is_down_is_left_alone_for_a_while_and_catches_up(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    log.attempts(30)
    targets.fault("drop", "/api/data|/v1.0", times=None)

    broken = sent(log, sink)

    assert (broken.sent, broken.waiting.rows) == (0, 30)
    assert "cannot be reached" in broken.problem
    asked = len(targets.journal(phase="asked"))
    log.now += timedelta(seconds=30)
    assert sent(log, sink).problem == broken.problem
    assert len(targets.journal(phase="asked")) == asked, "asked again before its time"
    targets.forget_faults()
    log.now += timedelta(minutes=2)
    log.attempts(20, key="later")
    done = sent(log, sink)
    assert (done.sent, done.waiting.rows, done.problem) == (50, 0, "")
    assert len(targets.made(name)) == 50
    assert log.ledger.log_sinks.state(sink.name, sink.target).tries == 0


def test_what_a_target_asks_for_beyond_a_minute_ends_the_pass_and_is_obeyed(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    log.attempts(1)
    targets.fault("throttle", CALL[name], retry_after_s=280)

    done = sent(log, sink)

    assert "left alone for 280 seconds" in done.problem
    state = log.ledger.log_sinks.state(sink.name, sink.target)
    assert state.not_before == log.now + timedelta(seconds=280)


def refuse(targets: Targets, name: SinkName, text: str) -> None:
    """Let the target refuse every row that holds this text, for good."""
    if name == "dataverse":
        body = {"error": {"code": "0x80040203", "message": "General exception while processing"}}
        targets.fault("refuse", CALL[name], holds=text, times=None, status=400, body=body)
    else:
        targets.fault("refuse_item", "batch", holds=text, times=None)


def test_a_row_that_is_refused_does_not_hold_up_the_others_and_is_told(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    ids = [*log.attempts(70), *log.attempts(1, key="spoiled"), *log.attempts(30)]
    refuse(targets, name, "spoiled")

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows, done.waiting.refused, done.problem) == (100, 0, 1, "")
    assert done.position == ids[-1]
    assert len(targets.made(name)) == 100
    # It is kept when the position has passed it.
    log.now += SETTLED_AFTER + timedelta(hours=1)
    again = sent(log, sink)
    assert (again.sent, again.waiting.refused) == (0, 1)


def test_several_rows_at_the_head_that_are_refused_do_not_hold_up_the_others(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    log.attempts(3, key="spoiled")
    log.attempts(40)
    refuse(targets, name, "spoiled")

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows, done.waiting.refused, done.problem) == (40, 0, 3, "")


def test_a_target_that_refuses_every_row_is_a_problem_and_no_row_is_given_up(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    log.attempts(30)
    refuse(targets, name, "0065g")

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows, done.waiting.refused) == (0, 30, 0)
    assert "General exception" in done.problem


def test_an_attempt_without_an_answer_holds_up_nobody_and_is_sent_when_it_has_one_or_never_will(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    first, second = log.attempts(2, answered=False, key="late")
    log.attempts(3)

    assert sent(log, sink).sent == 3
    log.answer([second])
    done = sent(log, sink)
    assert (done.sent, done.position) == (1, first - 1)
    log.now += UNANSWERED_AFTER + timedelta(minutes=1)
    assert sent(log, sink).sent == 1

    outcomes = {row.get("new_outcome", row.get("Outcome")) for row in targets.rows(name)}
    assert outcomes == {"confirmed", "unanswered"}
    assert set(targets.made(name).values()) == {1}


def test_an_attempt_whose_transaction_ends_late_is_not_passed_over(
    log: Log, targets: Targets, sink: Sink, name: SinkName, ledger_url: str
) -> None:
    """Numbers are given before transactions end, so a lower number may appear after a higher one was sent."""
    engine = connect(ledger_url)
    with engine.connect() as connection, connection.begin() as open_transaction:
        late = begin_attempts(connection, [NewAttempt("customer", "update", "late", "to_d365")], "run", log.now)
        (early,) = log.attempts(1)
        assert late[0] < early
        assert sent(log, sink).sent == 1
        open_transaction.commit()
    engine.dispose()
    log.answer(late)

    assert sent(log, sink).sent == 1
    assert sorted(targets.made(name).values()) == [1, 1]


def test_the_position_passes_what_is_old_and_the_single_rows_are_forgotten(
    log: Log, sink: Sink, ledger: Ledger
) -> None:
    ids = log.attempts(10)
    sent(log, sink)
    state = ledger.log_sinks.state(sink.name, sink.target)
    assert (state.position, kept_rows(ledger)) == (0, 10)

    log.now += SETTLED_AFTER + timedelta(minutes=1)
    log.attempts(5)
    done = sent(log, sink)

    state = ledger.log_sinks.state(sink.name, sink.target)
    assert (done.sent, done.position) == (5, ids[-1] + 5)
    assert (state.position, state.sent, kept_rows(ledger)) == (ids[-1], 15, 5)


def test_another_ledger_with_the_same_numbers_writes_rows_of_its_own(
    log: Log, targets: Targets, sink: Sink, name: SinkName
) -> None:
    """The numbers of a new or a restored ledger begin again; its rows must not be taken for those of the other."""
    log.attempts(5)
    sent(log, sink)

    foreign = [
        LogRow(number, log.now + timedelta(hours=1), "run", "to_d365", *["x"] * 8, None, None, Decimal(0))
        for number in range(1, 6)
    ]
    assert [len(each.taken) for each in sink.send(foreign)] == [5]
    assert len(targets.made(name)) == 10


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        (
            {"dataverse_key_status": "Pending", "graph_key_is_unique": False},
            "new_logkey is Pending|LogKey has to be indexed",
        ),
        ({"dataverse_application_user": False, "graph_site_is_granted": False}, "application user|Sites.Selected"),
    ],
    ids=["key not unique", "no rights"],
)
def test_a_target_that_is_not_made_for_it_gets_no_row_and_the_problem_says_what_to_do(
    log: Log, targets: Targets, sink: Sink, name: SinkName, switches: dict[str, object], told: str
) -> None:
    log.attempts(3)
    targets.post("settings", switches)

    done = sent(log, sink)

    assert (done.sent, done.waiting.rows) == (0, 3)
    assert told.split("|")[name == "sharepoint"] in done.problem
    assert not targets.made(name)


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def kept_rows(ledger: Ledger) -> int:
    """How many attempts the ledger remembers one by one."""
    with ledger.read_only(timeout_s=30) as connection:
        return int(connection.execute(text("select count(*) from tieout.log_sink_row")).scalar_one())
