"""Real orders: the command line carries the AdventureWorks orders to D365 and finds the differences that are known to be in that data.

Everything is embedded and started by the command itself, as for a newcomer.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.installation import Books, Finished, System, fresh_home
from tests.pipeline.reading import CUSTOMERS, HEADERS, LINES, effects_of, other_than_reading

ORDERS = 359
DUPLICATES = 635
STREETS, DAMAGED_STREETS = 18, 15
NAMES_WITH_BLANKS = 4

KEYS = {
    "as_of",
    "extracted",
    "quarantined",
    "reconciliation",
    "tie_out",
    "deliveries",
    "changes",
    "api_calls",
    "duration_s",
    "report",
}


@dataclass(frozen=True)
class Told:
    """Two runs of the command, and what both systems say afterwards."""

    first: Finished
    second: Finished
    systems: dict[str, System]
    books: Books

    def effects(self, system: str, run: str) -> list[dict[str, Any]]:
        """What took effect in a system in the first or in the second run."""
        return [each for each in self.systems[system].effects() if self._run_of(each) == run]

    def asked(self, system: str, run: str) -> list[dict[str, Any]]:
        """What was asked of a system in the first or in the second run."""
        return [each for each in self.systems[system].asked() if self._run_of(each) == run]

    def _run_of(self, entry: dict[str, Any]) -> str:
        return "first" if entry["at"] < self.first.json["as_of"] else "second"


@pytest.fixture(scope="module")
def told(adventureworks_folder: Path) -> Iterator[Told]:
    with fresh_home() as installation:
        first = installation.tieout("run", "--seed", f"adventureworks:{adventureworks_folder}", "--json")
        second = installation.tieout("run", "--json")
        assert not list((installation.home / "run").iterdir()), "the command left something running"
        installation.start_systems_only()
        yield Told(first, second, installation.systems, installation.books())


def test_standard_output_is_one_json_object_with_the_figures_of_the_run(told: Told) -> None:
    summary = told.first.json

    assert told.first.stdout.count("\n") == 1
    assert set(summary) >= KEYS
    assert set(summary["reconciliation"]) >= {"customer", "sales_order"}
    assert set(summary["tie_out"][0]) == {"company", "currency", "salesforce", "d365", "difference", "explained"}
    assert set(summary["changes"]) == set(summary["api_calls"]) == {"salesforce", "d365"}
    assert Path(summary["report"]).name == "reconciliation.html"
    assert 0 < summary["duration_s"] < told.first.duration_s


def test_differences_that_wait_for_a_person_make_the_exit_code_1(told: Told) -> None:
    assert (told.first.code, told.second.code) == (1, 1), told.first.stderr + told.second.stderr
    assert "Traceback" not in told.first.stderr + told.second.stderr


def test_every_won_opportunity_without_an_order_becomes_one_order(told: Told) -> None:
    created = effects_of(told.effects("d365", "first"), HEADERS, "created")
    there_before = {
        row["reference"]
        for row in told.books.d365(
            f"SELECT CustomersOrderReference AS reference FROM {HEADERS} WHERE SalesOrderNumber NOT LIKE 'T-%'"
        )
    }
    won = {row["Id"] for row in told.books.salesforce("SELECT Id FROM Opportunity WHERE StageName = 'Closed Won'")}

    references = Counter(effect["values"]["CustomersOrderReference"] for effect in created)
    assert references == Counter(won - there_before)
    assert len(created) == ORDERS == len({(effect["company"], effect["key"]) for effect in created})


def test_every_order_has_all_its_lines_and_its_amount_to_the_cent(told: Told) -> None:
    lines: dict[str, list[Decimal]] = {}
    for effect in effects_of(told.effects("d365", "first"), LINES, "created"):
        lines.setdefault(effect["order"], []).append(Decimal(effect["values"]["LineAmount"]))
    sold = {
        f"T-{row['Id']}": (row["lines"], Decimal(str(row["Amount"])))
        for row in told.books.salesforce(
            "SELECT Opportunity.Id, Amount, count(*) AS lines FROM Opportunity "
            "JOIN OpportunityLineItem ON OpportunityId = Opportunity.Id GROUP BY Opportunity.Id"
        )
    }

    assert len(lines) == ORDERS
    assert {order: (len(amounts), sum(amounts)) for order, amounts in lines.items()} == {
        order: sold[order] for order in lines
    }


def test_the_known_differences_are_found_exactly(told: Told) -> None:
    for summary in (told.first.json, told.second.json):
        customers = summary["differences"]["customer"]

        assert (customers["street"]["differs"], customers["street"]["damaged_characters"]) == (STREETS, DAMAGED_STREETS)
        assert customers["name"]["equal_after_normalising"] == NAMES_WITH_BLANKS
        assert {name: counts["differs"] for name, counts in customers.items() if counts["differs"]} == {
            "street": STREETS
        }
        assert summary["reconciliation"]["customer"] == {
            "matched": 683,
            "differs": STREETS,
            "duplicate": DUPLICATES,
        }


def test_both_masters_say_the_same_about_duplicates_and_blanks_in_names(told: Told) -> None:
    parties = told.books.d365(f"SELECT count(*) - count(DISTINCT PartyNumber) AS second FROM {CUSTOMERS}")
    blanks = told.books.salesforce("SELECT count(*) AS names FROM Account WHERE Name <> trim(Name)")
    blanks_in_d365 = told.books.d365(
        f"SELECT count(DISTINCT PartyNumber) AS names FROM {CUSTOMERS} WHERE OrganizationName <> trim(OrganizationName)"
    )

    assert parties[0]["second"] == DUPLICATES
    assert blanks[0]["names"] + blanks_in_d365[0]["names"] == NAMES_WITH_BLANKS


def test_the_money_ties_out_once_the_orders_are_there(told: Told) -> None:
    for row in told.first.json["tie_out"]:
        assert row["explained"] == row["difference"]
    assert {row["difference"] for row in told.second.json["tie_out"]} == {"0.00"}
    assert sum(Decimal(row["difference"]) for row in told.first.json["tie_out"]) > 0


def test_the_second_run_creates_and_changes_nothing(told: Told) -> None:
    for system in ("salesforce", "d365"):
        assert told.effects(system, "second") == []
        asked = told.asked(system, "second")
        assert asked
        assert other_than_reading(asked) == {"token"}
    changes = told.second.json["changes"]
    assert {count for of in changes.values() for done in of.values() for count in done.values()} == {0}


def test_what_is_left_after_the_second_run_is_reported_and_nothing_else(told: Told) -> None:
    summary = told.second.json

    assert summary["reconciliation"]["sales_order"] == {"matched": 3796}
    assert summary["open_breaks"] == DUPLICATES + STREETS
    # The orders that were there before carry our numbers: the ledger has taken them over, and no run makes them again.
    assert summary["deliveries"] == {"confirmed": summary["reconciliation"]["sales_order"]["matched"]}
    assert summary["deliveries"]["confirmed"] > ORDERS
    assert summary["quarantined"] == {}


def test_sixty_thousand_lines_stay_far_below_a_gibibyte(told: Told) -> None:
    assert told.first.peak_mib < 1024
    assert told.second.peak_mib < 1024
