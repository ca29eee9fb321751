"""What the rows to be exported hold: how large they are, and which fields they use."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.columns import LANGUAGE
from siftline.contracts.corpus import Corpus
from siftline.contracts.examples import PARTS, TURN_FIELDS

_TEXTS = ("content", "reasoning", "tool_calls")
_BESIDE = ("metadata", "tools", "media")

ROWS_PER_FILE = 100_000
BYTES_PER_FILE = 256 << 20  # of texts: a file is gathered in memory


class Survey(NamedTuple):
    """What one pass over the texts of a corpus has found.

    Attributes:
        sizes: [rows] Bytes of each row's messages, tools, media and metadata.
        turn_fields: Fields of turns, beside role and content, that some row has.
        tools: Some row offers tools.
        parts: The content of some turn came in parts, such as a text and an image.
        media: The columns of images, sounds and files, by name: they hold a `text` in each row,
            `texts`, or something else, which is `json`.
        language: A stage has told the languages of the rows.
    """

    sizes: npt.NDArray[np.int64]
    turn_fields: tuple[str, ...]
    tools: bool = False
    parts: bool = False
    media: Mapping[str, str] = {}
    language: bool = False

    @property
    def json_fields(self) -> tuple[str, ...]:
        """What differs in shape from row to row, so that `messages` has it as JSON."""
        found = {
            "content": self.parts,
            "tool_calls": "tool_calls" in self.turn_fields,
            "tools": self.tools,
            **{name: kind == "json" for name, kind in self.media.items()},
        }
        return tuple(name for name, is_json in found.items() if is_json)


def survey(corpus: Corpus) -> Survey:
    """Look at every row once, shard by shard."""
    sizes = np.zeros(len(corpus), dtype=np.int64)
    fields: set[str] = set()
    tools, media = False, _Media()
    shards = corpus.rows["shard"].to_numpy()
    positions = corpus.rows["position"].to_numpy()
    for number in range(len(corpus.shards)):
        here = np.flatnonzero(shards == number)
        table = corpus.take(number, positions[here])
        messages = table["messages"].combine_chunks()
        sizes[here] = _bytes_of(messages)
        for name in _BESIDE:
            sizes[here] += pc.fill_null(pc.binary_length(table[name]), 0).to_numpy()
        turns = pc.list_flatten(messages)
        fields |= {
            name for name in TURN_FIELDS if pc.struct_field(turns, name).null_count < len(turns)
        }
        tools = tools or table["tools"].null_count < len(table)
        for text in table["media"].drop_null().to_pylist():
            media.see(json.loads(text))
    return Survey(
        sizes,
        tuple(name for name in TURN_FIELDS if name in fields),
        tools,
        media.parts,
        dict(sorted(media.columns.items())),
        LANGUAGE in corpus.score_columns,
    )


class _Media:
    """What the rows with images, sounds or files have."""

    def __init__(self) -> None:
        self.parts = False
        self.columns: dict[str, str] = {}

    def see(self, media: dict[str, Any]) -> None:
        """Look at one row."""
        for name, value in media.items():
            if name == PARTS:
                self.parts = True
            else:
                kind = _kind(value)
                self.columns[name] = kind if self.columns.get(name, kind) == kind else "json"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "texts" if texts else "json"


def _bytes_of(messages: pa.ListArray) -> npt.NDArray[np.int64]:
    """Return [rows] the bytes of the texts of the messages."""
    turns = pc.list_flatten(messages)
    parents = pc.list_parent_indices(messages).to_numpy(zero_copy_only=False)
    total = np.zeros(len(messages), dtype=np.int64)
    for name in _TEXTS:
        lengths = pc.fill_null(pc.binary_length(pc.struct_field(turns, name)), 0)
        sums = np.bincount(parents, weights=lengths.to_numpy(), minlength=len(messages))
        total += sums.astype(np.int64)
    return total


def file_slices(sizes: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yield which rows of a split belong to each of its files, of which there is at least one.

    Args:
        sizes: [written] Bytes of its rows, in order. A row over :data:`BYTES_PER_FILE` is a file
            of its own.
    """
    ends = np.cumsum(sizes)
    start = 0
    while start < max(1, len(sizes)):
        before = ends[start - 1] if start else 0
        fit = int(np.searchsorted(ends, before + BYTES_PER_FILE, side="right"))
        stop = min(max(fit, start + 1), start + ROWS_PER_FILE)
        yield slice(start, stop)
        start = stop
