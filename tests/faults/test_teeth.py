"""The judges can fail: each safeguard is switched off in the run, and the judge of its promise must notice."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.faults import checkers
from tests.faults.conftest import Story
from tests.faults.schedule import Rule, Turn
from tests.writes import WRITES, is_write

Tell = Callable[..., Story]

LOST: Rule = {"kind": "lose_answer", "times": 2} | WRITES


def bites(story: Story, promise: str) -> None:
    story.campaign.judge(story.verdict, story.began, story.won)
    assert story.verdict.of(promise) > 0


def test_r1_notices_a_second_order_where_nobody_looks(tell: Tell) -> None:
    story = tell()
    story.break_d365(LOST)

    story.runs(Turn([None]), Turn([None]), sabotage=("no_look_up", "no_own_number"))

    bites(story, "R1")


def test_r1_notices_a_second_order_of_two_runs_without_leases(tell: Tell) -> None:
    story = tell(8)
    story.break_d365({"kind": "delay", "delay_s": 1.0, "times": None} | WRITES)

    story.runs(Turn([None, None, None]), sabotage=("no_lease", "no_own_number"))

    bites(story, "R1")


def test_r2_notices_an_order_that_the_ledger_forgot(tell: Tell) -> None:
    story = tell()
    story.break_d365({"kind": "drop", "times": 9} | WRITES)

    story.runs(Turn([None]), Turn([None]))
    story.campaign.ask("update tieout.delivery set state = 'cancelled' where state in ('planned', 'in_doubt')")

    bites(story, "R2")


def test_r3_notices_a_look_that_is_believed_too_early(tell: Tell) -> None:
    story = tell(4)
    story.break_d365({"kind": "slow_commit", "delay_s": 2.0} | WRITES)

    story.runs(Turn([None]), Turn([None]), sabotage=("no_settling_time", "no_own_number"))
    story.campaign.mend()

    bites(story, "R3")


def test_r4_notices_lines_that_travel_without_their_header(tell: Tell) -> None:
    story = tell(8)
    story.break_d365({"kind": "slow_first_byte", "delay_s": 0.0} | WRITES)

    story.runs(sabotage=("no_changeset", "one_bad_line"))

    bites(story, "R4")


def test_r9_notices_what_a_crash_between_request_and_answer_doubles(tell: Tell) -> None:
    """The request is on its way when its sender dies, and nobody looks what became of it."""
    story = tell()
    story.break_d365({"kind": "delay", "delay_s": 1.0} | WRITES)
    forgets = story.order(("no_ledger", "no_own_number"))

    pid = story.campaign.zygote.start(story.campaign.environment, **forgets)
    deadline = time.monotonic() + 30
    while not any(each["phase"] == "asked" and is_write(each) for each in story.journal):
        assert time.monotonic() < deadline, "nothing was ever sent"
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    story.campaign.zygote.wait(pid)
    story.campaign.mend()
    time.sleep(1.1)  # what was on its way lands
    story.runs(sabotage=("no_ledger", "no_own_number"))

    bites(story, "R1")


def test_r14_notices_who_does_not_wait(tell: Tell) -> None:
    story = tell(8)
    story.break_d365({"kind": "throttle", "retry_after_s": 5.0} | WRITES)

    story.runs(sabotage=("no_retry_after",))

    assert checkers.nothing_before_retry_after(story.journal, on_its_way_s=0)


def test_r14_notices_too_much_at_once(tell: Tell) -> None:
    story = tell(14)
    story.break_d365({"kind": "slow_first_byte", "delay_s": 0.15, "times": None} | WRITES)

    story.runs(pace={"most_operations": 6, "most_at_once": 9})

    assert checkers.concurrency_within(story.journal, 2)


@pytest.mark.parametrize("sabotage", ["no_look_up", "no_lease", "no_settling_time", "no_ledger"])
def test_without_faults_no_sabotage_shows(tell: Tell, sabotage: str) -> None:
    """What the judges notice above is the fault that the safeguard is for, and nothing else."""
    story = tell()

    story.runs(sabotage=(sabotage,))

    verdict, _ = story.judged()
    assert verdict.violations == []
