"""Compiled decoder layers, where the work repays compiling them.

One layer is compiled for all, since they are alike, as one graph for any number of tokens. What
compiling costs is paid once per process, and less where its cache is warm (docs/decisions.md).
Whether a call is compiled depends on its rows and on what they are a part of
(siftline.contracts.outlook), so the same shard gives the same bits whatever ran before it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from siftline.models.store.cache_folder import cache_folder

# Seconds of computing from which compiling pays: what it takes by the share of the time that it
# gains. On a CPU 9 s for a twentieth; on a GPU 6 s to 9 s for a fifth (docs/decisions.md).
_SECONDS = {"cpu": 180.0, "cuda": 40.0}
# Floating-point operations a second that a layer reaches: on two cores, and, on a GPU, half of what
# its multiprocessors can, each with so many operations a cycle by its generation, at 1.5 GHz.
_CPU_RATE = 1e12
_PER_CYCLE = {(8, 0): 2048, 7: 1024, 8: 1024, 9: 4096, 10: 8192, 12: 2048}
_GPU_SHARE = 0.5 * 1.5e9


class Compilation:
    """The decoder layers of a model, compiled on demand.

    Attributes:
        worth: Number of floating-point operations from which compiling pays.
        possible: Whether the layers can be compiled; false once compiling has failed.
        instead: What is said of the layers where they are not compiled.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        names = set(getattr(model, "_no_split_modules", None) or ())
        self._layers = [each for each in model.modules() if type(each).__name__ in names]
        self.worth = _SECONDS.get(model.device.type, float("inf")) * _rate(model.device)
        self._compiled: list[Any] = []
        self.possible = bool(self._layers)
        self.instead = "" if self._layers else ", not compiled: it does not name its layers"

    def pays(self, operations: float) -> bool:
        """Return whether compiling pays for so many floating-point operations."""
        return self.possible and operations >= self.worth

    def give_up(self, reason: str) -> None:
        """Compile nothing from now on."""
        self.possible = False
        self.instead = f", not compiled: {reason}"

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Run the layers compiled inside the block."""
        if not self._compiled:
            _keep_what_is_compiled()
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


def _rate(device: torch.device) -> float:
    """Return about how many floating-point operations a second the layers of a model reach."""
    if device.type != "cuda":
        return _CPU_RATE
    found = torch.cuda.get_device_properties(device)
    known = (found.major, found.minor)
    per_cycle = _PER_CYCLE.get(known, _PER_CYCLE.get(found.major, _PER_CYCLE[9]))
    return _GPU_SHARE * per_cycle * float(found.multi_processor_count)


def _keep_what_is_compiled() -> None:
    """Let the compiler, and Triton below it, keep what they make in the cache folder.

    The compiler writes its own choice into the environment when it is first asked for a folder,
    which may have been before; it is in the folder of temporary files, and ends with it.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # slow to import

    if os.environ.get("TORCHINDUCTOR_CACHE_DIR") in (None, default_cache_dir()):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder() / "inductor")
