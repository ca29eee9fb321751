"""A start without pandas, which Arrow imports to see whether a list is a pandas column."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

import pyarrow as pa


class _Hidden(MetaPathFinder):
    """Finds no pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Return nothing, so that others look for the module, unless it is pandas.

        Raises:
            ImportError: It is.
        """
        if fullname == "pandas":
            raise ImportError("pandas is not looked for yet")


def leave_pandas_out() -> None:
    """Let Arrow ask for pandas once in vain, half a second before it would have it.

    Arrow remembers that, and asks again when something is converted to pandas or from it.
    """
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([None])
    finally:
        sys.meta_path.remove(hidden)
