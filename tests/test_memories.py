"""Keys and values in slots: what is attended to, whatever else comes and goes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tiny_models import torch
from tolerances import float32

from siftline.models.engine import attention
from siftline.models.engine.grouped_memory import GroupedMemory
from siftline.models.engine.layout import layout_of
from siftline.models.engine.packing import Unit, pack
from siftline.models.engine.pooled_memory import PooledMemory
from siftline.models.engine.segments import PlainSegments
from siftline.models.likelihood import Encoded

SLOTS, PLACES, POOL = 6, 40, 64
HEADS, KEY_HEADS, SIZE, VALUE = 4, 2, 8, 6
CPU = torch.device("cpu")


class Folding(PlainSegments):
    """Takes the heads that read the same keys as queries, as the flash kernel does."""

    def folds(self, size: int) -> bool:
        return True


MEMORIES: dict[str, Callable[[], Any]] = {
    "grouped": lambda: GroupedMemory(SLOTS, PLACES, POOL),
    "pooled": lambda: PooledMemory(SLOTS, PLACES, POOL, PlainSegments(), CPU),
    "folded": lambda: PooledMemory(SLOTS, PLACES, POOL, Folding(), CPU),
}


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def states(tokens: int, seed: int) -> tuple[Any, Any, Any]:
    """Random queries, keys and values of some tokens."""
    made = torch.Generator().manual_seed(seed)
    shapes = ((HEADS, SIZE), (KEY_HEADS, SIZE), (KEY_HEADS, VALUE))
    q, k, v = (torch.randn(1, each[0], tokens, each[1], generator=made) for each in shapes)
    return q, k, v


class Text:
    """The keys and values of a sample, all that it should attend to."""

    def __init__(self, keys: Any, values: Any) -> None:
        self.keys, self.values = keys, values  # [key heads, tokens, size]
        self.given = 0

    def expect(self, query: Any) -> Any:
        """Attend with one query, [heads, size], to everything."""
        keys, values = (
            each.repeat_interleave(HEADS // KEY_HEADS, dim=0) for each in (self.keys, self.values)
        )
        weights = (keys @ query[:, :, None] * 0.3).softmax(dim=1)
        return (weights * values).sum(dim=1)


class Scene:
    """A memory beside the texts that it should hold."""

    def __init__(self, memory: Any) -> None:
        self.memory, self.seed = memory, 0
        self.texts: list[Text | None] = [None] * SLOTS

    def read(self, lengths: list[int], slots: list[list[int]]) -> int:
        """Read prompts of random keys and values."""
        taken = int(self.memory.take(lengths, slots))
        rows = [Encoded((*range(size), 0), size, 1, False) for size in lengths[:taken]]
        units = [Unit(0, (row,), size, size) for row, size in enumerate(lengths[:taken])]
        laid = pack(units, rows, {row: [row] for row in range(taken)})
        self.seed += 1
        q, k, v = states(sum(lengths[:taken]), self.seed)
        self.memory.begin_reading(laid, lengths[:taken], slots[:taken])
        with attention.laid_out(layout_of(laid, CPU, False)):
            self.memory.attend(q, k, v, 0.3)
        self.memory.end_reading()
        start = 0
        for size, own in zip(lengths[:taken], slots, strict=False):
            for slot in own:
                self.texts[slot] = Text(
                    k[0, :, start : start + size], v[0, :, start : start + size]
                )
            start += size
        return taken

    def step(self) -> None:
        """Give each sample one more token, and check what it reads."""
        self.seed += 1
        rows = len(self.texts)
        q, k, v = states(rows, self.seed)
        counts = torch.tensor([text.given if text else PLACES for text in self.texts])
        longest = max(text.given for text in self.texts if text)
        self.memory.begin_step(counts, longest)
        found = self.memory.attend(q, k, v, 0.3)
        assert found.shape == (1, rows, HEADS, VALUE)
        assert found.isfinite().all()
        for slot, text in enumerate(self.texts):
            if text:
                text.keys = torch.cat([text.keys, k[0, :, slot : slot + 1]], dim=1)
                text.values = torch.cat([text.values, v[0, :, slot : slot + 1]], dim=1)
                text.given += 1
                expected = text.expect(q[0, :, slot])
                assert torch.allclose(found[0, slot], expected, atol=float32(SIZE * PLACES))

    def free(self, slots: list[int]) -> None:
        self.memory.free(slots)
        for slot in slots:
            self.texts[slot] = None

    def keep(self, slots: list[int]) -> None:
        self.memory.keep(slots)
        self.texts = [self.texts[slot] for slot in slots]


@pytest.mark.parametrize("name", MEMORIES)
def test_samples_read_their_prompt_and_their_own_tokens(name: str) -> None:
    scene = Scene(MEMORIES[name]())
    assert scene.read([9, 8, 1], [[0, 2], [1, 3, 4], [5]]) == 3
    for _ in range(18):  # beyond the first places that are reached
        scene.step()
    scene.free([2, 3])
    scene.step()
    assert scene.read([30], [[2, 3]]) == 1
    scene.step()
    scene.free([1, 4, 5])
    assert scene.read([14, 20], [[1], [4, 5]]) == 1  # there is no room for the second
    scene.step()
    scene.keep([0, 3, 2, 1])
    for _ in range(PLACES - 22):  # to the last place
        scene.step()


@pytest.mark.parametrize("name", MEMORIES)
def test_a_prompt_of_one_token_leaves_nothing_to_read(name: str) -> None:
    scene = Scene(MEMORIES[name]())
    scene.memory.take([0, 0], [[0, 1], [2]])
    scene.memory.end_reading()
    empty = torch.zeros(KEY_HEADS, 0, SIZE), torch.zeros(KEY_HEADS, 0, VALUE)
    scene.texts[:3] = [Text(*empty) for _ in range(3)]
    scene.step()
    scene.step()
    assert scene.read([5], [[3, 4]]) == 1
    scene.step()


@pytest.mark.parametrize("name", MEMORIES)
def test_the_longest_prompt_has_room_when_nobody_is_under_way(name: str) -> None:
    scene = Scene(MEMORIES[name]())
    for _ in range(3):
        assert scene.read([30, 33, 2], [[0, 1], [2, 3], [4]]) < 3
        assert scene.memory.take([POOL], [[5]]) == 0
        scene.free(list(range(SLOTS)))
        assert scene.read([POOL], [[0]]) == 1
        scene.free([0])
