"""A model whose answers a test writes down, in the place of the toy, and what it was asked."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

from siftline.contracts.model_spec import ModelSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.models import holding
from siftline.models.generation import (
    STOP,
    Conversation,
    Generations,
    OptionProbabilities,
    Sample,
    Sampling,
)

Reply: TypeAlias = Callable[[Conversation], Any]


def said(*texts: str, finish: Any = STOP, tokens: int | None = 3) -> list[Sample]:
    """Return samples with these texts."""
    return [Sample(text, tokens, finish) for text in texts]


class Scripted:
    """A generator of fixed answers.

    Attributes:
        generated: Prompts of :meth:`generate`, call by call, each as a conversation.
        chosen: The same of :meth:`choose`.
        samplings: Of the calls of :meth:`generate`.
    """

    def __init__(self, generate: Reply | None = None, choose: Reply | None = None) -> None:
        self._generate, self._choose = generate, choose
        self.generated: list[Conversation] = []
        self.chosen: list[Conversation] = []
        self.samplings: list[Sampling] = []
        self.calls = 0

    def generate(
        self, prompts: Sequence[Conversation], sampling: Sampling, **options: Any
    ) -> Generations:
        """Answer as the script says: samples, or a status."""
        assert self._generate is not None, "nobody expected this model to write"
        self.calls += 1
        self.samplings.append(sampling)
        self.generated += prompts
        options["on_batch"](len(prompts), 0)
        return Generations([self._generate(each) for each in prompts], Usage(1, len(prompts)))

    def choose(
        self, prompts: Sequence[Conversation], options: Sequence[str], **others: Any
    ) -> OptionProbabilities:
        """Weigh as the script says: a number for each option, or a status."""
        assert self._choose is not None, "nobody expected this model to choose"
        self.calls += 1
        self.chosen += prompts
        others["on_batch"](len(prompts), 0)
        return OptionProbabilities([self._choose(each) for each in prompts], Usage(1, len(prompts)))


def texts(conversations: Sequence[Conversation]) -> list[str]:
    """Return the last turn of each conversation."""
    return [turns[-1]["content"] for turns in conversations]


def stand_in(patch: pytest.MonkeyPatch, spec: ModelSpec, model: Any) -> None:
    """Let a model be found where a spec of the toy is loaded."""
    patch.setitem(holding._held, ("toy", spec), holding._Held(None, model))


def playing(model: Any, patch: pytest.MonkeyPatch, role: str = "judge") -> Runtime:
    """Return a runtime in which a model plays a role, beside the toy as embedder."""
    spec = ModelSpec(name="builtin:toy", revision="scripted")
    stand_in(patch, spec, model)
    return Runtime(models={role: spec, "embedder": ModelSpec(name="builtin:toy")}, device="cpu")
