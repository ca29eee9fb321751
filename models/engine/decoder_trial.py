"""Whether a decoder gives the logits that the model gives for the whole text.

The cache of a model is its own code: some cannot be copied sample by sample, some count padding
into a state, some have none. Like packs, each way of decoding is tried on a few tokens before it is
used: prompts of three lengths, two samples of each, some of which are dropped on the way.
"""

import torch

from siftline.models.engine.capabilities import scattered_tokens
from siftline.models.engine.decoder import Decoder
from siftline.models.engine.forward import Network
from siftline.models.engine.recomputing import RecomputingDecoder

TRIED = (3, 7, 12)
"""The lengths of the prompts that are tried, in tokens."""

_STEPS = 4
# Mean difference of logits, as a share of their spread: rounding gives 1e-6 and 0.01, padding that
# leaks into a state 0.1 and more.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_HALF_TOLERANCE = 0.05


def what_is_wrong(decoder: Decoder, network: Network) -> str | None:
    """Try a decoder against :class:`RecomputingDecoder`; return what is wrong with it, if anything.

    Args:
        decoder: A decoder that has not been used.
        network: Its model.
    """
    expected = _logits(RecomputingDecoder(network, 4 * sum(TRIED)), network)
    try:
        found = _logits(decoder, network)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever the model's own code says to a cache
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    difference = float((found - expected).abs().mean() / expected.std())
    if difference <= _TOLERANCE.get(network.model.dtype, _HALF_TOLERANCE):
        return None
    return f"its logits would differ by {difference:.2g} of their spread"


def _logits(decoder: Decoder, network: Network) -> torch.Tensor:
    """Return the logits of some samples on their way: [samples of all steps, vocabulary]."""
    most = min(network.longest_packed or 64, network.rope.tokens) - _STEPS
    lengths = [max(1, min(length, most)) for length in TRIED]
    ids = scattered_tokens(network.model, sum(lengths) + 6 * _STEPS)
    *prompts, given = torch.split(ids, [*lengths, 6 * _STEPS])
    logits = [decoder.start([tuple(each.tolist()) for each in prompts], 2)]
    kept = torch.arange(6, device=network.device)
    for number, tokens in enumerate(given.view(_STEPS, 6)):
        if number == _STEPS // 2:
            kept = kept[[0, 2, 3, 5]]
            decoder.keep(kept)
        logits.append(decoder.step(tokens[kept]))
    return torch.cat(logits)
