"""Fine-tuning of a language model on rows of the corpus: LoRA by `peft`, or all weights.

The loop is plain: rows in random order, cross-entropy on the response and its end token, AdamW,
a linear warm-up and a cosine decay. Prompts are rendered and cut into tokens as for scoring.
With folds there is one model for each, which has seen no prompt of its fold.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from siftline.models.likelihood import Encoded, Pair
from siftline.models.loading import load_language_model, open_weights, resolve_device
from siftline.models.packages import require
from siftline.models.rendering import Template, render
from siftline.models.scorers import model_of
from siftline.pipelines import progress
from siftline.pipelines.config import Config
from siftline.pipelines.corpus import Corpus
from siftline.pipelines.errors import ModelError
from siftline.pipelines.method import Runtime, Usage


class Tuning(Config):
    """How a model is fine-tuned.

    Attributes:
        model: Role of a local language model.
        weights: `lora` trains small matrices beside the linear layers, `full` all weights, in
            float32.
        learning_rate: Of AdamW at its peak. CLEAR trains all weights at 1e-5; the default suits
            LoRA.
        epochs: Passes over the rows.
        batch_rows: Rows in one step.
        max_tokens: A row is cut there.
        rank: Of LoRA's matrices; their scale is twice the rank.
        folds: Models, each trained without the prompts of one fold.
        template: How rows are rendered.
        seed: Of the order and of LoRA's start.
    """

    revision: ClassVar[int] = 1

    model: str
    weights: Literal["lora", "full"] = "lora"
    learning_rate: float = Field(default=2e-4, gt=0)
    epochs: int = Field(default=2, ge=1)
    batch_rows: int = Field(default=16, ge=1)
    max_tokens: int = Field(default=1024, ge=2)
    rank: int = Field(default=16, ge=1)
    folds: int = Field(default=3, ge=1)
    template: Template = "chat"
    seed: int = 0

    @property
    def role(self) -> str:
        """The role of the model."""
        return self.model

    def fold_of(self, prompt_id: str) -> int:
        """Return the fold of a prompt: the model of this number has not seen it."""
        return int(hashlib.sha256(prompt_id.encode()).hexdigest(), 16) % self.folds

    def fit(self, corpus: Corpus, runtime: Runtime, folder: Path) -> Usage:
        """Train on a corpus; see :class:`siftline.pipelines.method.Trainer`.

        Raises:
            ModelError: The model is not local, or no row can be learned from.
        """
        spec = model_of(self.model, runtime)
        scorer: Any = load_language_model(spec, runtime.device)
        if not hasattr(scorer, "encode"):
            raise ModelError(f"'{spec.name}' has no weights here to be tuned; name a local model.")
        shards = [
            shard.select(["content_hash", "prompt_id", "messages"])
            for shard in corpus.iter_shards()
        ]
        table = pa.concat_tables(shards).sort_by([("content_hash", "ascending")])
        turns = table["messages"].to_pylist()
        rendered = [render(each, self.template, scorer) for each in turns]
        pairs = [each for each in rendered if isinstance(each, Pair)]
        coded = iter(
            scorer.encode(pairs, max_tokens=min(self.max_tokens, scorer.window), score_eos=True)
        )
        rows = [next(coded) if isinstance(each, Pair) else None for each in rendered]
        folds = [self.fold_of(prompt) for prompt in table["prompt_id"].to_pylist()]
        usage = Usage()
        for fold in range(self.folds):
            kept = [
                row
                for row, place in zip(rows, folds, strict=True)
                if isinstance(row, Encoded) and (self.folds == 1 or place != fold)
            ]
            if not kept:
                raise ModelError(
                    f"Nothing is left to train '{spec.name}' on for fold {fold}; expected rows "
                    "that pass. Lower the threshold, or correct without 'tuning'."
                )
            usage = usage.plus(self._train(spec, kept, runtime, folder / f"fold-{fold}"))
        return usage

    def _train(self, spec: Any, rows: Sequence[Encoded], runtime: Runtime, folder: Path) -> Usage:
        require("torch", "transformers", "peft")
        import torch  # optional dependencies, and slow to import
        import transformers

        place = resolve_device(runtime.device)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = open_weights(spec, place, full=self.weights == "full")
            if self.weights == "lora":
                model = _with_lora(model, self.rank)
            model.train()
            parameters = [each for each in model.parameters() if each.requires_grad]
            optimizer = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=0.0)
            steps = self.epochs * -(-len(rows) // self.batch_rows)
            schedule = transformers.get_scheduler("cosine", optimizer, -(-steps * 3 // 100), steps)
            passes = 0
            for batch in self._batches(rows):
                passes += _step(model, batch, place)
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                progress.advance(0, sum(len(row.ids) for row in batch))
        if not all(torch.isfinite(each).all() for each in parameters):
            raise ModelError(
                f"Training '{spec.name}' diverged: a weight is not finite; expected a lower "
                f"'learning_rate' than {self.learning_rate}."
            )
        model.eval().save_pretrained(folder, safe_serialization=True)
        return Usage(passes, self.epochs * sum(len(row.ids) for row in rows))

    def _batches(self, rows: Sequence[Encoded]) -> Iterator[list[Encoded]]:
        """Yield the rows of each step, every epoch in an order of its own."""
        random = np.random.default_rng(self.seed)
        for _ in range(self.epochs):
            order = random.permutation(len(rows))
            for start in range(0, len(rows), self.batch_rows):
                yield [rows[place] for place in order[start : start + self.batch_rows]]


_MICRO_TOKENS = 2048  # padded tokens in one backward pass


def _with_lora(model: Any, rank: int) -> Any:
    import peft

    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():  # peft 0.21 asks transformers 5 by a name that it gives up
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")
        return peft.get_peft_model(model, config)


def _step(model: Any, rows: Sequence[Encoded], device: str) -> int:
    """Add up the gradients of one step, the mean over its scored tokens; return the passes."""
    import torch

    total = sum(row.scored_tokens for row in rows)
    waiting = sorted(rows, key=lambda row: len(row.ids))
    passes = 0
    while waiting:
        count = max(1, min(len(waiting), _MICRO_TOKENS // len(waiting[-1].ids)))
        batch, waiting = waiting[-count:], waiting[:-count]
        width = max(len(row.ids) for row in batch)
        ids = torch.zeros(count, width, dtype=torch.long)
        labels = torch.full((count, width), -100)
        mask = torch.zeros(count, width, dtype=torch.long)
        for place, row in enumerate(batch):
            ids[place, : len(row.ids)] = torch.tensor(row.ids)
            labels[place, row.prompt_tokens : len(row.ids)] = ids[
                place, row.prompt_tokens : len(row.ids)
            ]
            mask[place, : len(row.ids)] = 1
        out = model(input_ids=ids.to(device), attention_mask=mask.to(device))
        loss = torch.nn.functional.cross_entropy(
            out.logits[:, :-1].float().flatten(0, 1),
            labels[:, 1:].to(device).flatten(),
            ignore_index=-100,
            reduction="sum",
        )
        part: Any = loss / total
        part.backward()
        passes += 1
    return passes
