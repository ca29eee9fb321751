"""Which GGUF file is the model, where a folder or a repository holds some.

A model may be split into parts (`x-00001-of-00003.gguf`), which belong together. What lies beside
one and is no language model (a projector of images, statistics of a quantisation) does not count.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from siftline.contracts.errors import ModelError, nearest
from siftline.models.store.digests import GGUF, SAFETENSORS, ModelFolder, is_ignored, parts_of

# `m-imatrix-Q4` is a model that was quantised with an importance matrix; `m-imatrix` is the matrix.
_NO_MODEL = re.compile(
    r"\A(?:(?:.*[-_.])?mmproj(?:[-_.].*)?|imatrix(?:[-_.].*)?|.*[-_.]imatrix)", re.IGNORECASE
)
_SHOWN = 12


def gguf_models(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the models among the files of a folder or a repository.

    Args:
        names: Names or paths of files; those of other kinds are passed over.

    Returns:
        By the first file of each, in order: all of its files.
    """
    found: dict[str, list[str]] = {}
    for name in sorted(names):
        path = PurePosixPath(name)
        if (
            path.suffix == ".gguf"
            and not is_ignored(path.name)
            and not _NO_MODEL.fullmatch(path.stem)
        ):
            found.setdefault(parts_of(name)[0], []).append(name)
    return {first: tuple(files) for first, files in found.items()}


def chosen_gguf(names: Iterable[str], stated: str | None, title: str) -> str | None:
    """Return the first file of the one model, or of the one that is stated.

    Args:
        names: Names or paths of files.
        stated: The file that the recipe names, any part of a model; None if it names none.
        title: What messages call the folder or the repository.

    Returns:
        The name; None where no GGUF file is there and none is stated.

    Raises:
        ModelError: The stated one is not there, a part of it is missing, or there are several.
    """
    models = gguf_models(names)
    if stated is not None:
        first = parts_of(stated)[0]
        if first not in models:
            raise ModelError(
                f"{title} has no model '{stated}'; expected one of its GGUF files."
                f"{nearest(stated, models)}"
            )
    elif len(models) > 1:
        shown = ", ".join(f"'{name}'" for name in list(models)[:_SHOWN])
        more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
        raise ModelError(
            f"{title} holds {len(models)} GGUF models: {shown}{more}. Expected one; name it "
            f"beside the model, as in 'file: {next(iter(models))}'."
        )
    elif not models:
        return None
    else:
        first = next(iter(models))
    missing = [name for name in parts_of(first) if name not in models[first]]
    if missing:
        raise ModelError(
            f"{title} lacks '{missing[0]}', a part of the model '{first}'; expected all "
            f"{len(parts_of(first))} parts. Fetch it, or name another model as 'file'."
        )
    return first


def gguf_of(model: ModelFolder) -> Path | None:
    """Return the first GGUF file of a model; None if its weights are no GGUF."""
    if model.gguf:
        return model.folder / model.gguf
    if any(path for pattern in SAFETENSORS for path in model.folder.glob(pattern)):
        return None
    first = next(iter(gguf_models(path.name for path in model.folder.glob(GGUF))), None)
    return None if first is None else model.folder / first


def gguf_parts(first: Path) -> Sequence[Path]:
    """Return all files of a GGUF model, by its first one."""
    return [first.with_name(name) for name in parts_of(first.name)]
