import math
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import engine
from tolerances import nats

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec
from siftline.models.likelihood import Encoded, Pair, ResponseLikelihood, fit, plan
from siftline.models.loading import load_language_model
from siftline.models.rendering import Prompt
from siftline.models.toy import ToyLanguageModel, probability

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

PAIRS = [
    Pair("Question: the cat?\nAnswer:", " sat on the mat."),
    Pair("Question: a\nAnswer:", " b"),
    Pair("the cat sat", "!"),
    Pair("Question: " + "the cat sat on the mat " * 4 + "\nAnswer:", " the cat"),
    Pair("a", " cat! \u96ea \U0001f600 <end>"),
    Pair("Question: the cat?\nAnswer:", " on the mat " * 3),
]


def alone(scorer: Any, pair: Pair) -> tuple[float, int]:
    """Score one pair by a plain forward pass: the definition, written out."""
    ids = scorer.tokenizer(
        [pair.prompt, pair.prompt + pair.response],
        add_special_tokens=False,
        split_special_tokens=True,
    )["input_ids"]
    start, full = len(ids[0]) + len(scorer.pairs.head), scorer.pairs.head + ids[1]
    with torch.no_grad():
        logprobs = scorer.network.model(torch.tensor([full])).logits[0].double().log_softmax(-1)
    wanted = [float(logprobs[t - 1, full[t]]) for t in range(start, len(full))]
    return math.fsum(wanted), len(wanted)


def close(scorer: Any, pairs: list[Pair], **options: Any) -> None:
    found = scorer.log_likelihood(pairs, **options).rows
    for pair, row in zip(pairs, found, strict=True):
        total, count = alone(scorer, pair)
        assert (row.status, row.scored_tokens) == ("ok", count)
        assert row.sum_logprob / count == pytest.approx(total / count, abs=nats())


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPT2", "Gemma2"])
@pytest.mark.parametrize("budget", [1, 64, 4096])
def test_a_batch_scores_as_each_row_alone(kind: str, budget: int) -> None:
    close(engine(kind), PAIRS, max_batch_tokens=budget)


@pytest.mark.parametrize(("kind", "plain"), [("Llama", True), ("GPT2", True), ("Gemma2", False)])
def test_capped_logits_are_noticed(kind: str, plain: bool) -> None:
    assert (engine(kind).network.projection is not None) is plain


def test_scaled_logits_are_not_lost() -> None:
    scorer = engine("Granite", logits_scaling=4.0)
    assert scorer.network.projection is None
    close(scorer, PAIRS)


@pytest.mark.parametrize("kind", ["Llama", "Gemma2"])
def test_the_vocabulary_projection_may_be_done_in_chunks(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siftline.models.engine.forward._LOGITS_AT_ONCE", 600)  # two positions
    monkeypatch.setattr(
        "siftline.models.engine.projection._BLOCK", {"cpu": (3, 7), "cuda": ()}
    )  # 300 is no multiple
    close(engine(kind), PAIRS)


def test_the_order_of_rows_changes_no_bit() -> None:
    scorer = engine()
    order = np.random.default_rng(1).permutation(len(PAIRS))
    straight = scorer.log_likelihood(PAIRS, max_batch_tokens=64).rows
    turned = scorer.log_likelihood([PAIRS[row] for row in order], max_batch_tokens=64).rows
    assert turned == [straight[row] for row in order]


def test_bos_is_put_in_front_once() -> None:
    scorer = engine(bos=True)
    assert scorer.pairs.head == [0]
    close(scorer, PAIRS)
    plain, written = scorer.log_likelihood(
        [Pair("the cat", " sat"), Pair("<bos>the cat", " sat", special=True)]
    ).rows
    assert plain == written


def test_only_what_a_chat_template_writes_stands_before_its_text() -> None:
    with_bos, without = engine(bos=True), engine(bos=False)
    chat = [Pair("the cat<end>", " sat", special=True)]
    assert with_bos.log_likelihood(chat).rows == without.log_likelihood(chat).rows
    assert with_bos.pairs.encode_prompts([Prompt("a<end>", "", special=True, ending=None)]) == (
        without.pairs.encode_prompts([Prompt("a<end>", "", special=True, ending=None)])
    )


def test_a_special_token_in_a_plain_text_is_only_text() -> None:
    text, special = (
        engine()
        .log_likelihood([Pair("a", " <end> cat"), Pair("a", " <end> cat", special=True)])
        .rows
    )
    assert text.response_tokens > special.response_tokens


@pytest.mark.parametrize(("prompt", "response"), [("xa", "b"), ("cafe", "\u0301"), ("the", " cat")])
def test_a_token_across_the_boundary_is_parted(prompt: str, response: str) -> None:
    scorer = engine(words=False)
    parts = [scorer.tokenizer(text)["input_ids"] for text in (prompt, response)]
    assert scorer.tokenizer(prompt + response)["input_ids"] != [*parts[0], *parts[1]]
    (row,) = scorer.log_likelihood([Pair(prompt, response)]).rows
    with torch.no_grad():
        logits = scorer.network.model(torch.tensor([[*parts[0], *parts[1]]])).logits[0].double()
    start = len(parts[0])
    chances = logits[start - 1 : -1].log_softmax(-1).gather(1, torch.tensor([parts[1]]).T)
    assert row.status == "ok"
    assert (row.prompt_tokens, row.scored_tokens) == (start, len(parts[1]))
    assert row.sum_logprob == pytest.approx(float(chances.sum()), abs=1e-3)


def test_parts_that_do_not_make_up_the_text_are_a_status() -> None:
    scorer = engine(words=False)
    tokenizers = pytest.importorskip("tokenizers")
    # As SentencePiece does: a space before every text, before the response by itself too.
    scorer.tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.Prepend(" ")
    (row,) = scorer.log_likelihood([Pair("xa", "b")]).rows
    assert (row.status, row.sum_logprob) == ("boundary", None)


def test_rows_that_cannot_be_scored_do_not_disturb_the_others() -> None:
    scorer = engine()
    bad = [Pair("a", " \n"), Pair("", "cat"), Pair("q " * 200, "cat")]
    rows = scorer.log_likelihood([bad[0], PAIRS[0], bad[1], PAIRS[1], bad[2]]).rows
    assert [row.status for row in rows] == [
        "empty_response",
        "ok",
        "empty_prompt",
        "ok",
        "prompt_too_long",
    ]
    assert [row.sum_logprob is None for row in rows] == [True, False, True, False, True]
    assert [rows[1], rows[3]] == scorer.log_likelihood(PAIRS[:2]).rows


def test_a_cut_response_is_scored_as_far_as_it_fits() -> None:
    scorer = engine()
    whole = scorer.log_likelihood([PAIRS[0]]).rows[0]
    window = whole.prompt_tokens + 2
    cut = scorer.log_likelihood([PAIRS[0]], max_tokens=window, score_eos=True).rows[0]
    assert (cut.status, cut.truncated, cut.scored_tokens, cut.eos_scored) == ("ok", True, 2, False)
    assert cut.response_tokens == whole.response_tokens > 2
    assert not whole.truncated
    assert cut.sum_logprob > whole.sum_logprob


def test_the_end_token_counts_when_asked() -> None:
    scorer = engine()
    without = scorer.log_likelihood([PAIRS[1]]).rows[0]
    with_end = scorer.log_likelihood([PAIRS[1]], score_eos=True).rows[0]
    assert with_end.scored_tokens == without.scored_tokens + 1
    assert with_end.response_tokens == without.response_tokens
    assert (without.eos_scored, with_end.eos_scored) == (False, True)
    assert not with_end.truncated


def test_nan_is_a_status_and_never_a_score() -> None:
    scorer = engine()
    with torch.no_grad():
        scorer.network.model.model.norm.weight[0] = float("nan")
    row = scorer.log_likelihood([PAIRS[0]]).rows[0]
    assert (row.status, row.sum_logprob, row.scored_tokens) == ("nan", None, None)


@pytest.mark.parametrize("packed", [True, False])
def test_a_batch_that_does_not_fit_is_halved(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = engine()
    if not packed:
        scorer.network.longest_packed = 0
    whole = scorer.log_likelihood(PAIRS)
    name = "score_pack" if packed else "score_padded"
    forward = getattr(scorer.network, name)

    def small(batch: Any, *options: Any) -> Any:
        rows = batch.rows if packed else batch
        if len(rows) > 2:
            raise torch.OutOfMemoryError("too many")
        return forward(batch, *options)

    monkeypatch.setattr(scorer.network, name, small)
    halved = scorer.log_likelihood(PAIRS)
    assert (whole.usage.model_calls, halved.usage.model_calls) == (1, 4)  # 6: 3 + 3: 2 + 1 each
    assert halved.usage.tokens == whole.usage.tokens
    for one, other in zip(whole.rows, halved.rows, strict=True):
        assert one.sum_logprob == pytest.approx(other.sum_logprob, abs=nats(other.scored_tokens))


def test_responses_to_one_prompt_are_parted_when_they_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = engine()
    pairs = [
        Pair(PAIRS[0].prompt + " the cat sat on the mat", end + " b") for end in (" a", " b", " c")
    ]
    forward = scorer.network.score_pack

    tried = []

    def small(batch: Any, *options: Any) -> Any:
        tried.append(len(batch.ids))
        if len(batch.rows) > 1:
            raise torch.OutOfMemoryError("too many")
        return forward(batch, *options)

    monkeypatch.setattr(scorer.network, "score_pack", small)
    close(scorer, pairs)
    # What was too large once is not tried again.
    first = max(tried)
    tried.clear()
    scorer.log_likelihood(pairs)
    assert first not in tried


def test_a_row_that_does_not_fit_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = engine()

    def never(*_: Any) -> Any:
        raise torch.OutOfMemoryError("too big")

    monkeypatch.setattr(scorer.network, "score_pack", never)
    with pytest.raises(ModelError, match="lower max_tokens"):
        scorer.log_likelihood(PAIRS)


def test_a_model_that_cannot_be_packed_is_padded_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scorer = engine("Gemma2")  # caps its attention scores
    assert scorer.network.longest_packed == 0
    assert "padded instead of packed" in caplog.text
    assert "softcap" in caplog.text
    assert engine("Llama").network.longest_packed is None


def test_state_that_leaks_from_row_to_row_is_noticed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leaking(pack: Any, *_: Any) -> Any:  # every token sees all that stands before it
        everything = torch.arange(len(pack.ids))
        return layout.BlockLayout((layout.GroupLayout(1, len(everything), None, 0, None),), ())

    from siftline.models.engine import forward, layout

    monkeypatch.setattr(forward, "layout_of", leaking)
    assert engine().network.longest_packed == 0
    assert "would differ by" in caplog.text


def test_rows_beyond_a_sliding_window_are_padded() -> None:
    scorer = engine("Mistral", sliding_window=32)
    assert scorer.network.longest_packed == 32
    long = Pair("the cat sat on the mat " * 8, " a cat on the mat")
    close(scorer, [*PAIRS, long])


@pytest.mark.parametrize("kind", ["Llama", "Qwen2", "GPT2"])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_packed_shared_in_any_order_and_alone_agree(kind: str, data: st.DataObject) -> None:
    scorer = _engine_once(kind)
    words = st.lists(st.sampled_from(["the", "cat", "sat", "xab", "!", "mat."]), min_size=1)
    prompts = data.draw(st.lists(words.map(" ".join), min_size=1, max_size=3))
    responses = st.builds(lambda words: " " + " ".join(words), words)
    pair = st.builds(Pair, st.sampled_from(prompts), responses)
    pairs = data.draw(st.lists(pair, min_size=1, max_size=12))
    budget = data.draw(st.integers(1, 200))
    close(
        scorer,
        [each for each in pairs if len(each.prompt + each.response) < 120],
        max_batch_tokens=budget,
    )


@lru_cache
def _engine_once(kind: str) -> Any:
    return engine(kind)


def test_a_prompt_is_computed_once_for_all_its_responses() -> None:
    scorer = engine()
    prompt = "Question: " + "the cat sat on the mat " * 3 + "\nAnswer:"
    pairs = [Pair(prompt, ending) for ending in (" a cat", " the mat", " on sat", " xab xab")]
    found = scorer.log_likelihood(pairs)
    assert {row.prompt_tokens for row in found.rows} == {(length := found.rows[0].prompt_tokens)}
    # The last token of each is scored, and not computed; some responses begin alike.
    assert found.usage.tokens <= length + sum(row.scored_tokens - 1 for row in found.rows)
    close(scorer, pairs)


def test_earlier_turns_are_read_off_the_last_one() -> None:
    scorer = engine()
    first = Pair("Question: the cat?\nAnswer:", " on the mat")
    last = Pair(first.prompt + first.response + "\nQuestion: a?\nAnswer:", " b")
    alone = scorer.log_likelihood([last]).usage.tokens
    found = scorer.log_likelihood([first, last, first])
    assert found.usage.tokens == alone
    assert found.rows[0] == found.rows[2]
    close(scorer, [first, last, first])


@pytest.mark.parametrize("scorer", [ToyLanguageModel(), engine()], ids=["toy", "tiny"])
def test_every_pair_is_reported_once(scorer: Any) -> None:
    seen: list[tuple[int, int]] = []
    pairs = [*PAIRS, Pair("a", "")]
    usage = scorer.log_likelihood(
        pairs, max_batch_tokens=64, on_batch=lambda *done: seen.append(done)
    ).usage
    assert sum(rows for rows, _ in seen) == len(pairs)
    assert sum(tokens for _, tokens in seen) == usage.tokens
    with pytest.raises(ModelError, match="window"):
        scorer.log_likelihood(pairs, max_tokens=100_000)


@pytest.mark.parametrize(
    ("prompt", "full", "end", "window", "wanted"),
    [
        ([5], [5, 6, 7], None, 9, Encoded((5, 6, 7), 1, 2, False)),
        ([5], [5, 6, 7], 1, 9, Encoded((5, 6, 7, 1), 1, 2, True)),
        ([5], [5, 6, 7], 1, 3, Encoded((5, 6, 7), 1, 2, False)),  # no room for the end
        ([5], [5, 6, 7], 1, 2, Encoded((5, 6), 1, 2, False)),
        ([5, 5], [5, 6, 7], None, 9, ResponseLikelihood("boundary", prompt_tokens=2)),
        ([5], [5], None, 9, ResponseLikelihood("boundary", prompt_tokens=1)),
        ([5, 6], [5, 6, 7], None, 2, ResponseLikelihood("prompt_too_long", None, None, 2, 1, True)),
    ],
)
def test_fit(prompt: list[int], full: list[int], end: int, window: int, wanted: object) -> None:
    assert fit(prompt, full, end, window) == wanted


def test_plan_by_hand() -> None:
    # Longest first: 5 alone (5 + 5 > 9), then 4 and 3 (2 * 4 <= 9), then 1 and 1.
    assert plan([1, 5, 3, 4, 1], "ecdba", 9) == [[1], [3, 2], [4, 0]]


@given(st.lists(st.integers(1, 50)), st.integers(1, 200))
def test_plan_takes_every_row_once_and_keeps_to_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= budget or len(batch) == 1


def test_the_toy_by_hand() -> None:
    # "abab" after "ab": nothing has followed "b" yet, so English (65 of 1000 for "a", 12 for "b")
    # has the weight 0.9; but "b" has followed "a", every time.
    row = ToyLanguageModel().log_likelihood([Pair("ab", "ab")]).rows[0]
    first = 0.1 / 257 + 0.9 * 65 / 1000
    second = 0.1 / 257 + 0.4 * 12 / 1000 + 0.5
    assert row.sum_logprob == pytest.approx(math.log(first) + math.log(second))


@given(st.dictionaries(st.integers(0, 256), st.integers(1, 9), max_size=5))
def test_the_probabilities_of_the_toy_sum_to_one(following: dict[int, int]) -> None:
    total = math.fsum(probability(byte, Counter(following)) for byte in range(257))
    assert total == pytest.approx(1)


def test_the_toy_has_the_same_statuses() -> None:
    pairs = [Pair("a", " "), Pair("", "b"), Pair("abc", "d"), Pair("a", "bcd")]
    rows = ToyLanguageModel().log_likelihood(pairs, max_tokens=3).rows
    assert [row.status for row in rows] == [
        "empty_response",
        "empty_prompt",
        "prompt_too_long",
        "ok",
    ]
    assert (rows[3].scored_tokens, rows[3].truncated) == (2, True)


@pytest.mark.model
def test_smollm2_in_batches_scores_as_each_row_alone() -> None:
    scorer = load_language_model(ModelSpec(name="builtin:smollm2", dtype="float32"), "cpu")
    pairs = [
        Pair("Question: What is the capital of France?\nAnswer:", " Paris."),
        Pair("Question: What is the capital of France?\nAnswer:", " It is a purple bicycle."),
        Pair("Question: Say it in French: coffee\nAnswer:", " caf\u00e9 \u2615"),
        Pair("Question: Add 2 and 2.\nAnswer:", " The sum of 2 and 2 is 4, an even number."),
    ]
    close(scorer, pairs)
    likely, unlikely = scorer.log_likelihood(pairs[:2]).rows
    assert likely.sum_logprob is not None
    assert unlikely.sum_logprob is not None
    assert likely.sum_logprob > unlikely.sum_logprob
