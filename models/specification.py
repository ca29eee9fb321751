"""How a recipe names a model."""

from typing import Literal

from siftline.pipelines.config import Config


class ModelSpec(Config):
    """A language model or an embedder.

    Attributes:
        name: A Hub id (`org/model`), a folder, or `builtin:smollm2`, `builtin:minilm`.
        revision: Commit or tag of a Hub model; None for its default branch.
        dtype: Of the weights and the forward pass; `auto` takes bfloat16 where the device computes
            it natively.
        trust_remote_code: Allow a Hub model to run its own Python code. Off unless the recipe
            turns it on.
    """

    name: str
    revision: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    trust_remote_code: bool = False
