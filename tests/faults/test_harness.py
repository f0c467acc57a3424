"""The harness itself: whatever becomes of one run or one test, the next one is told the truth."""

import os
import signal
from collections.abc import Callable

from tests.faults.conftest import Story

Tell = Callable[..., Story]


def test_what_a_killed_run_has_written_half_is_no_answer(tell: Tell) -> None:
    story = tell(1)
    campaign = story.campaign
    pid = campaign.zygote.start(campaign.environment, **story.order(), ahead_s=campaign.ahead_s)
    os.kill(pid, signal.SIGKILL)
    campaign.zygote.result_of(pid).write_text('{"crash_')

    assert campaign.zygote.wait(pid) == (-signal.SIGKILL, None)
    assert campaign.run(story.order())[0] == 0


def test_the_answer_to_a_question_that_was_broken_off_is_not_that_of_the_next(tell: Tell) -> None:
    story = tell(1)
    campaign = story.campaign
    first, second = (
        campaign.zygote.start(campaign.environment, **story.order(), ahead_s=campaign.ahead_s) for _ in range(2)
    )
    os.kill(first, signal.SIGKILL)
    campaign.zygote.ask({"wait": first})

    code, told = campaign.zygote.wait(second)

    assert code == 0
    assert told is not None
