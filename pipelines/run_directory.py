"""The run directory: numbered versions, each of one recipe on one set of bytes.

    runs/<name>/v0001/version.json    the key of the version, written first
    runs/<name>/v0001/<folder>/manifest.json    written last: the folder is finished
    runs/<name>/latest    a link to the newest finished version

A version whose `report.json` exists is finished, and never changed again. One that was planned but
not run, with a `plan.json` and nothing but what ingestion has read, is removed when the next is
made.
"""

import json
import re
import shutil
import uuid
from pathlib import Path
from typing import Any, TypeVar

from siftline.contracts.config import Config
from siftline.contracts.errors import RunError

PLAN = "plan.json"
INGEST = "00-ingest"

_VERSION = re.compile(r"v(\d{4,})")

C = TypeVar("C", bound=Config)


def open_version(folder: Path, key: str, recipe: str) -> Path:
    """Find the version with a key, or make the next one.

    Args:
        folder: The recipe's folder in the run directory.
        key: Identity of recipe, data and models.
        recipe: The recipe as resolved, YAML, to be kept in a new version.

    Raises:
        RunError: A version cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    versions = sorted(
        (path for path in folder.iterdir() if _VERSION.fullmatch(path.name)),
        key=lambda path: int(path.name[1:]),
    )
    for version in reversed(versions):
        if _read_key(version) == key:
            return version
    number = int(versions[-1].name[1:]) + 1 if versions else 1
    if versions and _only_planned(versions[-1]):
        shutil.rmtree(versions[-1])
        number -= 1
    version = folder / f"v{number:04d}"
    building = folder / f".v{number:04d}.tmp"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    (building / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (building / "version.json").write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
    building.replace(version)
    return version


def _only_planned(version: Path) -> bool:
    """Return whether a version was planned, and no stage of it run."""
    names = {path.name for path in version.iterdir() if path.is_dir()}
    return (version / PLAN).exists() and names <= {INGEST}


def _read_key(version: Path) -> str:
    path = version / "version.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"Cannot read '{path}' ({error}); expected a JSON object with 'key'. "
            "Move that version away, then run again."
        ) from error


def finished(version: Path) -> bool:
    """Return whether a version is complete."""
    return (version / "report.json").exists()


def point_latest(version: Path) -> None:
    """Make `latest` beside a version point at it."""
    link = version.parent / "latest"
    temporary = version.parent / ".latest.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(version.name)
    temporary.replace(link)


def read_manifest(folder: Path, model: type[C]) -> C | None:
    """Return the manifest of a finished folder, None when it is not finished."""
    path = folder / "manifest.json"
    return model.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def write_manifest(folder: Path, manifest: Config) -> None:
    """Mark a folder as finished."""
    write_json(folder / "manifest.json", manifest.model_dump(mode="json"))


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, whole or not at all."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
