"""The shingles of prompts and responses: what near-duplicates are told by.

A text is the set of its windows of some words, each known by 64 bits. One that is shorter than a
window is one shingle of all its words and signs (:mod:`siftline.scorers.short_texts`); one without
any word or sign is one of its characters. Words are casefolded runs of letters and digits, and in
scripts that are written without spaces single characters (:mod:`siftline.scorers.word_hashes`).

The text of a prompt is that of all turns before the last, that of a response is the last turn's,
each with its thought before it. What is no text of a conversation (tools, calls, images, what is
trained on) is put into every shingle of its row: rows that differ in it have none in common.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import calls_of, tools_of
from siftline.scorers.flat_turns import flat_turns
from siftline.scorers.short_texts import sign_hashes, text_digest
from siftline.scorers.word_hashes import Words, hashed_ngrams, hashed_words

Over = Literal["prompt", "response", "both"]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

CHARS_AT_ONCE = 1 << 22  # of texts, whose words are held a few times over

# Odd, its bits without a pattern: a shingle of a response is never that of a prompt.
_OF_RESPONSE = np.uint64(0xA24BAED4963EE407)


class Shingles(NamedTuple):
    """The shingles of some texts.

    Attributes:
        hashes: [shingles] In the order of the texts; one that a text repeats is there each time.
        offsets: [texts + 1] Where those of each text begin, and where the last one's end.
    """

    hashes: Hashes
    offsets: Ints


def row_shingles(rows: pa.Table, over: Over, ngram: int) -> Shingles:
    """Return the shingles of rows: of each row those of its prompt, then those of its response.

    Args:
        rows: Of the examples' schema; `messages`, `tools` and `media` are read.
        over: What is compared; of `both`, each row is two texts.
        ngram: Words in a window.

    Returns:
        Of as many texts for each row as are compared.
    """
    prompts, responses = side_texts(rows)
    sides = [prompts] if over == "prompt" else [responses] if over == "response" else []
    texts = (
        sides[0] if sides else [t for both in zip(prompts, responses, strict=True) for t in both]
    )
    each = 1 if sides else 2
    made = [text_shingles(texts[start:end], ngram) for start, end in _portions(texts)]
    hashes = np.concatenate([part.hashes for part in made] or [np.empty(0, np.uint64)])
    counts = np.concatenate([np.diff(part.offsets) for part in made] or [np.empty(0, np.int64)])
    tags = np.repeat(_contexts(rows), each)
    if over != "prompt":
        tags[each - 1 :: each] ^= _OF_RESPONSE
    hashes = np.bitwise_xor(hashes, np.repeat(tags, counts))
    return Shingles(hashes, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def side_texts(rows: pa.Table) -> tuple[list[str], list[str]]:
    """Return the text of each row's prompt, and of its response."""
    turns = flat_turns(rows.select(["messages"]))
    thought = turns["reasoning"]
    said = turns["content"]
    if thought.null_count < len(thought):
        both = pc.binary_join_element_wise(thought, said, "\n")
        said = pc.if_else(pc.is_valid(thought), both, said)
    last = turns["last"]
    row = turns["row"].to_numpy()[~last.to_numpy()]
    prompts = said.filter(pc.invert(last))
    if len(row) != len(rows) or (np.diff(row) != 1).any():
        offsets = np.searchsorted(row, np.arange(len(rows) + 1)).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), _one(prompts))
        prompts = pc.binary_join(lists, "\n")
    return prompts.to_pylist(), said.filter(last).to_pylist()


def text_shingles(texts: Sequence[str], ngram: int) -> Shingles:
    """Return the shingles of texts.

    Args:
        texts: They are held in memory a few times over.
        ngram: Words in a window.
    """
    words = hashed_words(texts)
    count = np.bincount(words.text, minlength=len(texts))
    sizes = np.maximum(count - ngram + 1, 1)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    hashes = np.empty(offsets[-1], dtype=np.uint64)
    long = count >= ngram
    hashes[np.repeat(long, sizes)] = hashed_ngrams(words, ngram).hashes
    for n in range(1, min(ngram, int(count.max(initial=0)) + 1)):
        if (of_size := count == n).any():
            here = of_size[words.text]
            only = Words(words.hashes[here], words.text[here])
            hashes[offsets[:-1][of_size]] = hashed_ngrams(only, n).hashes
    _add_signs(hashes, offsets[:-1], texts, count, np.flatnonzero(~long))
    return Shingles(hashes, offsets)


def _add_signs(
    hashes: Hashes, starts: Ints, texts: Sequence[str], words_of: Ints, short: Ints
) -> None:
    """Let short texts be known by their signs too, and those without a word or sign as they are."""
    signs = sign_hashes([texts[place] for place in short.tolist()])
    signed = signs > 0
    hashes[starts[short[signed]]] = signs[signed]
    for place in short[~signed & (words_of[short] == 0)].tolist():
        hashes[starts[place]] = text_digest(" ".join(texts[place].split()))


def _portions(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where to cut texts, so that no portion has too many characters, or is one text."""
    if sum(map(len, texts)) <= CHARS_AT_ONCE:
        yield 0, len(texts)
        return
    start, size = 0, 0
    for place, text in enumerate(texts):
        if size and size + len(text) > CHARS_AT_ONCE:
            yield start, place
            start, size = place, 0
        size += len(text)
    if start < len(texts):
        yield start, len(texts)


def _contexts(rows: pa.Table) -> Hashes:
    """Return [rows] 64 bits for what each row has beside its texts; 0 where it has nothing."""
    turns = flat_turns(rows.select(["messages"]))
    special = pc.or_(pc.is_valid(turns["tool_calls"]), pc.is_valid(turns["weight"]))
    beside = np.zeros(len(rows), dtype=bool)
    beside[turns["row"].to_numpy()[special.to_numpy()]] = True
    for name in ("tools", "media"):
        beside |= pc.is_valid(rows[name]).to_numpy()
    found = np.zeros(len(rows), dtype=np.uint64)
    for place in np.flatnonzero(beside):
        row = rows.slice(place, 1).select(["messages", "tools", "media"]).to_pylist()[0]
        found[place] = _context(row)
    return found


def _context(row: dict[str, Any]) -> int:
    """Return 64 bits for tools, media, calls and weights; their texts count as they are written."""
    turns = list(enumerate(row["messages"]))
    calls = [
        [number, [call["function"] for call in calls_of(turn)]]
        for number, turn in turns
        if turn.get("tool_calls")
    ]
    weights = [[n, turn["weight"]] for n, turn in turns if turn.get("weight") not in (None, 1)]
    media = json.loads(row["media"]) if row["media"] else None
    held = [tools_of(row["tools"]), media, calls, weights]
    return text_digest(json.dumps(held, sort_keys=True)) if any(held) else 0


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
