"""Tests of entailment on classifiers of a few hundred random weights, of four architectures."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tolerances import float32

from siftline.contracts.errors import ModelError
from siftline.contracts.model_spec import ModelSpec, ServerSpec
from siftline.models.entailment import EntailmentModel
from siftline.models.loading import load_entailment

torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


LABELS = ("CONTRADICTION", "NEUTRAL", "ENTAILMENT")
WINDOW = 32
SPECIAL = 3  # [CLS] premise [SEP] hypothesis [SEP]
KINDS = ["Bert", "Roberta", "Deberta", "DebertaV2"]


def word_tokenizer(**changes: Any) -> Any:
    """One token for each word from w0 to w39 and each mark; pairs are encoded as BERT's."""
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", ".", "!", *(f"w{n}" for n in range(40))]
    vocabulary = {word: number for number, word in enumerate(words)}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    tokens |= {"sep_token": "[SEP]", **changes}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=names, **tokens
    )


def classifier(kind: str = "Bert", labels: Sequence[str] = LABELS) -> Any:
    """A classifier whose weight for each label is the same, wherever the label stands."""
    sizes: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": WINDOW + (1 if kind == "Roberta" else 0),
        "pad_token_id": 0,
        "initializer_range": 0.5,
        "type_vocab_size": 0 if kind.startswith("Deberta") else 2,
    }
    if kind.startswith("Deberta"):
        sizes |= {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    if kind == "DebertaV2":
        sizes |= {"position_biased_input": False, "position_buckets": 8, "share_att_key": True}
        sizes |= {"norm_rel_ebd": "layer_norm"}
    sizes |= {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    torch.manual_seed(3)
    model = getattr(transformers, f"{kind}ForSequenceClassification")(config).float()
    order = [sorted(labels).index(name) for name in labels]
    head = model.classifier.out_proj if kind == "Roberta" else model.classifier
    with torch.no_grad():
        head.weight.copy_(head.weight[order].clone())
    return model


def entailment(kind: str = "Bert", labels: Sequence[str] = LABELS) -> EntailmentModel:
    return EntailmentModel(classifier(kind, labels), word_tokenizer(), kind)


def saved(folder: Path, **changes: Any) -> ModelSpec:
    classifier(**changes).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return ModelSpec(name=str(folder), dtype="float32")


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def scores(model: EntailmentModel, *pairs: tuple[str, str], **options: Any) -> list[float]:
    return list(model.contradictions(pairs, **options).probability.tolist())


PAIRS = [(words(*range(n % 7 + 1)), words(*range(n % 13, n % 13 + n % 9 + 1))) for n in range(12)]


def test_the_probability_is_that_of_the_pair_as_it_is_encoded_by_hand() -> None:
    model = classifier().eval()
    ids = [1, 6 + 4, 6 + 5, 2, 6 + 9, 2]  # [CLS] w4 w5 [SEP] w9 [SEP]
    with torch.inference_mode():
        logits = model(torch.tensor([ids]), token_type_ids=torch.tensor([[0, 0, 0, 0, 1, 1]]))
    expected = torch.softmax(logits.logits, dim=-1)[0, 0]
    assert scores(entailment(), ("w4 w5", "w9")) == [
        pytest.approx(float(expected), abs=float32(32))
    ]


def test_the_label_is_found_by_its_name() -> None:
    found = [
        scores(entailment(labels=order), *PAIRS[:4]) for order in itertools.permutations(LABELS)
    ]
    assert found[0] != pytest.approx([1 / 3] * 4, abs=0.05)
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=float32(32))
    lower = entailment(labels=[name.lower() for name in LABELS])
    assert scores(lower, *PAIRS[:4]) == pytest.approx(found[0], abs=float32(32))


@pytest.mark.parametrize(
    "labels", [("LABEL_0", "LABEL_1"), ("contradiction", "no contradiction"), ("good", "bad")]
)
def test_a_model_without_the_label_is_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="expected a model of natural language inference") as error:
        entailment(labels=labels)
    assert labels[0].casefold() in str(error.value)


def test_a_tokenizer_that_cannot_pad_is_refused() -> None:
    with pytest.raises(ModelError, match=r"has no padding token.*'pad_token'"):
        EntailmentModel(classifier(), word_tokenizer(pad_token=None), "m")


def test_a_long_hypothesis_is_judged_by_its_sentences() -> None:
    model = entailment()
    text = "w1 w2. w3 w4 w5!  w6\n\nw7 w8."
    parts = ["w1 w2.", "w3 w4 w5!", "w6", "w7 w8."]
    each = scores(model, *[("w9", part) for part in parts])
    whole, _ = scores(model, ("w9", text), ("w9", "w1"), max_tokens=11)  # it has 11, with the marks
    split, short = scores(model, ("w9", text), ("w9", "w1"), max_tokens=10)
    assert split == pytest.approx(np.mean(each), abs=float32(32))
    assert abs(split - whole) > 1e-3
    assert [whole, short] == pytest.approx(
        scores(model, ("w9", text), ("w9", "w1")), abs=float32(32)
    )


def test_a_long_hypothesis_without_a_sentence_is_judged_whole() -> None:
    model = entailment()
    text = words(*range(10))
    pair = ("w9", text)
    assert scores(model, pair, max_tokens=3) == pytest.approx(scores(model, pair), abs=float32(32))


def test_an_empty_text_has_a_probability_too() -> None:
    model = entailment()
    found = scores(model, ("w9", ""), ("w9", " \n"), ("", "w9"), ("", ""), max_tokens=1)
    assert found[0] == pytest.approx(found[1], abs=float32(32))
    assert abs(found[0] - found[2]) > 1e-4
    assert all(0 < each < 1 for each in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_beyond_the_window_is_cut_at_the_longer_text(kind: str) -> None:
    model = entailment(kind)
    room = WINDOW - SPECIAL
    many = [n % 40 for n in range(700)]
    long, cut = words(*many), words(*many[: room - 2])
    for given, fitting in (((long, "w1 w2"), (cut, "w1 w2")), (("w1 w2", long), ("w1 w2", cut))):
        assert scores(model, given) == pytest.approx(scores(model, fitting), abs=float32(32))
        assert model.contradictions([given]).usage == (1, WINDOW)
    shorter = (given[0], words(*many[: room - 3]))
    assert abs(scores(model, given)[0] - scores(model, shorter)[0]) > 1e-4  # all of it is read
    (both,) = scores(model, (long, long))
    halves = [(room // 2 + one, room - room // 2 - one) for one in (0, 1)]
    cuts = [(words(*many[:one]), words(*many[:two])) for one, two in halves]
    assert any(both == pytest.approx(score, abs=float32(32)) for score in scores(model, *cuts))


@pytest.mark.parametrize("kind", KINDS)
def test_the_company_of_a_pair_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = entailment(kind)
    alone = [scores(model, pair)[0] for pair in PAIRS]
    assert np.std(alone) > 0.01
    together = model.contradictions(PAIRS)
    assert together.probability == pytest.approx(alone, abs=float32(32))
    assert together.usage.model_calls == 1
    monkeypatch.setattr("siftline.models.batching.BATCH_TOKENS", 40)
    batches = model.contradictions(PAIRS[::-1])
    assert batches.probability[::-1] == pytest.approx(alone, abs=float32(32))
    assert batches.usage.model_calls > 3
    assert batches.usage.tokens == together.usage.tokens


def test_no_pairs_are_no_call() -> None:
    found = entailment().contradictions([])
    assert found.probability.shape == (0,)
    assert found.usage == (0, 0)


def test_markers_in_a_text_are_text() -> None:
    written, harmless = ("w1 [SEP] w2", "w3 [PAD]"), ("w1 (SEP) w2", "w3 (PAD)")
    # Each of the brackets and the name between them is unknown to the vocabulary.
    model = entailment()
    assert scores(model, written) == pytest.approx(scores(model, harmless), abs=float32(32))
    parts = scores(model, ("w1", "w1 [SEP]. w2 [SEP]."), max_tokens=4)
    assert parts == pytest.approx(scores(model, ("w1", "w1 (SEP). w2 (SEP)."), max_tokens=4))


def test_weights_that_are_not_finite_are_an_error() -> None:
    broken = classifier()
    with torch.no_grad():
        broken.classifier.bias.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite; use dtype 'float32'"):
        EntailmentModel(broken, word_tokenizer(), "m").contradictions(PAIRS)


class _Alone:
    """A tokenizer that notices when it is called twice at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._inside = 0
        self.pad_token_id = tokenizer.pad_token_id
        self.crowded = False

    def __call__(self, *texts: Any, **options: Any) -> Any:
        self._inside += 1
        self.crowded |= self._inside > 1
        time.sleep(0.005)
        found = self._tokenizer(*texts, **options)
        self._inside -= 1
        return found


def test_threads_take_turns_at_the_tokenizer() -> None:
    tokenizer = _Alone(word_tokenizer())
    model = EntailmentModel(classifier(), tokenizer, "m")
    work: Callable[[], Any] = lambda: model.contradictions(PAIRS[:6])  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not tokenizer.crowded


def test_a_folder_is_loaded_once(tmp_path: Path) -> None:
    spec = saved(tmp_path)
    model = load_entailment(spec, "cpu")
    assert scores(model, *PAIRS) == pytest.approx(scores(entailment(), *PAIRS), abs=float32(32))
    assert load_entailment(spec, "cpu") is model


def test_what_is_no_such_model_is_refused_by_name(tmp_path: Path) -> None:
    missing = ModelSpec(name=str(tmp_path / "missing"))
    with pytest.raises(ModelError, match=r"There is no folder '.*missing'"):
        load_entailment(missing, "cpu")
    with pytest.raises(ModelError, match=r"has no 'config\.json'"):
        load_entailment(ModelSpec(name=str(tmp_path)), "cpu")
    with pytest.raises(ModelError, match="'builtin:toy' is no model of natural language"):
        load_entailment(ModelSpec(name="builtin:toy"), "cpu")
    remote = ModelSpec(name="m", server=ServerSpec(url="http://localhost/v1"))
    with pytest.raises(ModelError, match="'m' is no model of natural language"):
        load_entailment(remote, "cpu")
    other = saved(tmp_path / "other", labels=("positive", "negative"))
    with pytest.raises(ModelError, match=r"labels \['negative', 'positive'\]"):
        load_entailment(other, "cpu")
    (tmp_path / "other" / "model.safetensors").unlink()
    again = other.model_copy(update={"revision": "none"})  # not the one that is in memory
    with pytest.raises(ModelError, match="cannot be loaded; expected a sequence classifier"):
        load_entailment(again, "cpu")
