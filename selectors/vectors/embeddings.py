"""What selectors on vectors compare: prompts, or conversations, by their embeddings."""

from typing import Literal

import numpy as np
import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.scorer import Scorer
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.scorers.tables import matrix_of
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.arrays import Bools, Float32s

On = Literal["prompt", "conversation"]


def embedding_scorers(model: str, on: On = "prompt") -> tuple[Scorer, ...]:
    """Return the embedding of prompts or conversations, and lengths of responses for the report.

    Args:
        model: Role of the embedder.
        on: What is embedded.
    """
    embedding = PromptEmbedding if on == "prompt" else ConversationEmbedding
    return (embedding(model=model), ResponseStatistics())


def has_vector(corpus: Corpus, on: On) -> Bools:
    """Return [rows] true where a row has a vector: the others are not text alone.

    Args:
        corpus: As for :func:`vectors_of`.
        on: Whose vectors.
    """
    column = corpus.column(f"{on}_embedding.vector")
    return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)


def with_vectors(corpus: Corpus, decided: pa.Table, on: On) -> tuple[Corpus, pa.Table]:
    """Return the rows that have a vector, and the verdicts on them, for figures and pictures."""
    seen = has_vector(corpus, on)
    return corpus.filter(seen), decided.filter(pa.array(seen))


def vectors_of(corpus: Corpus, on: On) -> Float32s:
    """Return [rows, dimensions] the embeddings, of length one.

    Args:
        corpus: Has the score `prompt_embedding`, or `conversation_embedding`, for every row.
        on: Which of them.
    """
    return matrix_of(corpus.column(f"{on}_embedding.vector"))
