"""The inputs of a recipe: which files they are, and a digest of their bytes."""

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from siftline.contracts.config import Config
from siftline.contracts.errors import InputError, RecipeError, nearest
from siftline.contracts.printable import encodable
from siftline.pipelines.ingestion.charsets import charset
from siftline.pipelines.ingestion.globbing import matches
from siftline.pipelines.ingestion.repair import Repair
from siftline.pipelines.ingestion.stores import (
    StoredFile,
    bare,
    check_address,
    is_address,
    stored_files,
)

JSON = (".json", ".jsonl", ".ndjson")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
COLUMNAR = (".parquet", ".arrow", ".feather")
SUFFIXES = (*JSON, *DELIMITERS, *COLUMNAR)
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
CANONICAL = (
    "instruction",
    "input",
    "response",
    "system",
    "history",
    "conversations",
    "messages",
    "prompt",
    "question",
    "query",
    "chosen",
    "rejected",
    "tools",
    "reasoning",
    "images",
    "id",
    "task",
    "origin",
)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Languages = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]+)*$")], ...],
    BeforeValidator(_listed),
]
Format = Literal[
    "auto",
    "alpaca",
    "sharegpt",
    "messages",
    "prompt_completion",
    "question_answer",
    "query_response",
    "input_output",
    "preference",
    "tree",
]


class Input(Config):
    """One input of a recipe.

    Attributes:
        path: A file, a glob, or a folder saved by `datasets`, relative to the recipe's folder; or
            an address, such as `s3://bucket/*.jsonl`. Wildcards follow links, and do not lead into
            the run directory.
        hub: A `datasets` Hub id or dataset folder, instead of `path`.
        source: What its rows are called; the name of the file or Hub id by default.
        format: The rows' shape; `auto` looks at the first rows of each file, and at each row that
            has another.
        columns: Canonical field to the file's column, such as `{response: answer}`.
        encoding: Of JSON and CSV, such as `cp1252`; UTF-8 by default, or what the byte order mark
            of a file says.
        delimiter: Between the cells of CSV; a comma by default, a tab in `.tsv` and `.tab`.
        config: Of a Hub dataset.
        split: Of a Hub or saved dataset.
        revision: Of a Hub dataset.
        license: For the dataset card, such as `cc-by-4.0`.
        language: For the dataset card: a code, such as `en`, or several.
        task: Of all its rows, instead of their `task` or `category` column.
        origin: Who wrote its responses, instead of their `origin`, `generator`, `model` column.
        take: Of preference pairs the `chosen` response, or `both`, whose origin is their side.
        repair: What to do with rows that would be in quarantine; nothing by default.
    """

    path: str | None = None
    hub: str | None = None
    source: str = ""
    format: Format = "auto"
    columns: dict[str, str] = {}
    encoding: str | None = None
    delimiter: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    license: str | None = None
    language: Languages = ()
    task: str | None = None
    origin: str | None = None
    take: Literal["chosen", "both"] = "chosen"
    repair: Repair = Repair()

    @model_validator(mode="before")
    @classmethod
    def _name_source(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("source"):
            return data
        name = str(data.get("path") or data.get("hub") or "").rstrip("/")
        name = bare(name)
        stem = re.sub(r"[*?\[\]]", "", Path(name).name).split(".")[0]
        source = encodable(stem or Path(name).parent.name or "input")
        return {**data, "source": source}

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str | None) -> str | None:
        return None if name is None else charset(name)

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\x00'):
            raise ValueError("delimiter: expected one character, such as ';' or a tab.")
        return delimiter

    @model_validator(mode="after")
    def _one_place(self) -> "Input":
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of 'path' and 'hub'.")
        if self.hub is not None and (self.encoding or self.delimiter):
            raise ValueError("'encoding' and 'delimiter' are of files; take them out beside 'hub'.")
        if self.path is not None and is_address(self.path):
            check_address(self.path)
        for field in self.columns:
            if field not in CANONICAL:
                raise ValueError(f"columns: unknown field '{field}'. {_meant(field)}")
        return self


def _meant(field: str) -> str:
    """Return which field a mapping of columns could mean, or all that there are."""
    if field.removesuffix("s") in ("output", "completion", "answer", "generation", "response"):
        return "Did you mean 'response'?"
    return nearest(field, CANONICAL).strip() or f"Known: {', '.join(CANONICAL)}."


Place = Path | StoredFile


def suffix(path: Place) -> str:
    """Return a file's suffix without its compression: `.json` for `a.json.gz`."""
    parts = [part.lower() for part in path.suffixes]
    if parts and parts[-1] in COMPRESSIONS:
        parts = parts[:-1]
    return parts[-1] if parts else ""


def compression(path: Place) -> str | None:
    """Return the codec that a file's name tells, as Arrow calls it; None for a plain file."""
    return COMPRESSIONS.get(path.suffix.lower())


def resolve(item: Input, base: Path, runs: Path | None = None) -> list[Place]:
    """Return the files of an input in order; a saved dataset is its folder. None for a Hub input.

    A file that is matched several times, through links, is read once.

    Args:
        item: The input.
        base: Folder that its path is relative to.
        runs: The run directory, into which no wildcard leads: what lies there grows with the run.

    Raises:
        RecipeError: It matches nothing, or what it names is of an unknown type.
        InputError: All of its files are empty, or a folder or a store cannot be looked into.
    """
    if item.path is None:
        return []
    found = _found(item.path, base, runs)
    if not found:
        raise RecipeError(
            f"Input '{item.path}' matches no file; expected a file or a glob relative to the "
            "recipe's folder, or an address. Correct 'path'."
        )
    for path in found:
        _check(path, item)
    if all(is_empty(path) for path in found):
        raise InputError(
            f"Input '{item.path}' is empty; expected at least one row. Take it out of the recipe."
        )
    return found


def _found(path: str, base: Path, runs: Path | None) -> list[Place]:
    """Return the files that a path names, relative to a folder, in the home folder or a store."""
    if is_address(path):
        return list(stored_files(path))
    path = path.removeprefix("file://")
    if os.path.exists(base / path):
        return [base / path]
    path = os.path.expanduser(path)
    return [base / path] if os.path.exists(base / path) else list(matches(path, base, runs))


def is_empty(place: Place) -> bool:
    """Return whether a file has no bytes."""
    if isinstance(place, StoredFile):
        return place.size == 0
    return place.is_file() and place.stat().st_size == 0


def open_place(place: Place) -> io.BufferedReader:
    """Open a file.

    Raises:
        OSError: That fails.
    """
    return place.open() if isinstance(place, StoredFile) else place.open("rb")


def name_of(path: Place, base: Path) -> str:
    """Return what the rows of a file call it: its path from the recipe's folder, in UTF-8."""
    if isinstance(path, StoredFile):
        return path.address
    local = str(path.relative_to(base)) if path.is_relative_to(base) else path.name
    return encodable(local)  # file names may be any bytes


def is_saved_dataset(path: Path) -> bool:
    """Return whether a folder was written by `datasets`' `save_to_disk`."""
    return (path / "state.json").exists() or (path / "dataset_dict.json").exists()


def _check(path: Place, item: Input) -> None:
    kind = suffix(path)
    if isinstance(path, Path) and path.is_dir():
        if not is_saved_dataset(path):
            raise RecipeError(
                f"Input '{item.path}' is a folder, expected files or a folder saved by 'datasets'. "
                f"Write a glob, such as '{item.path}/*.jsonl'."
            )
    elif kind not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise RecipeError(
            f"Input '{path.name}' has an unknown type; expected {known}, plain, .gz or .zst. "
            "Write a glob that leaves it out, such as '*.jsonl', or give it the suffix of what it "
            "holds."
        )
    elif isinstance(path, Path) and not path.is_file():
        raise InputError(f"Input '{path.name}' is no file, or leads to none. Take it out.")
    _check_fields(path.name, kind, item)


def _check_fields(name: str, kind: str, item: Input) -> None:
    """Check that what an input states of its files can be true of one of this kind."""
    for field, kinds in (("encoding", (*JSON, *DELIMITERS)), ("delimiter", tuple(DELIMITERS))):
        if getattr(item, field) is not None and kind not in kinds:
            raise RecipeError(
                f"'{field}' is stated for '{name}'; expected it of {', '.join(kinds)} alone. Make "
                "an input of its own for that file, or take the field out."
            )


def digest(item: Input, base: Path, runs: Path | None = None) -> str:
    """Return a hash of what an input holds: its files' bytes, and their names as rows tell them.

    Of a Hub input it is the id, configuration, split and revision: pin the revision. Files of a
    store are read from end to end.

    Args:
        item: The input.
        base: Folder that its path is relative to.
        runs: The run directory, as for :func:`resolve`.

    Raises:
        InputError: As :func:`resolve`.
    """
    hasher = hashlib.sha256()
    if item.hub is not None:
        hasher.update(repr((item.hub, item.config, item.split, item.revision)).encode())
        places: Sequence[Place] = [base / item.hub] if (base / item.hub).is_dir() else []
    else:
        places = resolve(item, base, runs)
    for place in places:
        for inside, file in _files_of(place):
            hasher.update(name_of(place, base).encode() + b"\x00" + inside + b"\x00")
            with open_place(file) as stream:
                hasher.update(hashlib.file_digest(stream, "sha256").digest())
    return hasher.hexdigest()


def _files_of(place: Place) -> list[tuple[bytes, Place]]:
    """Return a file, or the files of a folder, each with its path inside as `datasets` sees it."""
    if not isinstance(place, Path) or not place.is_dir():
        return [(b".", place)]
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return [(os.fsencode(file.relative_to(place)), file) for file in files]
