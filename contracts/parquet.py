"""Parquet on disk."""

from pathlib import Path


def dataset_files(path: Path) -> list[Path]:
    """Return the Parquet files of a dataset, by name.

    Args:
        path: One file; a folder of them; or the folder of a dataset as it is uploaded, with its
            card, whose Parquet files lie in `data`.
    """
    if not path.is_dir():
        return [path]
    return sorted(path.glob("*.parquet")) or sorted(path.glob("data/*.parquet"))
