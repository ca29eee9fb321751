"""Weights that come as GGUF, unpacked once into safetensors, which load fast.

It takes `transformers` about 20 seconds to read SmolLM2 from GGUF, and one second from safetensors.
So the first use writes a folder of bfloat16 safetensors, tokenizer included, to the cache, with a
digest that it is held against before it is used.
"""

import functools
import json
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from siftline.contracts.errors import ModelError
from siftline.contracts.printable import excerpt
from siftline.models.device_errors import device_errors_told
from siftline.models.store.cache_folder import cache_folder
from siftline.models.store.digests import ModelFolder, content_digest, digest_of
from siftline.models.store.gguf_files import gguf_of, gguf_parts
from siftline.models.store.gguf_metadata import (
    end_tokens,
    join_parts,
    require_bounded,
    vocabulary_size,
)
from siftline.models.store.gguf_rotary import rotary_parameters
from siftline.models.store.packages import require

# Bumped when the conversion would give other weights.
CONVERSION_REVISION = 4  # 4: the rotary factors of Llama 3

_GENERATION = "generation_config.json"
_DIGEST = "digest"  # the file in a conversion that holds the digest of the others
_log = logging.getLogger(__name__)


def loadable_folder(model: ModelFolder) -> Path:
    """Return a folder that `transformers` loads fast: the model's, or its conversion in the cache.

    Args:
        model: Its folder holds safetensors, or a model as GGUF.

    Raises:
        ModelError: A package that reads GGUF is missing, or the file cannot be unpacked.
    """
    gguf = gguf_of(model)
    return model.folder if gguf is None else _converted(model, gguf)


def _converted(model: ModelFolder, gguf: Path) -> Path:
    """Return the conversion of a GGUF file and its settings, making it when it is missing."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", gguf.stem)[:80]  # a name of a file has 255 bytes at most
    label = f"{stem}-{digest_of(model)[:12]}-{CONVERSION_REVISION}"
    target = cache_folder() / "models" / label
    if _is_whole(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{label}-{uuid.uuid4().hex}.tmp")
    try:
        if target.is_dir():
            _log.warning("'%s' is damaged, and is made again from '%s'.", target, gguf.name)
            target.rename(temporary.with_suffix(".damaged"))
        convert_gguf(gguf, temporary)
        (temporary / _DIGEST).write_text(content_digest(temporary), encoding="ascii")
        temporary.rename(target)
    except OSError:
        # Another process was faster; any other failure is real.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(temporary.with_suffix(".damaged"), ignore_errors=True)
    return target


def _is_whole(folder: Path) -> bool:
    """Return whether a conversion is there and has the bytes that were written."""
    digest = folder / _DIGEST
    return digest.is_file() and digest.read_text(encoding="ascii", errors="replace") == (
        content_digest(folder)
    )


def convert_gguf(gguf: Path, target: Path) -> None:
    """Unpack a GGUF file into a folder of bfloat16 safetensors and a tokenizer.

    Weights, configuration, tokenizer and chat template come from the file, and from
    `generation_config.json` beside it, if there is one, where a response ends.

    Raises:
        ModelError: A package that reads GGUF is missing, or the file cannot be unpacked.
    """
    require("torch", "transformers", "accelerate", "gguf")
    whole, parts = gguf, gguf_parts(gguf)
    try:
        for part in parts:
            require_bounded(part)
        if len(parts) > 1:
            whole = target.with_suffix(".gguf")
            join_parts(parts, whole)
        with device_errors_told(gguf.name, "was unpacked", "this machine"):
            _convert(whole, gguf.parent / _GENERATION, target)
    except ModelError:
        raise
    except Exception as error:  # each library has its own
        raise ModelError(
            f"'{gguf}' cannot be unpacked; expected a whole GGUF file, with its tokenizer, of an "
            f"architecture that transformers reads. Got: "
            f"{excerpt(str(error) or type(error).__name__)}"
        ) from error
    finally:
        if whole != gguf:
            whole.unlink(missing_ok=True)


def _convert(gguf: Path, generation: Path, target: Path) -> None:
    """Unpack a GGUF file that is whole.

    Args:
        gguf: The file.
        generation: The `generation_config.json` that stands beside it, if there is one.
        target: The folder to write.
    """
    import torch  # optional dependencies, and slow to import
    import transformers

    transformers.utils.logging.disable_progress_bar()  # it takes seconds, and the run has its own
    # From transformers 5.20 on, weights stay packed unless one asks; before, there was no choice.
    options: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    folder, name = str(gguf.parent), gguf.name
    with _without_bar():
        packed: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=name, dtype=torch.bfloat16, **options
        )
    # A fresh model of the same class, because one read from GGUF may refuse to be saved; it has the
    # same weights, since both would not fit where one does.
    settings = {k: v for k, v in packed.config.to_dict().items() if k != "quantization_config"}
    if turns := settings.get("rope_parameters"):
        settings["rope_parameters"] = rotary_parameters(gguf, turns)
    with torch.device("meta"):
        model = type(packed)(type(packed.config).from_dict(settings))
    model.load_state_dict(packed.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = packed.generation_config  # it says where a response ends
    if generation.is_file():
        ends = transformers.GenerationConfig.from_pretrained(generation.parent)
        model.generation_config = ends
    else:
        model.generation_config.eos_token_id = _ends(model.generation_config, gguf)
    model.save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(target)
    _drop_made_up_tokens(target / "tokenizer.json", vocabulary_size(gguf))
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    if "quantization_config" in config:
        raise ModelError(f"'{gguf.name}' could not be unpacked; its weights are still quantised.")


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep `transformers` from drawing the one bar that its setting does not turn off."""
    from transformers import modeling_gguf_pytorch_utils

    reading: Any = modeling_gguf_pytorch_utils
    bar: Any = vars(reading).get("tqdm")
    if bar is None:
        yield
        return
    reading.tqdm = functools.partial(bar, disable=True)
    try:
        yield
    finally:
        reading.tqdm = bar


def _ends(settings: Any, gguf: Path) -> int | list[int] | None:
    """Return the tokens at which a response ends, as the settings and the file have them."""
    stated: int | list[int] | None = settings.eos_token_id
    known = stated if isinstance(stated, list) else [] if stated is None else [stated]
    more = [token for token in end_tokens(gguf) if token not in known]
    return [*known, *more] if more else stated


def _drop_made_up_tokens(path: Path, size: int) -> None:
    """Take tokens out of a saved tokenizer that the model does not have.

    `transformers` adds the unknown token of GPT-2 where a file has none; the model has no
    embedding for it, and would fail at a text that holds it.
    """
    saved = json.loads(path.read_text(encoding="utf-8"))
    saved["added_tokens"] = [each for each in saved["added_tokens"] if each["id"] < size]
    path.write_text(json.dumps(saved, ensure_ascii=False), encoding="utf-8")
