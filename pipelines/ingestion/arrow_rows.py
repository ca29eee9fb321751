"""Parquet and Arrow files, read as a stream of rows.

Values that Python cannot hold, such as a date after the year 9999, cost their row.
"""

from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from siftline.pipelines.ingestion.padding import cleaners_of, without_padding
from siftline.pipelines.ingestion.rows import (
    BadRow,
    BrokenFileError,
    check_names,
    raw_of,
    shown,
    within,
)
from siftline.pipelines.ingestion.values import TOO_DEEP, BadRecordError, StoredAsBytes

# Bounds what rows that share a large value come to: a dictionary stores once what each row holds.
_BATCH_ROWS = 16
_BATCH_BYTES = 16 << 20

# What Arrow raises for a value that Python cannot hold: years, time zones, fields of one name.
_UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError)


_STORED: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pa.types.is_string, pa.binary()),
    (pa.types.is_large_string, pa.large_binary()),
    (pa.types.is_string_view, pa.binary_view()),
    (pa.types.is_date32, pa.int32()),
    (pa.types.is_time32, pa.int32()),
    (pa.types.is_date64, pa.int64()),
    (pa.types.is_time64, pa.int64()),
)
_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_LISTS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Field], pa.DataType]], ...] = (
    (pa.types.is_list, pa.list_),
    (pa.types.is_large_list, pa.large_list),
)


def read_arrow(stream: IO[bytes], kind: str, limit: int) -> Iterator[dict[str, Any] | BadRow]:
    """Yield the rows of a columnar file.

    Some megabytes of a Parquet file are held at a time, or few rows where these are larger, and
    one record batch of an Arrow file.

    Args:
        stream: Can be read at random.
        kind: `.parquet`; anything else is Arrow's file or stream format.
        limit: Bytes of the largest row that is read.

    Raises:
        BrokenFileError: A column's name occurs twice, or is not UTF-8.
        pa.ArrowException: The file is damaged.
        OSError: Likewise.
    """
    for batch in _parquet(stream) if kind == ".parquet" else map(_checked, _arrow(stream)):
        size = _rows_within(batch.nbytes, len(batch))
        binary = binary_columns(batch.schema)
        for start in range(0, len(batch), size):
            for row in _rows(batch.slice(start, size)):
                yield row if isinstance(row, BadRow) else within(with_texts(row, binary), limit)


def binary_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that hold bytes, which may be texts."""
    return [field.name for field in schema if _holds_bytes(field.type)]


def _holds_bytes(kind: pa.DataType) -> bool:
    inner = [kind.value_type] if pa.types.is_dictionary(kind) else []
    inner += [kind.field(place).type for place in range(kind.num_fields)]
    return any(is_bytes(kind) for is_bytes in _BYTES) or any(map(_holds_bytes, inner))


def with_texts(row: dict[str, Any], binary: list[str]) -> dict[str, Any]:
    """Return a row whose columns of bytes are texts where they can be."""
    for name in binary:
        value = _as_text(row.get(name))
        row[name] = StoredAsBytes(value) if isinstance(value, str) else value
    return row


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, dict):
        return {key: _as_text(entry) for key, entry in value.items()}
    if isinstance(value, tuple):  # of a map
        return tuple(map(_as_text, value))
    return [_as_text(entry) for entry in value] if isinstance(value, list) else value


def _rows_within(size: int, rows: int) -> int:
    """Return how many rows of so many bytes are read at once."""
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * rows // max(size, 1)))


def _parquet(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    # Buffered, or all of a row group is read before the first of its rows.
    file = pq.ParquetFile(
        stream, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
    )
    check_schema(file.schema_arrow)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        rows = _rows_within(group.total_byte_size, group.num_rows)
        yield from file.iter_batches(batch_size=rows, row_groups=[number], use_threads=False)


def _arrow(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    try:
        file = pa.ipc.open_file(stream)
    except pa.ArrowInvalid:  # not the file format, so the stream format
        stream.seek(0)
        reader = pa.ipc.open_stream(stream)
        check_schema(reader.schema)
        yield from reader
        return
    check_schema(file.schema)
    for index in range(file.num_record_batches):
        yield file.get_batch(index)


def check_schema(schema: pa.Schema) -> None:
    """Check that each column, and each field of a struct in one, has a name of its own.

    Raises:
        BrokenFileError: Two have the same, or a name is not UTF-8.
    """
    try:
        names = schema.names
    except UnicodeDecodeError as error:
        raise BrokenFileError("a column's name is not UTF-8") from error
    check_names(names)
    for field in schema:
        _check_fields(field.type, field.name)


def _check_fields(kind: pa.DataType, name: str) -> None:
    """Check that no struct inside a column has two fields of one name."""
    inner = [kind.field(place) for place in range(kind.num_fields)]
    if pa.types.is_struct(kind):
        try:
            check_names([field.name for field in inner])
        except BrokenFileError as error:
            raise BrokenFileError(f"in the column '{name}', {error}", error.remedy) from error
    for field in inner:
        _check_fields(field.type, name)


def _rows(piece: pa.RecordBatch) -> list[dict[str, Any] | BadRow]:
    """Return some rows; where they cannot be read at once, each by itself."""
    try:
        rows: list[dict[str, Any] | BadRow] = piece.to_pylist()
    except (*_UNREADABLE, RecursionError):
        rows = [_row(piece.slice(index, 1)) for index in range(len(piece))]
    if not cleaners_of(piece.schema):
        return rows
    return [row if isinstance(row, BadRow) else _cleaned(row, piece.schema) for row in rows]


def _cleaned(row: dict[str, Any], schema: pa.Schema) -> dict[str, Any] | BadRow:
    try:
        return without_padding(row, schema)
    except BadRecordError as error:
        return BadRow(error.reason, str(error), raw_of(row))


def _row(piece: pa.RecordBatch) -> dict[str, Any] | BadRow:
    row: dict[str, Any] = {}
    fault: tuple[str, str] | None = None
    for name, column in zip(piece.schema.names, piece.columns, strict=True):
        try:
            row[name] = column.to_pylist()[0]
        except UnicodeDecodeError as error:
            fault = fault or ("invalid_utf8", f"'{name}': {error}")
            is_text = pa.types.is_string(column.type)
            row[name] = shown(column.cast(pa.binary())[0].as_py()) if is_text else None
        except _UNREADABLE as error:
            detail = f"'{name}' of type {column.type} holds what Python cannot: {error}"
            fault = fault or ("unreadable_value", detail)
        except RecursionError:
            fault = fault or ("wrong_type", TOO_DEEP)
    return row if fault is None else BadRow(*fault, raw_of(row))


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Check that what a batch says of its own memory is so, before it is followed.

    Raises:
        pa.ArrowInvalid: It is not; the file is damaged.
    """
    batch.validate()
    for column in batch.columns:
        column.view(_stored(column.type)).validate(full=True)
    return batch


def _stored(kind: pa.DataType) -> pa.DataType:
    """Return a type as it is stored, so that its structure is checked and not its values.

    A text that is not UTF-8, or a time of 25 hours, costs its row and not the file.
    """
    for is_kind, stored in _STORED:
        if is_kind(kind):
            return stored
    if pa.types.is_decimal(kind):
        return pa.binary(kind.bit_width // 8)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind])
    for is_kind, make in _LISTS:
        if is_kind(kind):
            return make(kind.value_field.with_type(_stored(kind.value_type)))
    return kind
