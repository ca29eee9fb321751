"""Score tables from Python values and from arrays."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def table_of(records: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """Build a table from rows of values.

    Args:
        records: One value for each field of the schema, in its order.
        schema: Of the table.
    """
    columns = list(zip(*records, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(c), field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def vector_column(
    vectors: npt.NDArray[np.float32], missing: npt.NDArray[np.bool_] | None = None
) -> pa.LargeListArray:
    """Build a column of vectors.

    Arrow has lists of a fixed size, but before its version 26 it cannot read those with nulls back
    from Parquet.

    Args:
        vectors: [rows, dimensions].
        missing: [rows] True for the rows whose vector is null.
    """
    there = np.ones(len(vectors), dtype=bool) if missing is None else ~missing
    flat = pa.array(np.ascontiguousarray(vectors[there]).ravel(), pa.float32())
    ends = np.cumsum(there * vectors.shape[1], dtype=np.int64)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, flat, mask=pa.array(~there))


def matrix_of(column: pa.Array) -> npt.NDArray[np.float32]:
    """Return [rows, dimensions] the vectors of a column, without those that are null."""
    rows = len(column) - column.null_count
    flat: npt.NDArray[np.float32] = column.flatten().to_numpy()
    return np.ascontiguousarray(flat.reshape(rows, len(flat) // max(1, rows)))
