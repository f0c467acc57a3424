"""The desk over what a real run has left: the same figures as the report, and every way through its pages leads somewhere."""

import re
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from resources.ledger import Ledger
from tests.desk.books import Served, served
from tests.pipeline.installation import Installation, Run
from tests.pipeline.reading import headers_made
from tieout.contract import Contracts

MOST_PAGES = 150


@pytest.fixture(scope="module")
def run(installation: Installation) -> Run:
    return installation.run()


@pytest.fixture(scope="module")
def desk(installation: Installation, run: Run, contracts: Contracts) -> Iterator[Served]:  # noqa: ARG001 it has happened
    lake = Path(installation.home) / "lake"
    with Ledger.opened(installation.database_url) as ledger, served(lake, ledger, contracts) as running:
        yield running


def test_the_overview_has_the_reports_figures_to_the_cent(desk: Served, run: Run) -> None:
    page = unescape(desk.get("/").text).replace("−", "-").replace(",", "")

    for row in run.summary["tie_out"]:
        for amount in (row["salesforce"], row["d365"], row["difference"]):
            assert f">{Decimal(amount):.2f}<" in page, row


def test_the_list_has_as_many_breaks_as_the_run_found(desk: Served, run: Run) -> None:
    found = re.search(r"<strong>([\d,]+) breaks</strong>", desk.get("/breaks").text)

    assert found is not None
    assert int(found[1].replace(",", "")) == run.summary["open_breaks"]


def test_every_link_of_every_page_leads_to_a_page(desk: Served) -> None:
    seen, waiting = {"/"}, ["/"]
    kinds: set[str] = set()
    while waiting and len(seen) < MOST_PAGES:
        path = waiting.pop(0)
        answer = desk.get(path)
        assert answer.status_code == 200, path
        kinds.add(path.split("?")[0].split("/")[1])
        for link in re.findall(r'(?:href|src)="([^"]+)"', answer.text):
            target = unescape(link)
            if urlsplit(target).netloc or target.startswith("#") or target in seen:
                continue
            seen.add(target)
            waiting.append(target)

    assert kinds >= {"", "breaks", "records", "periods", "charts", "static"}


def test_a_record_shows_what_both_systems_have_and_what_was_sent(desk: Served, run: Run) -> None:
    opportunity = headers_made(run)[0]["key"].split("T-")[1][:18]

    page = desk.get(f"/records/sales_order?salesforce={opportunity}").text

    assert f"T-{opportunity}" in page
    assert "Create sent to D365: confirmed" in page
    assert "CustomersLineNumber" in page
