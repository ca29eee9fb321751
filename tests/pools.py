"""Conversations on disk, and tiny models in folders, for tests of what trains and scores them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from tiny_models import tiny_model, tiny_tokenizer

from siftline.contracts.corpus import EXAMPLES, Corpus
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.parquet import write_table
from siftline.contracts.runtime import Runtime

Turns = Sequence[tuple[str, str]]


def asked(question: str, answer: str) -> Turns:
    """Return a conversation of one question."""
    return [("user", question), ("assistant", answer)]


def table_of(talks: Mapping[str, Turns]) -> pa.Table:
    """Return conversations, by id, in the schema of the examples."""
    rows = [
        {
            "id": name,
            "content_hash": f"h-{name}",
            "prompt_id": f"p-{turns[0][1]}",
            "messages": [{"role": role, "content": content} for role, content in turns],
            "source": "s",
            "metadata": "{}",
        }
        for name, turns in talks.items()
    ]
    return pa.Table.from_pylist(rows, schema=EXAMPLES)


def corpus_in(folder: Path, talks: Mapping[str, Turns]) -> Corpus:
    """Write conversations as one shard, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(table_of(talks), folder / "a.parquet")
    return Corpus.open(folder)


def save_tiny(folder: Path, kind: str = "Llama", **changes: Any) -> Path:
    """Write a tiny model and its tokenizer."""
    tiny_model(kind, **changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def runtime_of(folder: Path, dtype: Any = "float32", **fields: Any) -> Runtime:
    """Return a runtime in which the model of a folder plays the role `m`."""
    return Runtime(models={"m": ModelSpec(name=str(folder), dtype=dtype)}, device="cpu", **fields)
