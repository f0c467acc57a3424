"""The Dagster UI beside a running installation: what a newcomer finds there after `make demo`."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from assets import catalogue
from tests.conftest import PROJECT
from tieout.contract import Contracts
from tieout.quality import expectation_plan

GROUPS = [
    catalogue.SALESFORCE,
    catalogue.D365,
    catalogue.QUALITY,
    catalogue.CROSSWALK,
    catalogue.RECONCILIATION,
    catalogue.DELIVERY,
    catalogue.WRITEBACK,
    catalogue.LOG,
    catalogue.BACKFILL,
    catalogue.BUCKETS,
]
# The UI draws itself after several questions to its server; this is for a machine that does other work, too.
PATIENCE_MS = 20_000


@dataclass(frozen=True)
class Running:
    """An installation that is up, and the run that it made."""

    address: str
    run_id: str


@pytest.fixture(scope="module")
def running(browser: Browser) -> Iterator[Running]:
    """`tieout up --run` on a small seed. The browser comes first: where there is none, nothing is started."""
    assert browser.is_connected()
    # A unix socket's path must stay below 107 bytes, which pytest's own folders can exceed.
    home = Path(tempfile.mkdtemp(prefix="tieout-ui-"))
    # Real tenants are nobody's test bed; and without its compiled bytecode Dagster takes seconds more for each process.
    foreign = ("SALESFORCE_", "D365_", "DATAVERSE_", "SHAREPOINT_", "TIEOUT_", "PYTHONDONTWRITEBYTECODE")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = {**ours, "PYTHONPATH": str(PROJECT), "TIEOUT_HOME": str(home)}
    tieout = [sys.executable, "-W", "ignore", "-m", "pipelines"]
    try:
        up = [*tieout, "up", "--detach", "--run", "--port", "0", "--seed", "generated:40"]
        done = subprocess.run(up, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        summary = json.loads((home / "reports" / "latest" / "summary.json").read_text(encoding="utf-8"))
        web = json.loads((home / "run" / "dagster-webserver.json").read_text(encoding="utf-8"))
        yield Running(web["address"], summary["run_id"])
    finally:
        subprocess.run([*tieout, "down"], env=environment, capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def see(running: Running, browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens a page of the UI by its path, always in the same window: it keeps the scripts of the UI."""
    context = browser.new_context(viewport={"width": 1600, "height": 1000})
    page = context.new_page()

    def run(path: str) -> Page:
        page.goto(running.address + path)
        return page

    yield run
    context.close()


def expect_text(page: Page, text: str) -> None:
    expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=PATIENCE_MS)


def test_the_lineage_shows_the_groups_of_all_steps(see: Callable[[str], Page]) -> None:
    page = see("/asset-groups")

    for group in GROUPS:
        expect_text(page, group)
    assert not page.get_by_text("Join the Dagster community").is_visible()


def test_a_table_shows_its_rows_and_its_columns_with_their_meaning(see: Callable[[str], Page]) -> None:
    page = see("/assets/salesforce/account?view=overview")

    for text in ("Row count", "BillingStreet", "Street; owned by D365", "Delta Lake"):
        expect_text(page, text)


def test_the_rules_of_the_contract_are_checks_in_words(see: Callable[[str], Page], contracts: Contracts) -> None:
    plan = expectation_plan(contracts.table("salesforce", "account"))

    page = see("/assets/salesforce/account?view=checks&checkDetail=name_required")

    expect_text(page, f"Checks ({len(plan)})")
    expect(page.get_by_text("Name is filled in.").first).to_be_visible(timeout=PATIENCE_MS)


def test_a_delivery_says_in_a_sentence_what_it_did(see: Callable[[str], Page]) -> None:
    page = see("/assets/delivery/sales_order?view=overview")

    expect(page.get_by_text("found already there").first).to_be_visible(timeout=PATIENCE_MS)


def test_both_schedules_wait_to_be_switched_on_and_the_sensors_of_alerts_and_log_are(
    see: Callable[[str], Page],
) -> None:
    page = see("/automation")

    sensors = ("alerts_every_minute", "alerts_after_a_run", "alerts_after_a_failed_run", "log_rows_wait")
    for name in ("throughout_the_day", "every_night", *sensors):
        expect_text(page, name)
    # The switches arrive after the names.
    expect(page.locator("input[type=checkbox]:checked")).to_have_count(len(sensors), timeout=PATIENCE_MS)


def test_the_run_is_in_the_history_and_on_the_timeline(see: Callable[[str], Page], running: Running) -> None:
    runs = see("/runs")
    expect_text(runs, running.run_id[:8])
    expect_text(runs, "Success")

    timeline = see("/overview/activity/timeline")
    expect_text(timeline, "main")
    assert not timeline.get_by_text("No runs or scheduled ticks").is_visible()


def test_history_can_be_backfilled_by_month_and_company(see: Callable[[str], Page]) -> None:
    page = see("/assets/backfill/sales_order?view=partitions")

    for company in ("demf", "usmf"):
        expect_text(page, company)
