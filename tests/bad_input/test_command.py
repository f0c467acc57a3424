"""The command line when a run cannot be done: exit code 2, one line, nothing secret or personal left behind; then the run that can."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from tests.bad_input.books import Books, Deal, Row
from tests.bad_input.conftest import Install
from tests.bad_input.installation import Installation

WRONG_SECRET = "canary-secret-7f3a"
RIGHT_SECRET = "sandbox-secret"
PERSONAL: Row = {
    "Name": "Canary Ingeborg Zwiebelfisch",
    "BillingStreet": "Canary Lane 77",
    "Phone": "+49 170 5550177",
    "Email__c": "canary.zwiebelfisch@example.com",
}
PERSONAL_TEXTS = [str(value) for value in PERSONAL.values()]
TOKENS = ("00D8d0000000001!", "eyJ", "Bearer ", "Basic ")
"""How tokens and credentials begin."""


@dataclass(frozen=True)
class Commands:
    """`tieout run` with a wrong secret, what it left, then `tieout run --json` with the right one."""

    installation: Installation
    deals: list[Deal]
    failed: subprocess.CompletedProcess[str]
    left_by_failed: dict[str, str]
    orders_before: list[str]
    done: subprocess.CompletedProcess[str]
    left_at_last: dict[str, str]


@pytest.fixture(scope="module")
def commands(install: Install, new_database: Callable[[], str]) -> Commands:
    books = Books()
    deals = [
        books.deal("First", account=PERSONAL),
        books.deal("Second", customer="C-2"),
        books.deal("Canary Zwiebelfisch held", customer="C-3", on_hold="All"),
    ]
    installation = install(books)
    installation.database_url = new_database()
    failed = installation.command("run", D365_CLIENT_SECRET=WRONG_SECRET)
    left = everything_left(installation)
    orders = installation.systems.d365.orders_made()
    done = installation.command("run", "--json")
    return Commands(installation, deals, failed, left, orders, done, everything_left(installation))


def everything_left(installation: Installation) -> dict[str, str]:
    """Every file of the home and every row of the database as text, by place. Records themselves (the lake) are left out."""
    left = {str(path.relative_to(installation.home)): _text(path) for path in _files(installation.home)}
    engine = create_engine(installation.database_url)
    with engine.connect() as connection:
        for schema in inspect(engine).get_schema_names():
            if schema == "information_schema":
                continue
            for table in inspect(engine).get_table_names(schema):
                rows = connection.execute(text(f'SELECT t::text FROM "{schema}"."{table}" AS t')).scalars()
                left[f"{schema}.{table}"] = "\n".join(rows)
    engine.dispose()
    return left


def _files(home: Path) -> Iterator[Path]:
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.relative_to(home).parts[0] != "lake":
            yield path


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def test_a_run_that_cannot_be_done_ends_with_2_and_one_line_that_says_what_to_do(commands: Commands) -> None:
    *progress, complaint = commands.failed.stderr.splitlines()

    assert commands.failed.returncode == 2
    assert commands.failed.stdout == ""
    assert complaint == (
        "tieout: The run failed. Entra at 127.0.0.1 refuses the sign-in of client tieout-sandbox: AADSTS7000215. The secret is "
        "wrong. Put the secret's value (not its id) into D365_CLIENT_SECRET."
    )
    assert all(line.startswith("· ") for line in progress)
    assert "· d365/customer failed" in progress


def test_the_failed_run_sent_nothing_and_the_next_one_does_everything(commands: Commands) -> None:
    summary = json.loads(commands.done.stdout)

    assert commands.orders_before == []
    assert commands.done.returncode == 1, commands.done.stderr
    assert commands.installation.systems.d365.orders_made() == [deal.order for deal in commands.deals[:2]]
    assert summary["deliveries"] == {"confirmed": 3, "rejected": 1}
    assert summary["changes"]["d365"]["sales_order"] == {"created": 2, "updated": 0}


def test_no_secret_and_no_token_is_left_anywhere(commands: Commands) -> None:
    said = {"stderr": commands.failed.stderr + commands.done.stderr, "stdout": commands.done.stdout}
    places = {**commands.left_by_failed, **commands.left_at_last, **said}

    assert {"logs", "tieout.delivery", "public.event_logs"} <= {*places, *(place.split("/")[0] for place in places)}
    for secret in (WRONG_SECRET, RIGHT_SECRET, *TOKENS):
        assert [place for place, content in places.items() if secret in content] == []


def test_the_failed_run_left_no_name_street_phone_or_mail_outside_the_lake(commands: Commands) -> None:
    for personal in PERSONAL_TEXTS:
        assert [place for place, content in commands.left_by_failed.items() if personal in content] == []


def test_logs_and_attempts_never_hold_a_name_street_phone_or_mail(commands: Commands) -> None:
    """The payload of a delivery, the values of a break and the report are there to be read by people who may; logs are not."""
    may_hold = ("reports/", "tieout.delivery", "tieout.break")

    for personal in [*PERSONAL_TEXTS, "Zwiebelfisch"]:
        places = [place for place, content in commands.left_at_last.items() if personal in content]
        assert "tieout.delivery" in places
        assert [place for place in places if not place.startswith(may_hold)] == []
        assert personal not in commands.failed.stderr + commands.done.stderr + commands.done.stdout


def test_no_raw_page_is_left_on_the_disk(commands: Commands) -> None:
    assert not [place for place in {**commands.left_by_failed, **commands.left_at_last} if place.startswith("landing/")]
