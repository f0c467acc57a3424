"""Where rows come from: one moment of the ledger, or one version of a table of the lake. Read only, and never longer than a minute."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from desk.feed.model import Edm, EntitySet
from desk.feed.problems import FeedProblem
from resources.lake import Lake
from resources.ledger import Ledger
from resources.workbench import duckdb_connection
from tieout.errors import SourceUnavailable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_S = 60
_QUERY_CANCELED = "57014"
_DUCKDB_TYPES: Mapping[Edm, str] = {
    Edm.TEXT: "VARCHAR",
    Edm.INT32: "INTEGER",
    Edm.INT64: "BIGINT",
    Edm.DECIMAL: "DECIMAL(28, 6)",
    Edm.BOOLEAN: "BOOLEAN",
    Edm.INSTANT: "TIMESTAMP WITH TIME ZONE",
    Edm.DATE: "DATE",
}
# DuckDB reads the Postgres dialect, with `$1` for a parameter.
_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Source(Protocol):
    """One state of the data, the same for all statements. `version` is that of the lake's table, None where there is none."""

    @property
    def version(self) -> int | None: ...

    def rows(self, statement: Select[Any]) -> Sequence[Mapping[str, Any]]:
        """All rows of a statement that has a limit."""
        ...

    def number(self, statement: Select[Any]) -> int:
        """The one number that a statement yields."""
        ...


@contextmanager
def opened(entity_set: EntitySet, ledger: Ledger, lake: Lake, version: int | None) -> Iterator[Source]:
    """The source of a set; `version` of the lake's table, None for the newest.

    FeedProblem 410 where that version is kept no more, 503 where an answer takes too long.
    """
    if entity_set.lake_key:
        with duckdb_connection() as con:
            yield _OfLake(con, _registered(con, entity_set, lake, version))
        return
    try:
        with ledger.read_only(timeout_s=LONGEST_S) as connection:
            yield _OfLedger(connection)
    except OperationalError as problem:
        if getattr(problem.orig, "pgcode", None) != _QUERY_CANCELED:
            raise
        raise FeedProblem(503, f"The answer takes longer than {LONGEST_S} s. Narrow it with $filter.") from problem


def _registered(con: "DuckDBPyConnection", entity_set: EntitySet, lake: Lake, version: int | None) -> int | None:
    columns = {each.name: _DUCKDB_TYPES[each.edm] for each in entity_set.stored}
    try:
        return lake.register(con, entity_set.relation, entity_set.lake_key, version, empty=columns)
    except SourceUnavailable as problem:
        if version is None:
            raise
        raise FeedProblem(
            410, "The reconciliation of the first page is kept no more. Begin with the first page."
        ) from problem


class _OfLedger:
    version: int | None = None

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def rows(self, statement: Select[Any]) -> Sequence[Mapping[str, Any]]:
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def number(self, statement: Select[Any]) -> int:
        return int(self._connection.execute(statement).scalar_one())


class _OfLake:
    def __init__(self, con: "DuckDBPyConnection", version: int | None) -> None:
        self._con = con
        self.version = version

    def rows(self, statement: Select[Any]) -> Sequence[Mapping[str, Any]]:
        found = self._run(statement)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def number(self, statement: Select[Any]) -> int:
        row = self._run(statement).fetchone()
        assert row is not None
        return int(row[0])

    def _run(self, statement: Select[Any]) -> "DuckDBPyConnection":
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return self._con.execute(compiled.string, [compiled.params[name] for name in compiled.positiontup or ()])
