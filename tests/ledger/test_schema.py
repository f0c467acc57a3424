"""The ledger's schema."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError

from resources.ledger import Ledger, connect, upgrade
from resources.ledger.attempts import AttemptResult, NewAttempt
from resources.ledger.tables import SCHEMA, metadata
from tests.conftest import PROJECT
from tests.ledger.writes import an_order
from tieout.errors import ConfigurationError, SourceUnavailable


def _differences_to_the_tables(url: str) -> list[object]:
    with connect(url).connect() as connection:
        options = {
            "include_schemas": True,
            "version_table_schema": SCHEMA,
            "include_name": lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_the_migrations_build_exactly_the_tables(ledger_url: str) -> None:
    assert _differences_to_the_tables(ledger_url) == []


def test_upgrading_a_second_time_changes_nothing(ledger_url: str) -> None:
    upgrade(ledger_url)

    assert _differences_to_the_tables(ledger_url) == []


@pytest.mark.parametrize(
    "statement",
    ["update tieout.attempt set request = ''", "delete from tieout.attempt_result", "truncate tieout.decision"],
)
def test_what_was_attempted_and_decided_cannot_be_changed(ledger: Ledger, ledger_url: str, statement: str) -> None:
    [attempt] = ledger.attempts.begin([NewAttempt("customer", "update", "001", "to_salesforce")], "run")
    ledger.attempts.end([AttemptResult(attempt, "confirmed", "confirmed", 1, api_calls=1)])  # type: ignore[arg-type]

    with connect(ledger_url).begin() as connection, pytest.raises(IntegrityError, match="append-only"):
        connection.execute(text(statement))


def test_the_database_itself_refuses_a_second_create_of_one_business_key(ledger: Ledger, ledger_url: str) -> None:
    ledger.deliveries.plan([an_order("A")], "run")

    copy = "insert into tieout.delivery select (jsonb_populate_record(delivery, jsonb_build_object('id', 99))).* from tieout.delivery"
    with connect(ledger_url).begin() as connection, pytest.raises(IntegrityError, match="uq_delivery_create"):
        connection.execute(
            text(copy.replace("insert into tieout.delivery", "insert into tieout.delivery overriding system value"))
        )


def test_an_address_for_another_driver_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql\+psycopg2"):
        connect("postgresql://localhost/x")


def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    url = "postgresql+psycopg2://me:canary-secret@127.0.0.1:1/none"

    for use in (upgrade, lambda url: Ledger(connect(url)).deliveries.counts()):
        with pytest.raises(
            SourceUnavailable, match=r"127\.0\.0\.1:1/none cannot be reached.*TIEOUT_DATABASE_URL"
        ) as problem:
            use(url)
        assert "canary-secret" not in str(problem.value)


def test_two_processes_may_upgrade_at_once(new_database: Callable[..., str]) -> None:
    url = new_database()
    command = [sys.executable, "-c", "import sys; from resources.ledger import upgrade; upgrade(sys.argv[1])", url]

    both = [subprocess.Popen(command, cwd=PROJECT) for _ in range(2)]

    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert _differences_to_the_tables(url) == []


def test_an_error_of_the_database_does_not_repeat_what_was_written(ledger_url: str) -> None:
    """Errors end in logs, and the parameters of a statement are payloads with names and streets."""
    with connect(ledger_url).connect() as connection, pytest.raises(DataError) as error:
        connection.execute(text("select 1 / 0 where :name <> ''"), {"name": "Ingeborg Zwiebelfisch"})

    assert "division by zero" in str(error.value)
    assert "Zwiebelfisch" not in str(error.value)
