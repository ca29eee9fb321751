"""The answers of servers, kept on disk, so that an answered request is never sent twice.

A SQLite file holds the body of every answer by a digest of its request. It survives a killed run,
and several processes can use it at once.
"""

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any


class Ledger:
    """The answers in one SQLite file, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, timeout=60, check_same_thread=False)
        with self._lock, self._database:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, body TEXT)"
            )

    def find(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a request, or None if there is none yet."""
        with self._lock:
            query = "SELECT body FROM answers WHERE key = ?"
            row = self._database.execute(query, (_key(request),)).fetchone()
        return None if row is None else json.loads(row[0])

    def add(self, request: dict[str, Any], answer: dict[str, Any]) -> None:
        """Keep an answer; when this returns, it is on the disk."""
        with self._lock, self._database:
            self._database.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?)", (_key(request), json.dumps(answer))
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _key(request: dict[str, Any]) -> str:
    canonical = json.dumps(request, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
