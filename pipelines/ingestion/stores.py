"""Files in stores and on servers, read through fsspec: `s3://`, `gs://`, `hf://`, `https://`.

Credentials come from the environment or the configuration of the store's own package. Where an
address itself must hold one, it names an environment variable, `${NAME}`: recipes, records and
messages hold the name alone.
"""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from siftline.contracts.errors import InputError, RecipeError
from siftline.contracts.printable import encodable, excerpt

# The package that reads each kind of address.
PACKAGES = {
    **dict.fromkeys(("http", "https"), "aiohttp"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **{"hf": "huggingface_hub", "oss": "ossfs", "memory": "fsspec"},
}
_WEB = ("http", "https")
_NOT_FOUND = 404
_ADDRESS = re.compile(r"\A([A-Za-z][A-Za-z0-9+.\-]*)://")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CREDENTIAL = re.compile(
    r"token|key|sig|secret|passw|pwd|credential|auth|jwt|bearer", re.IGNORECASE
)


@dataclass(frozen=True)
class StoredFile:
    """A file behind an address.

    Attributes:
        address: Without credentials: what its rows call it.
        path: What its store calls it.
        size: Bytes; None where the store does not tell.
        secrets: Values that must be in no message, each with what stands for it.
        filesystem: Of fsspec.
    """

    address: str
    path: str
    size: int | None
    secrets: tuple[tuple[str, str], ...]
    filesystem: Any

    @property
    def name(self) -> str:
        """The last part of its address."""
        return PurePosixPath(self.address).name

    @property
    def suffix(self) -> str:
        """The last suffix of its name."""
        return PurePosixPath(self.address).suffix

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of its name."""
        return PurePosixPath(self.address).suffixes

    def open(self) -> io.BufferedReader:
        """Open it from its beginning.

        Raises:
            OSError: It cannot be opened; reading raises it where that fails.
        """
        # A server need not answer with parts of a file, so it is read from end to end.
        web = _protocol(self.address) in _WEB
        options = {"block_size": 0} if web else {}
        with _as_os_error(self.secrets):
            file = self.filesystem.open(self.path, "rb", **options)
        return io.BufferedReader(_Stream(file, self.secrets, seekable=not web), 1 << 18)


class _Stream(io.RawIOBase):
    """A file of fsspec, whose errors are OSError without credentials."""

    def __init__(self, file: Any, secrets: tuple[tuple[str, str], ...], *, seekable: bool) -> None:
        self._file, self._secrets = file, secrets
        self._seekable, self._ended = seekable, False

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return whether it can be read at random."""
        return self._seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return int(self._file.tell())

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read some bytes; 0 at the end."""
        if self._ended and not self._seekable:
            return 0
        with _as_os_error(self._secrets):
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._ended = not piece
        return len(piece)

    def close(self) -> None:
        """Close the file of fsspec too."""
        if not self.closed:
            self._file.close()
        super().close()


def is_address(path: str) -> bool:
    """Return whether a path is an address of a store or a server."""
    return bool(_ADDRESS.match(path)) and _protocol(path) != "file"


def _protocol(address: str) -> str:
    found = _ADDRESS.match(address)
    return found[1].lower() if found else ""


def bare(address: str) -> str:
    """Return an address without the question that a server is asked."""
    return address.partition("?")[0] if _protocol(address) in _WEB else address


def check_address(address: str) -> None:
    """Check that an address holds no credential, which would be stored with every run.

    Raises:
        ValueError: It does; or it is of a kind that is not read.
    """
    protocol = _protocol(address)
    if protocol not in PACKAGES or "::" in address:
        known = ", ".join(f"{each}://" for each in PACKAGES)
        raise ValueError(f"cannot read an address of '{protocol}://'; expected one of {known}.")
    parts = urlsplit(_VARIABLE.sub("", address))
    user, found, password = parts.netloc.rpartition("@")[0].partition(":")
    asked = parse_qsl(parts.query) + parse_qsl(parts.fragment)
    named = [name for name, value in asked if value and _CREDENTIAL.search(name)]
    if password or (user and (found or protocol not in ("ssh", "sftp"))) or named:
        raise ValueError(
            "an address must hold no credential, since recipes are stored with every run. Set an "
            "environment variable, and write ${NAME} in its place; or let the store's own package "
            "find its credentials."
        )


def stored_files(address: str) -> list[StoredFile]:
    """Return the files behind an address, which may be a glob, in the order of their names.

    Raises:
        RecipeError: There are none, a variable is not set, or a package is not installed.
        InputError: The store or server does not answer, or refuses.
    """
    secrets = _secrets(address)
    real = _VARIABLE.sub(lambda match: os.environ[match[1]], address)
    filesystem, path = _opened_store(address, real)
    magic = "*" in bare(path) or (_protocol(address) not in _WEB and re.search(r"[?\[]", path))
    try:
        with _as_os_error(secrets):
            filesystem.invalidate_cache()
            found = filesystem.glob(path, detail=True) if magic else {path: filesystem.info(path)}
    except FileNotFoundError:
        found = {}
    except OSError as error:
        raise InputError(
            f"'{_named(address, secrets)}' cannot be read: {excerpt(str(error)).rstrip('.')}. "
            f"Check the address, the network, and what {PACKAGES[_protocol(address)]} has of "
            "credentials."
        ) from None  # what it was raised from may quote a credential
    if any(each.get("type") == "directory" for each in found.values()) and not magic:
        name = _named(address, secrets)
        raise RecipeError(
            f"Input '{name}' is a folder, expected files. Write a glob, such as '{name}/*.jsonl'."
        )
    files = []
    for name, each in sorted(found.items()):
        if each.get("type") != "directory":
            whole = name if _ADDRESS.match(name) else f"{_protocol(address)}://{name.lstrip('/')}"
            called = _named(whole, secrets)
            files.append(StoredFile(called, name, each.get("size"), secrets, filesystem))
    return files


def _opened_store(address: str, real: str) -> tuple[Any, str]:
    """Return the file system of fsspec behind an address, and the path in it."""
    import fsspec  # takes a while

    try:
        filesystem, path = fsspec.core.url_to_fs(real)
    except ImportError:
        package = PACKAGES[_protocol(address)]
        raise RecipeError(
            f"'{_protocol(address)}://' is read by the package '{package}', which is not "
            f"installed. Install it: pip install {package}"
        ) from None
    except (ValueError, TypeError, OSError) as error:
        raise RecipeError(
            f"Input '{_named(address, _secrets(address))}' cannot be read: "
            f"{excerpt(_without(str(error), _secrets(address))).rstrip('.')}. Correct 'path'."
        ) from None
    return filesystem, path


def _secrets(address: str) -> tuple[tuple[str, str], ...]:
    """Return what the variables in an address stand for, each with its name.

    Raises:
        RecipeError: One is not set.
    """
    found = []
    for name in _VARIABLE.findall(address):
        if not (value := os.environ.get(name)):
            raise RecipeError(
                f"Input '{address}' names the environment variable '{name}', which is not set. "
                "Set it before siftline is started."
            )
        found += [(value, f"${{{name}}}"), (quote(value, safe=""), f"${{{name}}}")]
    return tuple(sorted(set(found), key=lambda pair: -len(pair[0])))


def _without(text: str, secrets: tuple[tuple[str, str], ...]) -> str:
    for value, instead in secrets:
        text = text.replace(value, instead)
    return text


def _named(address: str, secrets: tuple[tuple[str, str], ...]) -> str:
    return encodable(bare(_without(address, secrets)))


@contextmanager
def _as_os_error(secrets: tuple[tuple[str, str], ...]) -> Iterator[None]:
    """Raise whatever a store's package raises as OSError, without credentials.

    Each package has exceptions of its own, and most quote the address.
    """
    try:
        yield
    except Exception as error:
        # That of web addresses says of every failure that there is no such file.
        failed = type(error.__cause__).__module__.startswith("aiohttp")
        cause = error.__cause__ if failed and error.__cause__ else error
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == _NOT_FOUND:
            raise FileNotFoundError("there is no such file") from None
        raise OSError(_without(str(cause) or type(cause).__name__, secrets)) from None
