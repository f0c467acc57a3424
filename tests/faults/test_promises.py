"""The promises under faults, each judged by the systems' own journals and the source data alone."""

from collections.abc import Callable

import pytest

from tests.faults import checkers
from tests.faults.campaign import Campaign
from tests.faults.conftest import Story
from tests.faults.history import history_of
from tests.faults.schedule import Rule, Turn, schedule_of
from tests.writes import WRITES

Tell = Callable[..., Story]


def kept(story: Story) -> None:
    """Every judge is content, and the world has come to rest."""
    assert story.verdict.violations == []
    assert story.verdict.is_quiet


@pytest.mark.parametrize("given_by", ["tieout", "d365"])
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "lose_answer", "times": 3},
        {"kind": "time_out", "delay_s": 0.2, "times": 2},
        {"kind": "cut_body", "times": 2},
        {"kind": "slow_commit", "delay_s": 0.4, "times": 2},
        {"kind": "slow_commit", "delay_s": 0.4, "status": 504, "times": 2},
        {"kind": "gateway_page", "status": 502, "committed": True, "times": 2},
        {"kind": "server_error", "enveloped": True, "committed": True, "times": 2},
        {"kind": "server_error", "enveloped": False, "committed": True, "times": 2},
        {"kind": "drop", "times": 2},
        {"kind": "expire_tokens", "times": 3},
    ],
    ids=lambda rule: "-".join(str(value) for value in rule.values()),
)
def test_r1_r2_r4_one_whole_order_each_whatever_becomes_of_the_answer(tell: Tell, rule: Rule, given_by: str) -> None:
    story = tell(given_by=given_by)
    story.break_d365(rule | WRITES)

    story.runs(Turn([None]), Turn([None])).ends()

    kept(story)
    assert all(len(orders) == 1 for orders in story.orders().values())


@pytest.mark.parametrize("given_by", ["tieout", "d365"])
def test_r1_two_runs_at_once_make_one_order_each(tell: Tell, given_by: str) -> None:
    story = tell(10, given_by=given_by, new_customers=True)
    story.break_d365({"kind": "delay", "delay_s": 0.1, "times": None} | WRITES)

    story.runs(Turn([None, None, None])).ends()

    kept(story)


def test_r1_a_request_that_the_network_delivers_twice_makes_one_order(tell: Tell) -> None:
    story = tell()
    story.break_d365({"kind": "duplicate", "delay_s": 0.2, "answer": "second", "times": 3} | WRITES)

    story.runs().ends()

    kept(story)


def test_r2_what_d365_always_refuses_ends_in_a_named_state_and_the_others_in_orders(tell: Tell) -> None:
    """R15: the poison is isolated, and its reason is D365's own."""
    story = tell(8, poison=2)

    story.runs().ends()

    kept(story)
    states = story.campaign.states()
    for deal in story.won:
        state, reason = states[deal.opportunity]
        assert (state == "rejected") is deal.poison
        assert ("Customer account C-HOLD is on hold." in reason) is deal.poison
        assert bool(story.orders()[deal.opportunity]) is not deal.poison


@pytest.mark.parametrize("given_by", ["tieout", "d365"])
def test_r3_while_a_slow_commit_may_still_land_its_order_is_not_asked_for_again(tell: Tell, given_by: str) -> None:
    """The commit is slower than the time between the runs that look for it."""
    story = tell(4, given_by=given_by)
    story.break_d365({"kind": "slow_commit", "delay_s": 1.5} | WRITES)

    story.runs(Turn([None]), Turn([None]), Turn([None])).ends()

    kept(story)
    attempts = history_of(story.journal).attempts
    assert all(len(each) == 1 for each in attempts.values())


@pytest.mark.parametrize("given_by", ["tieout", "d365"])
@pytest.mark.parametrize("nth", range(1, 7))
def test_r4_a_failure_at_any_operation_of_a_changeset_leaves_no_half_order(tell: Tell, nth: int, given_by: str) -> None:
    story = tell(6, given_by=given_by)
    story.break_d365({"kind": "refuse_operation", "nth": nth, "times": 4} | WRITES)

    story.runs().ends()

    kept(story)


def test_r14_nothing_is_asked_before_the_time_that_d365_has_named(tell: Tell) -> None:
    story = tell(8)
    story.break_d365(
        {"kind": "throttle", "retry_after_s": 1.2} | WRITES,
        {"kind": "throttle_part", "retry_after_s": 0.8, "times": 2} | WRITES,
        {"kind": "throttle", "retry_after_s": 0.7, "method": "GET", "path": "/data/SalesOrder"},
    )

    story.runs().ends()

    kept(story)
    assert checkers.nothing_before_retry_after(story.journal, on_its_way_s=0) == []


def test_r14_what_one_run_is_told_the_other_one_obeys(tell: Tell) -> None:
    story = tell(8)
    story.break_d365({"kind": "throttle", "retry_after_s": 1.5} | WRITES)

    story.runs(Turn([None, None])).ends()

    kept(story)


def test_r14_no_more_batches_are_under_way_than_allowed(tell: Tell) -> None:
    story = tell(14)
    story.break_d365({"kind": "slow_first_byte", "delay_s": 0.15, "times": None} | WRITES)

    story.runs(pace={"most_operations": 6, "most_at_once": 3}).ends(pace={"most_operations": 6})

    kept(story)
    assert checkers.concurrency_within(story.journal, 3) == []
    assert checkers.concurrency_within(story.journal, 1), "the batches were to overlap"


def test_r16_a_pause_loses_nothing(tell: Tell, campaign: Campaign) -> None:
    story = tell(8)
    campaign.ask(
        "insert into tieout.flow (flow, company, paused, reason, changed_at) values "
        "('delivery/sales_order', '', true, 'paused by ann', now())"
    )
    story.runs(Turn([None]), Turn([0.2]), Turn([None]))
    assert not any(story.orders().values())

    campaign.ask("delete from tieout.flow")
    story.ends()

    kept(story)
    assert all(len(orders) == 1 for orders in story.orders().values())


@pytest.mark.parametrize("seed", range(1, 13))
def test_random_schedules_of_faults_and_kills(campaign: Campaign, seed: int) -> None:
    verdict = campaign.play(schedule_of(seed))

    assert verdict.violations == []
    assert verdict.is_quiet
