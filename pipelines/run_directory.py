"""The run directory: numbered versions, each of one recipe on one set of bytes.

    runs/<name>/v0001/version.json    the key of the version, written first
    runs/<name>/v0001/<folder>/manifest.json    written last: the folder is finished; its files
    runs/<name>/latest    a link to the newest finished version

A version whose `report.json` exists is finished, and never changed again: a file of it that is
missing or damaged is an error. What is damaged in an unfinished one is made again. One that was
planned or calibrated but not run has a `plan.json`, and is removed when the next is made.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from siftline.contracts import progress
from siftline.contracts.errors import DamagedError, RecipeError, RunError, UndigestedError
from siftline.contracts.printable import encodable
from siftline.contracts.publishing import published, sweep, temporary_for, writing
from siftline.contracts.records import (
    FileState,
    check_files,
    read_record,
    state_of,
    states_of,
    write_json,
    write_record,
    write_text,
)
from siftline.pipelines.manifest import PAGE, IngestManifest, StageManifest, Summary
from siftline.pipelines.recipe_name import VERSION

KEY = "version.json"
MANIFEST = "manifest.json"
PLAN = "plan.json"
REPORT = "report.json"
INGEST = "00-ingest"
LATEST = "latest"

_ADDRESS = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*:")
_SIGNS = ("recipe.yaml", INGEST)  # one of them is in every version

M = TypeVar("M", IngestManifest, StageManifest)


def check_place(runs: Path) -> None:
    """Check that Arrow would take a run directory for a folder, and by its own name.

    Raises:
        RecipeError: It is an address, such as `s3://bucket`, or its name is not UTF-8.
    """
    if _ADDRESS.match(str(runs)) or encodable(str(runs)) != str(runs):
        raise RecipeError(
            f"Got the run directory '{runs}'; expected a folder of this machine whose name is "
            "UTF-8. Name another with --runs."
        )


def _check_link(link: Path) -> None:
    """Check that the link to the newest version can be put where it belongs.

    Raises:
        RunError: A file or a folder lies there.
    """
    if link.exists() and not link.is_symlink():
        raise RunError(
            f"'{link}' is no link; expected room for one to the newest version. Move it away."
        )


def open_version(folder: Path, key: str, recipe: str) -> Path:
    """Find the version with a key, or make the next one.

    Args:
        folder: The recipe's folder in the run directory.
        key: Identity of recipe, data and models.
        recipe: The recipe as resolved, YAML, to be kept in a new version.

    Raises:
        DamagedError: The key of a finished version cannot be read.
        RunError: The next version cannot be written, or something else lies where the link goes.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _check_link(folder / LATEST)
    sweep(folder)
    keys = {version: _read_key(version) for version in versions_in(folder)}
    versions = [version for version, found in keys.items() if found is not None]
    for version in reversed(versions):
        if keys[version] == key:
            return _reopened(version, recipe)
    if versions and _only_planned(versions[-1]):
        shutil.rmtree(versions.pop())
    version = _next_to(versions[-1] if versions else folder / "v0000")
    with published(version) as building:
        building.mkdir()
        (building / "recipe.yaml").write_text(recipe, encoding="utf-8")
        write_record(building / KEY, {"key": key})
    return version


def versions_in(folder: Path) -> list[Path]:
    """Return the versions in a recipe's folder, the oldest first.

    What has such a name and nothing of a version in it is somebody else's.
    """
    named = [path for path in folder.iterdir() if VERSION.fullmatch(path.name)]
    versions = [path for path in named if any((path / name).exists() for name in _SIGNS)]
    return sorted(versions, key=lambda path: int(path.name[1:]))


def _next_to(version: Path) -> Path:
    """Return the path of the next version whose name is free."""
    following = version.with_name(f"v{int(version.name[1:]) + 1:04d}")
    return _next_to(following) if os.path.lexists(following) else following


def _reopened(version: Path, recipe: str) -> Path:
    """Return a version, an unfinished one without a page and what a dead run was writing."""
    if not finished(version):
        sweep(version, deep=True)
        (version / PAGE).unlink(missing_ok=True)
        write_text(version / "recipe.yaml", recipe)
    return version


def _only_planned(version: Path) -> bool:
    """Return whether a version was planned or calibrated, and no run of it has begun."""
    return (version / PLAN).exists() and never_run(version)


def never_run(version: Path) -> bool:
    """Return whether no run of a version has begun."""
    new = (version / PLAN).exists() or not (version / INGEST).exists()
    return new and not finished(version)


def mark_planned(version: Path, plan: Mapping[str, Any]) -> None:
    """Let a version be removed when the next one is made, unless it is run before.

    Args:
        version: Its folder; no run of it has begun.
        plan: What is known of it.
    """
    write_json(version / PLAN, plan)


def _read_key(version: Path) -> str | None:
    """Return the key of a version; None for an unfinished one that has lost it, and is removed.

    The key of a version whose files have no digests, as once they had none, is empty: no recipe's.
    """
    try:
        return str(read_record(version / KEY)["key"])
    except UndigestedError:
        return ""
    except DamagedError as error:
        if finished(version):
            raise
        progress.warn(error.mended(f"'{version.name}' is made again."))
        shutil.rmtree(version)
        return None


def finished(version: Path) -> bool:
    """Return whether a version is complete."""
    return (version / REPORT).exists()


def point_latest(version: Path) -> None:
    """Make `latest` beside a version point at it."""
    link = version.parent / LATEST
    temporary = temporary_for(link)
    temporary.symlink_to(version.name)
    temporary.replace(link)


@contextlib.contextmanager
def telling_what_is_kept(
    version: Path, cache: Path, signals: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
) -> Iterator[None]:
    """Run a version: when that is interrupted, say what is kept and how to go on.

    Args:
        version: Of the run.
        cache: Of the scores.
        signals: What interrupts it.
    """
    (version / PLAN).unlink(missing_ok=True)
    try:
        yield
    except signals:
        folders = [path.parent.name for path in sorted(version.glob(f"*/{MANIFEST}"))]
        progress.warn(
            f"Interrupted. Finished in '{version}': {', '.join(folders) or 'nothing yet'}; the "
            f"scores so far are in '{cache}'. Run the same command again to go on."
        )
        raise


def read_finished(folder: Path, model: type[M]) -> M | None:
    """Return the manifest of a finished folder, None when it is not finished.

    A folder of an unfinished version that is damaged is removed, to be made again.

    Raises:
        DamagedError: The version is finished, and a file of the folder is not as it was written.
    """
    if not (folder / MANIFEST).exists():
        return None
    try:
        manifest = model.model_validate(read_record(folder / MANIFEST))
        check_files(folder, manifest.files)
    except DamagedError as error:
        if finished(folder.parent):
            raise
        progress.warn(error.mended(f"'{folder.name}' is made again."))
        shutil.rmtree(folder)
        return None
    return manifest


def begin(folder: Path) -> None:
    """Make an empty folder of an unfinished version, and remove those after it.

    They are of the rows that this one left before; now it may leave others.

    Raises:
        RunError: The version cannot be written to.
    """
    stale = [each for each in folder.parent.iterdir() if _place(each) >= _place(folder)]
    with writing(folder):
        for each in stale:
            shutil.rmtree(each)
        folder.mkdir()


def _place(path: Path) -> int:
    """Return the place of a folder in a run, 0 for ingestion; -1 for what is no step of it."""
    number, dash, _ = path.name.partition("-")
    return int(number) if dash and number.isdecimal() else -1


def write_manifest(folder: Path, manifest: IngestManifest | StageManifest) -> None:
    """Mark a folder as finished, with what its files are."""
    whole = manifest.model_copy(update={"files": states_of(folder)})
    write_record(folder / MANIFEST, whole.model_dump(mode="json"))


def read_summary(version: Path) -> Summary:
    """Return the report of a finished version.

    Raises:
        DamagedError: It is not as it was written.
        RunError: It was written by a siftline whose reports hold something else.
    """
    path = version / REPORT
    found = read_record(path)
    try:
        return Summary.model_validate(found)
    except ValidationError as error:
        writer = found.get("siftline", "of another release")
        raise RunError(
            f"'{path}' was written by another siftline ({writer}); expected a report of this one. "
            "Run its recipe again: that makes a new version, and the scores are in the cache."
        ) from error


def write_summary(version: Path, summary: Summary) -> None:
    """Finish a version, with what all of its files are.

    Raises:
        DamagedError: The manifest of a folder is missing, or not as it was written.
    """
    files: dict[str, FileState] = {}
    for path in sorted(path for path in version.iterdir() if not path.name.startswith(".")):
        if path.is_dir():
            found = states_of(path) if _place(path) < 0 else _stated_files(path)
            files |= {f"{path.name}/{name}": state for name, state in found.items()}
        elif path.name not in (REPORT, PLAN, PAGE):
            files[path.name] = state_of(path)
    whole = summary.model_copy(update={"files": files})
    write_record(version / REPORT, whole.model_dump(mode="json"))


def _stated_files(folder: Path) -> dict[str, FileState]:
    """Return what the files of a folder are: what its manifest says of them, and itself."""
    stated = read_record(folder / MANIFEST)["files"]
    files = {name: FileState.model_validate(state) for name, state in stated.items()}
    return {**files, MANIFEST: state_of(folder / MANIFEST)}
