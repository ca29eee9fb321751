"""Verification: are the files of a run, a version or a cache as they were written?"""

from collections.abc import Iterator
from pathlib import Path

from siftline.contracts.config import Config
from siftline.contracts.errors import DamagedError, RunError
from siftline.contracts.parquet import check_file
from siftline.contracts.records import SEAL, FileState, damaged_files, read_record
from siftline.pipelines.run_directory import KEY, MANIFEST, REPORT, finished, versions_in
from siftline.pipelines.scores.cache import PARTS


class Verified(Config):
    """What a verification has found.

    Attributes:
        files: How many files were read.
        damaged: What is wrong with a file, by its path.
    """

    files: int
    damaged: dict[str, str]


def verify(path: Path) -> Verified:
    """Read every file that a run keeps, and compare it with its digest. Nothing is changed.

    Args:
        path: A version, the folder of a recipe, a score cache, or the run directory with all of
            them.

    Raises:
        RunError: It is none of these.
    """
    files, damaged = 0, {}
    for problem in _checks(path):
        files += 1
        if problem is not None:
            damaged[str(problem.path)] = problem.problem
    if not files:
        raise RunError(
            f"'{path}' holds no run; expected a version such as 'runs/first/v0001', the folder of "
            "a recipe, a cache, or the run directory."
        )
    return Verified(files=files, damaged=damaged)


def _checks(path: Path) -> Iterator[DamagedError | None]:
    """Yield for each file below a folder what is wrong with it, or None."""
    if (path / KEY).exists() or (path / REPORT).exists():
        yield from _version(path)
        return
    versions = versions_in(path) if path.is_dir() else []
    for version in versions:
        yield from _version(version)
    if not versions:
        yield from _parts(path)
        for folder in sorted(each for each in path.glob("*") if each.is_dir()):
            if not folder.is_symlink() and not folder.name.startswith("."):
                yield from _checks(folder)


def _version(version: Path) -> Iterator[DamagedError | None]:
    """Check a version, or what is finished of an unfinished one."""
    yield from _record(version / (REPORT if finished(version) else KEY))
    if not finished(version):
        for manifest in sorted(version.glob(f"*/{MANIFEST}")):
            yield from _record(manifest)


def _parts(folder: Path) -> Iterator[DamagedError | None]:
    """Check the parts of a cache that lie in a folder, and what was trained there."""
    for path in sorted(folder.glob(PARTS)):
        try:
            check_file(path)
        except DamagedError as error:
            yield error
        else:
            yield None
    if (folder / SEAL).exists():
        yield from _record(folder / SEAL)


def _record(path: Path) -> Iterator[DamagedError | None]:
    """Check a record, and the files beside it that it names."""
    try:
        files = read_record(path).get("files", {})
    except DamagedError as error:
        yield error
        return
    yield None
    for name, state in files.items():
        found = damaged_files(path.parent, {name: FileState.model_validate(state)})
        yield next(found, None)
