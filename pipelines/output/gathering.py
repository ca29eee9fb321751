"""The rows of a split in their order, read from the shards that hold them."""

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.pipelines.output.splits import Split
from siftline.pipelines.output.survey import Survey, file_slices


def pieces(split: Split, found: Survey) -> list[Split]:
    """Return a split in pieces that are small enough to be in memory, at least one."""
    slices = file_slices(found.sizes[split.rows])
    return [Split(split.name, split.rows[each], split.repeat[each]) for each in slices]


def gathered(corpus: Corpus, split: Split) -> pa.Table:
    """Read the rows of a split, each shard that holds some of them once, and put them in order."""
    shards = corpus.rows["shard"].to_numpy()[split.rows]
    positions = corpus.rows["position"].to_numpy()[split.rows]
    tables = [EXAMPLES.empty_table()]
    read = [np.empty(0, dtype=np.int64)]
    for number in np.unique(shards):
        here = np.flatnonzero(shards == number)
        tables.append(corpus.take(int(number), positions[here]))
        read.append(here)
    table = pa.concat_tables(tables)
    order = np.argsort(np.concatenate(read), kind="stable")
    in_order = bool((np.diff(order) == 1).all())
    return table if in_order else table.take(pa.array(order))
