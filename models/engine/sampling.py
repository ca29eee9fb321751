"""From logits to responses: the draw of a token, and the loop over tokens.

A token is drawn by inverting the cumulative distribution at a given random number, so that a
sample is a function of its logits and its own random stream.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from siftline.models.engine.decoder import Decoder

# How many of the likeliest tokens are sorted at first for `top_p`; nearly always enough.
_LIKELIEST = 256
# Finished samples are dropped from the computation when they are this share of it.
_FINISHED_SHARE = 0.25


class Drawn(NamedTuple):
    """The tokens of one sample.

    Attributes:
        ids: The tokens, without the one that ended the sample.
        stopped: Whether the model ended the sample.
    """

    ids: list[int]
    stopped: bool


def draw(
    logits: torch.Tensor, numbers: torch.Tensor, temperature: float, top_p: float
) -> torch.Tensor:
    """Draw a token for each row.

    Args:
        logits: [rows, vocabulary] float32.
        numbers: [rows] float64, random numbers in [0, 1).
        temperature: Temperature of the softmax; 0 takes the likeliest token.
        top_p: Draw from the smallest set of likeliest tokens that holds this probability.

    Returns:
        [rows] tokens.
    """
    if temperature == 0:
        return logits.argmax(dim=1)
    weights = (logits / temperature).softmax(dim=1)
    if top_p == 1:
        return _invert(weights, numbers)
    size = min(_LIKELIEST, weights.shape[1])
    likeliest, tokens = weights.topk(size, dim=1)
    if bool((likeliest.sum(dim=1) < top_p).any()):
        likeliest, tokens = weights.sort(dim=1, descending=True, stable=True)
    before = likeliest.double().cumsum(dim=1) - likeliest
    nucleus = likeliest * (before < top_p)
    return tokens.gather(1, _invert(nucleus, numbers)[:, None])[:, 0]


def _invert(weights: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    cumulative = weights.cumsum(dim=1, dtype=torch.float64)
    wanted = numbers * cumulative[:, -1]
    tokens = torch.searchsorted(cumulative, wanted[:, None], right=True)[:, 0]
    # A number next to one may meet the end by rounding; the last token of any weight takes it.
    last = weights.shape[1] - 1 - (weights.flip(1) > 0).int().argmax(dim=1)
    return torch.minimum(tokens, last)


@torch.inference_mode()
def sample(
    decoder: Decoder,
    prompts: Sequence[tuple[int, ...]],
    numbers: npt.NDArray[np.float64],
    limits: Sequence[int],
    stops: frozenset[int],
    temperature: float,
    top_p: float,
) -> tuple[list[Drawn], int]:
    """Sample responses to a batch of prompts.

    Args:
        decoder: A decoder that has not been used.
        prompts: The tokens of each prompt.
        numbers: [prompts * samples, tokens] random numbers in [0, 1).
        limits: The most tokens of a response, by prompt.
        stops: The tokens that end a response.
        temperature: As for :func:`draw`.
        top_p: As for :func:`draw`.

    Returns:
        The samples, those of one prompt one after the other, and the number of forward passes.
    """
    count = len(numbers) // len(prompts)
    logits = decoder.start(prompts, count)
    random = torch.from_numpy(numbers).to(logits.device)
    ids: list[list[int]] = [[] for _ in numbers]
    stopped = [False] * len(numbers)
    rows = list(range(len(numbers)))  # the samples in the decoder, finished or not
    live = set(rows)
    passes = 1
    while True:
        step = passes - 1
        tokens = draw(logits, random[rows, min(step, random.shape[1] - 1)], temperature, top_p)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row not in live:
                continue
            stopped[row] = token in stops
            if not stopped[row]:
                ids[row].append(token)
            if stopped[row] or len(ids[row]) >= limits[row // count]:
                live.remove(row)
        if not live:
            return [Drawn(*each) for each in zip(ids, stopped, strict=True)], passes
        if len(live) <= (1 - _FINISHED_SHARE) * len(rows):
            places = torch.tensor([place for place, row in enumerate(rows) if row in live])
            places = places.to(logits.device)
            decoder.keep(places)
            tokens = tokens[places]
            rows = [row for row in rows if row in live]
        logits = decoder.step(tokens)
        passes += 1
