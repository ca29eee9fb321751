from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import engine, torch
from tolerances import float32

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.engine import answering, batching, decoding, passes, sampling
from siftline.models.generation import Sampling, stream
from siftline.models.loading import load_language_model
from siftline.models.plain_rendering import plain_prompt
from siftline.models.thoughts import after_thought
from siftline.models.toy import ToyLanguageModel

PROMPTS: list[Any] = [
    [{"role": "user", "content": text}]
    for text in ("the cat?", "a", "xab ab " * 12, "the cat sat on the mat", "a", "\u96ea")
]
GREEDY = Sampling(temperature=0, max_tokens=12)
RANDOM = Sampling(n=3, temperature=0.9, top_p=0.95, max_tokens=12, seed=5)


def answer(scorer: Any, prompts: list[Any], sampling: Sampling) -> list[Any]:
    found: list[Any] = scorer.generate(prompts, sampling, template="plain").rows
    return found


def greedy_by_hand(scorer: Any, prompt: Any, count: int) -> str:
    """Take the likeliest token again and again, the whole sequence each time."""
    ids = scorer.pairs.head + scorer.tokenizer(plain_prompt(prompt))["input_ids"]
    start = len(ids)
    with torch.no_grad():
        for _ in range(count):
            token = int(scorer.network.model(torch.tensor([ids])).logits[0, -1].argmax())
            if token == scorer.tokenizer.eos_token_id:
                break
            ids.append(token)
    text = scorer.tokenizer.decode(ids[start:], skip_special_tokens=True)
    return str(text).removeprefix(" ").split("\nQuestion:")[0]


# Of Gemma 2 the canary says that it cannot be packed, Mistral has a window, Granite a scale.
@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPT2", "Gemma2", "Mistral", "Granite"])
def test_greedy_is_the_likeliest_token_again_and_again(kind: str) -> None:
    scorer = engine(kind)
    for prompt, samples in zip(PROMPTS, answer(scorer, PROMPTS, GREEDY), strict=True):
        assert samples[0].text == greedy_by_hand(scorer, prompt, 12)


@pytest.mark.parametrize("kind", ["Llama", "Gemma2"])
def test_a_sample_does_not_depend_on_what_else_is_asked(kind: str) -> None:
    scorer = engine(kind)
    together = answer(scorer, PROMPTS, RANDOM)
    turned = answer(scorer, PROMPTS[::-1], RANDOM)[::-1]
    apart = [answer(scorer, [prompt], RANDOM)[0] for prompt in PROMPTS]
    assert together == turned == apart
    assert together[1] == together[4]  # the same prompt twice
    more = answer(scorer, PROMPTS, RANDOM.model_copy(update={"n": 5}))
    assert [samples[:3] for samples in more] == together
    other = answer(scorer, PROMPTS, RANDOM.model_copy(update={"seed": 6}))
    assert other != together


@pytest.mark.parametrize("kind", ["Llama", "Gemma2"])
@pytest.mark.parametrize("slots", [1, 2, 4, 7])
def test_samples_take_the_slots_that_others_have_left(kind: str, slots: int) -> None:
    scorer = engine(kind)
    whole = scorer.generate(PROMPTS, RANDOM, template="plain")
    scorer.network.most_slots = slots
    seen: list[tuple[int, int]] = []
    parted = scorer.generate(
        PROMPTS, RANDOM, template="plain", on_batch=lambda *done: seen.append(done)
    )
    assert parted.rows == whole.rows
    assert parted.usage.model_calls > whole.usage.model_calls
    assert sum(prompts for prompts, _ in seen) == len(PROMPTS)
    assert max(prompts for prompts, _ in seen) == 1  # each is told when it is finished


def test_running_out_of_memory_halves_the_slots_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = engine()
    whole = scorer.generate(PROMPTS, RANDOM, template="plain")
    step = decoding.BufferedDecoder.step
    sizes: list[int] = []
    most = 2

    def small(self: Any, tokens: Any, counts: Any, longest: int) -> Any:
        sizes.append(len(tokens))
        if len(tokens) > most and longest == 3:
            raise torch.OutOfMemoryError("too many")
        return step(self, tokens, counts, longest)

    monkeypatch.setattr(decoding.BufferedDecoder, "step", small)
    seen: list[tuple[int, int]] = []
    found = scorer.generate(
        PROMPTS, RANDOM, template="plain", on_batch=lambda *done: seen.append(done)
    )
    assert found.rows == whole.rows
    assert (max(sizes), max(sizes[-20:])) == (18, 2)
    assert sum(prompts for prompts, _ in seen) == len(PROMPTS)
    most = 0
    with pytest.raises(ModelError, match="do not fit the memory"):
        answer(scorer, PROMPTS, RANDOM)


def test_the_frequencies_of_tokens_are_their_probabilities() -> None:
    from siftline.models.engine.sampling import draw

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 3.0]])
    numbers = torch.from_numpy(np.random.default_rng(0).random(20_000))
    for temperature, top_p in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.85)):
        weights = (logits[0] / temperature).softmax(0).double()
        order = weights.argsort(descending=True)
        before = weights[order].cumsum(0) - weights[order]
        weights[order[before >= top_p]] = 0
        wanted = (weights / weights.sum()).numpy()
        tokens = draw(logits.expand(len(numbers), -1), numbers, temperature, top_p)
        found = np.bincount(tokens.numpy(), minlength=5) / len(numbers)
        assert found == pytest.approx(wanted, abs=0.015)
        assert (found > 0).tolist() == (wanted > 0).tolist()


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.2, 0.9, 1.0]))
def test_a_draw_is_within_the_nucleus_even_at_the_ends(
    seed: int, temperature: float, top_p: float
) -> None:
    from siftline.models.engine.sampling import draw

    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 4, (3, 700))).float()
    numbers = torch.tensor([0.0, 0.5, np.nextafter(1, 0)], dtype=torch.float64)
    weights = (logits / (temperature or 1)).softmax(1)
    for row, token in enumerate(draw(logits, numbers, temperature, top_p).tolist()):
        likelier = weights[row][weights[row] > weights[row, token]].double().sum()
        assert likelier <= max(top_p, 1e-9) + 1e-6


def test_statuses_stand_where_there_are_no_samples() -> None:
    scorer = engine()
    rows = answer(scorer, [PROMPTS[0], [{"role": "user", "content": "the " * 200}]], RANDOM)
    assert len(rows[0]) == 3
    assert rows[1] == "prompt_too_long"
    with pytest.raises(ModelError, match="no chat template"):
        scorer.generate(PROMPTS, RANDOM)


def test_a_response_ends_with_the_window() -> None:
    scorer = engine()
    prompt = [{"role": "user", "content": "the cat " * 20}]
    size = len(scorer.tokenizer(plain_prompt(prompt))["input_ids"])  # type: ignore[arg-type]
    scorer.window = size + 2
    (samples,) = answer(scorer, [prompt], GREEDY)
    assert samples[0].tokens <= 2


@pytest.mark.parametrize("kind", ["Llama", "Gemma2"])
def test_choices_are_the_probabilities_of_the_first_tokens(kind: str) -> None:
    scorer = engine(kind)
    scorer.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"
    options = ["a", "the", "xab"]
    found = scorer.choose(PROMPTS, options)
    lengths = {}
    for prompt, probabilities in zip(PROMPTS, found.rows, strict=True):
        text = scorer.render_chat(prompt, True)
        ids = scorer.tokenizer(text)["input_ids"]
        lengths[text] = len(ids)
        with torch.no_grad():
            wanted = scorer.network.model(torch.tensor([ids])).logits[0, -1].softmax(0)
        said = [
            text.strip()
            for text in scorer.tokenizer.batch_decode([[n] for n in range(len(wanted))])
        ]
        sums = [sum(float(wanted[n]) for n, text in enumerate(said) if text == o) for o in options]
        assert probabilities == pytest.approx(sums, abs=float32(32))
    if kind == "Llama":  # prompts only, each of them once
        assert found.usage.tokens == sum(lengths.values())


def test_choices_are_reported_as_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(passes._TOKENS, "cpu", 8)
    told: list[float] = []
    engine().choose(
        PROMPTS, ["a", "the"], template="plain", on_batch=lambda rows, _: told.append(rows)
    )
    assert sum(told) == pytest.approx(len(PROMPTS))
    assert len([rows for rows in told if rows]) > 1


def test_options_that_begin_alike_are_refused() -> None:
    with pytest.raises(ModelError, match="'the cat' is no single token"):
        engine().choose(PROMPTS, ["the cat", "the mat"], template="plain")
    with pytest.raises(ModelError, match="cannot be told apart"):
        engine().choose(PROMPTS, ["a", "a"], template="plain")
    with pytest.raises(ModelError, match="same byte"):
        ToyLanguageModel().choose(PROMPTS, ["aa", "ab"], template="plain")


def test_the_toy_answers_and_chooses() -> None:
    toy = ToyLanguageModel()
    together = toy.generate(PROMPTS, RANDOM, template="plain")
    assert together.rows == toy.generate(PROMPTS, RANDOM, template="plain").rows
    assert together.rows[0] != together.rows[3]
    lengths = [each.tokens for samples in together.rows for each in samples if samples]  # type: ignore[union-attr]
    assert max(length or 99 for length in lengths) <= 12
    (weights,) = toy.choose([PROMPTS[0]], ["t", "z"], template="plain").rows
    assert float(weights[0]) > float(weights[1]) > 0


def test_random_streams_differ_by_seed_prompt_and_sample() -> None:
    one = stream(1, "a", 0, 8)
    assert np.array_equal(one[:4], stream(1, "a", 0, 4))
    others = [stream(2, "a", 0, 8), stream(1, "b", 0, 8), stream(1, "a", 1, 8)]
    assert len(Counter(tuple(each) for each in (one, *others))) == 4


@pytest.mark.model
def test_smollm2_answers_as_transformers_does() -> None:
    scorer: Any = load_language_model(ModelSpec(name="builtin:smollm2", dtype="float32"), "cpu")
    prompts: list[Any] = [
        [{"role": "user", "content": "What is the capital of France?"}],
        [{"role": "user", "content": "How many legs has a spider? Answer with a number."}],
    ]
    found = scorer.generate(prompts, Sampling(temperature=0, max_tokens=20)).rows
    for prompt, samples in zip(prompts, found, strict=True):
        text = scorer.render_chat(prompt, True)
        ids = scorer.tokenizer(text, return_tensors="pt", add_special_tokens=False)
        model = scorer.network.model
        whole = model.generate(**ids, max_new_tokens=20, do_sample=False)[0]
        expected = scorer.tokenizer.decode(
            whole[ids["input_ids"].shape[1] :], skip_special_tokens=True
        )
        assert samples[0].text == expected
    assert "Paris" in found[0][0].text


def script(monkeypatch: pytest.MonkeyPatch, samples: list[list[int]]) -> None:
    """Let every prompt be answered by the same tokens."""

    class Scripted(batching.Batch):
        def run(self) -> None:
            while self._waiting:
                portion = self._waiting.popleft()
                for sample in portion.samples:
                    self._done(portion, sample, sampling.Drawn(samples[sample], stopped=True))

    monkeypatch.setattr(answering, "Batch", Scripted)


CHAT = (
    "{% for m in messages %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}a:%s{% endif %}"
)


@pytest.mark.parametrize("marker", ["[THINK]", "<think>", "<seed:think>"])
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("opened", [True, False])
def test_thoughts_are_part_of_the_text_whoever_opens_them(
    marker: str, special: bool, opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, closing = engine(), f"{marker[0]}/{marker[1:]}"
    scorer.tokenizer.add_tokens([marker, closing, "<pad>"], special_tokens=special)
    scorer.tokenizer.chat_template = CHAT.replace("%s", f"{marker}\n" if opened else "")
    begun = "" if opened else marker
    texts = [f"{begun}Answer: A", f"{begun}It is B{closing}A", f"{begun}It{closing} x {marker}y"]
    ids = [scorer.tokenizer(text)["input_ids"] for text in texts]

    script(monkeypatch, ids)
    asked = Sampling(n=len(texts))
    (samples,) = scorer.generate([[{"role": "user", "content": "the cat?"}]], asked).rows
    whole = [text if not opened else marker + text for text in texts]
    assert [each.text for each in samples] == whole
    assert [after_thought(each.text) for each in samples] == [None, "A", None]


def test_other_special_tokens_are_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = engine()
    scorer.tokenizer.add_tokens(["[THINK]", "<pad>"], special_tokens=True)
    ids = scorer.tokenizer("<pad>the cat<bos>[THINK] sat<pad>")["input_ids"]
    script(monkeypatch, [ids])
    (samples,) = answer(scorer, PROMPTS[:1], Sampling())
    assert samples[0].text == "the cat[THINK] sat"


@pytest.mark.parametrize("kind", ["Llama", "Gemma2", "Mamba"])
@pytest.mark.parametrize("sampling", [GREEDY, RANDOM], ids=["greedy", "random"])
def test_logits_that_are_no_numbers_are_a_status_and_never_a_text(
    kind: str, sampling: Sampling
) -> None:
    scorer = engine(kind, tie_word_embeddings=False)
    sound = answer(scorer, PROMPTS, sampling)
    (odd,) = scorer.tokenizer("\u96ea", add_special_tokens=False)["input_ids"][:1]
    with torch.no_grad():
        scorer.network.model.get_input_embeddings().weight[odd] = float("nan")
    found = answer(scorer, PROMPTS, sampling)
    assert found[-1] == "nan"  # of one that says so itself, or meets the token on its way
    others = list(zip(found[:-1], sound[:-1], strict=True))
    assert all(row in ("nan", whole) for row, whole in others)
    assert any(row == whole for row, whole in others)
