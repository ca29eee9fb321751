"""Datasets written from rows that a test has built, for the tests of the formats."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import EXAMPLES, Corpus, shard_name
from siftline.contracts.parquet import write_table
from siftline.pipelines.output.dataset import Written, write_dataset
from siftline.pipelines.output.formats.known import FormatName, Layout, ReasoningPlace
from siftline.pipelines.output.splits import Split


def corpus_of(folder: Path, rows: Sequence[dict[str, Any]], shard_rows: int = 4) -> Corpus:
    """Write rows of the examples in shards, and open them."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=EXAMPLES)
    for place in range(0, max(1, len(table)), shard_rows):
        write_table(table.slice(place, shard_rows), folder / shard_name(place // shard_rows))
    return Corpus.open(folder)


def export_rows(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    name: FormatName = "messages",
    split: str = "train",
    reasoning: ReasoningPlace = "field",
) -> Written:
    """Write rows of the examples as one split of a dataset, in `folder/dataset`."""
    corpus = corpus_of(folder / "examples", rows)
    numbers = np.arange(len(corpus))
    splits = [Split(split, numbers, np.zeros(len(corpus), dtype=np.int64))]
    return write_dataset(
        corpus, splits, Layout(format=name, reasoning=reasoning), folder / "dataset"
    )


def read_lines(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    """Read the lines of a split that :func:`export_rows` has written."""
    text = (folder / "dataset" / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
