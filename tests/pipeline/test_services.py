"""What keeps running and what dies: `up` and `down` leave no process behind, and a run that is killed leaves nothing in the way of the next."""

import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import requests

from pipelines.services import dagster_instance, postgres, processes, sandboxes
from pipelines.services.dagster_instance import POOLS
from pipelines.services.home import Home
from resources.ledger import Ledger
from resources.ledger.delivery_queries import DeliveryFilter
from tests.pipeline.business import orders_due
from tests.pipeline.installation import Finished, Installation, Run, fresh_home
from tests.pipeline.reading import HEADERS, LINES, effects_of
from tests.writes import WRITES
from tieout.delivery import State
from tieout.errors import ConfigurationError

PATIENCE_S = 60.0
HELD_BACK_S = 4.0
"""How long D365 takes for the batch of orders: the run is killed meanwhile, and the batch takes effect afterwards."""

_LOCATION = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    location { name } jobs { name } schedules { name scheduleState { status } } } } } }"""


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every living process that was started for a home: our own, and Postgres', which has it in its command."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("TIEOUT_HOME") == str(home) or str(home) in " ".join(process.cmdline())
            if is_ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


# --- up and down --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UpAndDown:
    """What `up --detach` left running and showed, and what was left after `down`."""

    up: Finished
    running: list[str]
    location: dict[str, Any]
    down: Finished
    left: list[psutil.Process]
    again: Finished


@pytest.fixture(scope="module")
def up_and_down() -> Iterator[UpAndDown]:
    with fresh_home() as installation:
        up = installation.tieout("up", "--detach", "--port", "0")
        running = [process.name() for process in processes_of(installation.home)]
        installation.find_systems()
        url = next(line.split()[-1] for line in up.stdout.splitlines() if line.startswith("Dagster UI"))
        answer = requests.post(f"{url}/graphql", json={"query": _LOCATION}, timeout=PATIENCE_S).json()
        down = installation.tieout("down")
        left = processes_of(installation.home)
        yield UpAndDown(
            up, running, answer["data"]["repositoriesOrError"]["nodes"][0], down, left, installation.tieout("down")
        )


def test_up_returns_when_everything_answers(up_and_down: UpAndDown) -> None:
    assert up_and_down.up.code == 0, up_and_down.up.stderr
    assert "Stop it with: make down" in up_and_down.up.stdout
    assert len(up_and_down.running) >= 5


def test_the_ui_shows_the_code_location_with_its_jobs_and_schedules(up_and_down: UpAndDown) -> None:
    location = up_and_down.location

    assert location["location"] == {"name": "tieout"}
    assert {job["name"] for job in location["jobs"]} >= {"main", "full_reconciliation", "backfill_sales_orders"}
    schedules = {each["name"]: each["scheduleState"]["status"] for each in location["schedules"]}
    assert schedules == {"throughout_the_day": "STOPPED", "every_night": "STOPPED"}


def test_down_leaves_no_process(up_and_down: UpAndDown) -> None:
    assert up_and_down.down.code == 0, up_and_down.down.stderr
    for name in ("dagster-daemon", "dagster-webserver", "desk", "sandbox-salesforce", "sandbox-d365", "postgres"):
        assert name in up_and_down.down.stdout
    assert up_and_down.left == []


def test_a_second_down_has_nothing_to_do(up_and_down: UpAndDown) -> None:
    assert up_and_down.again.code == 0
    assert up_and_down.again.stdout == "Nothing was running.\n"


def test_a_port_that_somebody_takes_at_the_last_moment_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two installations that start at once both find the usual port free."""
    look = processes.free_port
    looks = itertools.count()
    monkeypatch.setattr(processes, "free_port", lambda port: port if next(looks) < 2 else look(port))
    with socket.create_server(("127.0.0.1", 0)) as taken, fresh_home() as installation:
        monkeypatch.setitem(sandboxes.PORTS, "d365", (taken.getsockname()[1], look(0)))

        service = sandboxes.start(Home(installation.home), "d365")

        assert processes.answers(f"{service.address}/_sandbox/health")


def test_sandboxes_that_run_empty_are_not_filled_behind_their_back() -> None:
    with fresh_home() as installation:
        home = Home(installation.home)
        sandboxes.start(home, "salesforce")

        with pytest.raises(ConfigurationError, match="Stop them with `tieout down`"):
            sandboxes.seed(home, "generated:40")


def test_sandboxes_start_with_the_faults_of_a_file() -> None:
    with fresh_home() as installation:
        home = Home(installation.home)
        file = installation.home / "faults.json"
        file.write_text(json.dumps({"salesforce": {"kind": "row_lock"}, "d365": [{"kind": "throttle_part"}]}))
        log = (installation.home / "sandbox.log").open("w")
        process = installation.start_tieout("sandbox", "--faults", "faults.json", stdout=log, stderr=log)
        try:
            wait_until(lambda: processes.running(home, "sandbox-d365") or process.poll() is not None)
            services = [processes.running(home, f"sandbox-{name}") for name in ("salesforce", "d365")]
            shown = [
                requests.get(f"{service.address}/_sandbox/faults", timeout=30).json() for service in services if service
            ]
        finally:
            # A shell that starts its jobs in the background lets them ignore Ctrl-C.
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            log.close()

    assert [[rule["kind"] for rule in each["rules"]] for each in shown] == [["row_lock"], ["throttle_part"]]


def test_a_stop_while_sandboxes_start_leaves_none_behind() -> None:
    with fresh_home() as installation:
        process = installation.start_tieout("sandbox", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        family = psutil.Process(process.pid)
        try:
            wait_until(lambda: family.children(recursive=True))
            children = family.children(recursive=True)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)

    assert code == 128 + signal.SIGTERM
    assert alive == []


def test_a_file_of_faults_that_is_wrong_ends_with_one_sentence() -> None:
    with fresh_home() as installation:
        (installation.home / "faults.json").write_text('{"kind": "throttle_part"}')

        done = installation.tieout("sandbox", "--faults", "faults.json")

        assert done.code == 2
        assert "There is no fault 'throttle_part' here." in done.stderr
        assert processes.running(Home(installation.home), "sandbox-salesforce") is None


# --- a run that is killed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """A run that was killed while D365 had its batch of orders, and the place in D365's journal before it."""

    run_id: str
    due: list[str]
    place: int


@pytest.fixture(scope="module")
def killed(installation: Installation) -> Killed:
    place = installation.d365.position()
    due = orders_due(installation, installation.books())
    # The first two batches are the customers' creations and changes, the third has the orders.
    installation.d365.post("faults", {"kind": "delay", "after": 2, "delay_s": HELD_BACK_S} | WRITES)
    log = (installation.home / "killed.log").open("w")
    process = installation.start_tieout("run", "--json", stdout=log, stderr=log)
    try:
        wait_until(lambda: installation.d365.struck(place) or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        log.close()
    assert installation.d365.struck(place), (installation.home / "killed.log").read_text()
    with dg.DagsterInstance.get() as instance:
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.STARTED
    return Killed(run.run_id, due, place)


@pytest.fixture(scope="module")
def next_run(installation: Installation, killed: Killed) -> Run:  # noqa: ARG001 the order
    return installation.run()


@pytest.fixture(scope="module")
def last_run(installation: Installation, killed: Killed, next_run: Run) -> Run:  # noqa: ARG001 the order
    wait_until(lambda: effects_of(installation.d365.effects(killed.place), HEADERS, "created"))
    return installation.run()


def test_a_killed_run_is_marked_as_failed_by_the_next(killed: Killed, next_run: Run) -> None:  # noqa: ARG001
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(killed.run_id)

    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_ended_with_its_daemon_is_over_when_the_next_daemon_comes(last_run: Run) -> None:  # noqa: ARG001 the order
    with dg.DagsterInstance.get() as instance:
        left = instance.add_run(dg.DagsterRun("log_to_dataverse", status=dg.DagsterRunStatus.STARTED)).run_id

        assert dagster_instance.prepare(instance) == []
        assert dagster_instance.prepare(instance, daemon_is_down=True) == [left]

        run = instance.get_run_by_id(left)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_the_places_of_a_killed_run_in_the_pools_are_free_again(next_run: Run) -> None:
    with dg.DagsterInstance.get() as instance:
        pools = {pool: instance.event_log_storage.get_concurrency_info(pool) for pool in POOLS}
        status = instance.get_run_by_id(next_run.run_id)

    assert status is not None
    assert status.status is dg.DagsterRunStatus.SUCCESS
    assert {pool: (info.slot_count, info.active_slot_count) for pool, info in pools.items()} == {
        pool: (limit, 0) for pool, limit in POOLS.items()
    }


def test_no_order_is_made_twice_although_nobody_heard_the_answer(
    installation: Installation,
    killed: Killed,
    last_run: Run,  # noqa: ARG001
) -> None:
    effects = installation.d365.effects(killed.place)

    made = Counter(effect["values"]["CustomersOrderReference"] for effect in effects_of(effects, HEADERS, "created"))
    assert made == Counter(killed.due)
    lines = Counter(effect["values"]["OrderLineReference"] for effect in effects_of(effects, LINES, "created"))
    assert set(lines.values()) == {1}


def test_the_runs_after_it_finish_its_work(installation: Installation, killed: Killed, last_run: Run) -> None:
    with Ledger.opened(installation.database_url or "") as ledger:
        rows = ledger.deliveries.find(DeliveryFilter(entity="sales_order"), limit=None)
    # Orders that were there before the first run were taken over by the ledger; no run has wanted them.
    counts = Counter(row.state for row in rows if row.run_id)
    written = {
        row["Id"]: row["ERP_Order_Number__c"]
        for row in installation.books().salesforce("SELECT Id, ERP_Order_Number__c FROM Opportunity")
    }

    # Nobody heard the refusal of the order of a customer on hold: it is looked for again until it cannot be on its way any more.
    assert counts == {State.CONFIRMED: len(killed.due), State.IN_DOUBT: 1}
    assert last_run.summary["deliveries"]["in_doubt"] == 1
    assert all(written[key] and written[key].endswith(f"/T-{key}") for key in killed.due)


# --- homes in which nothing can live ----------------------------------------------------------------------------------


def test_a_home_with_a_blank_in_its_path_is_refused_in_words(tmp_path: Path) -> None:
    home = tmp_path / "a home"

    with pytest.raises(ConfigurationError, match=r"has a blank.*TIEOUT_HOME.*TIEOUT_DATABASE_URL"):
        postgres.start(Home(home))


def test_a_home_that_cannot_be_made_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigurationError, match=r"cannot be made.*TIEOUT_HOME"):
        Home(tmp_path / "file" / "home").folder("run")
