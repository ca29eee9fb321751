"""The embedding of a whole conversation, prompt and response: what RDS+ compares.

A causal model reads the conversation, and its last hidden states are averaged with weights
`i / sum(i)`, i being the place of a token: later ones have seen more of the text (SGPT, arXiv
2202.08904; RDS+, arXiv 2503.01807). Ours differs from RDS+ in the text, which is that of the
`plain` template instead of Tulu's, and in that only a row's own tokens count: the released code
weighs padding too, so that its vectors are right in batches of one row only.
"""

from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.loading import load_embedder
from siftline.models.plain_rendering import render_plain
from siftline.scorers.tables import vector_column


class ConversationEmbedding(RunsModel, Scorer):
    """The embedding of each conversation.

    Score column of the table `conversation_embedding`: `vector`, float32 of length one.

    Attributes:
        model: Role of a causal language model. An embedder of sentences reads the same text, pools
            in its own way, and cuts it at its own window.
        max_tokens: Of a conversation; what is longer is cut. 2,048 is the paper's.
    """

    table: ClassVar[str] = "conversation_embedding"
    revision: ClassVar[int] = 1
    local: ClassVar[bool] = True

    max_tokens: int = Field(default=2048, ge=1)

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Embed each row.

        Raises:
            ModelError: The model cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        model = load_embedder(runtime.spec(self.model), runtime.device)
        embedder = model.for_conversations(self.max_tokens)
        pairs = [render_plain(turns) for turns in rows["messages"].to_pylist()]
        embedded = embedder.embed(
            [pair.prompt + pair.response for pair in pairs],
            max_batch_tokens=runtime.max_batch_tokens,
            on_batch=progress.advance,
        )
        vectors = vector_column(embedded.vectors)
        table = pa.table({"content_hash": rows["content_hash"], "vector": vectors})
        return Scored(table, embedded.usage)
