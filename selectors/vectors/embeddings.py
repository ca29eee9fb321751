"""What selectors on vectors compare: prompts, or conversations, by their embeddings."""

from typing import Literal

from siftline.contracts.corpus import Corpus
from siftline.contracts.scorer import Scorer
from siftline.scorers.conversation_embedding import ConversationEmbedding
from siftline.scorers.prompt_embedding import PromptEmbedding
from siftline.scorers.tables import matrix_of
from siftline.scorers.text_statistics import ResponseStatistics
from siftline.selectors.arrays import Float32s

On = Literal["prompt", "conversation"]


def embedding_scorers(model: str, on: On = "prompt") -> tuple[Scorer, ...]:
    """Return the embedding of prompts or conversations, and lengths of responses for the report.

    Args:
        model: Role of the embedder.
        on: What is embedded.
    """
    embedding = PromptEmbedding if on == "prompt" else ConversationEmbedding
    return (embedding(model=model), ResponseStatistics())


def vectors_of(corpus: Corpus, on: On) -> Float32s:
    """Return [rows, dimensions] the embeddings, of length one.

    Args:
        corpus: Has the score `prompt_embedding`, or `conversation_embedding`.
        on: Which of them.
    """
    return matrix_of(corpus.column(f"{on}_embedding.vector"))
