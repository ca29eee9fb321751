"""Digests of the files that stages name and scorers read beside the rows."""

import hashlib
from pathlib import Path

from siftline.contracts.errors import InputError
from siftline.contracts.parquet import dataset_files


def digest_of_named(path: Path) -> str:
    """Return the digest of a file, or of a folder's Parquet files with their names.

    Raises:
        InputError: It cannot be read, or the folder holds none.
    """
    if not path.is_dir():
        return _digest_of_file(path)
    parts = [f"{part.name} {_digest_of_file(part)}" for part in dataset_files(path)]
    if not parts:
        raise InputError(
            f"'{path}' holds no *.parquet. A stage names it; expected the folder of a curated "
            "dataset, or a file."
        )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"'{path}' cannot be read: {error.strerror}. A stage names it; expected a file, or a "
            "folder of *.parquet, relative to the recipe's folder."
        ) from error
