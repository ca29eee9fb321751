"""The questions of benchmarks as vectors: which one a text means nearly the same as.

Every text is compared with every question, none by an index that guesses. A question of fewer words
than an n-gram is left out, as it is where words are compared. An embedding hardly sees numbers, and
another problem of one template lies as near as a paraphrase; so of the numbers that a question has
in digits, three quarters must stand in the text (docs/decisions/cleaning.md).
"""

import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.examples import normalise
from siftline.contracts.runtime import Usage
from siftline.contracts.word_forms import words_of
from siftline.models.embedding import Embedder
from siftline.models.holding import held
from siftline.scorers.leaks.benchmark_files import Item

COSINE_FLOOR = 0.6  # smallest cosine that is kept, so that a threshold is changed without embedding
NUMBERS_SHARE = 0.75  # of a question's numbers that a paraphrase has
_DECIMALS = 4  # of a cosine: batches move the sixth
_BLOCK = 1 << 22  # cosines that are held at once


class Nearest(NamedTuple):
    """The question that a text is nearest to.

    Attributes:
        item: Of the benchmark.
        cosine: Of the two embeddings, from the floor to 1.
    """

    item: Item
    cosine: float


class QuestionVectors:
    """The questions of some items, embedded.

    Attributes:
        items: Those whose questions are long enough to be evidence.
        usage: What it has cost to embed them.
    """

    def __init__(
        self, items: Sequence[Item], n: int, embedder: Embedder, max_batch_tokens: int | None
    ) -> None:
        self.items = [item for item in items if len(words_of(item.question).words) >= n]
        self._numbers = [_written_numbers(item.question) for item in self.items]
        embedded = embedder.embed(
            [normalise(item.question) for item in self.items], max_batch_tokens=max_batch_tokens
        )
        self._vectors, self.usage = embedded.vectors, embedded.usage

    def nearest(
        self, texts: Sequence[str], vectors: npt.NDArray[np.float32]
    ) -> list[Nearest | None]:
        """Return the nearest question whose numbers a text has; None below the floor.

        Args:
            texts: The texts.
            vectors: [texts, dimensions] Their embeddings, of length one.
        """
        found: list[Nearest | None] = []
        rows = max(1, _BLOCK // max(1, len(self.items)))
        for first in range(0, len(texts), rows):
            cosines = np.round(vectors[first : first + rows] @ self._vectors.T, _DECIMALS)
            of_block = texts[first : first + rows]
            found += [self._best(*pair) for pair in zip(of_block, cosines, strict=True)]
        return found

    def _best(self, text: str, cosines: npt.NDArray[np.float32]) -> Nearest | None:
        near = np.flatnonzero(cosines >= np.float32(COSINE_FLOOR))
        if not len(near):
            return None
        numbers = {word for word in words_of(text).words if word[0].isdigit()}
        for place in near[np.argsort(-cosines[near], kind="stable")].tolist():
            wanted = self._numbers[place]
            if len(wanted & numbers) >= NUMBERS_SHARE * len(wanted):
                cosine = min(1.0, round(float(cosines[place]), _DECIMALS))
                return Nearest(self.items[place], cosine)
        return None


def question_vectors(
    items: tuple[Item, ...], n: int, embedder: Embedder, max_batch_tokens: int | None
) -> tuple[QuestionVectors, Usage]:
    """Return the questions of items, embedded once in a process, and what this call has cost.

    Args:
        items: Of benchmarks.
        n: Words that a question must have.
        embedder: That embeds them.
        max_batch_tokens: As :meth:`siftline.models.embedding.Embedder.embed` takes it.

    Raises:
        ModelError: The embedder cannot be run.
    """
    cost = [Usage()]

    def embed() -> QuestionVectors:
        made = QuestionVectors(items, n, embedder, max_batch_tokens)
        cost[0] = made.usage
        return made

    identity = (items, n, weakref.ref(embedder))  # what is held here must not keep a GPU's memory
    return held(("benchmark questions",), identity, embed), cost[0]


def _written_numbers(text: str) -> frozenset[str]:
    """Return the numbers that a text has in digits: "the two" are often none."""
    words = words_of(text)
    places = zip(words.words, words.starts, strict=True)
    return frozenset(word for word, start in places if text[start].isdigit())
