"""The packages of the extra `models`, without which everything but models works."""

import importlib

from siftline.pipelines.errors import ModelError


def require(*packages: str) -> None:
    """Import packages of the extra `models`.

    Raises:
        ModelError: One of them is not installed.
    """
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"Running a model needs the package '{error.name}', which is not installed: "
                "run `pip install 'siftline[models]'`."
            ) from error
