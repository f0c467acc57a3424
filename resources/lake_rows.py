"""Rows on their way into the lake: an Arrow table, a stream or a DuckDB relation, readable as often as a repeated write needs them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import duckdb
import pyarrow as pa

from tieout.errors import ContractError

if TYPE_CHECKING:
    import pyarrow.dataset  # brings pandas with it, which loading the definitions must not pay for

Data: TypeAlias = "pa.Table | pa.RecordBatchReader | duckdb.DuckDBPyRelation"

_BATCH_ROWS = 10_000


class Rows(Protocol):
    """Rows that can be read again and again, a batch at a time."""

    @property
    def schema(self) -> pa.Schema:
        """Their columns as they come."""

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        """All of them from the start, cast to `schema`, which has the same columns in the same order."""

    def columns(self, names: Sequence[str]) -> pa.Table:
        """A few narrow columns of all of them."""

    def close(self) -> None:
        """End a reading that was left half-way, which would block the connection of a relation."""


def rows_of(data: Data, scratch: Path, required: Sequence[str] = ()) -> Rows:
    """`data` as rows; a stream, which can be read only once, is put into a file in `scratch` first.

    Raises ValueError where a required column is missing.
    """
    from pyarrow import dataset

    rows: Rows
    if isinstance(data, duckdb.DuckDBPyRelation):
        rows = _OfRelation(data)
    elif isinstance(data, pa.RecordBatchReader):
        rows = _OfDataset(_spooled(data, scratch))
    else:
        rows = _OfDataset(dataset.dataset(data))
    missing = [name for name in required if name not in rows.schema.names]
    if missing:
        raise ValueError(f"The rows have no column {', '.join(missing)}. They have: {', '.join(rows.schema.names)}.")
    return rows


def storable(batches: pa.RecordBatchReader, schema: pa.Schema) -> pa.RecordBatchReader:
    """The same stream in the types of `schema`."""

    def cast() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.cast(schema)

    return pa.RecordBatchReader.from_batches(schema, cast())


class _OfRelation:
    """The result of a query, which DuckDB makes afresh at every reading."""

    def __init__(self, relation: duckdb.DuckDBPyRelation) -> None:
        self._relation = relation
        self._schema = relation.limit(0).to_arrow_table().schema
        self._running: pa.RecordBatchReader | None = None

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        self.close()
        self._running = self._relation.to_arrow_reader(_BATCH_ROWS)
        return storable(self._running, schema)

    def columns(self, names: Sequence[str]) -> pa.Table:
        self.close()
        return self._relation.select(*(duckdb.ColumnExpression(name) for name in names)).to_arrow_table()

    def close(self) -> None:
        if self._running is not None:
            self._running.close()
            self._running = None


class _OfDataset:
    """An Arrow table in memory, or a file."""

    def __init__(self, dataset: "pyarrow.dataset.Dataset") -> None:
        self._dataset = dataset

    @property
    def schema(self) -> pa.Schema:
        return self._dataset.schema

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        return storable(self._dataset.scanner(batch_size=_BATCH_ROWS).to_reader(), schema)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self._dataset.to_table(columns=list(names))

    def close(self) -> None:
        return


def _spooled(batches: pa.RecordBatchReader, scratch: Path) -> "pyarrow.dataset.Dataset":
    from pyarrow import dataset, parquet

    file = scratch / "rows.parquet"
    with parquet.ParquetWriter(file, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return dataset.dataset(file)


def agreed(key: Sequence[str], offered: pa.Schema, known: pa.Schema | None) -> pa.Schema:
    """The columns of `offered` in the types in which the table `key` has them (`known`), or will have them.

    Raises ContractError where the table has one in another type.
    """
    fields: list[pa.Field] = []
    for column in offered:
        there = known.field(column.name).type if known is not None and column.name in known.names else None
        if pa.types.is_null(column.type):
            fields.append(pa.field(column.name, there or pa.string()))
            continue
        kind = _delta_type(column.type)
        if there is not None and _delta_type(there) != kind:
            raise ContractError(
                f"Column {column.name} of lake table {'/'.join(key)} holds {there}, the new rows hold {kind}. "
                f"Give it the old type in the contract, or a new name, or remove the table to have it read again."
            )
        fields.append(pa.field(column.name, kind))
    return pa.schema(fields)


def _delta_type(kind: pa.DataType) -> pa.DataType:
    """The type in which Delta stores `kind`: it knows one kind of text, signed integers, and instants in UTC microseconds."""
    if pa.types.is_dictionary(kind):
        return _delta_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp("us", tz="UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _delta_type(kind.value_type)))
    return kind
