"""Tokens that die in the middle of a run, in each kind of call to each system: the run goes on, and nothing is written twice."""

from contextlib import ExitStack
from typing import Any

from tests.bad_input.books import Books
from tests.bad_input.conftest import Install
from tests.bad_input.systems import API, System, tokens_die_at
from tests.writes import WRITES

PAUSE_S = 0.4
"""How long a call is held up on its way in, so that its token is dead when the system looks at it."""


def test_tokens_that_die_during_extraction_delivery_and_write_back_do_not_stop_the_run(install: Install) -> None:
    books = Books()
    deals = [books.deal(f"Deal {number}", customer=f"C-{number}") for number in (1, 2)]
    installation = install(books)
    salesforce, d365 = installation.systems.salesforce, installation.systems.d365
    page, update = f"{API}/queryAll/", f"{API}/composite/sobjects"
    # The first question of an extraction counts, the second one reads the page.
    salesforce.fault("delay", method="GET", path="queryAll/", after=1, delay_s=PAUSE_S)
    salesforce.fault("delay", method="PATCH", path="composite/sobjects", delay_s=PAUSE_S)
    d365.fault("delay", path="/data/CustomersV3", after=1, delay_s=PAUSE_S)
    d365.fault("delay", **WRITES, delay_s=PAUSE_S)

    with ExitStack() as watching:
        died = [
            watching.enter_context(tokens_die_at(salesforce, 2, phase="asked", path=page)),
            watching.enter_context(tokens_die_at(salesforce, phase="asked", path=update)),
            watching.enter_context(tokens_die_at(d365, phase="fault", path="/data/CustomersV3")),
            watching.enter_context(tokens_die_at(d365, phase="fault", path="/data/$batch")),
        ]
        run = installation.run()

    assert run.success, run.problem
    assert all(count[0] > 0 for count in died)
    assert _refused(salesforce) == {page, update}
    assert _refused(d365) == {"/data/CustomersV3", "/data/$batch"}
    assert sorted(d365.orders_made()) == sorted(deal.order for deal in deals)
    for deal in deals:
        written = salesforce.read("Opportunity", deal.opportunity)
        assert written["ERP_Order_Number__c"] == f"usmf/{deal.order}"
    findings = installation.findings()
    assert findings.summary["deliveries"] == {"confirmed": 2}
    assert findings.summary["extracted"]["salesforce/opportunity"] == 2


def _refused(system: System) -> set[str]:
    """The paths that were answered with 401."""
    entries: list[dict[str, Any]] = system.journal(phase="answered")
    return {entry["path"] for entry in entries if entry["status"] == 401}
