"""The small model whose losses S2L follows: trained on the pool, with checkpoints on the way.

The settings of the released code (BigML-CS-UCLA/S2L): three epochs, AdamW at 2e-5, cosine, 3 %
warm-up, no weight decay, 128 rows a step, 512 tokens a row, twelve checkpoints. It takes one every
500 steps; ours are spread evenly, so that a pool of any size has twelve. Its tokenizer is made
anew for scoring, which overwrites trained embeddings; ours is saved with each checkpoint.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import DamagedError, ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.publishing import publish, writing
from siftline.contracts.records import SEAL, is_sealed, seal_folder, write_json
from siftline.contracts.runtime import Runtime, Usage
from siftline.contracts.share import Share
from siftline.contracts.trainer import Trainer
from siftline.models.devices import resolve_device, resolve_dtype
from siftline.models.loading import open_language_model, open_weights
from siftline.models.rendering import Template
from siftline.models.store.packages import require
from siftline.models.training.loop import Hyperparameters, own_randomness, train
from siftline.models.training.rows import TrainingRow, corpus_rows
from siftline.models.training.state import begin_anew, writing_weights

if TYPE_CHECKING:  # these import torch, which is optional and slow to import
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from siftline.models.engine.transformer import TransformerModel

Shape = Literal["tiny", "mini", "small", "base"]
SHAPES: dict[str, tuple[int, int, int]] = {
    "tiny": (64, 2, 2),
    "mini": (128, 4, 4),
    "small": (256, 6, 4),
    "base": (512, 6, 8),
}
"""Width, layers and heads of a Llama; `base` has those of Pythia-70M, the paper's proxy."""
_PRETRAINED_RATE = 2e-5  # the released code's
_SCRATCH_RATE = 1e-3  # ours; random weights hardly move at 2e-5


class ProxyTraining(Config):
    """How the proxy is trained.

    Attributes:
        from_scratch: Start from random weights of a named shape, with the model's tokenizer:
            `tiny` (64 wide, 2 layers), `mini` (128, 4), `small` (256, 6), `base` (512, 6). None
            starts from the model's own weights.
        epochs: Number of passes over the rows.
        learning_rate: Learning rate at its peak; None takes 2e-5, from scratch 1e-3.
        batch_rows: Number of rows in one step.
        warmup: Share of the steps over which the learning rate rises.
        weight_decay: Weight decay of AdamW.
        max_tokens: A longer row is cut there, or at the model's window if that is smaller; a row
            whose first prompt fills it is left out.
        checkpoints: The number of checkpoints, evenly spread over the training, the last one at its
            end; or the parts of the training after which they are made, such as `[0.1, 0.5, 1.0]`.
        every_steps: Number of steps between checkpoints; it replaces `checkpoints`.
        share: Share of the rows that the proxy learns from, drawn at random. The cheap mode of
            GRAPE's authors is 0.05 with four epochs.
        template: The template that renders the rows.
        seed: Seed of the draw of rows, of their order, and of random weights. It is not the seed
            of the recipe, so that a recipe with another seed uses the same losses.
    """

    from_scratch: Shape | None = None
    epochs: int = Field(default=3, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    batch_rows: int = Field(default=128, ge=1)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=512, ge=2)
    checkpoints: int | tuple[float, ...] = Field(default=12)
    every_steps: int | None = Field(default=None, ge=1)
    share: Share = Field(default=1.0, gt=0)
    template: Template = "plain"
    seed: int = Field(default=0, ge=0)

    @field_validator("checkpoints")
    @classmethod
    def _checkpoints_are_somewhere(cls, value: int | tuple[float, ...]) -> int | tuple[float, ...]:
        parts = (value,) if isinstance(value, int) else value
        most = 1000 if isinstance(value, int) else 1
        if not parts or not all(0 < part <= most for part in parts):
            raise ValueError(
                "expected a number of checkpoints from 1 to 1000, or parts of the training above "
                "0 and up to 1."
            )
        return value

    def stops(self, steps: int) -> list[int]:
        """Return the numbers of steps after which the checkpoints are made, ascending.

        Args:
            steps: Number of steps of the whole training. Where it is smaller than the number of
                checkpoints, there is one after each step.
        """
        if self.every_steps is not None:
            return list(range(self.every_steps, steps + 1, self.every_steps)) or [steps]
        count = self.checkpoints
        parts = [n / count for n in range(1, count + 1)] if isinstance(count, int) else count
        return sorted({max(1, round(part * steps)) for part in parts})

    def hyperparameters(self, bfloat16: bool) -> Hyperparameters:
        """Return the hyperparameters of the training.

        Args:
            bfloat16: Whether to multiply in bfloat16.
        """
        default = _SCRATCH_RATE if self.from_scratch else _PRETRAINED_RATE
        return Hyperparameters(
            learning_rate=self.learning_rate or default,
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            seed=self.seed,
            bfloat16=bfloat16,
        )


class Proxy(Trainer):
    """A trainer that leaves checkpoints: folders `step-<number>` of weights and tokenizer.

    Attributes:
        model: Role of a local language model.
        training: The settings of its training.
    """

    revision: ClassVar[int] = 6  # 6: less padding in a batch

    training: ProxyTraining = ProxyTraining()

    def fit(self, corpus: Corpus, runtime: Runtime, folder: Path) -> Usage:
        """Train on a corpus; see :class:`siftline.contracts.trainer.Trainer`.

        Raises:
            ModelError: The model is not local, no row can be learned from, or training diverged.
        """
        require("torch", "transformers", "safetensors")
        spec = runtime.spec(self.model)
        place = resolve_device(runtime.device)
        engine = open_language_model(spec, place)
        rows = self._rows(corpus, engine)
        if not rows:
            raise ModelError(
                f"No row can be learned from by '{spec.name}'; expected prompts of less than "
                f"{self.training.max_tokens} tokens with a response."
            )
        dtype = resolve_dtype(spec, place)
        hyperparameters = self.training.hyperparameters(bfloat16=dtype == "bfloat16")
        steps = hyperparameters.steps(len(rows))
        stops = self.training.stops(steps)
        progress.start(f"training {spec.name}", hyperparameters.learned(len(rows), stops[-1]))
        tokenizer = engine.tokenizer
        del engine  # before its weights are loaded once more, in float32
        model = self._start(spec, place, tokenizer)
        record = {"rows": len(rows), "steps": steps, "checkpoints": stops}
        write_json(folder / "training.json", record)
        _check_checkpoints(folder)
        usage = train(
            model,
            rows,
            hyperparameters,
            stops=stops,
            on_stop=lambda step: _write_checkpoint(model, tokenizer, dtype, folder, step),
            folder=folder,
        )
        progress.finish()
        return usage

    def _rows(self, corpus: Corpus, engine: "TransformerModel") -> list[TrainingRow]:
        """Return the rows that can be learned from, ordered by content."""
        training = self.training
        rows = corpus_rows(corpus, training.template, engine, training.max_tokens)
        return [row for _, row in rows if isinstance(row, TrainingRow)]

    def _start(
        self, spec: ModelSpec, place: str, tokenizer: "PreTrainedTokenizerBase"
    ) -> "PreTrainedModel":
        """Return the weights that training starts from, in float32."""
        shape = self.training.from_scratch
        if shape is None:
            return open_weights(spec, place, full=True)
        import torch  # optional dependencies, and slow to import
        import transformers

        width, layers, heads = SHAPES[shape]
        config = transformers.LlamaConfig(
            vocab_size=max(tokenizer.get_vocab().values()) + 1,  # numbers may be left out
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=max(2048, self.training.max_tokens),
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        with own_randomness():
            torch.manual_seed(self.training.seed)
            model: Any = transformers.LlamaForCausalLM(config)
            weights: PreTrainedModel = model.float().to(place)
        return weights


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the folders of a proxy's checkpoints, the first one first.

    Args:
        folder: The folder that :meth:`Proxy.fit` wrote to.

    Raises:
        ModelError: A checkpoint that the training has recorded is missing.
    """
    record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    checkpoints = [folder / _name(step) for step in record["checkpoints"]]
    missing = [path.name for path in checkpoints if not (path / "config.json").exists()]
    if missing:
        raise ModelError(
            f"The checkpoints {', '.join(missing)} are missing in '{folder}'; remove that folder, "
            "and the proxy is trained again."
        )
    return checkpoints


def _check_checkpoints(folder: Path) -> None:
    """Let a training begin anew where a checkpoint of its first part is damaged."""
    try:
        for path in sorted(folder.glob("step-*")):
            if not is_sealed(path):
                raise DamagedError(path / SEAL, "it is missing")
    except DamagedError as error:
        begin_anew(folder, error)


def _name(step: int) -> str:
    return f"step-{step:07d}"


def _write_checkpoint(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    dtype: str,
    folder: Path,
    step: int,
) -> None:
    """Write weights, in the type that they are scored in, and tokenizer; whole or not at all."""
    import torch

    temporary, path = folder / f".{_name(step)}.tmp", folder / _name(step)
    shutil.rmtree(temporary, ignore_errors=True)
    # Tied weights are one tensor; casting each by itself would make two.
    weights = {value.data_ptr(): value for value in model.state_dict().values()}
    made = {place: value.to(getattr(torch, dtype)) for place, value in weights.items()}
    cast = {name: made[value.data_ptr()] for name, value in model.state_dict().items()}
    with writing_weights(path), writing(path):
        model.save_pretrained(temporary, state_dict=cast)
        tokenizer.save_pretrained(temporary)
        seal_folder(temporary, {"step": step})
        publish(temporary, path)
