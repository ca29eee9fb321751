"""Where and how a run is computed, and what it has cost."""

import re
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, field_validator

from siftline.contracts.config import Config
from siftline.contracts.errors import RecipeError, nearest
from siftline.contracts.model_spec import ModelSpec

_DEVICE = re.compile(r"auto|cpu|cuda(?::\d{1,3})?")


class Runtime(Config):
    """Where and how a run is computed. Nothing here may change a result beyond rounding.

    Attributes:
        models: The recipe's models by role.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, or several such as `cuda:0,cuda:1`; anything else
            is a :class:`RecipeError`.
        max_batch_tokens: Tokens in one forward pass; None takes what suits the device.
        shard_rows: Examples in one shard of a new version.
        artifact: What was trained for the scorer at hand; the runner fills it in.
        base: Folder that the files named by scorers are relative to; the runner fills it in.
    """

    models: dict[str, ModelSpec] = {}
    device: str = "auto"
    max_batch_tokens: int | None = Field(default=None, ge=1)
    shard_rows: int = Field(default=4096, ge=1)
    artifact: Path | None = None
    base: Path = Path()

    @field_validator("device")
    @classmethod
    def _devices_are_known(cls, device: str) -> str:
        """Hold every device to the grammar, before anything is read or paid for."""
        for name in device.split(","):
            if not _DEVICE.fullmatch(name.strip()):
                raise RecipeError(
                    f"Got the device '{name.strip()}'; expected 'auto', 'cpu', 'cuda', "
                    "'cuda:<number>', or several of them with commas between."
                )
        return device

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that score shards, each in a process of its own if there are several."""
        return tuple(name.strip() for name in self.device.split(","))

    def on(self, device: str) -> "Runtime":
        """Return the same on one device."""
        return self.model_copy(update={"device": device})

    def spec(self, role: str) -> ModelSpec:
        """Return the model that plays a role.

        Raises:
            RecipeError: The recipe has none.
        """
        if role not in self.models:
            raise RecipeError(
                f"There is no model of the role '{role}'; add it to 'models' in the recipe."
                f"{nearest(role, self.models)}"
            )
        return self.models[role]


class Usage(NamedTuple):
    """What a score has cost.

    Attributes:
        model_calls: Forward passes, each of one batch.
        tokens: Tokens that went through a model, padding not counted.
    """

    model_calls: int = 0
    tokens: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of two usages."""
        return Usage(self.model_calls + other.model_calls, self.tokens + other.tokens)
