"""Trajectories that the user has measured, by id, in place of a proxy's."""

import math
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.contracts import progress
from siftline.contracts.computation import ReadsFile
from siftline.contracts.errors import InputError
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.likelihood import NOT_FINITE, OK
from siftline.scorers.trajectory import Loss, trajectory_table

MISSING = "missing"  # the file does not hold this row


class GivenTrajectory(ReadsFile, Scorer):
    """Trajectories that the user has measured, in the table `trajectory`, as :class:`Trajectory`.

    `tokens` and `truncated` are null, since the file does not state them.

    Attributes:
        file: Parquet with the columns `id` and `losses`, lists of one length; relative to the
            recipe. Its content is part of the identity of the scores.
    """

    table: ClassVar[str] = "trajectory"
    revision: ClassVar[int] = 1
    key: ClassVar[Key] = "id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look the rows up by id.

        Raises:
            InputError: The file is no Parquet, has other columns, holds an id twice, or its lists
                have several lengths.
        """
        ids = rows["id"].combine_chunks()
        given = _read_losses(runtime.base / self.file, ids)
        records = [_losses_of(given.by_id.get(row_id), given.width) for row_id in ids.to_pylist()]
        progress.advance(len(rows))
        return Scored(trajectory_table("id", ids, records))


class _Given(NamedTuple):
    """What a file holds of some rows.

    Attributes:
        by_id: Their losses, [checkpoints] each.
        width: How many losses each row of the file has.
    """

    by_id: dict[str, list[Any] | None]
    width: int


def _losses_of(losses: list[Any] | None, width: int) -> list[Loss]:
    if losses is None:
        return [Loss(MISSING)] * width
    return [
        Loss(OK, loss) if loss is not None and math.isfinite(loss) else Loss(NOT_FINITE)
        for loss in losses
    ]


def _read_losses(path: Path, ids: pa.Array) -> _Given:
    """Read the losses of some rows.

    Raises:
        InputError: The file is none of the expected form, or holds one of the ids twice.
    """
    try:
        schema = pq.read_schema(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"'{path.name}' is no Parquet file: {error}") from error
    if not {"id", "losses"} <= set(schema.names) or not _is_numbers(schema.field("losses").type):
        raise InputError(
            f"'{path.name}' has the columns {', '.join(schema.names)}; expected 'id', and 'losses' "
            "as lists of numbers, one for each checkpoint."
        )
    table = pq.read_table(path, columns=["id", "losses"])
    lengths = pc.unique(pc.list_value_length(table["losses"])).drop_null().to_pylist()
    if len(lengths) != 1 or not lengths[0]:
        raise InputError(
            f"'{path.name}' holds lists of {sorted(lengths)} losses; expected one length for all "
            "rows, the number of checkpoints."
        )
    table = table.set_column(0, "id", table["id"].cast(pa.string()))
    wanted = table.filter(pc.is_in(table["id"], value_set=ids))
    by_id = dict(zip(*wanted.to_pydict().values(), strict=True))
    if len(by_id) < len(wanted):
        raise InputError(
            f"'{path.name}' holds some ids several times; expected each id once, with its losses."
        )
    return _Given(by_id, lengths[0])


def _is_numbers(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_some(kind) for is_some in lists):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
