"""The embedding of a prompt: what the selectors on vectors compare."""

from typing import ClassVar

import pyarrow as pa

from siftline.contracts import progress
from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import prompt_text
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.loading import load_embedder
from siftline.scorers.tables import vector_column


class PromptEmbedding(RunsModel, Scorer):
    """The embedding of each prompt: its system and user turns.

    Score column of the table `prompt_embedding`: `vector`, float32 of length one.

    Attributes:
        model: Role of an embedder.
    """

    table: ClassVar[str] = "prompt_embedding"
    revision: ClassVar[int] = 1
    local: ClassVar[bool] = True
    key: ClassVar[Key] = "prompt_id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Embed the prompt of each row.

        Raises:
            ModelError: The embedder cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        embedder = load_embedder(runtime.spec(self.model), runtime.device)
        texts = [prompt_text(turns) for turns in rows["messages"].to_pylist()]
        embedded = embedder.embed(
            texts, max_batch_tokens=runtime.max_batch_tokens, on_batch=progress.advance
        )
        vectors = vector_column(embedded.vectors)
        table = pa.table({"prompt_id": rows["prompt_id"], "vector": vectors})
        return Scored(table, embedded.usage)
