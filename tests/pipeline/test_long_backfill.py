"""Two years of four companies, backfilled twice: every order that is due is made once, and the second time nothing is."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from tests.pipeline.business import orders_due
from tests.pipeline.installation import Books, Installation
from tests.pipeline.reading import HEADERS, effects_of

COMPANIES = ("demf", "frsi", "gbsi", "usmf")
FIRST, LAST = "2024-01-01", "2025-12-01"
MONTHS = 24


@dataclass(frozen=True)
class Pass:
    """One pass over all of it, a run a company, and what it did in both systems."""

    before: Books
    d365: list[dict[str, Any]]
    salesforce: list[dict[str, Any]]


def backfilled(installation: Installation) -> Pass:
    before = installation.books()
    places = {name: system.position() for name, system in installation.systems.items()}
    with dg.DagsterInstance.get() as instance:
        for company in COMPANIES:
            result = defs.resolve_job_def("backfill_sales_orders").execute_in_process(
                instance=instance,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags={
                    "dagster/asset_partition_range_start": f"{company}|{FIRST}",
                    "dagster/asset_partition_range_end": f"{company}|{LAST}",
                },
            )
            assert result.success
    return Pass(
        before, installation.d365.effects(places["d365"]), installation.salesforce.effects(places["salesforce"])
    )


@pytest.fixture(scope="module")
def first(installation: Installation) -> Pass:
    return backfilled(installation)


@pytest.fixture(scope="module")
def second(installation: Installation, first: Pass) -> Pass:  # noqa: ARG001 the order
    return backfilled(installation)


def test_every_order_of_the_two_years_that_is_due_is_made_once(installation: Installation, first: Pass) -> None:
    company_of = {
        row["Id"]: row["ERP_Company__c"]
        for row in first.before.salesforce(
            "SELECT Id, ERP_Company__c FROM Opportunity WHERE CloseDate >= ? AND CloseDate < '2026-01-01'", FIRST
        )
    }
    due = {key for key in orders_due(installation, first.before) if company_of.get(key) in COMPANIES}

    made = Counter(effect["values"]["CustomersOrderReference"] for effect in effects_of(first.d365, HEADERS, "created"))
    assert made == Counter(due)
    assert len({company_of[key] for key in due}) > 1


def test_the_second_time_nothing_is_written_anywhere(second: Pass) -> None:
    assert (second.d365, second.salesforce) == ([], [])


def test_dagster_knows_every_month_of_every_company_as_done(second: Pass) -> None:  # noqa: ARG001 both passes ran
    with dg.DagsterInstance.get() as instance:
        done = instance.get_materialized_partitions(dg.AssetKey(["backfill", "sales_order"]))

    assert Counter(key.split("|")[0] for key in done) == dict.fromkeys(COMPANIES, MONTHS)
