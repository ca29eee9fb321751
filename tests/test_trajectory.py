from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_model, tiny_tokenizer

from siftline.models.likelihood import Pair
from siftline.models.loading import load_language_model
from siftline.models.specification import ModelSpec
from siftline.models.tokenisation import PairTokenizer
from siftline.models.trajectory import score_checkpoints
from siftline.pipelines.errors import ModelError

PAIRS = [Pair("Question: the cat?\nAnswer:", " sat"), Pair("a", " b cat"), Pair("a", " ")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[ModelSpec]:
    """Three moments of a training run that adds a little to every weight."""
    model = tiny_model("Llama")
    specs = []
    for step in range(3):
        for weight in model.parameters():
            weight.data.add_(0.01)
        folder = tmp_path / f"checkpoint-{step}"
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
        specs.append(ModelSpec(name=str(folder), dtype="float32"))
    return specs


def test_each_checkpoint_scores_as_it_does_alone(
    checkpoints: list[ModelSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    encode = PairTokenizer.encode

    def counted(self: PairTokenizer, *arguments: Any) -> Any:
        calls.append(1)
        return encode(self, *arguments)

    monkeypatch.setattr(PairTokenizer, "encode", counted)
    found = list(score_checkpoints(checkpoints, PAIRS, device="cpu", score_eos=True))
    assert len(calls) == 1
    for spec, likelihoods in zip(checkpoints, found, strict=True):
        alone = load_language_model(spec, "cpu").log_likelihood(PAIRS, score_eos=True)
        assert likelihoods == alone
        assert likelihoods.rows[2].status == "empty_response"
    assert len({each.rows[0].sum_logprob for each in found}) == 3


def test_another_tokenizer_is_refused(checkpoints: list[ModelSpec]) -> None:
    tiny_tokenizer(bos=True).save_pretrained(checkpoints[1].name)
    with pytest.raises(ModelError, match="another tokenizer"):
        list(score_checkpoints(checkpoints, PAIRS, device="cpu"))
    with pytest.raises(ModelError, match="no weights here"):
        list(score_checkpoints([ModelSpec(name="builtin:toy")], PAIRS))
