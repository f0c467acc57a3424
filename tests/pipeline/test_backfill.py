"""Historical orders by month and company: a partition delivers what is its own, and neither order nor repetition makes a second order."""

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from pipelines.launch import JobOutcome, run_job
from tests.pipeline.business import orders_due
from tests.pipeline.installation import Books, Installation, Run
from tests.pipeline.reading import CUSTOMERS, HEADERS, LINES, effects_of

JOB = "backfill_sales_orders"
MONTH = "2025-12-01"
"""All opportunities of the seed that wait for their order close in it."""


class Backfilled:
    """A backfill and what it did in both systems, according to their journals."""

    def __init__(self, installation: Installation, partition: str) -> None:
        self.before = installation.books()
        places = {name: system.position() for name, system in installation.systems.items()}
        options = {"options": {"config": {"dry_run": False, "full": False}}}
        self.outcome: JobOutcome = run_job(JOB, say=lambda _: None, resource_config=options, partition_key=partition)
        self.d365 = installation.d365.effects(places["d365"])
        self.salesforce = installation.salesforce.effects(places["salesforce"])

    @property
    def orders(self) -> Counter[str]:
        """Opportunity → how many orders were made for it."""
        return made_for(self.d365)


def made_for(effects: list[dict[str, Any]]) -> Counter[str]:
    return Counter(each["values"]["CustomersOrderReference"] for each in effects_of(effects, HEADERS, "created"))


def due_in(installation: Installation, before: Books, company: str) -> set[str]:
    """The opportunities of a company that are due."""
    return {
        row["Id"]
        for row in before.salesforce("SELECT Id, ERP_Company__c FROM Opportunity")
        if row["ERP_Company__c"] == company and row["Id"] in orders_due(installation, before)
    }


@pytest.fixture(scope="module")
def first(installation: Installation) -> Backfilled:
    """The first thing that happens in this installation: nothing was ever read or delivered before."""
    return Backfilled(installation, f"demf|{MONTH}")


@pytest.fixture(scope="module")
def again(installation: Installation, first: Backfilled) -> Backfilled:  # noqa: ARG001 the order
    return Backfilled(installation, f"demf|{MONTH}")


@pytest.fixture(scope="module")
def main_run(installation: Installation, again: Backfilled) -> Run:  # noqa: ARG001 the order
    return installation.run()


@pytest.fixture(scope="module")
def afterwards(installation: Installation, main_run: Run) -> Backfilled:  # noqa: ARG001 the order
    """A partition whose orders the main job has delivered."""
    return Backfilled(installation, f"usmf|{MONTH}")


def test_a_partition_delivers_exactly_its_own_orders(installation: Installation, first: Backfilled) -> None:
    due = due_in(installation, first.before, "demf")

    assert first.outcome.success, first.outcome.problem
    assert due
    assert first.orders == Counter(due)
    assert {effect["company"] for effect in first.d365} == {"demf"}


def test_its_orders_have_all_their_lines(first: Backfilled) -> None:
    lines = Counter(effect["order"] for effect in effects_of(first.d365, LINES, "created"))

    for opportunity in first.orders:
        [sold] = first.before.salesforce(
            "SELECT count(*) AS lines FROM OpportunityLineItem WHERE OpportunityId = ?", opportunity
        )
        assert lines[f"T-{opportunity}"] == sold["lines"]


def test_a_backfill_makes_the_customers_that_its_orders_need_and_changes_none(
    installation: Installation, first: Backfilled
) -> None:
    customers = effects_of(first.d365, CUSTOMERS)

    assert Counter(effect["effect"] for effect in customers) == {"created": 1}
    assert customers[0]["key"] == f"T-{installation.planted['account_without_customer'][0]}"
    assert first.salesforce == []


def test_the_same_partition_again_creates_nothing(again: Backfilled) -> None:
    assert again.outcome.success, again.outcome.problem
    assert again.d365 == []


def test_the_main_job_after_it_delivers_the_rest_and_nothing_twice(
    installation: Installation, first: Backfilled, main_run: Run
) -> None:
    made = made_for(main_run.d365)

    assert made == Counter(set(orders_due(installation, first.before)) - set(first.orders))
    assert main_run.summary["deliveries"]["confirmed"] >= len(made) + len(first.orders)


def test_the_main_job_writes_back_what_the_backfill_delivered(
    installation: Installation, first: Backfilled, main_run: Run
) -> None:
    written = {effect["key"]: effect["values"] for effect in effects_of(main_run.salesforce, "Opportunity")}

    for opportunity in first.orders:
        assert written[opportunity]["ERP_Order_Number__c"] == f"demf/T-{opportunity}"
    accounts = {effect["key"]: effect["values"] for effect in effects_of(main_run.salesforce, "Account")}
    [account] = installation.planted["account_without_customer"]
    assert accounts[account]["ERP_Number__c"] == f"demf/T-{account}"


def test_a_partition_that_the_main_job_has_delivered_creates_nothing(afterwards: Backfilled, main_run: Run) -> None:
    delivered = {effect["company"] for effect in effects_of(main_run.d365, HEADERS, "created")}

    assert "usmf" in delivered
    assert afterwards.outcome.success, afterwards.outcome.problem
    assert afterwards.d365 == []


def test_dagster_remembers_which_partitions_are_done(afterwards: Backfilled) -> None:  # noqa: ARG001 all of them ran
    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey(["backfill", "sales_order"]))

    assert done == {f"demf|{MONTH}", f"usmf|{MONTH}"}


def test_a_range_of_partitions_is_one_run(installation: Installation, afterwards: Backfilled) -> None:  # noqa: ARG001
    place = installation.d365.position()
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(JOB).execute_in_process(
            instance=instance,
            run_config={
                "resources": {"options": {"config": {}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            tags={
                "dagster/asset_partition_range_start": "frsi|2025-11-01",
                "dagster/asset_partition_range_end": f"frsi|{MONTH}",
            },
        )
        done = instance.get_materialized_partitions(dg.AssetKey(["backfill", "sales_order"]))

    assert result.success
    assert {"frsi|2025-11-01", f"frsi|{MONTH}"} <= set(done)
    assert installation.d365.effects(place) == []
    reads = [each for each in installation.d365.asked(place) if Path(each["path"]).name == HEADERS]
    assert len(reads) == 1


def test_a_month_that_is_no_partition_is_refused(installation: Installation, afterwards: Backfilled) -> None:  # noqa: ARG001
    with pytest.raises(dg.DagsterUnknownPartitionError):
        run_job(JOB, say=lambda _: None, resource_config={}, partition_key="usmf|2025-12-02")
