"""Which texts of benchmarks conversations may hold, by their n-grams, all of them in columns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siftline.scorers.leaks.benchmark_index import BenchmarkIndex, Found
from siftline.scorers.leaks.conversation_texts import ConversationTexts
from siftline.scorers.leaks.ngram_space import NgramSpace, Overlaps

FLOOR = 0.3  # smallest share of a text's n-grams that is looked into


class Share(NamedTuple):
    """How much of a text a conversation may hold.

    Attributes:
        of_all: Share of the n-grams of the text.
        counted: The smaller of it and of the share of those that are not common.
        as_template: The same where all numbers are one word.
        other_numbers: Whether of the n-grams with a number more are there with others than with
            the same: it is another problem of the same kind.
    """

    of_all: float
    counted: float
    as_template: float
    other_numbers: bool


class Suspicion(NamedTuple):
    """What a conversation may hold.

    Attributes:
        shares: By the number of a text.
        templates: Texts whose n-grams are all there, numbers aside.
        short: Items whose short question is there.
        control: Largest share of a recombined text that counts; None where there are none.
    """

    shares: dict[int, Share]
    templates: list[int]
    short: list[int]
    control: float | None


def suspicions(
    index: BenchmarkIndex, given: ConversationTexts, rows: int, common: Sequence[int]
) -> list[Suspicion]:
    """Return what conversations may hold.

    Args:
        index: Of the benchmarks.
        given: Texts of the conversations.
        rows: Number of conversations.
        common: N-grams of `index.templates` that are no evidence.
    """
    found = index.found_in(given.texts, given.rows, template=True)
    held = index.found_in(given.texts, given.rows, template=False)
    is_common = np.zeros(len(index.templates), dtype=bool)
    is_common[list(common)] = True
    plain_common = is_common[index.template_of]
    control = np.zeros(rows)
    recombined = _counted(index.plain, held, plain_common, control=True)
    for (row, _), (_, share, _) in recombined.items():
        control[row] = max(control[row], share)
    made = [
        Suspicion({}, [], [], float(share) if index.plain.has_control else None)
        for share in control
    ]
    plain = _counted(index.plain, held, plain_common)
    numbered = index.plain.overlaps(held.rows, held.ngrams, without=~index.has_number)
    same = dict(zip(_pairs(numbered), numbered.shared.tolist(), strict=True))
    for (row, text), (of_all, share, shared) in _counted(index.templates, found, is_common).items():
        whole, counted, kept = plain.get((row, text), (0.0, 0.0, 0))
        changed = shared - kept
        other = changed > 0 and changed >= same.get((row, text), 0)
        made[row].shares[text] = Share(whole, counted, share, other)
        if of_all == 1:
            made[row].templates.append(text)
    for row, number in zip(found.short_rows, found.short, strict=True):
        made[row].short.append(index.short.items[number])
    return made


def _counted(
    space: NgramSpace, found: Found, common: npt.NDArray[np.bool_], *, control: bool = False
) -> dict[tuple[int, int], tuple[float, float, int]]:
    """Return the share of all n-grams, that which counts, and how many are there.

    By conversation and text, where the share of all is at least the floor.
    """
    of_all = space.overlaps(found.rows, found.ngrams, control=control)
    rare = space.overlaps(found.rows, found.ngrams, without=common, control=control)
    rare_shares = dict(zip(_pairs(rare), rare.shares.tolist(), strict=True))
    return {
        pair: (share, min(share, rare_shares.get(pair, 0.0)), shared)
        for pair, share, shared in zip(
            _pairs(of_all), of_all.shares.tolist(), of_all.shared.tolist(), strict=True
        )
        if share >= FLOOR
    }


def _pairs(overlaps: Overlaps) -> list[tuple[int, int]]:
    return list(zip(overlaps.rows.tolist(), overlaps.texts.tolist(), strict=True))
