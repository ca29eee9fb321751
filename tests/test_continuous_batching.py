"""The loop over tokens, with a decoder that only remembers: when one begins changes no sample."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
answering = pytest.importorskip("siftline.models.engine.answering")
batching = pytest.importorskip("siftline.models.engine.batching")
replaying = pytest.importorskip("siftline.models.engine.replaying")
sampling = pytest.importorskip("siftline.models.engine.sampling")

VOCABULARY = 6
PLACES = 12
CPU = torch.device("cpu")


def likeliest(text: tuple[int, ...]) -> int:
    return zlib.crc32(bytes(text)) % VOCABULARY


class Remembering:
    """A decoder that knows the text of each slot, and fails in one of its steps."""

    def __init__(self, joins: bool, pool: int, fails: int) -> None:
        self.joins, self.passes, self._pool, self._fails = joins, 0, pool, fails
        self._texts: dict[int, tuple[int, ...]] = {}
        self._given: dict[int, int] = {}

    def read(self, prompts: Sequence[tuple[int, ...]], slots: Sequence[Sequence[int]]) -> int:
        assert not self._given or self.joins
        taken = 0
        for prompt, own in zip(prompts, slots, strict=True):
            room = self._pool - sum(map(len, self._texts.values()))
            if self.joins and len(prompt) > room and (taken or self._given):
                break
            assert not set(own) & set(self._given)
            self._texts |= dict.fromkeys(own, prompt[:-1])
            self._given |= dict.fromkeys(own, 0)
            taken += 1
        return taken

    def step(self, tokens: Any, counts: Any, longest: int) -> Any:
        self._fails -= 1
        if not self._fails:
            raise torch.OutOfMemoryError("no room")
        logits = torch.zeros(len(tokens), VOCABULARY)
        for slot in self._given:
            if self._given[slot] == counts[slot] <= longest:
                self._texts[slot] += (int(tokens[slot]),)
                self._given[slot] += 1
            logits[slot, likeliest(self._texts[slot])] = 1
        return logits

    def shape(self, rows: int, longest: int) -> None:
        return None

    def free(self, slots: Sequence[int]) -> None:
        for slot in slots:
            del self._texts[slot], self._given[slot]

    def keep(self, slots: Sequence[int]) -> None:
        for table in (self._texts, self._given):
            kept = {new: table[old] for new, old in enumerate(slots) if old in table}
            table.clear()
            table.update(kept)  # type: ignore[arg-type]


def by_hand(prompt: tuple[int, ...], limit: int, stops: frozenset[int]) -> tuple[list[int], bool]:
    said: list[int] = []
    while len(said) < limit:
        token = likeliest((*prompt, *said))
        if token in stops:
            return said, True
        said.append(token)
    return said, False


PACES = st.builds(
    batching.Pace,
    st.integers(1, 4),
    st.sampled_from([0, 1, 1, 2]),
    st.sampled_from([0.125, 0.5, 1.0]),
    st.sampled_from([0.5, 0.75, 1.0]),
    st.booleans(),
)


@settings(deadline=None, max_examples=150)
@given(
    prompts=st.lists(
        st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(1, PLACES)),
        min_size=1,
        max_size=12,
    ),
    samples=st.integers(1, 5),
    slots=st.sampled_from([1, 2, 3, 4, 5, 9, 64]),
    pool=st.sampled_from([0, 20, 60, 400]),
    pace=PACES,
    stops=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=3),
    joins=st.sampled_from([True, True, False]),
    fails=st.sampled_from([0, 0, 2, 9]),
)
def test_every_sample_is_handed_out_once_as_it_is_alone(
    prompts: list[tuple[list[int], int]],
    samples: int,
    slots: int,
    pool: int,
    pace: Any,
    stops: frozenset[int],
    joins: bool,
    fails: int,
) -> None:
    found: dict[tuple[int, int], Any] = {}

    def done(portion: Any, sample: int, drawn: Any) -> None:
        assert (portion.number, sample) not in found
        found[portion.number, sample] = (drawn.ids, drawn.stopped)

    waiting = [
        batching.Portion(number, tuple(ids), limit, tuple(range(samples)))
        for number, (ids, limit) in enumerate(prompts)
    ]
    while waiting:
        batch = batching.Batch(
            [part for each in waiting for part in answering._parts(each, slots)],
            Remembering(joins, pool, fails),
            sampling.Slots(slots, PLACES, stops, 0, 1, CPU),
            replaying.Replayer(None, pytest.fail),
            pace,
            lambda prompt, sample: np.zeros(PLACES),
            done,
        )
        try:
            batch.run()
        except torch.OutOfMemoryError:
            slots, fails = max(1, slots // 2), 0
        waiting = batch.unfinished()
        left = [(each.number, sample) for each in waiting for sample in each.samples]
        assert len(left) + len(found) == samples * len(prompts)
        assert not set(left) & set(found)
    for (number, _), sample in found.items():
        ids, limit = prompts[number]
        assert sample == by_hand(tuple(ids), limit, stops)
