"""A made pool of instruction rows in which near-duplicates of stated similarity are planted.

Similarity is the Jaccard index of windows of five words, counted here by itself: sets of tuples of
words, nothing of siftline's. A word is a run of letters and digits, as siftline has it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WINDOW = 5
VOCABULARY = 30_000
_WORD = re.compile(r"[^\W_]+")
PLANTED = 0.05  # of all rows repeat an earlier one
EDITS = (0, 1, 1, 2, 3, 5, 8, 13)  # words that are changed or added, one of these for each


class Pool(NamedTuple):
    """A pool on disk.

    Attributes:
        path: JSON lines with the columns id, instruction, output; ids are `r<number>`.
        rows: How many.
        planted: By the number of a planted row, the row that it was made from and their similarity.
    """

    path: Path
    rows: int
    planted: dict[int, tuple[int, float]]


def windows(text: str) -> set[tuple[str, ...]]:
    """Return the windows of five words of a text; a shorter text is one window."""
    words = _WORD.findall(text.casefold())
    starts = range(max(1, len(words) - WINDOW + 1))
    return {tuple(words[start : start + WINDOW]) for start in starts}


def jaccard(one: str, other: str) -> float:
    """Return the Jaccard index of the windows of two texts."""
    first, second = windows(one), windows(other)
    return len(first & second) / len(first | second)


def write_pool(path: Path, rows: int, seed: int = 0) -> Pool:
    """Write a pool of so many rows; one in twenty is an edited copy of an earlier one."""
    planted: dict[int, tuple[int, float]] = {}
    with path.open("w", encoding="utf-8") as file:
        for row in _rows(rows, seed, planted):
            file.write(json.dumps(row) + "\n")
    return Pool(path, rows, planted)


def _rows(rows: int, seed: int, planted: dict[int, tuple[int, float]]) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(random.choice(letters, size)) for size in random.integers(2, 10, VOCABULARY)]
    recent: list[tuple[int, str, str]] = []  # rows that a copy may be made of
    for number in range(rows):
        if recent and random.random() < PLANTED:
            place = int(random.integers(len(recent)))
            twin, prompt, response = recent.pop(place)
            edited = _edited(response, int(random.choice(EDITS)), words, random)
            planted[number] = (twin, jaccard(response, edited))
            response = edited
        else:
            prompt = _text(words, int(random.integers(6, 30)), random) + "?"
            response = _text(words, int(random.integers(15, 110)), random) + "."
            if len(recent) < 1000:
                recent.append((number, prompt, response))
            else:
                recent[int(random.integers(1000))] = (number, prompt, response)
        yield {"id": f"r{number}", "instruction": prompt, "output": response}


def _text(words: list[str], length: int, random: np.random.Generator) -> str:
    return " ".join([words[place] for place in random.integers(0, len(words), length)])


def _edited(text: str, edits: int, words: list[str], random: np.random.Generator) -> str:
    """Return a text with so many words changed, or as many added at its end."""
    tokens = text.split()
    new = [words[place] for place in random.integers(0, len(words), edits)]
    if random.random() < 0.5:
        return " ".join([*tokens, *new])
    for word, place in zip(new, random.integers(0, len(tokens), edits), strict=True):
        tokens[place] = word
    return " ".join(tokens)
