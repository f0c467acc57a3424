"""No false breaks: the main job on two systems that change all the time while it reads them, with a few breaks that are real.

Judged by what was planted and by a last run after the traffic has stopped: what is not a break then was none before.
"""

import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from pipelines.services import processes
from resources.ledger import Ledger
from tests.conftest import PROJECT
from tests.pipeline.installation import Installation, running_installation
from tests.pipeline.test_whole_way import out_of_flight
from tests.pipeline.traffic import Pair, Traffic, clean_pairs

SEED = "generated:800"
RUNS = 3
Broken = tuple[str, str, str, str]
"""Entity, Salesforce key, D365 key, field."""


@pytest.fixture(scope="module")
def installation(
    prepared_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A business of some size, so that records of every kind are left to the traffic; what was missing in D365 is delivered."""
    folder = tmp_path_factory.mktemp("lively") / "sandbox"
    subprocess.run(
        processes.python("sandbox", "seed", SEED, "--state", str(folder)), check=True, capture_output=True, cwd=PROJECT
    )
    with running_installation(folder, prepared_database()) as running:
        running.run()
        out_of_flight()
        yield running


@pytest.fixture(scope="module")
def planted(installation: Installation) -> tuple[set[Broken], list[Pair]]:
    """Breaks that are real, on records that the traffic leaves alone; and the pairs that it may use."""
    pairs = clean_pairs(installation)
    [purchase, customer, gone] = [pair for pair in pairs if not pair.open_lines][:3]
    priced = next(pair for pair in pairs if pair.open_lines)
    installation.changed_in_salesforce("Opportunity", purchase.opportunity, PO_Number__c="PO-PLANTED")
    installation.changed_in_d365(
        f"CustomersV3(dataAreaId='{customer.company}',CustomerAccount='{customer.customer}')", AddressCity="Planted"
    )
    installation.changed_in_d365(gone.header, CustomersOrderReference="", CustomerRequisitionNumber="PO-PLANTED-2")
    _, lot, _ = priced.open_lines[0]
    installation.changed_in_d365(
        f"SalesOrderLines(dataAreaId='{priced.company}',InventoryLotId='{lot}')", SalesPrice=12_345, LineAmount=12_345
    )
    used = {purchase, gone, priced}
    rest = [pair for pair in pairs if pair not in used and pair.customer != customer.customer]
    out_of_flight()
    # What the first run delivered is matched now: a break that is merely old would stay open as long as its record is in flight.
    installation.run(dry_run=True)
    breaks = {
        ("sales_order", purchase.opportunity, purchase.number, "purchase_order"),
        ("sales_order", gone.opportunity, gone.number, "purchase_order"),
        ("sales_order", priced.opportunity, priced.number, "amount"),
        ("customer", customer.account, customer.customer, "city"),
    }
    return breaks, rest


def open_breaks(installation: Installation) -> set[Broken]:
    """What the newest run reports."""
    with Ledger.opened(installation.database_url or "") as ledger:
        newest = ledger.breaks.find(state="open", limit=None)
    return {(row.entity, row.salesforce_key, row.d365_key, row.field) for row in newest}


def under_traffic(installation: Installation, pairs: list[Pair], runs: int) -> tuple[list[set[Broken]], Traffic]:
    """The open breaks after each of some runs, while business goes on."""
    traffic = Traffic(installation, pairs)
    found = []
    with traffic.flowing():
        time.sleep(1)
        for _ in range(runs):
            installation.run(dry_run=True)
            found.append(open_breaks(installation))
    return found, traffic


@pytest.mark.timeout(600)
def test_under_live_traffic_no_break_is_false_and_none_that_is_real_is_missing(
    installation: Installation, planted: tuple[set[Broken], list[Pair]]
) -> None:
    real, pairs = planted

    found, traffic = under_traffic(installation, pairs, RUNS)

    out_of_flight()
    installation.run(dry_run=True)
    truth = open_breaks(installation)
    assert real <= truth
    assert len(traffic.done) == 5, traffic.done
    for each in found:
        assert each - truth == set()
        assert real <= each


@pytest.mark.timeout(600)
def test_without_reading_again_the_same_traffic_makes_false_breaks(
    installation: Installation, planted: tuple[set[Broken], list[Pair]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, pairs = planted
    monkeypatch.setenv("TIEOUT_REREAD_MOST_RECORDS", "0")

    found, _ = under_traffic(installation, pairs, RUNS)

    out_of_flight()
    installation.run(dry_run=True)
    truth = open_breaks(installation)
    assert real <= truth
    assert set().union(*found) - truth != set()
