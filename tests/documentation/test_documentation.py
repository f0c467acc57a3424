"""What the documents say of the project, held against the project."""

import re
from pathlib import Path

import pytest
import typer.main

from pipelines.cli.main import app
from tests.conftest import PROJECT
from tieout.breaks import Cause
from tieout.contract import Contracts
from tieout.contract.dictionary import data_dictionary

PAGES = [
    PROJECT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "deploy/README.md",
        "docs/alerts.md",
        "docs/how-it-works.md",
        "docs/events.md",
        "docs/security.md",
        "docs/tenants.md",
        "docs/data-dictionary.md",
        "docs/bi.md",
        "docs/logs.md",
    )
]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\b(?:TIEOUT|SALESFORCE|D365|DATAVERSE|SHAREPOINT)_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")


def test_the_data_dictionary_is_the_one_that_the_contracts_make(contracts: Contracts) -> None:
    """Make it anew with: make dictionary"""
    assert (PROJECT / "docs" / "data-dictionary.md").read_text(encoding="utf-8") == data_dictionary(contracts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            dead.append(target)

    assert dead == []


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_lists_every_variable_that_is_read_and_no_other() -> None:
    settings = "".join(
        (PROJECT / name).read_text(encoding="utf-8")
        for name in (
            "tieout/settings.py",
            "desk/settings.py",
            "tieout/alerting/settings.py",
            "tieout/alerting/model.py",
            "tieout/log_sinks/settings.py",
        )
    )
    read = set(re.findall(rf'"({VARIABLE.pattern})"', settings))

    assert set(VARIABLE.findall(README)) == read


def test_the_readme_lists_every_command() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    table = README[README.index("## Commands") : README.index("## Where things are")]

    assert "run" in commands
    for name, each in commands.items():
        assert f"`tieout {name}" in table
        for part in getattr(each, "commands", ()):
            assert f"`tieout {name} {part}`" in table or f"`{part}`" in table


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bmake ([a-z-]+)\b", _code_of(page))}

    assert named <= targets


def _code_of(page: Path) -> str:
    """What stands between backquotes or in a block: prose makes many things that are no targets."""
    text = page.read_text(encoding="utf-8")
    return "\n".join(re.findall(r"```.*?```|`[^`]+`", text, flags=re.DOTALL))


def test_how_it_works_explains_every_cause_and_no_other() -> None:
    text = (PROJECT / "docs" / "how-it-works.md").read_text().partition("| Cause |")[2].partition("\n\n")[0]

    named = {
        name for row in text.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert named == {str(cause) for cause in Cause}
