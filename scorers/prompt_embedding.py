"""The embedding of a prompt: what the selectors on vectors compare."""

from typing import ClassVar

import pyarrow as pa

from siftline.contracts.computation import RunsModel
from siftline.contracts.examples import prompt_text
from siftline.contracts.runtime import Runtime
from siftline.contracts.scorer import Key, Scored, Scorer
from siftline.models.likelihood import OK
from siftline.models.loading import load_embedder
from siftline.models.talks import prompts_of
from siftline.scorers.embedded_texts import embedded_texts


class PromptEmbedding(RunsModel, Scorer):
    """The embedding of each prompt: its system and user turns.

    Score columns of the table `prompt_embedding`: `vector`, float32 of length one; `status`, `ok`
    or, where a prompt has images, sounds or files, `not_text_only` and no vector.

    Attributes:
        model: Role of an embedder.
    """

    table: ClassVar[str] = "prompt_embedding"
    revision: ClassVar[int] = 2  # 2: a status for what is not text alone
    local: ClassVar[bool] = True
    key: ClassVar[Key] = "prompt_id"

    def score(self, rows: pa.Table, runtime: Runtime) -> Scored:
        """Embed the prompt of each row.

        Raises:
            ModelError: The embedder cannot be loaded or run.
            RecipeError: The recipe has no model of this role.
        """
        embedder = load_embedder(runtime.spec(self.model), runtime.device)
        prompts = zip(prompts_of(rows), rows["messages"].to_pylist(), strict=True)
        made = [
            (prompt, "") if isinstance(prompt, str) else (OK, prompt_text(turns))
            for prompt, turns in prompts
        ]
        return embedded_texts(rows, self.key, made, embedder, runtime)
