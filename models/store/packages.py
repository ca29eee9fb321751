"""The packages of the extras, which are imported only where they are needed."""

import importlib

from siftline.contracts.errors import ModelError


def require(*packages: str, extra: str = "models", purpose: str = "Running a model") -> None:
    """Import packages of an extra.

    Args:
        packages: Names by which they are imported.
        extra: Name of the extra that installs them.
        purpose: What needs them, for the message.

    Raises:
        ModelError: One of them is not installed.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"{purpose} needs the package '{error.name}', which is not installed: "
                f"run `pip install 'siftline[{extra}]'`."
            ) from error
