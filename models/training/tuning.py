"""Fine-tuning of a language model on rows of the corpus: LoRA by `peft`, or all weights.

The loop is that of :mod:`siftline.models.training.loop`. With folds there is one model for each,
which has seen no prompt of its fold.
"""

import hashlib
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.trainer import Trainer
from siftline.models.loading import load_language_model, open_weights, resolve_device, resolve_dtype
from siftline.models.rendering import Template
from siftline.models.store.packages import require
from siftline.models.training.loop import Course, Lesson, lessons, own_randomness, train


class Tuning(Trainer):
    """How a model is fine-tuned.

    Attributes:
        model: Role of a local language model.
        weights: `lora` trains small matrices beside the linear layers, `full` all weights, in
            float32.
        learning_rate: Of AdamW at its peak; None takes CLEAR's 1e-5 for all weights, and 2e-4 (a
            usual one, not from the paper) for LoRA.
        epochs: Passes over the rows.
        batch_rows: Rows in one step.
        warmup: Share of the steps over which the rate rises.
        max_tokens: A row is cut there.
        rank: Of LoRA's matrices; their scale is twice the rank.
        folds: Models, each trained without the prompts of one fold.
        template: How rows are rendered; None takes that of the method.
        seed: Of the order and of LoRA's start.
    """

    revision: ClassVar[int] = 3

    weights: Literal["lora", "full"] = "lora"
    learning_rate: float | None = Field(default=None, gt=0)
    epochs: int = Field(default=2, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    max_tokens: int = Field(default=1024, ge=2)
    rank: int = Field(default=16, ge=1)
    folds: int = Field(default=3, ge=1)
    template: Template | None = None
    seed: int = Field(default=0, ge=0)

    def fold_of(self, prompt_id: str) -> int:
        """Return the fold of a prompt: the model of this number has not seen it."""
        return int(hashlib.sha256(prompt_id.encode()).hexdigest(), 16) % self.folds

    def fit(self, corpus: Corpus, runtime: Runtime, folder: Path) -> Usage:
        """Train on a corpus; see :class:`siftline.contracts.trainer.Trainer`.

        A fold for which no row is left to learn from gets no model.

        Raises:
            ModelError: The model is not local, no row can be learned from, or training diverged.
        """
        spec = runtime.spec(self.model)
        scorer: Any = load_language_model(spec, runtime.device)
        if not hasattr(scorer, "encode"):
            raise ModelError(f"'{spec.name}' has no weights here to be tuned; name a local model.")
        columns = ["content_hash", "prompt_id", "messages"]
        shards = [shard.select(columns) for shard in corpus.iter_shards()]
        table = pa.concat_tables(shards).sort_by([("content_hash", "ascending")])
        turns = table["messages"].to_pylist()
        found = lessons(turns, self.template or "chat", scorer, self.max_tokens)
        if not any(isinstance(each, Lesson) for each in found):
            raise ModelError(
                f"No row can be learned from by '{spec.name}'; expected prompts of less than "
                f"{self.max_tokens} tokens with a response."
            )
        places = [self.fold_of(prompt) for prompt in table["prompt_id"].to_pylist()]
        usage = Usage()
        for fold in range(self.folds):
            rows = [
                each
                for each, place in zip(found, places, strict=True)
                if isinstance(each, Lesson) and (self.folds == 1 or place != fold)
            ]
            path = folder / f"fold-{fold}"
            if rows and not path.exists():
                usage = usage.plus(self._train(spec, rows, runtime, path))
        return usage

    def _train(self, spec: Any, rows: Sequence[Lesson], runtime: Runtime, folder: Path) -> Usage:
        """Train one model, and leave its weights in a folder that appears when they are whole."""
        require("torch", "transformers", "peft")
        import torch  # optional dependencies, and slow to import

        place = resolve_device(runtime.device)
        full = self.weights == "full"
        course = Course(
            learning_rate=self.learning_rate or _RATES[self.weights],
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            warmup=self.warmup,
            seed=self.seed,
            bfloat16=full and resolve_dtype(spec, place) == "bfloat16",
        )
        building = folder.with_name(f".{folder.name}.tmp")
        building.mkdir(parents=True, exist_ok=True)
        with own_randomness():
            torch.manual_seed(self.seed)
            model = open_weights(spec, place, full=full)
            model = model if full else _with_lora(model, self.rank)
        progress.start(f"training {spec.name}", self.epochs * len(rows))
        usage = train(
            model,
            rows,
            course,
            stops=[course.steps(len(rows))],
            on_stop=lambda _: model.save_pretrained(building),
            folder=building,
        )
        progress.finish()
        shutil.rmtree(folder, ignore_errors=True)
        building.replace(folder)
        return usage


_RATES = {"lora": 2e-4, "full": 1e-5}


def _with_lora(model: Any, rank: int) -> Any:
    import peft

    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 by a name that it gives up
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        return peft.get_peft_model(model, config)
