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

from siftline.contracts.computation import RunsModel
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Scored, Scorer
from siftline.models.likelihood import OK
from siftline.models.loading import load_embedder
from siftline.models.plain_rendering import render_plain
from siftline.models.talks import of_each, talks_of
from siftline.scorers.embedded_texts import embedded_texts


class ConversationEmbedding(RunsModel, Scorer):
    """The embedding of each conversation.

    Score columns of the table `conversation_embedding`: `vector`, float32 of length one; `status`,
    `ok` or, where images, sounds or files belong to it, `not_text_only` and no vector.

    Attributes:
        model: Role of a causal language model. An embedder of sentences reads the same text, pools
            in its own way, and cuts it at its own window.
        max_tokens: Of a conversation; what is longer is cut. 2,048 is the paper's.
    """

    table: ClassVar[str] = "conversation_embedding"
    revision: ClassVar[int] = 2  # 2: tools; a status for what is not text alone
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
        pairs = of_each(talks_of(rows), lambda talk: render_plain(*talk))
        made = [
            (pair, "") if isinstance(pair, str) else (OK, pair.prompt + pair.response)
            for pair in pairs
        ]
        return embedded_texts(rows, self.key, made, embedder, runtime)
