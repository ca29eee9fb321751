"""Steps that are captured and replayed, with a stand-in for CUDA graphs on the CPU.

The stand-in does what a graph does: it notes the operations of a step with the tensors that they
read, and repeats these operations on these tensors, without running the step's own code again. So
a buffer that moves, or a number of the host that changes from step to step, gives other samples
here and not only on a GPU.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tiny_models import engine, tiny_model, tiny_tokenizer, torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from siftline.models.engine import batching, decoding, pooled_memory
from siftline.models.engine.replaying import Replayer
from siftline.models.engine.segments import FlashSegments, PlainSegments, Segments
from siftline.models.engine.transformer import TransformerModel
from siftline.models.generation import Sampling

PROMPTS: list[Any] = [
    [{"role": "user", "content": text}]
    for text in ("the cat?", "a", "xab ab " * 12, "the cat sat on the mat", "a", "xab", "cat " * 9)
]
RANDOM = Sampling(n=3, temperature=0.9, max_tokens=12, seed=5)


class Tape(TorchDispatchMode):
    """The operations of a step, with the tensors that they read and wrote."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Repeat the operations: results go where they went, whatever happened since."""
        for func, args, kwargs, before in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(before), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recorder:
    """Captures steps on tapes.

    Attributes:
        replays: How often each captured step was run.
    """

    def __init__(self) -> None:
        self.replays: list[int] = []

    def __call__(self, turn: Callable[[], None]) -> Callable[[], None]:
        tape, number = Tape(), len(self.replays)
        self.replays.append(0)
        with tape:
            turn()  # a graph would not run here, and so the first replay does nothing

        def replay() -> None:
            if self.replays[number]:
                tape.replay()
            self.replays[number] += 1

        return replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Let models on the CPU answer as on a GPU: on a pool, with captured steps."""
    kind = decoding.Kind("pooled", "", partial(decoding._pooled, kernel=PlainSegments()), "")
    monkeypatch.setattr(decoding, "_buffers", lambda *_: [kind])
    monkeypatch.setitem(batching.PACES, "cpu", batching.PACES["cuda"])
    found = Recorder()
    monkeypatch.setattr(Replayer, "of", classmethod(lambda cls, _: cls(found, pytest.fail)))
    return found


@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Mistral"])
@pytest.mark.parametrize("slots", [4, 8, 512])
def test_replayed_steps_give_the_same_samples(
    kind: str, slots: int, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = engine(kind)
    scorer.network.most_slots = slots
    found = scorer.generate(PROMPTS, RANDOM, template="plain").rows
    assert scorer.network.decoders == {"pooled": True}
    assert sum(recorder.replays) > 2 * len(recorder.replays) > 0
    monkeypatch.undo()
    assert engine(kind).generate(PROMPTS, RANDOM, template="plain").rows == found


@pytest.mark.parametrize("table", ["_read", "_ends", "_starts", "_used"])
def test_the_stand_in_notices_a_table_that_moves(
    table: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = engine()
    scorer.network.most_slots = 5  # in which the samples of a prompt begin apart
    whole = scorer.generate(PROMPTS, RANDOM, template="plain").rows
    lay_out = pooled_memory.PooledMemory._lay_out

    def moved(self: Any) -> None:
        setattr(self, table, getattr(self, table).clone())
        lay_out(self)

    monkeypatch.setattr(pooled_memory.PooledMemory, "_lay_out", moved)
    assert scorer.generate(PROMPTS, RANDOM, template="plain").rows != whole


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("operation not permitted\nwhen stream is capturing", ": operation not permitted"),
        ("", ""),
    ],
)
def test_what_cannot_be_captured_is_run_as_it_is_and_said(said: str, expected: str) -> None:
    told: list[str] = []
    runs: list[int] = []

    def refuse(turn: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError(said)

    replayer = Replayer(refuse, told.append)
    for step in range(4):
        replayer.run("shape", partial(runs.append, step))
    assert runs == [0, 1, 2, 3]
    assert told == [f"RuntimeError{expected}"]


def test_a_step_without_a_shape_is_never_captured() -> None:
    runs: list[int] = []
    replayer = Replayer(Recorder(), pytest.fail)
    for step in range(3):
        replayer.run(None, partial(runs.append, step))
    assert runs == [0, 1, 2]


def on_gpu(kind: str, dtype: Any) -> Any:
    return TransformerModel(tiny_model(kind).to("cuda", dtype), tiny_tokenizer(), kind)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["Llama", "GPT2", "Qwen2"])
@pytest.mark.parametrize("slots", [5, 512])
def test_captured_steps_give_the_samples_of_the_cpu(kind: str, slots: int) -> None:
    captured, eager = on_gpu(kind, torch.float32), on_gpu(kind, torch.float32)
    eager.network.captures = False
    for scorer in (captured, eager):
        scorer.network.most_slots = slots
    found = captured.generate(PROMPTS, RANDOM, template="plain").rows
    assert captured.network.captures
    assert captured.network.decoders == {"buffers": True}
    assert found == eager.generate(PROMPTS, RANDOM, template="plain").rows
    assert found == engine(kind).generate(PROMPTS, RANDOM, template="plain").rows


@pytest.mark.gpu
def test_the_flash_kernel_serves_captured_steps() -> None:
    scorer = on_gpu("Llama", torch.bfloat16)
    rows = scorer.generate(PROMPTS, RANDOM, template="plain").rows
    assert scorer.network.captures
    assert scorer.network.decoders == {"flash": True}
    assert rows == scorer.generate(PROMPTS, RANDOM, template="plain").rows


@pytest.mark.gpu
@pytest.mark.parametrize("together", [2, 3])
def test_the_flash_kernel_gives_what_plain_products_give(together: int) -> None:
    torch.manual_seed(0)
    segments, places, size = 4, 50, 64
    query = torch.randn(segments * together, 6, size, dtype=torch.bfloat16, device="cuda")
    key, value = torch.randn(2, segments * places, 2, size, dtype=torch.bfloat16, device="cuda")

    def numbers(values: list[int]) -> Any:
        return torch.tensor(values, dtype=torch.int32, device="cuda")

    laid = Segments(
        numbers([together * each for each in range(segments + 1)]),
        numbers([100, 0, 150, 50, 0]),  # in any order
        numbers([50, 1, 17, 33]),
        together,
        places,
    )
    mixed, sums = FlashSegments()(query, key, value, laid, 0.125)
    plain, plain_sums = PlainSegments()(query, key, value, laid, 0.125)
    assert (mixed - plain).abs().max() < 0.05
    assert (sums - plain_sums).abs().max() < 0.05
