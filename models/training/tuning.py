"""Fine-tuning of a language model on rows of the corpus: LoRA by `peft`, or all weights.

The loop is that of :mod:`siftline.models.training.loop`. With folds there is one model for each,
which has seen no prompt of its fold.
"""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from siftline.contracts import progress
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.publishing import publish, writing
from siftline.contracts.records import is_trained, seal_folder
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.trainer import Trainer
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.loading import load_transformer, open_weights
from siftline.models.rendering import Template
from siftline.models.store.packages import require
from siftline.models.training.loop import Hyperparameters, own_randomness, train
from siftline.models.training.rows import TrainingRow, corpus_rows
from siftline.models.training.state import writing_weights

if TYPE_CHECKING:  # optional dependencies, and slow to import
    from peft import PeftModel
    from transformers import PreTrainedModel

_RATES = {"lora": 2e-4, "full": 1e-5}  # a usual one for LoRA; CLEAR's for all weights


class Tuning(Trainer):
    """A trainer that fine-tunes one model for each fold: folders `fold-<number>` of weights.

    Attributes:
        model: Role of a local language model.
        weights: `lora` trains small matrices beside the linear layers, `full` all weights, in
            float32.
        learning_rate: Learning rate of AdamW at its peak; None takes CLEAR's 1e-5 for all weights,
            and 2e-4 (a usual one, not from the paper) for LoRA.
        epochs: Number of passes over the rows.
        batch_rows: Number of rows in one step.
        warmup: Share of the steps over which the learning rate rises.
        max_tokens: A longer row is cut there.
        max_rows: The most rows of a fold to learn from, those of the smallest content hashes, which
            is as good as at random; None takes all.
        rank: Rank of LoRA's matrices; their scale is twice the rank.
        folds: Number of models, each trained without the prompts of one fold.
        template: The template that renders the rows; None takes that of the method.
        seed: Seed of the order of the rows and of LoRA's first weights.
    """

    revision: ClassVar[int] = 7  # 7: less padding in a batch, adapters in the layers' own type

    weights: Literal["lora", "full"] = "lora"
    learning_rate: float | None = Field(default=None, gt=0)
    epochs: int = Field(default=2, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    max_tokens: int = Field(default=1024, ge=2)
    max_rows: int | None = Field(default=None, ge=1)
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
        engine = load_transformer(spec, runtime.device)
        learned = corpus_rows(corpus, self.template or "chat", engine, self.max_tokens)
        if not any(isinstance(row, TrainingRow) for _, row in learned):
            raise ModelError(
                f"No row can be learned from by '{spec.name}'; expected prompts of less than "
                f"{self.max_tokens} tokens with a response."
            )
        usage = Usage()
        for fold in range(self.folds):
            rows = [
                row
                for prompt, row in learned
                if isinstance(row, TrainingRow)
                and (self.folds == 1 or self.fold_of(prompt) != fold)
            ][: self.max_rows]
            path = folder / f"fold-{fold}"
            if rows and not is_trained(path):
                usage = usage.plus(self._train(spec, rows, runtime, path))
        return usage

    def _train(
        self, spec: ModelSpec, rows: Sequence[TrainingRow], runtime: Runtime, folder: Path
    ) -> Usage:
        """Train one model, and leave its weights in a folder that appears when they are whole."""
        require("torch", "transformers", "peft")
        import torch  # optional dependencies, and slow to import

        place = resolve_device(runtime.device)
        full, dtype = self.weights == "full", resolve_dtype(spec, place)
        hyperparameters = Hyperparameters(
            learning_rate=self.learning_rate or _RATES[self.weights],
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            warmup=self.warmup,
            seed=self.seed,
            bfloat16=full and dtype == "bfloat16",
        )
        building = folder.with_name(f".{folder.name}.tmp")
        building.mkdir(parents=True, exist_ok=True)
        with own_randomness():
            torch.manual_seed(self.seed)
            # Gradients would vanish in float16, unless losses were scaled.
            weights = open_weights(spec, place, full=full or dtype == "float16")
            model = weights if full else _with_lora(weights, self.rank)
        progress.start(f"training {spec.name}", self.epochs * len(rows))
        usage = train(
            model,
            rows,
            hyperparameters,
            stops=[hyperparameters.steps(len(rows))],
            on_stop=lambda _: _save(model, building),
            folder=building,
        )
        progress.finish()
        seal_folder(building, {"rows": len(rows)})
        publish(building, folder)
        return usage


def _save(model: "PreTrainedModel | PeftModel", folder: Path) -> None:
    with writing_weights(folder), writing(folder):
        model.save_pretrained(str(folder))


def _with_lora(model: "PreTrainedModel", rank: int) -> "PeftModel":
    """Return a model with LoRA matrices beside its linear layers, which alone are trained."""
    import peft

    from siftline.models.engine.lora import quicken

    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 by a name that it gives up
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        adapted: PeftModel = peft.get_peft_model(model, config)
    quicken(adapted)
    return adapted
