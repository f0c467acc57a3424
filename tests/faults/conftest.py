"""One world, one ledger and one parent of runs for each worker; each test wins deals of its own in it."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.campaign import Campaign, Verdict
from tests.faults.history import History
from tests.faults.schedule import Rule, Schedule, Turn
from tests.faults.world import Won, running_world
from tests.faults.zygote import Zygote

_seeds = itertools.count(1_000_000)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    parent = Zygote(tmp_path_factory.mktemp("runs"))
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def shared_campaign(
    zygote: Zygote,
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[..., str],
    ledger_template: str,
) -> Iterator[Campaign]:
    home = tmp_path_factory.mktemp("home")
    with running_world(tmp_path_factory.mktemp("world") / "state") as world:
        yield Campaign(world, zygote, new_database(ledger_template), home)


@pytest.fixture
def campaign(shared_campaign: Campaign) -> Iterator[Campaign]:
    """The worker's campaign; faults, switches, pauses and breakers are gone again after the test."""
    yield shared_campaign
    shared_campaign.mend()
    shared_campaign.ask("delete from tieout.flow")
    for system in ("salesforce", "d365"):
        defaults = shared_campaign.world.call(system, "GET", "settings")
        shared_campaign.world.call(system, "POST", "settings", dict.fromkeys(defaults))


class Story:
    """One test's deals and what becomes of them; the verdict is the judges'.

    The accounts are customers already, so that the first batch is one of orders; with `new_customers` some are not. Stories of one
    `shape` win the same deals, but for their ids.
    """

    def __init__(
        self,
        campaign: Campaign,
        deals: int = 6,
        *,
        new_customers: bool = False,
        shape: int | None = None,
        **changes: Any,
    ) -> None:
        self.campaign = campaign
        self.schedule = Schedule(next(_seeds), deals, changes.pop("poison", 0), (), (), (), **changes)
        self.began = campaign.world.positions()
        self.won: list[Won] = campaign.world.win(
            self.schedule.tag,
            deals,
            random.Random(self.schedule.seed if shape is None else shape),
            poison=self.schedule.poison,
            known_only=not new_customers,
        )
        self.verdict = Verdict(self.schedule.seed, orders=deals)

    def break_d365(self, *rules: Rule) -> None:
        """What goes wrong with D365's next calls."""
        self.campaign.world.break_with("d365", rules, self.schedule.seed)

    def runs(self, *turns: Turn, sabotage: tuple[str, ...] = (), **more: Any) -> "Story":
        """Runs, some of them killed."""
        order = self.order(sabotage, **more)
        for turn in turns or (Turn([None]),):
            self.campaign.turn(turn.kills, order, self.verdict)
        return self

    def order(self, sabotage: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
        return self.campaign.order_for(self.schedule, sabotage) | more

    def ends(self, sabotage: tuple[str, ...] = (), **more: Any) -> Verdict:
        """Mend everything, run until it is quiet, and let the judges speak."""
        self.campaign.mend()
        self.campaign.run_until_quiet(self.order(sabotage, **more), self.won, self.verdict)
        self.campaign.judge(self.verdict, self.began, self.won)
        return self.verdict

    def judged(self) -> tuple[Verdict, History]:
        """What the judges say now."""
        return self.verdict, self.campaign.judge(self.verdict, self.began, self.won)

    @property
    def journal(self) -> list[dict[str, Any]]:
        return self.campaign.world.journal("d365", self.began["d365"])

    def orders(self) -> dict[str, list[dict[str, Any]]]:
        """The orders of this story's deals."""
        found = self.campaign.world.orders()
        return {deal.opportunity: found.get(deal.opportunity, []) for deal in self.won}


@pytest.fixture
def tell(campaign: Campaign) -> Callable[..., Story]:
    return lambda *deals, **changes: Story(campaign, *deals, **changes)
