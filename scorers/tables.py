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
) -> pa.FixedSizeListArray:
    """Build a column of vectors.

    Args:
        vectors: [rows, dimensions].
        missing: [rows] True for the rows whose vector is null.
    """
    flat = pa.array(np.ascontiguousarray(vectors).ravel(), pa.float32())
    mask = None if missing is None else pa.array(missing)
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1], mask=mask)
