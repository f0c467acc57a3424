"""What Dagster's storage says of runs, and the sensors that look by it."""

from collections.abc import Iterator

import dagster as dg
import pytest

from pipelines import alerts as pipeline_alerts
from pipelines.alerts import look_after_run
from pipelines.definitions import defs
from pipelines.jobs import FLOW
from pipelines.run_facts import run_facts
from pipelines.sensors import alerts_after_a_failed_run, alerts_after_a_run, alerts_every_minute
from resources.connections import ContractsResource, LedgerResource, RunOptions
from resources.ledger import Ledger
from tests.alerts.servers import WebServer
from tieout.alerting.facts import RunFacts

RULES = """
sinks: {slack: {kind: slack}}
rules: {run_failed: {kind: run_failed}}
"""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def configured(
    ledger_url: str, web: WebServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> WebServer:
    """An installation with one rule and one sink, a real server."""
    path = tmp_path_factory.mktemp("rules") / "alerts.yaml"
    path.write_text(RULES)
    monkeypatch.setenv("TIEOUT_ALERTS", str(path))
    monkeypatch.setenv("TIEOUT_SLACK_WEBHOOK_URL", web.url)
    monkeypatch.setenv("TIEOUT_DATABASE_URL", ledger_url)
    return web


def ran(
    instance: dg.DagsterInstance, *, fails: bool = False, dry_run: bool = False, job: str = "main"
) -> dg.ExecuteInProcessResult:
    """A run of a job of that name and flow which does nothing, or fails."""

    @dg.op(name="step")
    def step(options: RunOptions) -> None:  # noqa: ARG001 its configuration is what tells a dry run
        if fails:
            raise RuntimeError("canary: Ingeborg Zwiebelfisch")

    @dg.job(name=job, tags={FLOW: "main"}, resource_defs={"options": RunOptions.configure_at_launch()})
    def made() -> None:
        step()

    config = {"resources": {"options": {"config": {"dry_run": dry_run}}}}
    return made.execute_in_process(config, instance=instance, raise_on_error=False)


def test_without_any_run_nothing_is_said(instance: dg.DagsterInstance) -> None:
    assert run_facts(instance) == RunFacts(None, [])


def test_the_newest_ended_run_of_each_job_and_the_last_good_one_are_told(instance: dg.DagsterInstance) -> None:
    ran(instance)
    failed = ran(instance, fails=True)
    good = ran(instance, job="full_reconciliation")

    found = run_facts(instance)

    assert [(each.job, each.run_id, each.succeeded) for each in found.last] == [
        ("main", failed.run_id, False),
        ("full_reconciliation", good.run_id, True),
    ]
    assert found.whole is not None
    assert found.whole.succeeded_at == found.last[1].ended_at
    assert found.whole.first_started <= found.last[0].ended_at


def test_dry_runs_do_not_count_however_many(instance: dg.DagsterInstance) -> None:
    real = ran(instance, fails=True)
    for _ in range(11):
        ran(instance, dry_run=True)

    found = run_facts(instance)

    assert [(each.run_id, each.succeeded) for each in found.last] == [(real.run_id, False)]
    assert found.whole is not None
    assert found.whole.succeeded_at is None


def test_the_sensors_run_from_the_first_moment_on() -> None:
    sensors = {sensor.name: sensor.default_status for sensor in defs.sensors or [] if sensor.name.startswith("alerts_")}

    assert sensors == dict.fromkeys(
        ("alerts_every_minute", "alerts_after_a_run", "alerts_after_a_failed_run"), dg.DefaultSensorStatus.RUNNING
    )


def test_the_sensor_of_the_minute_tells_a_failed_run_once_and_its_recovery_once(
    instance: dg.DagsterInstance, configured: WebServer
) -> None:
    def tick() -> str:
        resources = {"ledger": LedgerResource(), "contracts": ContractsResource()}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            answer = alerts_every_minute(context)
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    ran(instance, fails=True)
    said = [tick(), tick()]
    ran(instance)
    said += [tick(), tick()]

    assert said == [
        "1 raised; 0 still on; 0 over; slack: told of 1",
        "0 raised; 1 still on; 0 over",
        "0 raised; 0 still on; 1 over; slack: told of 1",
        "0 raised; 0 still on; 0 over",
    ]
    assert [post.json["text"].partition(" (")[0].split(": ")[1] for post in configured.posts] == ["On", "Over"]
    assert not any(b"canary" in post.body for post in configured.posts)


def test_a_run_that_failed_or_succeeded_is_looked_at_when_it_ends(
    instance: dg.DagsterInstance, configured: WebServer
) -> None:
    resources = {"ledger": LedgerResource(), "contracts": ContractsResource()}
    failed = ran(instance, fails=True)
    context = dg.build_run_status_sensor_context(
        "alerts_after_a_failed_run",
        failed.get_run_failure_event(),
        instance,
        failed.dagster_run,
        resources=resources,
    )
    alerts_after_a_failed_run(context.for_run_failure())
    good = ran(instance)
    alerts_after_a_run(
        dg.build_run_status_sensor_context(
            "alerts_after_a_run", good.get_run_success_event(), instance, good.dagster_run, resources=resources
        )
    )

    assert len(configured.posts) == 2


def test_a_run_on_the_command_line_looks_by_itself(
    instance: dg.DagsterInstance, configured: WebServer, ledger: Ledger
) -> None:
    ran(instance, fails=True)

    found = look_after_run(instance)

    assert found is not None
    assert [each.key for each in ledger.alerts.list()] == ["run_failed main"]
    assert len(configured.posts) == 1


@pytest.mark.parametrize("variable", ["TIEOUT_ALERTS", "TIEOUT_DATABASE_URL", "TIEOUT_CONTRACTS"])
def test_nothing_that_is_wrong_with_alerts_becomes_a_problem_of_the_run(
    instance: dg.DagsterInstance,
    configured: WebServer,  # noqa: ARG001 only for what it sets
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, "postgresql://127.0.0.1:1/none")

    assert look_after_run(instance) is None


def test_runs_that_cannot_be_read_leave_the_other_rules_alone(
    instance: dg.DagsterInstance, configured: WebServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> RunFacts:
        raise ConnectionError

    monkeypatch.setattr(pipeline_alerts, "run_facts", away)

    found = pipeline_alerts.look_now(ledger, instance)

    assert found.nothing_known == ["run_failed"]
    assert configured.posts == []
