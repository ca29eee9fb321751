"""The curated dataset, which `datasets.load_dataset` and the trainers open.

One row per conversation, in the format that the recipe states (:mod:`siftline.pipelines.output.
formats`). Where a stage makes several splits, `training_order.json` says in which order they are to
be used. What was written in which order stays in the version (`written.parquet`), so that it can be
written again in another format.
"""

import time
from collections import Counter

import numpy as np
import pyarrow as pa

from siftline.contracts.columns import LANGUAGE
from siftline.contracts.corpus import Corpus
from siftline.contracts.examples import PARTS
from siftline.contracts.names import shown_name
from siftline.contracts.parquet import write_table
from siftline.contracts.publishing import published
from siftline.contracts.records import write_json
from siftline.pipelines.job import Job
from siftline.pipelines.manifest import ExportManifest
from siftline.pipelines.output.dataset import Written, write_dataset
from siftline.pipelines.output.formats.known import Layout
from siftline.pipelines.output.splits import TRAIN, Split, splits_of
from siftline.pipelines.output.training_order import TRAINING_ORDER, training_order

WRITTEN = "written.parquet"


def export(job: Job, corpus: Corpus) -> ExportManifest:
    """Write the rows that every stage has kept, in corpus order unless the recipe states another.

    The dataset card is written later, since it tells of the whole run.

    Args:
        job: The run.
        corpus: What the last stage has left.

    Raises:
        RecipeError: The recipe orders rows by a score that no stage has; nothing is written.
        RunError: The format cannot hold some rows; they are counted, and nothing is written.
    """
    started = time.monotonic()
    output = job.recipe.output
    splits = splits_of(corpus, output.order_by, output.descending, job.recipe.seed)
    with published(job.curated_folder) as building:
        written = write_dataset(corpus, splits, output, building)
        if splits[0].name != TRAIN:
            write_json(building / TRAINING_ORDER, training_order(corpus, splits, written.files))
    _write_order(job, corpus, splits)
    return manifest_of(corpus, written, splits, output, time.monotonic() - started)


def manifest_of(
    corpus: Corpus, written: Written, splits: list[Split], layout: Layout, seconds: float
) -> ExportManifest:
    """Return what is known of a dataset.

    Args:
        corpus: Whose rows.
        written: Its files.
        splits: Its rows.
        layout: What they look like.
        seconds: What writing it took.
    """
    found = written.found
    return ExportManifest(
        format=layout.format,
        reasoning=layout.reasoning,
        files=tuple(path for paths in written.files.values() for path in paths),
        digest=written.digest,
        rows=sum(len(split.rows) for split in splits),
        examples=len(np.unique(np.concatenate([split.rows for split in splits]))),
        splits={split.name: len(split.rows) for split in splits},
        turn_fields=found.turn_fields,
        tools=found.tools,
        json_fields=found.json_fields if layout.format == "messages" else (),
        media=((PARTS,) if found.parts else ()) + tuple(found.media),
        revised=written.revised,
        masked=written.masked,
        repeated=written.repeated,
        languages=_languages(corpus, splits),
        seconds=round(seconds, 3),
    )


def _write_order(job: Job, corpus: Corpus, splits: list[Split]) -> None:
    """Keep which rows were written, and in which order: split, id, repeat, and language if told."""
    ids = corpus.rows["id"].combine_chunks()
    rows = np.concatenate([split.rows for split in splits]).astype(np.int64)
    names = [split.name for split in splits for _ in split.rows]
    columns = {
        "split": pa.array(names, pa.string()),
        "id": ids.take(pa.array(rows)),
        "repeat": pa.array(np.concatenate([split.repeat for split in splits]), pa.int64()),
    }
    if LANGUAGE in corpus.score_columns:
        columns["language"] = corpus.column(LANGUAGE).take(pa.array(rows))
    write_table(pa.table(columns), job.version / WRITTEN)


def _languages(corpus: Corpus, splits: list[Split]) -> dict[str, int]:
    """Return how many rows are written in each language, the most frequent first."""
    if LANGUAGE not in corpus.score_columns:
        return {}
    codes = corpus.column(LANGUAGE).to_pylist()
    counts = Counter(shown_name(codes[row] or "") for split in splits for row in split.rows)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
