"""Tests of the training loop: what is learned, the schedule, batches by tokens, going on."""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from conversations import CALLS
from tiny_models import engine, tiny_model
from tolerances import assert_alike, float32

from siftline.contracts import progress
from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.runtime import Usage
from siftline.models.engine import captured_passes
from siftline.models.likelihood import Encoded
from siftline.models.talks import Talk
from siftline.models.training import batches
from siftline.models.training import loop as training
from siftline.models.training import rows as rows_module
from siftline.models.training.loop import Hyperparameters, train
from siftline.models.training.rows import TrainingRow, training_rows

torch = pytest.importorskip("torch")

# Prompts of 2, 4, 1 and 3 tokens; what follows is learned.
ROWS = [
    TrainingRow((5, 6, 7, 8, 1), ((2, 5),)),
    TrainingRow((9, 5, 7, 6, 30, 31, 32, 33, 34, 1), ((4, 10),)),
    TrainingRow((40, 41, 1), ((1, 3),)),
    TrainingRow((50, 51, 52, 53, 54, 55, 1), ((3, 4), (5, 7))),
]
# Products behind a gradient: 25 tokens in all, at a hidden size of 32.
TERMS = 25 * 32
HYPERPARAMETERS = Hyperparameters(learning_rate=0.01, epochs=3, batch_rows=2, warmup=0.2)


def nothing(step: int) -> None:
    """Take no notice of a stop."""


def go(
    model: Any,
    folder: Path,
    rows: Sequence[TrainingRow] = ROWS,
    hyperparameters: Hyperparameters = HYPERPARAMETERS,
    stops: Sequence[int] = (6,),
    on_stop: Callable[[int], None] = nothing,
) -> Usage:
    return train(model, rows, hyperparameters, stops=stops, on_stop=on_stop, folder=folder)


def talk(*contents: str) -> list[Message]:
    """Return a conversation in which user and assistant take turns."""
    roles = ("user", "assistant")
    return [Message(role=roles[n % 2], content=text) for n, text in enumerate(contents)]


def losses_in(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "losses.json").read_text(encoding="utf-8"))
    return found


def mean_cross_entropy(model: Any, rows: Sequence[TrainingRow]) -> float:
    """Return the loss by one plain forward pass for each row, token by token."""
    model.eval()
    found = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0].double()
        for start, end in row.spans:
            for place in range(start, end):
                found.append(-float(torch.log_softmax(logits[place - 1], -1)[row.ids[place]]))
    return math.fsum(found) / len(found)


@pytest.mark.parametrize("kind", ["Llama", "GPTNeoX", "Qwen2", "Gemma2"])
def test_the_loss_is_the_mean_cross_entropy_of_the_learned_tokens(
    kind: str, tmp_path: Path
) -> None:
    expected = mean_cross_entropy(tiny_model(kind), ROWS)
    go(
        tiny_model(kind),
        tmp_path,
        hyperparameters=HYPERPARAMETERS._replace(batch_rows=4),
        stops=[1],
    )
    written = 0.5e-5  # losses have five places
    assert losses_in(tmp_path) == {
        "1": pytest.approx(expected, abs=written + float32(TERMS, expected))
    }


def test_responses_and_their_end_tokens_are_learned_and_prompts_are_not() -> None:
    model = engine()
    (found,) = training_rows([Talk(talk("the cat?", "sat on."))], "plain", model, 100)
    assert isinstance(found, TrainingRow)
    ((start, end),) = found.spans
    assert model.tokenizer.decode(found.ids[:start]) == "Question: the cat?\nAnswer:"
    assert model.tokenizer.decode(found.ids[start:end]) == " sat on.<end>"
    assert end == len(found.ids)


CHAT = (
    "{% for m in messages %}<bos>{{ m.role }}\n{{ m.content }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<bos>assistant\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "learned"),
    [("plain", [" sat", " mat<end>"]), ("chat", ["sat<end>", "mat<end>"])],
)
def test_all_assistant_turns_of_a_conversation_are_learned(
    template: Any, learned: list[str]
) -> None:
    model = engine()
    model.tokenizer.chat_template = CHAT
    turns = talk("the cat", "sat", "on the", "mat")
    (found,) = training_rows([Talk(turns)], template, model, 100)
    assert isinstance(found, TrainingRow)
    texts = [model.tokenizer.decode(found.ids[start:end]) for start, end in found.spans]
    assert texts == learned


def test_calls_and_thoughts_are_learned_and_turns_of_weight_0_are_not() -> None:
    model = engine()
    said, called = talk("the cat", "sat"), talk("on the", "")
    called[1] |= {"tool_calls": CALLS, "reasoning": "mat"}
    (row,) = training_rows([Talk([*said, *called])], "plain", model, 200)
    assert isinstance(row, TrainingRow)
    texts = [model.tokenizer.decode(row.ids[start:end]) for start, end in row.spans]
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    assert texts == [" sat", f" <think>\nmat\n</think>\n\n{call}<end>"]

    said[1]["weight"] = 0
    (later,) = training_rows([Talk([*said, *called])], "plain", model, 200)
    assert later == TrainingRow(row.ids, row.spans[1:])
    called[1]["weight"] = 0
    assert training_rows([Talk([*said, *called])], "plain", model, 200) == ["not_learned"]
    said[1]["weight"] = 1  # what stands behind the last learned turn is left out
    (first,) = training_rows([Talk([*said, *called])], "plain", model, 200)
    assert [first] == training_rows([Talk(said)], "plain", model, 200)


def test_turns_behind_the_window_are_cut_off() -> None:
    model = engine()
    turns = talk("the cat", "sat", "on the " * 40, "mat")
    (found,) = training_rows([Talk(turns)], "plain", model, 30)
    (short,) = training_rows([Talk(turns[:2])], "plain", model, 30)
    assert isinstance(found, TrainingRow)
    assert found == short
    assert training_rows([Talk(turns)], "plain", model, 3) == ["prompt_too_long"]


def test_an_earlier_turn_that_reads_otherwise_later_is_not_learned() -> None:
    last = Encoded((2, 3, 4, 5, 6, 7, 1), 5, 2, True)
    kept = Encoded((2, 3, 4, 1), 1, 2, True)  # what follows takes the place of its end token
    merged = Encoded((2, 3, 9, 1), 1, 2, True)
    assert rows_module._training_row([kept, last]) == TrainingRow(last.ids, ((1, 3), (5, 7)))
    assert rows_module._training_row([merged, last]) == TrainingRow(last.ids, ((5, 7),))
    assert rows_module._training_row(["empty_response", last]) == TrainingRow(last.ids, ((5, 7),))


def test_what_cannot_be_learned_has_a_status_and_what_is_too_long_is_cut() -> None:
    model = engine()
    talks = [Talk(talk("the", answer)) for answer in (" ", "sat " * 40)]
    empty, long = training_rows(talks, "plain", model, 20)
    assert empty == "empty_response"
    assert isinstance(long, TrainingRow)
    assert len(long.ids) == 20
    assert long.spans[0][1] == 20
    assert training_rows(talks[1:], "plain", model, 4) == ["prompt_too_long"]
    (whole,) = training_rows(talks[1:], "plain", model, 10**6)  # the model's window counts
    assert isinstance(whole, TrainingRow)
    assert len(whole.ids) <= model.window


def gradients(rows: Sequence[TrainingRow], max_tokens: int) -> tuple[list[Any], float, int]:
    optimisation = training._Optimisation(tiny_model("Llama").train(), rows, HYPERPARAMETERS)
    optimisation.max_tokens, optimisation.padding = max_tokens, 1000
    loss, passes = optimisation._backward(rows)
    return [weight.grad for weight in optimisation.named.values()], float(loss), passes


def test_the_batches_of_a_step_do_not_change_its_gradients() -> None:
    whole, loss, passes = gradients(ROWS, 1000)
    assert passes == 1
    for max_tokens, expected in ((1, 4), (14, 3), (20, 2)):  # rows of 10, 7, 5 and 3 tokens
        parts, same, passes = gradients(ROWS, max_tokens)
        assert passes == expected
        assert same == pytest.approx(loss, abs=float32(TERMS, loss))
        for one, other in zip(whole, parts, strict=True):
            assert_alike(one, other, TERMS)


def test_every_epoch_goes_through_all_rows_in_an_order_of_its_own() -> None:
    rows = [TrainingRow((n, 1), ((1, 2),)) for n in range(7)]
    hyperparameters = Hyperparameters(0.1, epochs=2, batch_rows=3)
    optimisation = training._Optimisation(tiny_model("Llama"), rows, hyperparameters)
    assert hyperparameters.steps(7) == 6
    drawn = [[row.ids[0] for row in optimisation._rows_of(step)] for step in range(6)]
    assert [len(each) for each in drawn] == [3, 3, 1, 3, 3, 1]
    epochs = [[row for each in part for row in each] for part in (drawn[:3], drawn[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(7))
    assert epochs[0] != epochs[1]
    assert [hyperparameters.learned(7, step) for step in range(7)] == [0, 3, 6, 7, 10, 13, 14]


def test_the_learning_rate_rises_and_then_falls_as_a_cosine() -> None:
    hyperparameters = Hyperparameters(learning_rate=3.0, epochs=1, batch_rows=1, warmup=0.2)
    rates = [hyperparameters.rate(step, 10) for step in range(10)]
    assert rates[:3] == pytest.approx([1.0, 2.0, 3.0])
    assert rates[6] == pytest.approx(1.5)  # half way down
    assert rates[9] == pytest.approx(1.5 * (1 + math.cos(7 / 8 * math.pi)))
    assert Hyperparameters(2.0, 1, 1, warmup=0).rate(0, 10) == 2.0


def test_a_step_moves_weights_by_its_learning_rate(tmp_path: Path) -> None:
    before, model = tiny_model("Llama"), tiny_model("Llama")
    go(model, tmp_path, stops=[1])
    rate = HYPERPARAMETERS.rate(0, 6)
    moves = [
        float((one - other).detach().abs().max())
        for one, other in zip(model.parameters(), before.parameters(), strict=True)
    ]
    assert max(moves) == pytest.approx(rate, rel=1e-3)  # AdamW's first step is the gradient's sign


def start() -> Any:
    """Return a model with dropout, and with a weight that no row reaches."""
    model = tiny_model("GPT2")
    model.unused = torch.nn.Parameter(torch.ones(2))
    return model


def test_a_training_that_was_killed_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    straight = start()
    spent = go(straight, whole, stops=[2, 4, 6])

    def killed(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(start(), part, stops=[2, 4, 6], on_stop=killed)
    torch.manual_seed(99)  # a new process has other random numbers
    seen: list[int] = []
    resumed = start()
    left = go(resumed, part, stops=[2, 4, 6], on_stop=seen.append)
    assert seen == [4, 6]
    assert left.tokens == spent.tokens * 2 // 3  # of an epoch of two steps, all rows
    assert losses_in(part) == losses_in(whole)
    assert list(losses_in(part)) == ["1", "2", "3", "4", "5", "6"]
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [path.name for path in part.iterdir()] == ["losses.json"]


def test_chance_is_a_matter_of_the_seed(tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((0, 0, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        torch.manual_seed(number)
        go(start(), folder, hyperparameters=HYPERPARAMETERS._replace(seed=seed), stops=[2])
        found.append(losses_in(folder))
    assert found[0] == found[1] != found[2]


def test_the_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    model = start()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    go(model, tmp_path, stops=[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_that_does_not_fit_is_cut_into_smaller_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_PADDING", 9.0)
    (tmp_path / "roomy").mkdir()
    (tmp_path / "small").mkdir()
    roomy, small = tiny_model("Llama"), tiny_model("Llama")
    hyperparameters = HYPERPARAMETERS._replace(batch_rows=4)
    spent = go(roomy, tmp_path / "roomy", hyperparameters=hyperparameters, stops=[2])
    limited(monkeypatch, tokens=20)
    tight = go(small, tmp_path / "small", hyperparameters=hyperparameters, stops=[2])
    assert spent.model_calls == 2
    assert tight.model_calls == 6  # 10, 7 + 5 and 3 tokens wide: 16 at most, found by halving
    for one, other in zip(roomy.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_step_that_is_begun_again_forgets_the_gradients_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected, _, _ = gradients(ROWS, 1000)
    plain, calls = training._Optimisation._pass, list[int]()

    def run(self: Any, batch: Sequence[TrainingRow], total: int) -> Any:
        calls.append(len(batch))
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return plain(self, batch, total)

    monkeypatch.setattr(training._Optimisation, "_pass", run)
    optimisation = training._Optimisation(tiny_model("Llama").train(), ROWS, HYPERPARAMETERS)
    optimisation.max_tokens, optimisation.padding = 20, 1000
    optimisation._halving(ROWS, 0)
    assert calls == [2, 2, 1, 1, 2]  # the second batch fails, then 10 tokens at once
    for one, other in zip(expected, optimisation.named.values(), strict=True):
        assert_alike(one, other.grad, TERMS)


def test_a_row_that_does_not_fit_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, tokens=9)
    with pytest.raises(ModelError, match="A row of 10 tokens does not fit the memory of cpu"):
        go(tiny_model("Llama"), tmp_path, hyperparameters=HYPERPARAMETERS._replace(batch_rows=4))


def limited(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Let a batch of more padded tokens fail as on a GPU, after its gradients have been added."""
    plain = training._Optimisation._pass

    def run(self: Any, batch: Sequence[TrainingRow], total: int) -> Any:
        if len(batch) * max(len(row.ids) for row in batch) > tokens:
            raise torch.OutOfMemoryError
        return plain(self, batch, total)

    monkeypatch.setattr(training._Optimisation, "_pass", run)


def test_divergence_is_an_error_and_makes_no_checkpoint(tmp_path: Path) -> None:
    made: list[int] = []
    broken = tiny_model("Llama")
    next(iter(broken.parameters())).data.fill_(math.nan)
    with pytest.raises(ModelError, match="the loss of step 1 is nan"):
        go(broken, tmp_path, on_stop=made.append)
    torch.nn.init.constant_((wild := start()).unused, math.inf)
    with pytest.raises(ModelError, match="'unused' holds a number that is not finite"):
        go(wild, tmp_path, stops=[1], on_stop=made.append)
    assert not made
    assert not list(tmp_path.iterdir())


def test_a_batch_that_is_filled_up_has_the_same_loss_and_gradients() -> None:
    arrays = batches.laid_out(sorted(ROWS, key=lambda row: -len(row.ids)))
    found = []
    for each in (arrays, captured_passes.filled_up(*arrays)):
        optimisation = training._Optimisation(tiny_model("Llama"), ROWS, HYPERPARAMETERS)
        inputs = [*map(torch.from_numpy, each), torch.tensor(14)]
        loss = float(optimisation._there_and_back(inputs))
        found.append((loss, [weight.grad for weight in optimisation.named.values()]))
    (loss, plain), (same, filled) = found
    assert same == pytest.approx(loss, abs=float32(TERMS, loss))
    for one, other in zip(plain, filled, strict=True):
        assert_alike(one, other, TERMS)


def test_a_training_of_replayed_passes_ends_as_one_of_launched_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replayed: list[int] = []

    class Graph:
        """Runs what a GPU would replay."""

        def __init__(self, run: Callable[[], None]) -> None:
            self.run = run

        def replay(self) -> None:
            replayed.append(1)
            self.run()

    def capture(self: Any, shape: Any, arrays: Any) -> None:
        inputs = [torch.from_numpy(each.copy()) for each in arrays]
        loss = torch.zeros(())
        graph: Any = Graph(lambda: loss.copy_(self._run(inputs)))
        self._captured[shape] = captured_passes._Captured(graph, inputs, loss)

    ends = []
    monkeypatch.setattr(captured_passes, "_CAPTURED_AT", 2)
    for name in ("launched", "replayed"):
        (tmp_path / name).mkdir()
        model = tiny_model("Llama")
        go(model, tmp_path / name)
        ends.append(model)
        begin = training._Optimisation.__init__

        def begun(self: Any, *arguments: Any, begin: Any = begin) -> None:
            begin(self, *arguments)
            self.on_its_stream = nullcontext
            self._captured = captured_passes.CapturedPasses(
                self._there_and_back, list(self.named.values())
            )

        monkeypatch.setattr(training._Optimisation, "__init__", begun)
        monkeypatch.setattr(captured_passes.CapturedPasses, "_capture", capture)
    assert len(replayed) > 3
    plain, same = (losses_in(tmp_path / name) for name in ("launched", "replayed"))
    assert same == pytest.approx(plain, rel=1e-3)
    for one, other in zip(ends[0].parameters(), ends[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("bfloat16", [False, True])
def test_on_a_gpu_passes_are_captured_and_losses_are_those_of_a_cpu(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bfloat16: bool,
) -> None:
    settings = HYPERPARAMETERS._replace(
        learning_rate=1e-3, epochs=8, batch_rows=4, bfloat16=bfloat16
    )
    found, graphs = [], []
    monkeypatch.setattr(captured_passes, "_CAPTURED_AT", 3)
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
        model = tiny_model("Llama", initializer_range=0.05).to(device)
        optimisations: list[Any] = []
        plain = training._Optimisation.check

        def check(self: Any, plain: Any = plain, seen: list[Any] = optimisations) -> None:
            seen.append(self)
            plain(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training._Optimisation, "check", check)
            go(model, tmp_path / device, hyperparameters=settings, stops=[3, 8])
        found.append(losses_in(tmp_path / device))
        graphs.append(len(optimisations[0]._captured._captured) if device == "cuda" else 0)
    assert graphs == [0, 1]
    assert not caplog.records
    assert found[1] == pytest.approx(found[0], rel=0.02 if bfloat16 else 1e-3)
    assert found[1]["8"] < found[1]["1"]


def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let losses be read as on a GPU, one step late."""
    begin = training._Optimisation.__init__

    def begun(self: Any, *arguments: Any) -> None:
        begin(self, *arguments)
        self.late = True

    monkeypatch.setattr(training._Optimisation, "__init__", begun)


def test_a_loss_that_is_read_late_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("at once", "late"):
        (tmp_path / name).mkdir()
        go(tiny_model("Llama"), tmp_path / name)
        late(monkeypatch)
    assert losses_in(tmp_path / "late") == losses_in(tmp_path / "at once")
    assert len(losses_in(tmp_path / "late")) == 6


@pytest.mark.parametrize("stops", [[1], [6]])
def test_a_loss_that_is_read_late_is_no_number_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[int]
) -> None:
    late(monkeypatch)
    made: list[int] = []
    broken = tiny_model("Llama")
    next(iter(broken.parameters())).data.fill_(math.nan)
    with pytest.raises(ModelError, match="the loss of step 1 is nan"):
        go(broken, tmp_path, stops=stops, on_stop=made.append)
    assert not made
    assert not list(tmp_path.iterdir())


def states(monkeypatch: pytest.MonkeyPatch, folder: Path, cost: float, step: float) -> list[int]:
    """Return after which steps the state is written, if writing and a step take so many seconds."""
    now, written = [0.0], list[int]()

    def save(folder: Path, weights: Any, optimizer: Any, number: int, losses: Any) -> None:
        written.append(number)
        now[0] += cost

    plain = training._Optimisation.step

    def slow(self: Any, *arguments: int) -> Usage:
        now[0] += step
        return plain(self, *arguments)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(training, "save_state", save)
    monkeypatch.setattr(training._Optimisation, "step", slow)
    go(tiny_model("Llama"), folder, stops=[2, 3, 4, 5, 6])
    return written


@pytest.mark.parametrize(
    ("cost", "step", "expected"),
    [
        (0.0, 1.0, [2, 3, 4, 5]),  # what costs nothing is written at every checkpoint but the last
        (1.0, 1.0, [2]),  # and what costs much once
        (0.15, 1.0, [2, 4]),
        (1.0, 61.0, [1, 2, 3, 4, 5]),  # a long training also between them
    ],
)
def test_the_state_is_written_as_often_as_is_cheap(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cost: float, step: float, expected: list[int]
) -> None:
    assert states(monkeypatch, tmp_path, cost, step) == expected


class Heard(progress.Silent):
    """Adds up what it hears."""

    def __init__(self) -> None:
        self.rows, self.notes = 0.0, list[str]()

    def advance(self, rows: float, tokens: int) -> None:
        self.rows += rows

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_progress_tells_rows_and_the_loss_and_goes_on_where_it_was(tmp_path: Path) -> None:
    def killed(step: int) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tiny_model("Llama"), tmp_path, stops=[3, 5, 6], on_stop=killed)
    heard = Heard()
    progress.listen(heard)
    try:
        go(tiny_model("Llama"), tmp_path, stops=[3, 5, 6])
    finally:
        progress.listen(progress.Silent())
    assert heard.rows == 3 * len(ROWS)
    assert [note.partition(",")[0] for note in heard.notes] == ["step 4/6", "step 5/6", "step 6/6"]
    assert heard.notes[-1].endswith(f"loss {losses_in(tmp_path)['6']:.3f}")


def test_only_learned_tokens_are_projected_onto_the_vocabulary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_PADDING", 9.0)
    model = tiny_model("Llama")
    projected = []
    model.get_output_embeddings().register_forward_hook(
        lambda module, inputs, output: projected.append(output.shape[:-1].numel())
    )
    settings = HYPERPARAMETERS._replace(batch_rows=4)
    go(model, tmp_path, hyperparameters=settings, stops=[1])
    assert projected[-1] == sum(row.learned_tokens for row in ROWS)
