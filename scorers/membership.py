"""Which rows an earlier curated dataset holds already, by id."""

from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siftline.contracts import progress
from siftline.contracts.computation import ReadsFile
from siftline.contracts.errors import InputError
from siftline.contracts.parquet import dataset_files
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer


class Membership(ReadsFile, Scorer):
    """Whether each row is in a dataset, in the table `initial_subset`, column `member`.

    Attributes:
        file: Parquet with the column `id`, or a folder of `*.parquet`, such as the `curated` folder
            of a finished version; relative to the recipe. Its content is part of the identity of
            the scores, so name a version (`v0007`), not `latest`, which the run itself moves on.
    """

    table: ClassVar[str] = "initial_subset"
    revision: ClassVar[int] = 1
    key: ClassVar[Key] = "id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Look the rows up by id.

        Raises:
            InputError: There is no such file, it is no Parquet, or it has no column `id`.
        """
        ids = rows["id"].combine_chunks()
        member = pc.is_in(ids, value_set=_read_ids(runtime.base / self.file))
        progress.advance(len(rows))
        return Scored(pa.table({"id": ids, "member": member}))


def _read_ids(path: Path) -> pa.Array:
    paths = dataset_files(path)
    if not paths:
        raise InputError(
            f"'{path}' holds no *.parquet; expected the folder of a curated dataset, or a file."
        )
    chunks = [chunk for each in paths for chunk in _ids_of(each).chunks]
    return pa.chunked_array(chunks, pa.string()).combine_chunks()


def _ids_of(path: Path) -> pa.ChunkedArray:
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"'{path}' cannot be read as Parquet: {error}. Expected a curated dataset."
        ) from error
    if "id" not in names:
        raise InputError(
            f"'{path.name}' has the columns {', '.join(names)}; expected 'id', by which rows of an "
            "earlier dataset are found."
        )
    if "decision" in names:
        raise InputError(
            f"'{path.name}' names every row that was read, dropped ones too; expected the folder "
            "'curated' beside it."
        )
    return pq.read_table(path, columns=["id"])["id"].cast(pa.string())
