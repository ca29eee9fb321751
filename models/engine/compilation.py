"""Compiled decoder layers, where the work repays compiling them.

One layer is compiled for all, since they are alike, for any number of tokens. What compiling costs
is paid once per process, and less where its cache is warm (docs/decisions.md). Whether a call is
compiled depends on its rows only, so the same shard gives the same bits whatever ran before it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel

from siftline.models.store.cache_folder import cache_folder

# Floating-point operations of a call beyond which compiling pays. It costs half a minute and gains
# a tenth: this is what the device computes in five minutes.
_WORTH = {"cpu": 3e14, "cuda": 1e17}


class Compilation:
    """The decoder layers of a model, compiled on demand.

    Attributes:
        worth: Number of floating-point operations of a call from which compiling pays.
        possible: Whether the layers can be compiled; false once compiling has failed.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        names = set(getattr(model, "_no_split_modules", None) or ())
        self._layers = [each for each in model.modules() if type(each).__name__ in names]
        self.worth = _WORTH.get(model.device.type, float("inf"))
        self._compiled: list[Any] = []
        self.possible = bool(self._layers)

    def pays(self, operations: float) -> bool:
        """Return whether compiling pays for a call of so many floating-point operations."""
        return self.possible and operations >= self.worth

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Run the layers compiled inside the block."""
        if not self._compiled:
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
            for layer in self._layers:
                layer.compile(dynamic=True)
            self._compiled = [layer._compiled_call_impl for layer in self._layers]
        self._call(self._compiled)
        try:
            yield
        finally:
            self._call([None] * len(self._layers))

    def _call(self, implementations: list[Any]) -> None:
        for layer, implementation in zip(self._layers, implementations, strict=True):
            layer._compiled_call_impl = implementation
