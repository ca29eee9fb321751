"""Natural language inference: does one text contradict another?

A sequence classifier whose labels say so (`config.id2label`), run on pairs as its tokenizer
encodes pairs. Texts beyond a limit are judged sentence by sentence, since such models are trained
on single sentences.
"""

import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.contracts.errors import ModelError
from siftline.contracts.runtime import Usage
from siftline.models.batching import batch_tokens, run_in_halves
from siftline.models.likelihood import plan

# Longest pair in tokens; such models are trained on no longer ones.
_WINDOW = 512
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


class Contradictions(NamedTuple):
    """The result of a call: [pairs] probabilities in [0, 1], and what they have cost."""

    probability: npt.NDArray[np.float64]
    usage: Usage


class EntailmentModel:
    """A classifier of pairs of texts.

    Attributes:
        name: As the recipe names it, for messages.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        labels = {int(key): str(label).casefold() for key, label in model.config.id2label.items()}
        self._contradiction = [key for key, label in labels.items() if "contradict" in label]
        if len(self._contradiction) != 1:
            raise ModelError(
                f"'{name}' has the labels {sorted(labels.values())}; expected a model of natural "
                "language inference, one of whose labels is 'contradiction'."
            )
        if tokenizer.pad_token_id is None:
            raise ModelError(
                f"The tokenizer of '{name}' has no padding token, which batches of pairs need; "
                "name one as 'pad_token' in its tokenizer_config.json."
            )
        self._window = min(_positions(model), _WINDOW)

    def contradictions(
        self, pairs: Sequence[tuple[str, str]], max_tokens: int = 300
    ) -> Contradictions:
        """Return how likely each second text contradicts the first one.

        Args:
            pairs: Premise and hypothesis.
            max_tokens: A hypothesis with more of them is judged by its sentences, and the mean
                over them counts. A pair beyond the model's window is cut at the longer text.
        """
        units: list[tuple[str, str]] = []
        owners: list[int] = []
        with self._lock:  # a tokenizer keeps the last call's limits, so it serves one at a time
            for number, (premise, hypothesis) in enumerate(pairs):
                parts = self._parts(hypothesis, max_tokens)
                units += [(premise, part) for part in parts]
                owners += [number] * len(parts)
            scores, usage = self._score(units)
        total = np.bincount(owners, weights=scores, minlength=len(pairs))
        return Contradictions(total / np.bincount(owners, minlength=len(pairs)), usage)

    def _parts(self, text: str, max_tokens: int) -> list[str]:
        # Markers of the tokenizer in a text are text; `verbose` would warn of what is split below.
        coded = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        )
        if len(coded["input_ids"]) <= max_tokens:
            return [text]
        return [part for part in _SENTENCE.split(text) if part.strip()] or [text]

    def _score(self, units: Sequence[tuple[str, str]]) -> tuple[npt.NDArray[np.float64], Usage]:
        import torch  # an optional dependency, and slow to import

        scores = np.empty(len(units))
        lengths = [len(ids) for ids in self._encode(units)["input_ids"]] if units else []
        budget = batch_tokens(self._model.device.type)

        def run(batch: Sequence[int]) -> None:
            inputs = self._encode([units[row] for row in batch], padding=True, return_tensors="pt")
            with torch.inference_mode():
                logits = self._model(**inputs.to(self._model.device)).logits.float()
            chances = torch.softmax(logits, dim=-1)[:, self._contradiction[0]]
            scores[batch] = chances.cpu().numpy()

        batches = plan(lengths, ["\0".join(unit) for unit in units], budget)
        calls = run_in_halves(batches, run, f"'{self.name}'")
        if not np.isfinite(scores).all():
            raise ModelError(
                f"'{self.name}' gave a probability that is not finite; use dtype 'float32'."
            )
        return scores, Usage(calls, sum(lengths))

    def _encode(self, units: Sequence[tuple[str, str]], **options: Any) -> Any:
        premises, hypotheses = zip(*units, strict=True)
        return self._tokenizer(
            list(premises),
            list(hypotheses),
            truncation="longest_first",
            max_length=self._window,
            split_special_tokens=True,
            **options,
        )


def _positions(model: Any) -> int:
    """Return how many tokens a model has positions for."""
    positions = int(getattr(model.config, "max_position_embeddings", None) or _WINDOW)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings"):
            # RoBERTa and its kin count from behind the padding's number.
            padding = getattr(module, "padding_idx", None)
            positions -= 0 if padding is None else padding + 1
    return positions
