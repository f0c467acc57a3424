"""Runs a job of the code location in this process, on the persistent instance, so that the UI shows it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from pipelines.alerts import look_after_run
from pipelines.services import dagster_instance
from resources.ledger import Ledger
from tieout.errors import TieoutError
from tieout.settings import Settings


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a run ended. `problem` is the first failure, in words for the person who started it."""

    run_id: str
    success: bool
    problem: str | None


def run_job(
    name: str,
    *,
    say: Callable[[str], None],
    resource_config: Mapping[str, Any],
    partition_key: str | None = None,
) -> JobOutcome:
    """Run the job `name` to its end. Steps are told to `say` as they finish; nothing is raised for a failed step."""
    from pipelines.definitions import defs

    run_id = str(uuid.uuid4())
    with dg.DagsterInstance.get() as instance:
        dagster_instance.hold_connections(instance)
        _let_go(dagster_instance.prepare(instance))
        instance.add_event_listener(run_id, _placer(instance))
        instance.add_event_listener(run_id, _teller(say))
        result = defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            partition_key=partition_key,
            # The daemon must not start a run of the command line again: its exit code has been read by then.
            tags={
                **dagster_instance.LOCATION_TAGS,
                "launched_by": "tieout",
                dagster_instance.PROCESS_TAG: dagster_instance.process_tag(),
                "dagster/max_retries": "0",
            },
            run_config={
                "resources": dict(resource_config),
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
        found = look_after_run(instance)
        if found is not None and found.evaluation.raised:
            say(f"{len(found.evaluation.raised)} alerts raised; they are listed by: tieout alerts list")
        return JobOutcome(run_id, result.success, None if result.success else problem_of(result))


def _let_go(dead_runs: list[str]) -> None:
    """Give back what dead runs held in the ledger: nobody has to wait until their leases have run out."""
    url = Settings.from_environment().database_url
    if dead_runs and url is not None:
        with Ledger.opened(url) as ledger:
            ledger.deliveries.let_go(dead_runs)


def _placer(instance: dg.DagsterInstance) -> Callable[[Any], None]:
    """With its first event a run is in storage, and can be put where the UI looks for it."""

    def place(entry: Any) -> None:
        event = entry.dagster_event
        if event is not None and event.event_type == dg.DagsterEventType.RUN_START:
            dagster_instance.belong_to_the_code_location(instance, entry.run_id)

    return place


def problem_of(result: Any) -> str:
    """The first failure of a run in words for people: our own message where it is one of ours, else step and message."""
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            # Dagster's own error stands around ours; what ours was raised from is for the log.
            error = error.cause or error
            known = {kind.__name__ for kind in _all_subclasses(TieoutError)}
            text = error.message.strip()
            kind, _, rest = text.partition(": ")
            return rest if kind.rsplit(".", 1)[-1] in known else f"{event.step_key}: {text}"
    return "The run failed before its first step; its page in the Dagster UI has the reason."


def _teller(say: Callable[[str], None]) -> Callable[[Any], None]:
    def tell(entry: Any) -> None:
        event = entry.dagster_event
        if event is None:
            return
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            summary = materialization.metadata.get("summary")
            text = f": {summary.value}" if summary is not None else ""
            say(f"{materialization.asset_key.to_user_string()}{text}")
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            # A step has the name of its asset, with two underscores for the slash.
            say(f"{event.step_key.replace('__', '/')} failed")

    return tell


def _all_subclasses(kind: type[TieoutError]) -> set[type[TieoutError]]:
    return {kind, *(found for child in kind.__subclasses__() for found in _all_subclasses(child))}
