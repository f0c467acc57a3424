"""R9: killed before and after every HTTP call and every ledger write, each point in a fresh process, and then started again.

The points of the flow are enumerated here, all of them; those of the whole Dagster job by `make crash-points`, and a sample of them here.
"""

import signal
from collections.abc import Callable

import pytest

from tests.faults.conftest import Story

Tell = Callable[..., Story]
CHUNKS = 8
SHAPE = 5
"""Two deals, one of them of an account that has to become a customer first."""


def crashes(story: Story, at: int, **order: object) -> str:
    """Kill a run at its `at`-th point; the reason why the point was not reached, empty where it was."""
    pid = story.campaign.zygote.start(
        story.campaign.environment, **story.order(crash_at=at, ahead_s=story.campaign.ahead_s, **order)
    )
    code, _ = story.campaign.zygote.wait(pid)
    story.campaign.dead.append(f"{story.schedule.tag}-{pid}")
    story.campaign.ahead_s += 1
    return "" if code == -signal.SIGKILL else f"the run ended with {code} before its point {at}"


def points_of(story: Story, **order: object) -> int:
    """How many points an undisturbed run of such a story passes."""
    code, told = story.campaign.run(story.order(), **order)
    assert code == 0
    assert told is not None
    return int(told["crash_points"])


@pytest.mark.parametrize("given_by", ["tieout", "d365"])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_r9_a_kill_at_any_point_of_the_delivery_loses_doubles_and_halves_nothing(
    tell: Tell, chunk: int, given_by: str
) -> None:
    count = points_of(tell(2, shape=SHAPE, new_customers=True, given_by=given_by))
    assert count > 60

    for at in range(1 + chunk, count + 1, CHUNKS):
        story = tell(2, shape=SHAPE, new_customers=True, given_by=given_by)
        assert crashes(story, at) == ""
        verdict = story.ends()
        assert (at, verdict.violations, verdict.is_quiet) == (at, [], True)


def test_the_points_are_those_of_http_and_of_the_ledger(tell: Tell) -> None:
    story = tell(2, shape=SHAPE, new_customers=True)
    code, told = story.campaign.run(story.order())
    assert code == 0
    assert told is not None

    names = told["point_names"]
    assert {"before commit", "after commit", "before POST /data/$batch", "after POST /data/$batch"} <= set(names)
    assert any(name.startswith("before PATCH /services/data") for name in names)
    assert names.count("before commit") == names.count("after commit")


@pytest.mark.parametrize("share", [0.55, 0.8])
def test_r9_a_kill_in_the_middle_of_the_whole_job(tell: Tell, share: float) -> None:
    count = points_of(tell(2, shape=SHAPE, new_customers=True, job=True))
    story = tell(2, shape=SHAPE, new_customers=True, job=True)

    assert crashes(story, int(count * share)) == ""

    verdict = story.ends()
    assert (verdict.violations, verdict.is_quiet) == ([], True)
