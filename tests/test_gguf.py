"""Models of which there is a GGUF file and nothing else: in a folder, as a path, on the Hub."""

import shutil
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from gguf_models import CHAT, write_gguf, write_split_gguf
from tiny_models import tiny_tokenizer, torch, transformers

from siftline.contracts.errors import ModelError
from siftline.contracts.examples import Message
from siftline.contracts.model_spec import ModelSpec
from siftline.models.embedding import Embedder
from siftline.models.fingerprint import fingerprint
from siftline.models.generation import Sampling
from siftline.models.likelihood import Pair
from siftline.models.loading import load_embedder, load_language_model, load_transformer
from siftline.models.store import hub
from siftline.models.store.conversion import loadable_folder
from siftline.models.store.files import find_model
from siftline.models.store.gguf_files import gguf_models
from siftline.models.store.gguf_rotary import llama3_factors
from siftline.models.token_counter import load_counter

PAIRS = [Pair("the cat", " sat on the mat."), Pair("a", " cat!"), Pair("the cat", " cafe\u0301")]
QUESTION = [Message(role="user", content="the mat.")]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIFTLINE_CACHE", str(tmp_path / "cache"))


def spec(name: Path | str, **settings: Any) -> ModelSpec:
    return ModelSpec(name=str(name), dtype="float32", **settings)


def saved(model: Any, folder: Path) -> Path:
    """Save what a GGUF file holds as transformers saves it, in bfloat16 as a conversion is."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def test_a_folder_of_one_gguf_file_is_the_model_that_it_holds(tmp_path: Path) -> None:
    model = write_gguf(tmp_path / "alone" / "tiny.gguf")
    alone, whole = spec(tmp_path / "alone"), spec(saved(model, tmp_path / "saved"))
    one, other = load_transformer(alone, "cpu"), load_transformer(whole, "cpu")
    for mine, theirs in zip(
        one.log_likelihood(PAIRS).rows, other.log_likelihood(PAIRS).rows, strict=True
    ):
        assert mine.sum_logprob == pytest.approx(theirs.sum_logprob, abs=1e-5)
        assert mine.scored_tokens == theirs.scored_tokens
    assert one.render_chat(QUESTION, True) == other.render_chat(QUESTION, True)
    assert set(one.special_tokens) == set(other.special_tokens)
    sampling = Sampling(n=2, temperature=0.8, seed=3, max_tokens=12)
    assert one.generate([QUESTION], sampling).rows == other.generate([QUESTION], sampling).rows
    text = "the cat <|endoftext|> <end> sat"
    assert load_counter(alone)([text]) == load_counter(whole)([text])


def test_what_ends_a_turn_ends_a_response(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", turn_end=7)
    folder = loadable_folder(find_model(spec(tmp_path / "tiny.gguf")))
    settings = transformers.GenerationConfig.from_pretrained(folder)
    assert settings.eos_token_id == [1, 7]


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_rotary_factors_of_llama_3_are_known_again(tmp_path: Path, factor: float) -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    known = {"rope_type": "default", "rope_theta": 10000.0}
    factors = llama3_factors(factor, 4, known)
    assert factors[:3] == [1, 1, 1]
    write_gguf(tmp_path / "tiny.gguf", rotary=factors)
    folder = loadable_folder(find_model(spec(tmp_path)))
    config = transformers.AutoConfig.from_pretrained(folder)
    assert config.rope_parameters["rope_type"] == "llama3"
    turns, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = [10000.0 ** (-number / 4) for number in range(4)]
    divided = [turn / factor for turn, factor in zip(plain, factors, strict=True)]
    assert turns.tolist() == pytest.approx(divided, rel=1e-6)


@pytest.mark.parametrize(
    "settings", [{"rotary": [1, 1, 1, 3.0]}, {"scaling": "yarn"}, {"scaling": "linear"}], ids=str
)
def test_other_rotary_factors_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    write_gguf(tmp_path / "tiny.gguf", **settings)
    with pytest.raises(ModelError, match="scales the places of its tokens"):
        loadable_folder(find_model(spec(tmp_path)))


def test_rotary_factors_of_one_change_nothing(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", rotary=[1.0] * 4, scaling="none")
    folder = loadable_folder(find_model(spec(tmp_path)))
    config = transformers.AutoConfig.from_pretrained(folder)
    assert config.rope_parameters["rope_type"] == "default"


def test_its_place_and_its_neighbours_are_no_part_of_its_identity(tmp_path: Path) -> None:
    write_gguf(tmp_path / "one" / "tiny.gguf")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    alone = fingerprint(spec(tmp_path / "one"))
    assert alone["name"] == "folder"
    assert fingerprint(spec(tmp_path / "one" / "tiny.gguf")) == alone
    (tmp_path / "other" / "big.gguf").write_bytes(b"another")
    (tmp_path / "other" / "mmproj-f16.gguf").write_bytes(b"a projector")
    assert fingerprint(spec(tmp_path / "other", file="tiny.gguf")) == alone
    (tmp_path / "other" / "big.gguf").unlink()
    assert find_model(spec(tmp_path / "other")).gguf == "tiny.gguf"
    (tmp_path / "one" / "generation_config.json").write_text('{"eos_token_id": 5}')
    assert fingerprint(spec(tmp_path / "one")) != alone


def test_of_several_one_is_named(tmp_path: Path) -> None:
    for name in ("m-Q4.gguf", "m-Q8.gguf", "m-BF16-00001-of-00002.gguf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError) as error:
        find_model(spec(tmp_path))
    assert "holds 3 GGUF models: 'm-BF16-00001-of-00002.gguf', 'm-Q4.gguf', 'm-Q8.gguf'" in str(
        error.value
    )
    assert "as in 'file: m-BF16-00001-of-00002.gguf'" in str(error.value)
    assert find_model(spec(tmp_path, file="m-Q8.gguf")).gguf == "m-Q8.gguf"
    with pytest.raises(ModelError, match=r"no model 'm-Q9.gguf'.*Did you mean 'm-Q8.gguf'"):
        find_model(spec(tmp_path, file="m-Q9.gguf"))
    for name in ("m-BF16-00001-of-00002.gguf", "m-BF16-00002-of-00002.gguf"):
        with pytest.raises(ModelError, match=r"lacks 'm-BF16-00002-of-00002.gguf', a part"):
            find_model(spec(tmp_path, file=name))


@pytest.mark.parametrize("file", ["/etc/x.gguf", "../x.gguf", "a/../../x.gguf", "x.bin"])
def test_a_file_is_one_of_the_folder(file: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a GGUF file of the folder"):
        spec("org/model", file=file)


def test_parts_are_one_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "whole" / "tiny.gguf")
    write_split_gguf(tmp_path / "split", "tiny")
    whole = load_language_model(spec(tmp_path / "whole"), "cpu").log_likelihood(PAIRS)
    by_part = spec(tmp_path / "split" / "tiny-00002-of-00002.gguf")
    for each in (spec(tmp_path / "split"), by_part):
        assert load_language_model(each, "cpu").log_likelihood(PAIRS).rows == whole.rows
    before = fingerprint(by_part)
    with (tmp_path / "split" / "tiny-00002-of-00002.gguf").open("ab") as file:
        file.write(b"more")
    assert fingerprint(by_part) != before


def test_it_embeds_by_its_hidden_states(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf")
    embedder: Embedder = load_embedder(spec(tmp_path / "tiny.gguf"), "cpu")
    assert embedder.embed(["the cat", "a mat"]).vectors.shape == (2, 32)


@pytest.mark.parametrize(
    ("name", "is_model"),
    [
        ("m-Q4.gguf", True),
        ("m.imatrix.Q4.gguf", True),
        ("m-00001-of-00000.gguf", True),
        ("m-00003-of-00002.gguf", True),
        ("._m.gguf", False),  # what macOS leaves beside a file
        ("mmproj-m-f16.gguf", False),
        ("m-mmproj-f16.gguf", False),
        ("m.mmproj.gguf", False),
        ("imatrix.gguf", False),
        ("m-imatrix.gguf", False),
    ],
)
def test_what_lies_beside_a_model_is_none(name: str, is_model: bool) -> None:
    assert gguf_models([name]) == ({name: (name,)} if is_model else {})
    assert gguf_models([f"Q4/{name}"]).keys() == ({f"Q4/{name}"} if is_model else set())


def test_a_name_may_be_long_and_hold_anything(tmp_path: Path) -> None:
    write_gguf(tmp_path / ("\x1b[31m\n*" + "\N{SNOWMAN}" * 70 + ".gguf"))
    folder = loadable_folder(find_model(spec(tmp_path)))
    assert folder.name.isascii()
    assert folder.name.isprintable()


@pytest.mark.parametrize("name", ["builtin:smollm2", "./tiny.gguf"])
def test_a_file_is_not_named_where_it_says_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="'file' beside"):
        spec(name, file="x.gguf")
    with pytest.raises(ValueError, match="'file' beside"):
        spec("org/model", file="x.gguf", server={"url": "http://localhost/v1"})


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<IIQ", 9, 4, 1 << 40),
        struct.pack("<IIQ", 9, 8, 1 << 40) + text("a"),
        struct.pack("<IIQ", 9, 9, 1 << 40) + struct.pack("<IQ", 4, 0),
        struct.pack("<IQ", 8, 1 << 60),
        struct.pack("<I", 77),
        struct.pack("<IIQ", 9, 0, (1 << 22) + 1) + b"\0" * ((1 << 22) + 1),
    ],
    ids=["numbers", "texts", "lists", "a text", "no kind", "more than anybody has"],
)
def test_what_would_be_read_for_ever_is_refused(tmp_path: Path, value: bytes) -> None:
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + text("general.architecture")
    data = head + struct.pack("<I", 8) + text("llama") + text("x") + value
    (tmp_path / "tiny.gguf").write_bytes(data)
    with pytest.raises(ModelError, match=r"tiny.gguf' cannot be unpacked; expected a whole GGUF"):
        loadable_folder(find_model(spec(tmp_path)))


@pytest.mark.parametrize("damage", ["cut", "no gguf", "no tokenizer"])
def test_a_file_that_cannot_be_unpacked_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "model" / "tiny.gguf"
    write_gguf(path)
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[: len(data) // 2],
            "no gguf": b"weights",
            "no tokenizer": data.replace(b"tokenizer.ggml", b"tokenizer.none"),
        }[damage]
    )
    with pytest.raises(ModelError, match=r"tiny.gguf' cannot be unpacked; expected a whole GGUF"):
        load_language_model(spec(path), "cpu")
    assert not list((tmp_path / "cache" / "models").iterdir())


class FakeHub:
    """A Hub with one repository, which copies what is asked for into a snapshot."""

    def __init__(self, files: list[str], folder: Path) -> None:
        self.files, self.folder = files, folder / ("c" * 40)
        self.asked: list[list[str]] = []
        self.error: Exception | None = None
        self.folder.mkdir(parents=True)

    def info(self, name: str, **_: Any) -> SimpleNamespace:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in self.files])

    def download(self, name: str, *, allow_patterns: list[str], **_: Any) -> str:
        from fnmatch import fnmatch

        self.asked.append(allow_patterns)
        for file in self.files:
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / file).write_bytes(b"")
        return str(self.folder)


@pytest.fixture
def on_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    huggingface_hub = pytest.importorskip("huggingface_hub")

    def made(*files: str) -> FakeHub:
        hub._at_commit.cache_clear()
        fake = FakeHub([*files, "README.md"], tmp_path / "hub")
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.download)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fake.info)
        return fake

    return made


def test_a_repository_of_one_gguf_model_is_downloaded_in_all_its_parts(on_hub: Any) -> None:
    parts = ["Q8/m-00001-of-00002.gguf", "Q8/m-00002-of-00002.gguf"]
    fake = on_hub(*parts, "mmproj-m.gguf", "config.json")
    found = find_model(spec("org/model"))
    assert (found.name, found.revision) == ("org/model", "c" * 40)
    assert (found.folder, found.gguf) == (fake.folder / "Q8", "m-00001-of-00002.gguf")
    assert fake.asked[-1] == parts


def test_of_several_in_a_repository_one_is_named_before_weights_are_downloaded(
    on_hub: Any,
) -> None:
    fake = on_hub("m-Q4.gguf", "m-Q8.gguf")
    with pytest.raises(ModelError, match=r"repository 'org/model' holds 2 GGUF models: 'm-Q4"):
        find_model(spec("org/model"))
    assert not list(fake.folder.glob("*.gguf"))
    for revision in (None, "c" * 40):
        found = find_model(spec("org/model", file="m-Q8.gguf", revision=revision))
        assert found.gguf == "m-Q8.gguf"
    assert [path.name for path in fake.folder.glob("*.gguf")] == ["m-Q8.gguf"]
    with pytest.raises(ModelError, match=r"has no model 'm-Q2.gguf'"):
        find_model(spec("org/model", file="m-Q2.gguf"))


def test_what_is_beside_a_file_is_the_same_whether_it_is_named_or_not(on_hub: Any) -> None:
    fake = on_hub("m[1].gguf", "generation_config.json")
    named, alone = find_model(spec("org/model", file="m[1].gguf")), find_model(spec("org/model"))
    assert named == alone
    assert any("*.json" in patterns for patterns in fake.asked[:1])
    assert sorted(path.name for path in fake.folder.iterdir()) == [
        "generation_config.json",
        "m[1].gguf",
    ]


def test_without_a_network_what_is_here_is_taken(on_hub: Any) -> None:
    import httpx

    fake = on_hub("m-Q8.gguf")
    found = find_model(spec("org/model"))
    fake.error = httpx.ConnectError("no network")
    assert find_model(spec("org/model")) == found


def test_safetensors_come_before_gguf(on_hub: Any) -> None:
    fake = on_hub("model.safetensors", "config.json", "m-Q4.gguf", "m-Q8.gguf")
    found = find_model(spec("org/model"))
    assert (found.gguf, len(fake.asked)) == ("", 1)


def test_the_builtin_is_the_same_alone_in_a_folder(tmp_path: Path) -> None:
    try:
        builtin = find_model(ModelSpec(name="builtin:smollm2")).folder
    except ModelError:
        pytest.skip("the wheel of smollm2 is not installed")
    (gguf,) = builtin.glob("*.gguf")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / gguf.name).symlink_to(gguf)
    one, other = fingerprint(spec("builtin:smollm2")), fingerprint(spec(tmp_path / "alone"))
    assert one.pop("name") == "builtin:smollm2"
    assert other.pop("name") == "folder"
    assert one == other
