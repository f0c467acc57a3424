"""`tieout report --as-of`: the report of an earlier run, made again from the lake alone, to the same bytes."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.pipeline.installation import Installation, Run
from tests.pipeline.test_whole_way import out_of_flight

FILES = ("reconciliation.html", "reconciliation.xlsx", "report.json", "summary.json")


@pytest.fixture(scope="module")
def runs(installation: Installation) -> dict[str, Run]:
    """A dry run, a real one, and a later one before which people have changed records, a break, and nothing stayed as it was."""
    made = {"dry": installation.run(dry_run=True), "first": installation.run()}
    [account] = installation.planted["account_name_too_long"][:1]
    installation.changed_in_salesforce("Account", account, Name="A name that fits", Phone="+1 555 0100")
    [break_, *_] = installation.called("breaks", "list", "--json").json["breaks"]
    assert installation.called("breaks", "comment", break_["identity"], "looked at").code == 0
    out_of_flight()
    return made | {"later": installation.run(full=True)}


@pytest.fixture
def elsewhere(installation: Installation, tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has the lake and nothing else: no ledger, no system, no earlier report."""
    return {"TIEOUT_HOME": str(tmp_path), "TIEOUT_LAKE_URL": str(installation.home / "lake"), "TIEOUT_DATABASE_URL": ""}


def folder_of(run: Run) -> Path:
    return Path(run.summary["report"]).parent


@pytest.mark.parametrize("which", ["dry", "first", "later"])
def test_a_report_is_made_again_to_the_same_bytes_from_the_lake_alone(
    installation: Installation, runs: dict[str, Run], elsewhere: dict[str, str], which: str
) -> None:
    run = runs[which]

    done = installation.tieout("report", "--as-of", run.run_id[:8], "--json", environment=elsewhere)

    assert done.stderr == ""
    again = Path(done.json["report"]).parent
    assert again.is_relative_to(elsewhere["TIEOUT_HOME"])
    assert {name: (again / name).read_bytes() for name in FILES} == {
        name: (folder_of(run) / name).read_bytes() for name in FILES
    }
    moving = {"report", "workbook", "duration_s"}
    assert {name: value for name, value in done.json.items() if name not in moving} == {
        name: value for name, value in run.summary.items() if name not in moving
    }


def test_the_reports_that_are_made_again_differ_from_each_other(runs: dict[str, Run]) -> None:
    pages = {(folder_of(run) / FILES[0]).read_bytes() for run in runs.values()}

    assert len(pages) == 3


def test_the_contracts_of_then_are_used_and_that_they_have_changed_is_said(
    installation: Installation, runs: dict[str, Run], elsewhere: dict[str, str], tmp_path: Path
) -> None:
    changed = tmp_path / "contracts"
    shutil.copytree(PROJECT / "contracts", changed)
    customer = (changed / "customer.yaml").read_text()
    (changed / "customer.yaml").write_text(customer.replace("label: E-mail", "label: Mail"))

    done = installation.called(
        "report", "--as-of", runs["first"].run_id, "--json", environment=elsewhere | {"TIEOUT_CONTRACTS": str(changed)}
    )

    assert "contracts have changed since" in done.stderr
    again = Path(done.json["report"])
    assert again.read_bytes() == Path(runs["first"].summary["report"]).read_bytes()


@pytest.mark.parametrize("run", ["no-such-run", ""])
def test_a_run_that_is_not_known_is_named_with_the_newest_one_that_is(
    installation: Installation, runs: dict[str, Run], elsewhere: dict[str, str], run: str
) -> None:
    done = installation.called("report", "--as-of", run, environment=elsewhere)

    assert done.code == 2
    assert runs["later"].run_id in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_version_that_was_vacuumed_is_named(
    installation: Installation, runs: dict[str, Run], elsewhere: dict[str, str], tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(installation.home / "lake", lake)
    from deltalake import DeltaTable

    table = DeltaTable(str(lake / "salesforce" / "account"))
    assert table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    done = installation.called(
        "report", "--as-of", runs["first"].run_id, environment=elsewhere | {"TIEOUT_LAKE_URL": str(lake)}
    )

    assert done.code == 2
    assert "version 0 of salesforce/account is no longer in the lake" in done.stderr
    assert installation.called(
        "report", "--as-of", runs["later"].run_id, environment=elsewhere | {"TIEOUT_LAKE_URL": str(lake)}
    ).code in (0, 1)
