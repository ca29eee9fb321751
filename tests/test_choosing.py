"""Tests of choices between options: local models and servers count the same tokens."""

import math
from typing import Any

import pytest
from tiny_models import tiny_model, tiny_tokenizer, torch, transformers

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.models.engine.transformer import TransformerModel
from siftline.models.remote.answers import option_probabilities
from siftline.models.remote.server import ServerModel

PROMPTS: list[list[Message]] = [
    [{"role": "user", "content": text}] for text in ("the cat", "a cat sat on the mat.")
]
CHAT = "{% for m in messages %}{{ m.content }}<end>{% endfor %}"


def words(*tokens: str) -> Any:
    """A SentencePiece-like tokenizer: spaces are their own letter, and nothing joins them."""
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {token: number for number, token in enumerate(["<bos>", "<end>", *tokens])}
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab=vocabulary, merges=[], byte_fallback=True)
    )
    tokenizer.normalizer = tokenizers.normalizers.Replace(" ", "\u2581")
    tokenizer.decoder = tokenizers.decoders.Sequence(
        [tokenizers.decoders.Replace("\u2581", " "), tokenizers.decoders.ByteFallback()]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<bos>", eos_token="<end>"
    )


def spaced() -> Any:
    """A model whose tokenizer parts a space from the letter behind it."""
    letters = sorted({*"Question: Answer: the cat sat on mat. ABC"} - {" "})
    return TransformerModel(tiny_model("Llama"), words("\u2581", *letters), "spaced")


def joined() -> Any:
    """A model that has a letter as several tokens: by itself, behind a space, behind a newline."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([" A", "\nA", " B"])
    model = TransformerModel(tiny_model("Llama"), tokenizer, "joined")
    model.tokenizer.chat_template = CHAT
    return model


def chances(model: Any, ids: list[int]) -> Any:
    """Return the probability of each token after some, by the plain forward pass."""
    with torch.no_grad():
        return model.network.model(torch.tensor([ids])).logits[0, -1].double().softmax(0)


def test_a_space_that_is_parted_from_a_letter_is_no_reason_to_refuse_it() -> None:
    model = spaced()
    found = model.choose(PROMPTS, ["A", "B"], template="plain").rows
    for prompt, row in zip(PROMPTS, found, strict=True):
        ids = model.tokenizer(f"Question: {prompt[0]['content']}\nAnswer:")["input_ids"]
        space, a, b = model.tokenizer.convert_tokens_to_ids(["\u2581", "A", "B"])
        first, second = chances(model, ids), chances(model, [*ids, space])
        wanted = [float(first[each] + first[space] * second[each]) for each in (a, b)]
        assert row == pytest.approx(wanted, rel=1e-4)


def test_every_token_of_a_letter_counts() -> None:
    model = joined()
    assert model.render_chat(PROMPTS[0], True) == "the cat<end>"
    ids = model.tokenizer("the cat<end>")["input_ids"]
    several = model.tokenizer.convert_tokens_to_ids(["A", " A", "\nA"])
    wanted = math.fsum(float(chances(model, ids)[each]) for each in several)
    (row, _) = model.choose(PROMPTS, ["A", "B"]).rows
    assert row[0] == pytest.approx(wanted, rel=1e-4)
    assert len(set(several)) == 3


@pytest.mark.parametrize("options", [["A", "B"], ["B", " A "], ["a", "A", "the"]])
def test_a_server_with_the_same_weights_gives_the_same(options: list[str]) -> None:
    model = joined()
    for prompt, row in zip(PROMPTS, model.choose(PROMPTS, options).rows, strict=True):
        ids = model.tokenizer(model.render_chat(prompt, True))["input_ids"]
        reported = [
            {"token": model.tokenizer.decode([token]), "logprob": math.log(chance)}
            for token, chance in enumerate(chances(model, ids).tolist()[: len(model.tokenizer)])
        ]
        answer = {"choices": [{"logprobs": {"content": [{"top_logprobs": reported}]}}]}
        assert row == pytest.approx(option_probabilities(answer, options), rel=1e-4)


@pytest.mark.parametrize("options", [["A", " A"], ["A", ""], ["A", " \n"]])
def test_both_refuse_the_same_options(options: list[str]) -> None:
    server = ServerModel(ModelSpec(name="m", server=ServerSpec(url="http://localhost:1/v1")))
    for model in (joined(), server):
        with pytest.raises(ModelError, match="cannot be told apart; expected texts that differ"):
            model.choose(PROMPTS, options)


def test_an_option_that_is_no_token_is_refused() -> None:
    with pytest.raises(ModelError, match="'A B' is no single token of 'joined'"):
        joined().choose(PROMPTS, ["A B", "B"])
