"""The lake: Delta tables by key, in a folder or in an object store, each written so that every version can be read again.

A key such as ("salesforce", "account") names a table. What the rows mean and how they are typed is decided by those who write them.
"""

import re
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from resources.lake_merge import (
    HASH_COLUMN,
    THERE,
    MergeCounts,
    all_new,
    bring_keys,
    compare,
    new_rows,
    whole_content,
    workbench,
)
from resources.lake_rows import Data, Rows, agreed, rows_of
from tieout.errors import ConfigurationError, SourceUnavailable
from tieout.sql import literal, quoted

if TYPE_CHECKING:
    import pyarrow.dataset  # brings pandas with it, which loading the definitions must not pay for

Key = Sequence[str]
T = TypeVar("T")

__all__ = ["Key", "Lake", "MergeCounts"]

_WRITER = "tieout"
# Ten years. Delta's own default forgets the log after 30 days, and with it the versions that a reconciliation was made from.
_KEEP = {"delta.logRetentionDuration": "interval 3650 days", "delta.deletedFileRetentionDuration": "interval 3650 days"}
_COMMIT_ATTEMPTS = 8
# Delta's writer keeps a row group and a file in memory until it is full: by its own sizes a million rows and 100 MB.
_ROWS_IN_GROUP = 20_000
_BYTES_IN_FILE = 32 << 20
_KEY_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Delta takes the first six for parts of an address, DuckDB the last two for patterns.
_UNUSABLE_IN_FOLDER = frozenset("%[]|^\\*?")


class Lake:
    """The Delta tables below `url`: a folder, `abfss://…` or `s3://…`.

    How an object store is signed in to is read from the environment (AWS_…, AZURE_…), unless `storage_options` says it.
    """

    def __init__(self, url: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        text = str(url)
        self._folder = _local_folder(text)
        if self._folder is not None and (wrong := _UNUSABLE_IN_FOLDER & set(str(self._folder))):
            raise ConfigurationError(
                f"The lake cannot be kept in {self._folder}: take {' '.join(sorted(wrong))} out of the folder's name, or "
                "set TIEOUT_LAKE_URL to another one."
            )
        self.url = str(self._folder) if self._folder is not None else text.rstrip("/")
        self._options = dict(storage_options) if storage_options else None

    def path(self, key: Key) -> str:
        """Where the table is: a path, or an address in the object store."""
        parts = tuple(key)
        if isinstance(key, str) or not parts or not all(_KEY_PART.fullmatch(part) for part in parts):
            raise ValueError(f"{key!r} is no key of a table: give its parts, such as ('salesforce', 'account').")
        return "/".join([self.url, *parts])

    def exists(self, key: Key) -> bool:
        """Whether the table was ever written."""
        return bool(DeltaTable.is_deltatable(self.path(key), storage_options=self._options))

    def version(self, key: Key) -> int | None:
        """The newest version, counted from 0; None where there is no table."""
        return int(self._open(key).version()) if self.exists(key) else None

    def row_count(self, key: Key, version: int | None = None) -> int:
        """Rows of the table; 0 where there is none."""
        return int(self._open(key, version).count()) if self.exists(key) else 0

    def history(self, key: Key, versions: int) -> list[tuple[int, datetime]]:
        """The newest versions that hold something, newest first, and when each was made (UTC)."""
        entries = self._open(key).history(versions)
        return [(int(entry["version"]), datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)) for entry in entries]

    def schema(self, key: Key, version: int | None = None) -> pa.Schema:
        """The columns of the table in their order, in Arrow types."""
        return _schema_of(self._open(key, version))

    def dataset(self, key: Key, version: int | None = None) -> "pyarrow.dataset.Dataset":
        """The table for lazy reading; the version stays the same whatever is written meanwhile."""
        return self._dataset(self._open(key, version))

    def register(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        key: Key,
        version: int | None = None,
        empty: Mapping[str, str] | None = None,
    ) -> int | None:
        """Make `name` a view of the table on a DuckDB connection; returns the version that it shows.

        `empty` (column: DuckDB type) says which columns the reader relies on: those that the table does not have are NULL, and without a
        table the view has them and no row (None is returned). Without `empty` a missing table is SourceUnavailable.
        """
        if empty is not None and not self.exists(key):
            columns = ", ".join(f"NULL::{kind} AS {quoted(column)}" for column, kind in empty.items())
            con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {columns} WHERE FALSE")
            return None
        table = self._open(key, version)
        schema = _schema_of(table)
        absent = {column: kind for column, kind in (empty or {}).items() if column not in schema.names}
        self._view(con, name, table, schema, absent)
        return int(table.version())

    def merge(
        self,
        key: Key,
        data: Data,
        *,
        on: str = "_key",
        version_column: str | None = None,
        delete_keys: Iterable[str] | duckdb.DuckDBPyRelation | None = None,
    ) -> MergeCounts:
        """Bring the table up to date with `data`, which has one row for each value of `on`, and `_row_hash`.

        Written are rows that are new, or whose hash differs and whose `version_column` is not older than the one that is there. Rows of
        `delete_keys` leave the table, unless `data` has them. Nothing to write makes no version. The table is made when it is missing, and
        gets the columns that it has not; a column that `data` lacks stays. Another writer's commit in between is met by doing it again.
        Raises ContractError where a column changed its type, ValueError where `on` is empty or repeated.
        """
        gone = _keys_of(delete_keys)
        with _scratch() as scratch, closing(rows_of(data, scratch, required=(on, HASH_COLUMN))) as rows:
            return self._committed(lambda: self._merge_once(key, rows, on, version_column, gone, scratch))

    def replace(self, key: Key, data: Data) -> int:
        """Make `data` the whole content, with its columns and types; returns the version. Older versions stay readable."""
        with _scratch() as scratch, closing(rows_of(data, scratch)) as rows:

            def write() -> None:
                there = self._there(key)
                self._commit(key, there, rows.reader(agreed(key, rows.schema, None)), mode="overwrite")

            self._committed(write)
            return int(self._open(key).version())

    def append(self, key: Key, data: Data) -> int:
        """Add `data`, with new columns where it has some; returns the version. A second call adds the rows a second time."""
        with _scratch() as scratch, closing(rows_of(data, scratch)) as rows:

            def write() -> None:
                there = self._there(key)
                known = _schema_of(there) if there is not None else None
                self._commit(key, there, rows.reader(agreed(key, rows.schema, known)), mode="append")

            self._committed(write)
            return int(self._open(key).version())

    def _merge_once(
        self, key: Key, rows: Rows, on: str, version_column: str | None, gone: pa.Table, scratch: Path
    ) -> MergeCounts:
        with workbench(scratch) as con:
            bring_keys(con, rows, on, version_column, gone)
            there = self._there(key)
            if there is None:
                self._commit(key, None, rows.reader(agreed(key, rows.schema, None)), mode="append")
                return all_new(con)
            known = _schema_of(there)
            offered = agreed(key, rows.schema, known)
            self._view(con, THERE, there, known, {})
            counts = compare(con, on, version_column if version_column in known.names else None)
            new_columns = [column for column in offered if column.name not in known.names]
            if counts.updated or counts.deleted:
                self._commit(key, there, whole_content(con, rows, known, offered, on), mode="overwrite")
            elif counts.inserted:
                self._commit(key, there, new_rows(con, rows, offered, on), mode="append")
            elif new_columns:
                # A column that the contract got must be readable even before a row has a value in it.
                there.alter.add_columns(Schema.from_arrow(pa.schema(new_columns)).fields)
            return counts

    def _commit(
        self, key: Key, there: DeltaTable | None, rows: pa.RecordBatchReader, *, mode: Literal["append", "overwrite"]
    ) -> None:
        """Write one version. It fails where another one was made since `there` was opened."""
        sizes = WriterProperties(max_row_group_size=_ROWS_IN_GROUP)
        if there is None:
            write_deltalake(
                self.path(key),
                rows,
                mode="error",
                configuration=_KEEP,
                storage_options=self._options,
                target_file_size=_BYTES_IN_FILE,
                writer_properties=sizes,
            )
            return
        # Delta lets two appends pass that did not see each other; a number that both want to give keeps the second out.
        mine = CommitProperties(app_transactions=[Transaction(_WRITER, there.version() + 1)])
        if mode == "append":
            write_deltalake(
                there,
                rows,
                mode="append",
                schema_mode="merge",
                commit_properties=mine,
                target_file_size=_BYTES_IN_FILE,
                writer_properties=sizes,
            )
        else:
            write_deltalake(
                there,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                commit_properties=mine,
                target_file_size=_BYTES_IN_FILE,
                writer_properties=sizes,
            )

    def _there(self, key: Key) -> DeltaTable | None:
        return self._open(key) if self.exists(key) else None

    def _view(
        self,
        con: duckdb.DuckDBPyConnection,
        name: str,
        table: DeltaTable,
        schema: pa.Schema,
        absent: Mapping[str, str],
    ) -> None:
        """DuckDB's own reader where the files are local and have all columns; otherwise Arrow's."""
        files = self._local_files(table)
        extra = "".join(f", NULL::{kind} AS {quoted(column)}" for column, kind in absent.items())
        if files:
            relation = f"read_parquet([{', '.join(literal(file) for file in files)}], union_by_name = true)"
            inside = {row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
            if inside >= set(schema.names):
                columns = ", ".join(quoted(column) for column in schema.names)
                con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT {columns}{extra} FROM {relation}")
                return
        source = f"{name} in version {table.version()} {uuid.uuid4().hex}"
        con.register(source, schema.empty_table() if files == [] else self._dataset(table))
        con.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS SELECT *{extra} FROM {quoted(source)}")

    def _local_files(self, table: DeltaTable) -> list[str] | None:
        """Paths of the table's files; None in an object store."""
        if self._folder is None:
            return None
        folder = _folder_of(table)
        names = pa.table(table.get_add_actions(flatten=True)).column("path").to_pylist()
        return [f"{folder}/{unquote(name)}" for name in names]

    def _dataset(self, table: DeltaTable) -> "pyarrow.dataset.Dataset":
        if self._folder is None:
            return table.to_pyarrow_dataset()
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        # Arrow's own files, not Python's: a worker that lets go of one of those while the interpreter ends aborts the process.
        return table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(_folder_of(table), LocalFileSystem()))

    def _open(self, key: Key, version: int | None = None) -> DeltaTable:
        try:
            return DeltaTable(self.path(key), version=version, storage_options=self._options)
        except TableNotFoundError as missing:
            raise SourceUnavailable(
                f"The lake {self.url} has no table {'/'.join(key)} yet. Run the job that makes it first."
            ) from missing
        except DeltaError as problem:
            if version is None:
                raise
            raise SourceUnavailable(
                f"Version {version} of {'/'.join(key)} cannot be read from the lake {self.url}: {problem}"
            ) from problem

    def _committed(self, write: Callable[[], T]) -> T:
        """`write()`, again when another writer committed first: it then sees what that one wrote."""
        again = Retrying(
            retry=retry_if_exception_type((CommitFailedError, _MadeMeanwhileError)),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            stop=stop_after_attempt(_COMMIT_ATTEMPTS),
            reraise=True,
        )
        written: T = again(_told_apart, write)
        return written


class _MadeMeanwhileError(Exception):
    """Another writer made the table between our look and our write."""


def _told_apart(write: Callable[[], T]) -> T:
    try:
        return write()
    except CommitFailedError:
        raise
    except DeltaError as problem:
        if "already exists" in str(problem):
            raise _MadeMeanwhileError(str(problem)) from problem
        raise


def _schema_of(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _local_folder(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).resolve()
    return None if "://" in url else Path(url).expanduser().resolve()


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tieout-lake-") as folder:
        yield Path(folder)


def _keys_of(keys: "Iterable[str] | duckdb.DuckDBPyRelation | None") -> pa.Table:
    if isinstance(keys, duckdb.DuckDBPyRelation):
        return keys.to_arrow_table().rename_columns(["key"])
    return pa.table({"key": pa.array(list(keys or ()), pa.string())})


def _folder_of(table: DeltaTable) -> str:
    """Where a local table is; its address is percent-encoded, as are the names inside it."""
    return unquote(urlsplit(table.table_uri).path).rstrip("/")
