"""The files of a model: where they are.

A model is a folder, a GGUF file, a repository on the Hugging Face Hub, or built in.
"""

from pathlib import Path

from siftline.contracts.errors import ModelError, nearest
from siftline.contracts.model_spec import ModelSpec
from siftline.models.store.builtin import TOY, WHEELS, builtin_folder, builtin_name
from siftline.models.store.digests import GGUF, ModelFolder, is_embedder
from siftline.models.store.gguf_files import chosen_gguf
from siftline.models.store.hub import snapshot
from siftline.models.store.loadable import require_loadable


def find_model(spec: ModelSpec) -> ModelFolder:
    """Find the files of a model, and download those of a Hub model that are not here yet.

    Raises:
        ModelError: They cannot be found.
    """
    builtin = builtin_name(spec.name)
    if builtin is not None:
        return ModelFolder(spec.name, "", builtin_folder(builtin))
    local = Path(spec.name).expanduser()
    if local.is_dir():
        return _local_folder(local, spec)
    if local.suffix == ".gguf" and local.is_file():
        return _gguf_in(local.parent, local.name, f"The folder '{local.parent}'")
    if spec.name in (*WHEELS, TOY):
        raise ModelError(f"There is no folder '{spec.name}'. Did you mean 'builtin:{spec.name}'?")
    if spec.name.startswith((".", "/", "~")) or spec.name.count("/") != 1:
        hint = nearest(spec.name, [f"builtin:{name}" for name in WHEELS])
        raise ModelError(
            f"There is no folder '{spec.name}'; expected a folder, a GGUF file, a Hub id such as "
            f"'org/model', or a built-in model.{hint}"
        )
    return snapshot(spec)


def _local_folder(folder: Path, spec: ModelSpec) -> ModelFolder:
    """Return the model in a folder: what was saved there, or a GGUF file."""
    only = any(folder.glob(GGUF)) and not any(folder.glob("*.safetensors"))
    if spec.file is not None or (only and not is_embedder(folder)):
        return _gguf_in(folder, spec.file, f"The folder '{spec.name}'")
    require_loadable(folder, spec.name, spec.trust_remote_code)
    return ModelFolder("folder", "", folder)


def _gguf_in(folder: Path, stated: str | None, title: str) -> ModelFolder:
    """Return the GGUF model of a folder, or the one that is stated."""
    place = folder if stated is None else (folder / stated).parent
    names = [path.relative_to(folder).as_posix() for path in place.glob(GGUF)]
    first = chosen_gguf(names, stated, title)
    assert first is not None  # there are some, or one is stated
    return ModelFolder("folder", "", (folder / first).parent, Path(first).name)
