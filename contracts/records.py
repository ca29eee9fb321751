"""JSON files that know whether they are as they were written; lists of what a folder holds."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from siftline.contracts import progress
from siftline.contracts.config import Config
from siftline.contracts.errors import DamagedError, UndigestedError
from siftline.contracts.publishing import published, reading

SEAL = "identity.json"  # in a folder whose other files it names
_DIGEST = "sha256"  # the field of a record that holds the digest of the others


class FileState(Config):
    """What a file was when it was written.

    Attributes:
        bytes: Its size.
        sha256: Digest of its bytes.
    """

    bytes: int
    sha256: str


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all.

    Raises:
        RunError: It cannot be written.
    """
    with published(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write readable JSON, as :func:`write_text`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write readable JSON with a digest of itself, whole or not at all.

    Raises:
        RunError: It cannot be written.
    """
    write_json(path, {**value, _DIGEST: _digest(value)})


def read_record(path: Path) -> dict[str, Any]:
    """Read what :func:`write_record` has written.

    Raises:
        DamagedError: It is missing, cut short, or not as it was written.
        UndigestedError: It holds no digest.
        RunError: It may not be read, or the disk fails.
    """
    try:
        with reading(path):
            value = json.loads(path.read_bytes())
        digest = value.pop(_DIGEST)
    except KeyError as error:
        raise UndigestedError(path, "it holds no digest, so it cannot be checked") from error
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise DamagedError(path, "it was cut short, or is none of siftline's files") from error
    if digest != _digest(value):
        raise DamagedError(path, "its bytes are not those that were written")
    return dict(value)


def states_of(folder: Path) -> dict[str, FileState]:
    """Return what the files in a folder are, by their path in it, without hidden ones."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: state_of(path)
        for name, path in names.items()
        if name != SEAL and not any(part.startswith(".") for part in name.split("/"))
    }


def state_of(path: Path) -> FileState:
    """Return what a file is."""
    with reading(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileState(bytes=file.tell(), sha256=digest)


def check_files(folder: Path, files: Mapping[str, FileState], *, sizes_only: bool = False) -> None:
    """Check that the files of a folder are as they were.

    Args:
        folder: Where they lie.
        files: What they were, by their path in it.
        sizes_only: Do not read them.

    Raises:
        DamagedError: One of them is missing or has changed.
    """
    for error in damaged_files(folder, files, sizes_only=sizes_only):
        raise error


def damaged_files(
    folder: Path, files: Mapping[str, FileState], *, sizes_only: bool = False
) -> Iterator[DamagedError]:
    """Yield an error for each file that is not as it was; as :func:`check_files`."""
    for name, state in files.items():
        path = folder / name
        if not path.is_file():
            yield DamagedError(path, "it is missing")
        elif (size := path.stat().st_size) != state.bytes:
            yield DamagedError(path, f"it has {size:,} bytes, expected {state.bytes:,}")
        elif not sizes_only and state_of(path) != state:
            yield DamagedError(path, "its bytes are not those that were written")


def seal_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Write `identity.json` into a folder, with what its files are.

    Raises:
        RunError: It cannot be written.
    """
    files = {name: state.model_dump() for name, state in states_of(folder).items()}
    write_record(folder / SEAL, {"identity": identity, "files": files})


def is_sealed(folder: Path) -> bool:
    """Return whether a folder is finished, by :func:`seal_folder`.

    Raises:
        DamagedError: It is, and a file of it is not as it was.
    """
    if not (folder / SEAL).exists():
        return False
    files = read_record(folder / SEAL)["files"]
    check_files(folder, {name: FileState.model_validate(state) for name, state in files.items()})
    return True


def is_trained(folder: Path) -> bool:
    """Return whether a sealed folder of weights is there; a damaged one is removed, and told of."""
    try:
        return is_sealed(folder)
    except DamagedError as error:
        progress.warn(error.mended("It is trained again."))
        shutil.rmtree(folder)
        return False


def _digest(value: Mapping[str, Any]) -> str:
    as_read = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(as_read, sort_keys=True).encode()).hexdigest()
