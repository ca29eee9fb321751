"""Where converted models, digests of files and answers of servers are kept."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder: `SIFTLINE_CACHE`, or siftline's place in the user's cache."""
    chosen = os.environ.get("SIFTLINE_CACHE")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "siftline"
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "siftline"
