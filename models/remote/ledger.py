"""The answers of servers, kept on disk, so that an answered request is never sent twice.

A SQLite file holds the body of every answer by a digest of its request, with a digest of the body.
It survives a killed run, and several processes can use it at once.
"""

import contextlib
import hashlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from siftline.contracts import progress
from siftline.contracts.errors import RunError
from siftline.contracts.publishing import writing

_TABLE = "CREATE TABLE IF NOT EXISTS sealed (key TEXT PRIMARY KEY, body TEXT, sha256 TEXT)"


class Ledger:
    """The answers in one SQLite file, which is made when it is not there.

    Every call raises RunError where the file is damaged or cannot be written to. It is not made
    again by itself, since its answers may have been paid for.
    """

    def __init__(self, path: Path) -> None:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._lock = path, threading.Lock()
        with self._told():
            self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        weakref.finalize(self, self._database.close)  # a model of a server is never closed
        with self._opened() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(_TABLE)

    def find(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a request, or None if there is none yet, or none that is whole."""
        key = _key(request)
        with self._opened() as database:
            query = "SELECT body, sha256 FROM sealed WHERE key = ?"
            row = database.execute(query, (key,)).fetchone()
            if row is None:
                return None
            if _digest(row[0]) == row[1]:
                return json.loads(row[0])  # type: ignore[no-any-return]
            database.execute("DELETE FROM sealed WHERE key = ?", (key,))
        progress.warn(f"An answer in '{self._path}' is damaged. It is asked for again.")
        return None

    def add(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        """Keep an answer; when this returns, it is on the disk."""
        body = json.dumps(answer)
        with self._opened() as database:
            database.execute(
                "INSERT OR IGNORE INTO sealed VALUES (?, ?, ?)",
                (_key(request), body, _digest(body)),
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told(), self._database:
            yield self._database

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise RunError(
                f"The answers of a server in '{self._path}' cannot be used: {error}. Expected a "
                "SQLite file and the right to write it; make room, put a copy of it back, or "
                "remove it, and its answers are asked for again."
            ) from error


def _key(request: dict[str, Any]) -> str:
    return _digest(json.dumps(request, sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
