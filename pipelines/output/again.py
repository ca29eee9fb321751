"""A finished version exported once more, in another format and to another folder.

The version is read and not changed: its examples, the responses that its stages have revised, and
which rows were written in which order.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from siftline.contracts.columns import LANGUAGE
from siftline.contracts.corpus import Corpus
from siftline.contracts.errors import RecipeError, RunError, nearest
from siftline.contracts.parquet import read_table
from siftline.contracts.publishing import published
from siftline.contracts.records import check_files, write_json
from siftline.contracts.revisions import REVISIONS_FOLDER
from siftline.pipelines.ingestion.inputs import Input
from siftline.pipelines.manifest import Summary
from siftline.pipelines.output.companions import complete
from siftline.pipelines.output.dataset import write_dataset
from siftline.pipelines.output.export import WRITTEN, manifest_of
from siftline.pipelines.output.formats.known import Layout
from siftline.pipelines.output.splits import Split
from siftline.pipelines.output.training_order import TRAINING_ORDER
from siftline.pipelines.run_directory import INGEST, LATEST, finished, read_summary, versions_in


def find_version(run: Path, runs: Path) -> Path:
    """Return the folder of a finished version.

    Args:
        run: Of a version, or of a recipe, whose newest finished version it is; or the name of
            either in the run directory.
        runs: The run directory.

    Raises:
        RecipeError: There is no such run.
        RunError: It has no finished version.
    """
    for place in (run, runs / run):
        for version in (place, place / LATEST):
            if finished(version):
                return version.resolve()
    for place in (run, runs / run):
        if place.is_dir():
            raise RunError(
                f"'{place}' has no finished version, which has a report.json. Run its recipe to "
                "the end."
            )
    names = [path.name for path in _folders(runs) if versions_in(path)]
    raise RecipeError(
        f"No run '{run}'; expected the folder of a version, such as 'runs/first/v0001', or the "
        f"name of a recipe that was run.{nearest(str(run), names)}"
    )


def check_target(folder: Path, version: Path) -> None:
    """Check that a dataset may be written to a folder.

    Raises:
        RecipeError: It lies in the version, something is in it, or it is the working directory,
            which cannot be replaced under the feet of whoever works in it.
    """
    if folder.resolve() == Path.cwd():
        raise RecipeError(
            f"Got the working directory ('{folder}') as the folder; expected another one, which is "
            "made. Name a new folder with --to."
        )
    if folder.resolve().is_relative_to(version):
        raise RecipeError(
            f"Got the folder '{folder}', inside the finished version '{version.name}', which never "
            "changes; expected one outside of it. Name another with --to."
        )
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise RecipeError(
            f"'{folder}' is there already; expected a new or an empty folder. Name another with "
            "--to."
        )


def export_again(version: Path, layout: Layout, folder: Path) -> Summary:
    """Write the dataset of a finished version to a folder.

    Args:
        version: Its folder.
        layout: What the rows are to look like.
        folder: New or empty; it appears whole or not at all.

    Returns:
        The summary of the run, with what was written here as its export.

    Raises:
        RecipeError: The folder is not empty, or inside the version.
        RunError: The version has no row, or the format cannot hold some of them.
        DamagedError: A file of the version is not as it was written.
    """
    check_target(folder, version)
    started = time.monotonic()
    summary = read_summary(version)
    if not summary.export.rows:
        raise RunError(f"'{version}' has no row; there is nothing to export.")
    corpus, splits = _written(version, summary)
    with published(folder.resolve()) as building:
        written = write_dataset(corpus, splits, layout, building)
        manifest = manifest_of(corpus, written, splits, layout, time.monotonic() - started)
        summary = summary.model_copy(update={"export": manifest})
        _write_order(version, written.files, building)
        complete(building, summary, _inputs(version, summary))
    return summary


def _written(version: Path, summary: Summary) -> tuple[Corpus, list[Split]]:
    """Return the rows that the version has written, and in which order."""
    corpus = Corpus.open(version / INGEST / "examples")
    for stage in summary.stages:
        folder = version / stage.folder / REVISIONS_FOLDER
        inside = f"{stage.folder}/{REVISIONS_FOLDER}/"
        check_files(version, {n: s for n, s in summary.files.items() if n.startswith(inside)})
        corpus = corpus.with_revisions(folder)
    order = read_table(version / WRITTEN)
    corpus = _with_languages(corpus, order)
    rows = pc.index_in(order["id"].combine_chunks(), corpus.rows["id"].combine_chunks())
    kept = np.zeros(len(corpus), dtype=bool)
    kept[rows.to_numpy()] = True
    places = np.cumsum(kept) - 1  # of the rows of all examples among those that were written
    splits = []
    for name in summary.export.splits:
        here = pc.equal(order["split"], name).combine_chunks()
        numbers = places[rows.filter(here).to_numpy()]
        splits.append(Split(name, numbers, order["repeat"].filter(here).to_numpy()))
    return corpus.filter(kept), splits


def _with_languages(corpus: Corpus, order: pa.Table) -> Corpus:
    """Return the rows with the languages that they were written with, if they were."""
    if "language" not in order.column_names:
        return corpus
    places = pc.index_in(corpus.rows["id"].combine_chunks(), order["id"].combine_chunks())
    languages = order["language"].combine_chunks().take(places)
    table, _, column = LANGUAGE.partition(".")
    return corpus.with_scores(table, pa.table({column: languages}))


def _write_order(version: Path, files: dict[str, list[str]], folder: Path) -> None:
    """Write the order of training, of which the version has one, with the files that are here."""
    path = version / "curated" / TRAINING_ORDER
    if not path.exists():
        return
    order = json.loads(path.read_text(encoding="utf-8"))
    for split in order["splits"]:
        split["files"] = files[split["name"]]
    write_json(folder / TRAINING_ORDER, order)


def _inputs(version: Path, summary: Summary) -> Sequence[Input]:
    """Return the inputs of the recipe."""
    check_files(version, {"recipe.yaml": summary.files["recipe.yaml"]})
    recipe = yaml.safe_load((version / "recipe.yaml").read_text(encoding="utf-8"))
    return [Input.model_validate(item) for item in recipe["inputs"]]


def _folders(runs: Path) -> list[Path]:
    return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
