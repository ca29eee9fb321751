"""Files and folders that appear whole or not at all, and that are there after a loss of power.

What is being written has a hidden name that tells the process which writes it, so that a later run
can sweep away what a dead one has left.
"""

import contextlib
import errno
import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from siftline.contracts.errors import DamagedError, RunError

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\A\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Make room there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Make it writable"),
}


@contextlib.contextmanager
def published(path: Path) -> Iterator[Path]:
    """Give what is written in the block its name when the block is done.

    Args:
        path: Of a file or a folder, whose predecessor is replaced.

    Yields:
        Where to write it: beside `path`, under a name of its own.

    Raises:
        RunError: It cannot be written; what was written of it is removed.
    """
    temporary = temporary_for(path)
    try:
        with writing(path):
            yield temporary
            publish(temporary, path)
    finally:
        _remove(temporary)


def publish(temporary: Path, path: Path) -> None:
    """Give a file or a folder its name, once all of it is on the disk."""
    if temporary.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    sync(temporary)
    temporary.replace(path)
    _sync_one(path.parent)


def publish_new(temporary: Path, pattern: str, first: int) -> Path:
    """Give a file the first number that no other process has taken.

    Args:
        temporary: The file.
        pattern: Of the name beside it, such as `scores-{:06d}.parquet`.
        first: The number that is tried first.

    Returns:
        The path that it got; a file that is there already is never replaced.
    """
    sync(temporary)
    number = first
    while True:
        path = temporary.with_name(pattern.format(number))
        try:
            os.link(temporary, path)
        except FileExistsError:
            number += 1
            continue
        _sync_one(path.parent)
        return path


def temporary_for(path: Path) -> Path:
    """Return a hidden path beside another, which nobody else uses."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write into one sentence that names the path.

    Raises:
        RunError: The disk is full, the path is read only, or the like.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error.errno, str(error)) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a failure to read a file that siftline has written into one sentence that names it.

    Raises:
        DamagedError: It is missing.
        RunError: It may not be read, or the disk fails.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedError(path, "it is missing") from error
    except OSError as error:
        raise RunError(
            f"Cannot read '{path}': {error.strerror or error}. Mend that, then run again: what was "
            "finished is kept."
        ) from error


def unwritable(path: Path, number: int | None, problem: str) -> RunError:
    """Return the error of a path that cannot be written to.

    Args:
        path: What was to be written.
        number: The system's number of the problem, where it gave one.
        problem: Its words, where it gave none.
    """
    reason = os.strerror(number) if number else problem
    remedy = _REMEDIES.get(number or 0, "Mend that")
    return RunError(
        f"Cannot write '{path}': {reason}. {remedy}, or name another folder; then run again: what "
        "was finished is kept."
    )


def sync(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, is on the disk."""
    inside = sorted(path.rglob("*")) if path.is_dir() else []
    for each in (*inside, path):
        _sync_one(each)


def sweep(folder: Path, *, deep: bool = False) -> None:
    """Remove what dead processes of this machine were writing into a folder.

    Args:
        folder: Where to look; it need not exist.
        deep: Look into its folders too.
    """
    for path in [*(folder.rglob if deep else folder.glob)(".*.tmp")]:
        named = _TEMPORARY.fullmatch(path.name)
        if named and named[1] == _HOST and not _alive(int(named[2])):
            _remove(path)


def _alive(process: int) -> bool:
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True


def _sync_one(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # which cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
