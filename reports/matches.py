"""What the rows of the report were matched with: rows of the corpus, or texts from outside of it.

A verdict names its match. Where that is the id of a row, the page shows the row; where it is not,
such as a question of a benchmark, the stage may have left the text in its pictures under `matched`:
by the name of the match, its `prompt` and `response`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from siftline.pipelines.record import StageRecord


class Match(NamedTuple):
    """What a verdict is due to.

    Attributes:
        name: As the verdict has it.
        similarity: Of the row and its match, from 0 to 1; None where the verdict has none.
        is_row: Whether the name is the id of a row.
        given: Prompt and response, where the stage has left them.
    """

    name: str
    similarity: float | None
    is_row: bool
    given: Mapping[str, str] | None


def matches_of(stage: StageRecord, shown: Iterable[str], ids: pa.ChunkedArray) -> dict[str, Match]:
    """Return the matches of those rows of a stage that have one, by id.

    Args:
        stage: What it has left.
        shown: Ids of the rows.
        ids: Of all rows that were read.
    """
    wanted = pc.is_in(stage.verdicts["id"], value_set=pa.array(list(shown), pa.string()))
    matched = stage.verdicts.filter(pc.and_(wanted, pc.is_valid(stage.verdicts["match"])))
    is_row = pc.is_in(matched["match"], value_set=ids.combine_chunks()).to_pylist()
    given: dict[str, Any] = stage.manifest.pictures.get("matched", {})
    return {
        row["id"]: Match(row["match"], row["similarity"], known, given.get(row["match"]))
        for row, known in zip(matched.to_pylist(), is_row, strict=True)
    }
