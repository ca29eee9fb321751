"""Choices between options: how likely a response begins with each.

An option counts with every token that is it, white space apart ("A" and " A" are both A): so does
the answer of a server (:mod:`siftline.models.remote.answers`), which reports tokens. Where a
response begins with white space by its template, and the tokenizer parts that from the option, the
two tokens together count too.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from siftline.contracts.errors import ModelError
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.generation import option_in, require_distinct
from siftline.models.likelihood import Encoded, Pair, ResponseLikelihood

Ways: TypeAlias = Sequence[Sequence[tuple[int, ...]]]
"""By option: the tokens with which it may begin a response, one way or another."""


def ways_of(options: Sequence[str], opening: str, tokenizer: PairTokenizer) -> Ways:
    """Return the ways in which a response may begin with each option.

    Args:
        options: Texts such as "A" and "B".
        opening: The white space with which the template lets a response begin.
        tokenizer: The model's.

    Raises:
        ModelError: Two options are alike, or one is no token of the model.
    """
    require_distinct(options)
    ways: list[set[tuple[int, ...]]] = [set() for _ in options]
    wanted = {option_in(option): number for number, option in enumerate(options)}
    for token, text in enumerate(tokenizer.texts):
        if option_in(text) in wanted:
            ways[wanted[option_in(text)]].add((token,))
    pairs = [Pair("Answer:", opening + option) for option in options if opening]
    for coded, known in zip(tokenizer.encode(pairs, 1000, score_eos=False), ways, strict=False):
        if isinstance(coded, Encoded):
            *space, last = coded.ids[coded.prompt_tokens :]
            if (last,) in known and not any(tokenizer.texts[token].strip() for token in space):
                known.add((*space, last))
    for option, known in zip(options, ways, strict=True):
        if not known:
            raise ModelError(
                f"The option {option!r} is no single token of '{tokenizer.name}', so its "
                "probability cannot be read off one; use options such as 'A' and 'B'."
            )
    return [sorted(known) for known in ways]


def continuations(ids: tuple[int, ...], ways: Ways) -> list[Encoded]:
    """Return a prompt, continued with each way of each option."""
    each_way = [way for known in ways for way in known]
    return [Encoded((*ids, *way), len(ids), len(way), False) for way in each_way]


def probabilities(results: Iterator[ResponseLikelihood], ways: Ways) -> list[float] | str:
    """Return the probability of each option after one prompt, or why there is none.

    Args:
        results: The likelihoods of its continuations, in their order; they are used up.
        ways: Those of the options.
    """
    weighed = [[next(results) for _ in known] for known in ways]
    bad = [each.status for known in weighed for each in known if each.sum_logprob is None]
    if bad:
        return bad[0]
    return [math.fsum(math.exp(each.sum_logprob or 0.0) for each in known) for known in weighed]
