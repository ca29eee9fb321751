"""Digests of a model's files: which of them count, and what their bytes are.

What counts is what `transformers` and `sentence-transformers` read: weights as safetensors or GGUF,
and every file of settings, vocabulary or chat template. The patterns are wide on purpose: a file
that counts in vain costs a score that is computed again; one that is left out, a wrong score.

A digest is remembered by path, size, inode and times, the time of the last change of the inode
(ctime) among them, which nobody sets back by hand. When weights are loaded, all of them are read
anyway: then the remembered digest is held against the bytes (:func:`unchanged`).
"""

import glob
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from siftline.contracts.errors import ModelError
from siftline.models.store.cache_folder import cache_folder

SAFETENSORS = ("*.safetensors",)
GGUF = "*.gguf"  # weights, settings and tokenizer in one
SETTINGS = (
    "*.json",  # configurations, vocabularies, indexes of weights, tokenizers
    "*.txt",  # vocab.txt, merges.txt, dict.txt
    "*.jinja",  # chat templates
    "*.model",  # SentencePiece, tiktoken
    "*.model.v*",  # Mistral's
    "*.spm",
    "*.tiktoken",
    "*.tokenizer",
    "*.vocab",
    "*.bpe",
    "*.codes",
)
CODE = ("*.py",)  # counts only where it may run
# What matches those and is read by nothing: what trainers and people leave beside a model.
IGNORED = (
    ".*",
    "README*",
    "LICENSE*",
    "NOTICE*",
    "requirements*.txt",
    "modelcard.json",
    "trainer_state.json",
    "*_results.json",
    "*.bin.index.json",
    "*.h5.index.json",
    "*.msgpack.index.json",
)
IGNORED_FOLDERS = (".*", "onnx", "openvino", "original", "checkpoint-*", "runs")
_PART = re.compile(r"\A(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_TEMPLATES = "additional_chat_templates"

# Times of files are kept in steps, so a file that changed this many seconds ago may change once
# more without another time.
_STEP = 2.0


class ModelFolder(NamedTuple):
    """The folder of a model.

    Attributes:
        name: Hub id or built-in name; `folder` for a folder, whose path says nothing.
        revision: The commit of a Hub model, otherwise an empty string.
        folder: Path of the folder.
        gguf: Name of the GGUF file that was chosen among others, the first part of a split one;
            empty where the folder says by itself what the weights are.
    """

    name: str
    revision: str
    folder: Path
    gguf: str = ""


def is_embedder(folder: Path) -> bool:
    """Return whether a folder is in the format of sentence-transformers."""
    return (folder / "modules.json").is_file()


def is_ignored(name: str) -> bool:
    """Return whether the name of a file is of those that are read by nothing."""
    return _matches(name, IGNORED)


def counted_files(
    folder: Path, with_code: bool = False, weights: bool = True, gguf: str = ""
) -> list[Path]:
    """Return the files that a model, a tokenizer or an embedder is read from, in order.

    Folders inside count where something may name them: those of an embedder's modules, those of
    further chat templates, and any where code of the model's own may run.

    Args:
        folder: The folder of a model.
        with_code: Whether its Python files count.
        weights: Whether its safetensors count, which a tokenizer is not read from.
        gguf: The one GGUF model that counts, and no safetensors then; empty for all that is there.
    """
    models: tuple[str, ...] = (GGUF, *(SAFETENSORS if weights else ()))
    if gguf:
        models = tuple(map(glob.escape, parts_of(gguf)))
    patterns = (*models, *SETTINGS, *(CODE if with_code else ()))
    templates = folder / _TEMPLATES
    places = [folder, *([templates] if templates.is_dir() else [])]
    if with_code or is_embedder(folder):
        places = list(_folders(folder, set()))
    return sorted(
        path
        for place in places
        for path in place.iterdir()
        if _matches(path.name, patterns) and not is_ignored(path.name) and path.is_file()
    )


def digest_of(model: ModelFolder, with_code: bool = False, weights: bool = True) -> str:
    """Return a SHA-256 over the files that count, remembered where they have not changed.

    Args:
        model: The model.
        with_code: As for :func:`counted_files`.
        weights: As for :func:`counted_files`.

    Returns:
        64 hex digits, which do not depend on where the folder is.
    """
    files = counted_files(model.folder, with_code, weights, model.gguf)
    return _digest_of_all(model.folder, {path: file_digest(path) for path in files})


def content_digest(folder: Path) -> str:
    """Return a SHA-256 over the files that count, by their bytes as they are now."""
    return _digest_of_all(folder, {path: _read_digest(path) for path in counted_files(folder)})


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, remembered as long as nothing says that it has changed.

    Raises:
        ModelError: The file changes while it is read.
    """
    known = _memory_of(path)
    if remembered := _remembered(known):
        return remembered
    started = time.time()
    digest = _read_digest(path)
    state = path.stat()
    if known != _memory_of(path):
        raise ModelError(
            f"'{path}' changed while it was read; expected files that stay as they are. Run again "
            "when they are whole."
        )
    if max(state.st_mtime, state.st_ctime) < started - _STEP:
        _remember(known, digest)
    return digest


@contextmanager
def unchanged(model: ModelFolder, with_code: bool = False, weights: bool = True) -> Iterator[None]:
    """Hold the files of a model to their digest while the model is loaded inside the block.

    Args:
        model: The model.
        with_code: As for :func:`counted_files`.
        weights: As for :func:`counted_files`.

    Raises:
        ModelError: They are not those that were digested, or change meanwhile.
    """
    files = counted_files(model.folder, with_code, weights, model.gguf)
    states = list(map(_state, files))
    digests = {path: file_digest(path) for path in files}
    for path, digest in digests.items():
        if _remembered(_memory_of(path)) and _read_digest(path) != digest:
            _memory_of(path).unlink()
            raise ModelError(
                f"'{path}' holds other bytes than when it was last read, though its size and "
                "times are the same; expected the same file. Run again, which reads it anew."
            )
    yield
    if files != counted_files(model.folder, with_code, weights, model.gguf) or states != list(
        map(_state, files)
    ):
        raise ModelError(
            f"The files in '{model.folder}' changed while the model was loaded; expected files "
            "that stay as they are. Run again when they are whole."
        )


def _folders(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Yield a folder and those inside it, each once, whatever links lead to it."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield folder
    for inside in sorted(folder.iterdir()):
        if inside.is_dir() and not _matches(inside.name, IGNORED_FOLDERS):
            yield from _folders(inside, seen)


def parts_of(gguf: str) -> tuple[str, ...]:
    """Return the names of all parts of a GGUF model, by that of one; the first one comes first."""
    match = _PART.fullmatch(gguf)
    if match is None or not 1 <= int(match["number"]) <= int(match["count"]):
        return (gguf,)
    count = int(match["count"])
    return tuple(
        f"{match['stem']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)
    )


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _digest_of_all(folder: Path, digests: dict[Path, str]) -> str:
    total = hashlib.sha256()
    for path, digest in digests.items():
        total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return total.hexdigest()


def _read_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"'{path}' cannot be read: {error.strerror}. Expected the file of a model."
        ) from error


def _state(path: Path) -> str:
    """Return what is another whenever a file has been written to or replaced."""
    real = path.resolve()
    at = real.stat()
    return f"{real} {at.st_dev} {at.st_ino} {at.st_size} {at.st_mtime_ns} {at.st_ctime_ns}"


def _memory_of(path: Path) -> Path:
    """Return the file in which the digest of another one is remembered."""
    state = hashlib.sha256(os.fsencode(_state(path))).hexdigest()
    return cache_folder() / "digests" / state


def _remembered(known: Path) -> str:
    """Return a digest that is remembered; empty where there is none, or only a part of one."""
    digest = known.read_text(encoding="ascii", errors="replace") if known.is_file() else ""
    return digest if re.fullmatch("[0-9a-f]{64}", digest) else ""


def _remember(known: Path, digest: str) -> None:
    temporary = known.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        known.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(digest, encoding="ascii")
        temporary.replace(known)
    except OSError as error:
        raise ModelError(
            f"Cannot write to '{known.parent}': {error.strerror}. Expected room for digests of "
            "models; name another folder with the variable SIFTLINE_CACHE."
        ) from error
