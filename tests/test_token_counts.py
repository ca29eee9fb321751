"""Tests of the token counts, which need a tokenizer and no weights."""

from pathlib import Path

import pytest
from pools import asked, runtime_of, save_tiny, table_of
from tiny_models import tiny_model, tiny_tokenizer

from siftline.contracts.errors import ModelError, RecipeError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.contracts.runtime import Runtime, Usage
from siftline.models.engine.tokenisation import PairTokenizer
from siftline.models.token_counter import load_counter
from siftline.scorers.likelihood import Likelihood
from siftline.scorers.token_counts import TOKEN_COUNTS, TokenCounts

TALKS = {
    "one": asked("the cat sat", "on the mat. a cat!"),
    "accents": asked("caf\u00e9?", "caf\u00e9 \U0001f408 caf\u00e9"),
    "empty": asked("Say nothing.", "  "),
    "long": [
        ("system", "Be brief."),
        ("user", "the mat"),
        ("assistant", "ab"),
        ("user", "xab " * 8),
        ("assistant", "ab " * 8),
    ],
}
TOY = Runtime(models={"m": ModelSpec(name="builtin:toy")}, device="cpu")


def save_tokenizer(folder: Path) -> None:
    """Write a model without its weights."""
    tiny_model("Llama").config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def test_the_toy_counts_bytes() -> None:
    scored = TokenCounts(model="m").score(table_of({"a": asked("Say hi", "Hi \u00e9")}), TOY)
    assert scored.table.schema == TOKEN_COUNTS
    assert scored.usage == Usage()
    # "Question: Say hi\nAnswer:" and " Hi \u00e9", whose last letter has two bytes.
    assert scored.table.to_pylist() == [
        {"content_hash": "h-a", "status": "ok", "prompt_tokens": 24, "response_tokens": 6}
    ]


def test_no_rows_are_no_counts() -> None:
    assert TokenCounts(model="m").score(table_of({}), TOY).table.schema == TOKEN_COUNTS


@pytest.mark.parametrize("bos", [False, True])
def test_the_counts_are_those_of_the_likelihood(tmp_path: Path, bos: bool) -> None:
    save_tiny(tmp_path)
    tiny_tokenizer(bos).save_pretrained(tmp_path)
    runtime = runtime_of(tmp_path)
    counts = TokenCounts(model="m").score(table_of(TALKS), runtime).table.to_pylist()
    scores = Likelihood(model="m").score(table_of(TALKS), runtime).table.to_pylist()
    assert [row["status"] for row in counts] == ["ok"] * 4
    assert [row["status"] for row in scores] == ["ok", "ok", "empty_response", "ok"]
    for count, score in zip(counts, scores, strict=True):
        if score["status"] == "ok":
            assert count["prompt_tokens"] == score["prompt_tokens"]
            assert count["response_tokens"] == score["response_tokens"]
    assert counts[2]["response_tokens"] == 0
    assert counts[2]["prompt_tokens"] > 0


def test_a_tokenizer_is_enough(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    found = TokenCounts(model="m").score(table_of(TALKS), runtime_of(tmp_path)).table
    assert found["status"].to_pylist() == ["ok"] * 4


def test_a_text_that_the_tokenizer_refuses_has_a_status_and_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tokenizer(tmp_path)
    real = PairTokenizer.encode_prompts

    def refuses(self: PairTokenizer, prompts: object) -> list[tuple[int, ...] | None]:
        found = real(self, prompts)  # type: ignore[arg-type]
        return [
            None if "xab" in each.text else ids
            for each, ids in zip(prompts, found, strict=True)  # type: ignore[call-overload]
        ]

    monkeypatch.setattr(PairTokenizer, "encode_prompts", refuses)
    found = TokenCounts(model="m").score(table_of(TALKS), runtime_of(tmp_path)).table.to_pylist()
    assert found[3] == {
        "content_hash": "h-long",
        "status": "tokenizer_error",
        "prompt_tokens": None,
        "response_tokens": None,
    }
    assert found[0]["status"] == "ok"


def test_what_cannot_count_says_so(tmp_path: Path) -> None:
    far = ModelSpec(name="far", server=ServerSpec(url="http://localhost:1"))
    with pytest.raises(ModelError, match=r"'far' is on a server.*name a model of this machine"):
        load_counter(far)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(ModelError, match="expected a tokenizer beside its weights"):
        load_counter(ModelSpec(name=str(tmp_path)))
    with pytest.raises(RecipeError, match="role 'n'"):
        TokenCounts(model="n").score(table_of({}), TOY)
