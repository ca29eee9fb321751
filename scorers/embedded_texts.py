"""What scorers that embed have in common: a vector for each text, a status where there is none."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored
from siftline.models.embedding import Embedder
from siftline.models.likelihood import OK
from siftline.scorers.tables import vector_column


def embedded_texts(
    rows: pa.Table, key: Key, made: Sequence[tuple[str, str]], embedder: Embedder, runtime: Runtime
) -> Scored:
    """Embed a text of each row.

    Args:
        rows: What is scored.
        key: Of the scorer.
        made: [rows] Status and text; only texts with the status `ok` are embedded.
        embedder: That embeds them.
        runtime: Its limits.

    Returns:
        The key, `status`, and `vector`, float32 of length one, or null.
    """
    seen = np.array([status == OK for status, _ in made], dtype=bool)
    progress.advance(int((~seen).sum()))
    embedded = embedder.embed(
        [text for status, text in made if status == OK],
        max_batch_tokens=runtime.max_batch_tokens,
        on_batch=progress.advance,
    )
    vectors = np.zeros((len(made), embedded.vectors.shape[1]), dtype=np.float32)
    vectors[seen] = embedded.vectors
    columns = {
        key: rows[key],
        "status": pa.array([status for status, _ in made], pa.string()),
        "vector": vector_column(vectors, missing=~seen),
    }
    return Scored(pa.table(columns), embedded.usage)
