"""The names of sources and tasks: those that were read, and a check of those that a recipe has."""

from collections.abc import Iterable

import pyarrow as pa

from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError, nearest
from siftline.contracts.parquet import read_table

NOT_STATED = "not stated"  # stands for a task that is null

_COLUMNS = ("source", "task")


def shown_name(name: str) -> str:
    """Return the name of a source or a task as a recipe states it; '' is shown as not stated."""
    return name or NOT_STATED


def ingested_pairs(corpus: Corpus) -> set[tuple[str, str]]:
    """Return every (source, task) that was read, whatever was dropped since; '' for null."""
    tables = [corpus.rows.select(_COLUMNS)]
    tables += [read_table(path, columns=list(_COLUMNS)) for path in corpus.shards]
    pairs = pa.concat_tables(tables).group_by(list(_COLUMNS)).aggregate([])
    sources, tasks = (pairs[name].to_pylist() for name in _COLUMNS)
    return {(source or "", task or "") for source, task in zip(sources, tasks, strict=True)}


def check_known(field: str, names: Iterable[str], known: set[str]) -> None:
    """Check that names are of sources, or tasks, that were read.

    Args:
        field: Of the recipe, for the message.
        names: What the recipe names.
        known: What was read; '' for rows that state nothing.

    Raises:
        RecipeError: A name is of nothing that was read; the nearest one is named.
    """
    shown = {shown_name(name) for name in known}
    for name in names:
        if name not in shown:
            raise RecipeError(
                f"{field}: nothing of the name '{name}' was read.{nearest(name, shown)}"
            )
