"""Schema drift in a running installation: the first look remembers, a later one tells what changed and fails the check where it matters."""

from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import defs
from tests.pipeline.installation import Installation

KEY = dg.AssetKey(["quality", "source_schema"])


def look(*, full: bool) -> tuple[dict[str, Any], bool]:
    """Metadata of one look, and whether its check passed."""
    job = dg.define_asset_job("looking", selection=dg.AssetSelection.assets(KEY))
    config = {"resources": {"options": {"config": {"full": full, "dry_run": False}}}}
    with dg.DagsterInstance.get() as instance:
        result = (
            dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
            .resolve_job_def("looking")
            .execute_in_process(instance=instance, run_config=config)
        )
    assert result.success
    [event] = result.get_asset_materialization_events()
    [check] = result.get_asset_check_evaluations()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}, check.passed


@pytest.fixture(scope="module")
def first(installation: Installation) -> tuple[dict[str, Any], bool]:  # noqa: ARG001 the systems
    return look(full=False)


def test_the_first_look_remembers_and_tells_nothing(first: tuple[dict[str, Any], bool]) -> None:
    told, passed = first

    assert (told["changed"], told["matter"], passed) == (0, 0, True)


def test_later_looks_are_for_the_night(installation: Installation, first: tuple[dict[str, Any], bool]) -> None:  # noqa: ARG001 the order
    place = installation.salesforce.position()

    told, passed = look(full=False)

    assert (told["summary"], passed) == ("not looked at: the nightly run does", True)
    assert installation.salesforce.asked(place) == []


def test_fields_that_are_hidden_from_the_integration_user_are_told_with_their_effect(
    installation: Installation,
    first: tuple[dict[str, Any], bool],  # noqa: ARG001 the order
) -> None:
    installation.salesforce.post("settings", {"hidden_fields": ["Account.ERP_Number__c", "Account.Fax"]})

    told, passed = look(full=True)

    assert not passed
    assert told["changed"] >= told["matter"] == 1
    assert "| salesforce | `Account.ERP_Number__c` | removed |" in told["changes"]
    assert "contracts/customer.yaml:" in told["changes"]

    installation.salesforce.post("settings", {"hidden_fields": None})
    told, passed = look(full=True)
    assert passed
    assert "| salesforce | `Account.ERP_Number__c` | added |" in told["changes"]
