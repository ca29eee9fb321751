"""The variable-length flash kernel of PyTorch, whose arguments differ from release to release.

| torch | causal by | scale | fewer heads of keys than of queries |
|---|---|---|---|
| 2.10 | `is_causal` | its own, one by the root of the size | none: the keys' heads are repeated |
| 2.11 | `window_size` | `scale` | taken as they are |
| 2.12 and later | `window_size` | `scale` | `enable_gqa` |

What a kernel takes is read off its signature, never off the version of torch.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch

from siftline.models.engine.cascade import Attention
from siftline.models.engine.layout import FlashLayout

Kernel = Callable[..., Any]


@cache
def kernel_of_torch() -> Kernel:
    """Return the kernel of the installed torch.

    Raises:
        NotImplementedError: It has none.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn  # not in every torch that is allowed
    except ImportError as error:
        raise NotImplementedError(
            f"torch {torch.__version__} has no variable-length attention; install 2.10 or later"
        ) from error
    kernel: Kernel = varlen_attn
    return kernel


def attend(
    kernel: Kernel,
    layout: FlashLayout,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Attend within a pack: one call for its spans, and one for each level of prefixes.

    Args:
        kernel: `varlen_attn` of some torch.
        layout: The pack.
        q: [tokens, heads, size].
        k: [tokens, key heads, size].
        v: [tokens, key heads, value size].
        scale: Factor of the scores before the softmax.

    Returns:
        [tokens, heads, value size].

    Raises:
        NotImplementedError: The kernel cannot be made causal, or does not tell the sums of weights
            that prefixes need.
    """
    known = inspect.signature(kernel).parameters
    options: dict[str, Any] = {}
    if "scale" in known:
        options["scale"] = scale
    else:
        q = q * (scale * q.shape[-1] ** 0.5)
    if (repeats := q.shape[1] // k.shape[1]) > 1:
        if "enable_gqa" in known:
            options["enable_gqa"] = True
        elif "window_size" not in known:
            k, v = (each.repeat_interleave(repeats, dim=1) for each in (k, v))
    causal = _causal(known)
    own = (layout.ends, layout.ends, layout.longest, layout.longest)
    if not layout.levels:
        mixed: torch.Tensor = kernel(q, k, v, *own, **causal, **options)
        return mixed.contiguous()
    options["return_aux"] = _sums(known)
    attention = Attention(*kernel(q, k, v, *own, **causal, **options))
    for level in layout.levels:
        reading, read = slice(*level.queries), slice(*level.keys)
        # A kernel of grouped queries takes segments of one query each for a batch without gaps.
        longest = max(2, level.longest_query), level.longest_key
        before = kernel(
            q[reading], k[read], v[read], level.query_ends, level.key_ends, *longest, **options
        )
        attention.part(reading).absorb(Attention(*before), level.outside)
    return attention.mixed.contiguous()


def _causal(known: Mapping[str, Any]) -> dict[str, Any]:
    if "window_size" in known:
        return {"window_size": (-1, 0)}
    if "is_causal" in known:
        return {"is_causal": True}
    raise NotImplementedError(
        f"the variable-length attention of torch {torch.__version__} takes neither "
        "'window_size' nor 'is_causal'"
    )


def _sums(known: Mapping[str, Any]) -> Any:
    """Return what asks a kernel for the logsumexp of each query's scores."""
    if "return_aux" not in known:
        raise NotImplementedError(
            f"the variable-length attention of torch {torch.__version__} takes no 'return_aux'"
        )
    from torch.nn.attention.varlen import AuxRequest  # not in every torch that is allowed

    return AuxRequest(lse=True)
