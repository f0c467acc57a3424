"""The promises that need the whole job: both systems read, compared, delivered and written back, by the real Dagster graph."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from sqlalchemy import make_url

from tests.conftest import PROJECT
from tests.faults import checkers
from tests.faults.campaign import Campaign, Verdict
from tests.faults.history import strikes
from tests.faults.world import Won, World, running_world
from tests.faults.zygote import Zygote
from tests.writes import is_write

PARTITION = "usmf|2026-01-01"
PATIENCE_S = 60.0
STAMP_S = 2.1
"""After so long no run takes a change for one that came while it read: stamps are whole seconds, and a server may give the time of its last second."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of this module's own: whole jobs read everything that is in it."""
    with running_world(tmp_path_factory.mktemp("jobs") / "state") as running:
        yield running


@pytest.fixture
def installation(
    world: World, zygote: Zygote, new_database: Callable[..., str], ledger_template: str, tmp_path: Path
) -> Campaign:
    """A new ledger and a new home over the module's world."""
    return Campaign(world, zygote, new_database(ledger_template), tmp_path)


def won(world: World, tag: str, count: int = 4) -> list[Won]:
    deals = world.win(tag, count, random.Random(tag))
    time.sleep(STAMP_S)
    return deals


def run(installation: Campaign, **order: Any) -> dict[str, Any]:
    """One whole job in a fresh process; how it ended is for the next step, not for the verdict."""
    code, told = installation.zygote.run(installation.environment, kind="job", tag="J", **order)
    assert code == 0
    assert told is not None
    return told


def judged(installation: Campaign, deals: list[Won], began: dict[str, int]) -> list[str]:
    verdict = Verdict(0)
    installation.judge(verdict, began, deals)
    return verdict.violations


def effects(installation: Campaign, system: str, after: dict[str, int]) -> list[dict[str, Any]]:
    return [each for each in installation.world.journal(system, after[system]) if each["phase"] == "effect"]


def test_r10_a_partition_that_is_backfilled_again_beside_the_live_job_creates_and_changes_nothing(
    installation: Campaign,
) -> None:
    world, began = installation.world, installation.world.positions()
    deals = won(world, "R10", 6)
    assert run(installation, job="backfill_sales_orders", partition=PARTITION)["success"]
    assert run(installation)["success"]
    before = world.positions()

    again = [
        installation.zygote.start(installation.environment, kind="job", tag="J", **order)
        for order in ({"job": "backfill_sales_orders", "partition": PARTITION}, {})
    ]
    for pid in again:
        assert installation.zygote.wait(pid)[0] == 0

    assert judged(installation, deals, began) == []
    assert checkers.nothing_was_written(world.journal("d365", before["d365"])) == []


def test_r10_notices_a_backfill_that_forgets(installation: Campaign) -> None:
    """The teeth: without ledger, without our numbers, and with a reference that nobody finds again."""
    world = installation.world
    won(world, "R10teeth", 3)
    assert run(installation, job="backfill_sales_orders", partition=PARTITION, sabotage=FORGETS)["success"]
    before = world.positions()

    for _ in range(2):  # what the ledger forgets while one delivers, the next one does not know
        run(installation, job="backfill_sales_orders", partition=PARTITION, sabotage=FORGETS)

    assert checkers.nothing_was_written(world.journal("d365", before["d365"]))


FORGETS = ["no_ledger", "no_own_number", "no_reference"]


def test_r11_the_write_back_converges_and_writes_no_more_than_what_changed(installation: Campaign) -> None:
    world = installation.world
    deals = won(world, "R11", 5)
    assert run(installation)["success"]
    for deal in deals:
        confirmed(world, deal)
    before = world.positions()

    first = run(installation)
    changed = effects(installation, "salesforce", before)
    assert first["success"]
    assert {each["key"] for each in changed} <= {deal.opportunity for deal in deals}
    assert len(changed) == len(deals)

    assert run(installation)["success"]
    quiet = world.positions()
    assert run(installation)["success"]
    for system in ("salesforce", "d365"):
        assert effects(installation, system, quiet) == []


@pytest.mark.parametrize(("sabotage", "goes_back"), [([], False), (["no_version_guard"], True)])
def test_r5_a_run_that_was_held_up_never_goes_over_a_newer_value(
    installation: Campaign, sabotage: list[str], goes_back: bool
) -> None:
    """The second case is the teeth: without the guard the judge notices."""
    world, name = installation.world, f"Renamed {len(sabotage)}"
    assert run(installation)["success"]
    [account] = world.ask("salesforce", "SELECT Id FROM Account WHERE AccountNumber = 'C-usmf-1'")
    began = world.positions()
    renamed(world, account["Id"], f"{name} v1")
    slow = installation.zygote.start(
        installation.environment, kind="job", tag="J", sabotage=["stopped_before_delivering", *sabotage]
    )
    wait_until(lambda: psutil.Process(slow).status() == psutil.STATUS_STOPPED)

    renamed(world, account["Id"], f"{name} v2")
    assert run(installation, sabotage=sabotage)["success"]
    os.kill(slow, signal.SIGCONT)
    assert installation.zygote.wait(slow)[0] == 0

    violations = checkers.versions_never_go_back(world.journal("d365", began["d365"]), "OrganizationName")
    assert bool(violations) is goes_back


def test_r19_a_restored_ledger_sends_nothing_before_it_has_adopted_what_came_after_it(
    installation: Campaign, new_database: Callable[..., str]
) -> None:
    world, began = installation.world, installation.world.positions()
    evening = won(world, "R19evening")
    assert run(installation)["success"]
    backup = new_database(make_url(installation.database_url).database)
    night = won(world, "R19night")
    assert run(installation)["success"]
    morning = won(world, "R19morning")

    # When last night's backup is put back, and a request of the lost time could still land:
    installation.database_url = backup
    at_once = world.positions()
    assert run(installation, settle_s=3600)["success"]
    asked = [each for each in world.journal("d365", at_once["d365"]) if each["phase"] == "asked"]
    assert not any(map(is_write, asked))

    # And when it cannot any more:
    later = world.positions()
    assert run(installation, settle_s=0)["success"]
    assert judged(installation, [*evening, *night, *morning], began) == []
    created = [
        e
        for e in effects(installation, "d365", later)
        if e["effect"] == "created" and e["entity"].endswith("HeadersV2")
    ]
    assert {each["values"]["CustomersOrderReference"] for each in created} == {deal.opportunity for deal in morning}
    refused = [each for each in world.journal("d365", later["d365"]) if "already exists" in str(each.get("body"))]
    assert refused == []
    states = installation.states()
    assert {states[deal.opportunity][0] for deal in (*evening, *night, *morning)} == {"confirmed"}


def test_a_won_opportunity_that_changes_is_lost_and_won_again_has_one_order_that_follows_it(
    installation: Campaign,
) -> None:
    """With the policies `amend` and `stop`; the first is never a second order, the second never a deletion."""
    contracts = installation.home / "contracts"
    shutil.copytree(PROJECT / "contracts", contracts)
    path = contracts / "sales_order.yaml"
    text = path.read_text()
    assert "  changed: report " in text
    assert "  lost: report " in text
    path.write_text(text.replace("  changed: report ", "  changed: amend ").replace("  lost: report ", "  lost: stop "))
    world, began = installation.world, installation.world.positions()
    [deal] = won(world, "late", 1)
    variables = installation.environment | {"TIEOUT_CONTRACTS": str(contracts)}

    def run_on() -> dict[str, Any]:
        code, told = installation.zygote.run(variables, kind="job", tag="J")
        assert (code, told is not None and told["success"]) == (0, True), told
        [order] = world.orders()[deal.opportunity]
        [line, *_] = world.ask(
            "d365",
            "SELECT OrderedSalesQuantity AS quantity FROM SalesOrderLines WHERE SalesOrderNumber = ? ORDER BY LineNumber",
            order["number"],
        )
        return {"stopped": order["stopped"] == "Yes", "quantity": float(line["quantity"])}

    assert not run_on()["stopped"]
    [first, *_] = world.ask(
        "salesforce",
        "SELECT Id FROM OpportunityLineItem WHERE OpportunityId = ? ORDER BY SortOrder, Id",
        deal.opportunity,
    )
    changed(world, "OpportunityLineItem", first["Id"], Quantity=77)
    assert run_on() == {"stopped": False, "quantity": 77.0}
    changed(world, "Opportunity", deal.opportunity, StageName="Closed Lost")
    assert run_on()["stopped"]
    changed(world, "Opportunity", deal.opportunity, StageName="Closed Won")
    assert run_on() == {"stopped": False, "quantity": 77.0}

    assert judged(installation, [deal], began) == []
    quiet = world.positions()
    run_on()
    assert checkers.nothing_was_written(world.journal("d365", quiet["d365"])) == []


def test_r17_no_secret_and_nobodys_data_is_in_logs_ledger_and_reports(installation: Campaign) -> None:
    world = installation.world
    canaries = ["Kanarienvogel GmbH", "Vogelbauerstrasse 77", "piep@kanarien.example", "+49 30 7777777"]
    deals = won(world, "R17", 3)
    name, street, mail, phone = canaries
    changed(world, "Account", deals[0].account, Name=name, BillingStreet=street, Email__c=mail, Phone=phone)
    world.break_with(
        "d365",
        [
            {"kind": "server_error", "enveloped": False, "method": "POST", "path": r"\$batch"},
            {"kind": "expire_tokens", "method": "POST", "path": r"\$batch", "after": 1},
            {"kind": "refuse_operation", "nth": 1, "method": "POST", "path": r"\$batch", "after": 2},
        ],
    )
    world.break_with("salesforce", [{"kind": "partial_success", "method": "PATCH", "path": "composite/sobjects"}])
    run(installation)
    run(installation, ahead_s=1000)
    assert strikes(world.journal("d365", 0))
    world.mend()

    secrets = ["sandbox-secret", "Bearer ey"]
    log = (installation.zygote.log).read_text(errors="replace")
    assert "DEBUG:" in log
    assert [each for each in (*secrets, *canaries) if each in log] == []
    rows = installation.ask(
        "select to_jsonb(d) - 'payload' from tieout.delivery d union all select to_jsonb(a) from tieout.attempt a "
        "union all select to_jsonb(r) from tieout.attempt_result r union all select to_jsonb(e) from tieout.decision e"
    )
    assert [each for each in (*secrets, *canaries) if each in str(rows)] == []
    reports = [path.read_text(errors="replace") for path in installation.home.rglob("*.html")]
    assert reports
    assert [secret for secret in secrets if any(secret in page for page in reports)] == []


def confirmed(world: World, deal: Won) -> None:
    """Somebody confirms the order in D365, which moves its status."""
    [order] = world.orders()[deal.opportunity]
    url = f"{world.systems.d365.url}/_sandbox/orders/{order['company']}/{order['number']}/confirm"
    answer = requests.post(url, timeout=30)
    assert answer.status_code == 200, answer.text


def renamed(world: World, account: str, name: str) -> None:
    changed(world, "Account", account, Name=name)


def changed(world: World, sobject: str, record: str, **fields: object) -> None:
    world.systems.salesforce.update(sobject, record, **fields)
    time.sleep(STAMP_S)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
