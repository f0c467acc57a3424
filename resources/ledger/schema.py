"""Reaching the ledger's database, and bringing it to the newest schema: Alembic, run from Python, safe when several processes start at once."""

from pathlib import Path

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import OperationalError

from resources.ledger.json_exact import from_json, to_json
from resources.ledger.tables import SCHEMA
from tieout.errors import ConfigurationError, SourceUnavailable

_UPGRADE_LOCK = 7_205_119_004
"""Number of the advisory lock that one upgrading process holds; any constant that nobody else uses."""


def connect(database_url: str) -> Engine:
    """An engine whose JSON keeps decimals exact, and which says SourceUnavailable when the database cannot be reached.

    `database_url` begins with `postgresql+psycopg2://`.
    """
    url = make_url(database_url)
    if url.drivername != "postgresql+psycopg2":
        raise ConfigurationError(
            f"The ledger's address begins with {url.drivername}://. Write postgresql+psycopg2://, the driver that is installed."
        )
    engine = create_engine(
        url,
        json_serializer=to_json,
        json_deserializer=from_json,
        pool_pre_ping=True,
        # Errors are logged, and the parameters of a statement are names and streets.
        hide_parameters=True,
    )
    address = url.render_as_string(hide_password=True)

    @event.listens_for(engine, "handle_error")
    def name_what_is_unreachable(context: ExceptionContext) -> None:
        lost = context.connection is None or context.is_disconnect
        if lost and isinstance(context.sqlalchemy_exception, OperationalError):
            raise SourceUnavailable(
                f"The ledger's database at {address} cannot be reached. Check TIEOUT_DATABASE_URL."
            ) from context.original_exception

    return engine


def upgrade(database_url: str) -> None:
    """Create the schema `tieout` or bring it to the newest version; does nothing where it is there already."""
    from alembic import command  # imported here: only the first use of a process pays for it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = connect(database_url)
    try:
        with engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:lock)"), {"lock": _UPGRADE_LOCK})
            try:
                connection.execute(text(f"create schema if not exists {SCHEMA}"))
                connection.commit()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                connection.commit()
            finally:
                connection.rollback()
                connection.execute(text("select pg_advisory_unlock(:lock)"), {"lock": _UPGRADE_LOCK})
                connection.commit()
    finally:
        engine.dispose()
