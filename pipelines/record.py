"""A finished version as its readers see it: opened once, and never written to.

Reports and tools read a run through this record alone, so that they know nothing of how it was
made.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import read_examples
from siftline.contracts.errors import RunError
from siftline.contracts.parquet import count_rows, read_table
from siftline.contracts.records import check_files
from siftline.contracts.revisions import REVISIONS_FOLDER, read_index, read_shown
from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.run_directory import INGEST, finished, read_summary
from siftline.pipelines.stage_results import read_score_tables


class StageRecord(NamedTuple):
    """What a stage has left.

    Attributes:
        manifest: Its counts, costs and diagnosis.
        verdicts: One per row that reached it.
        revisions: The rows that it has revised, as `INDEX` of :mod:`siftline.contracts.revisions`.
        scores: What it has measured or derived, `table.column`, in the order of the verdicts.
    """

    manifest: StageManifest
    verdicts: pa.Table
    revisions: pa.Table
    scores: Mapping[str, pa.ChunkedArray]


class RunRecord:
    """A finished version.

    What it reads of its files it holds to their digests (:class:`DamagedError`).

    Attributes:
        version: Its folder.
        summary: What `report.json` says.
        recipe: The recipe as it was resolved, YAML.
        decisions: What became of every input row (:mod:`siftline.pipelines.output.decisions`).
    """

    def __init__(self, version: Path) -> None:
        if not finished(version):
            raise RunError(
                f"'{version}' is no finished version: it has no report.json. Run its recipe to "
                "the end, or name another folder, such as runs/<name>/latest."
            )
        self.version = version
        self.summary = read_summary(version)
        check_files(version, {"recipe.yaml": self.summary.files["recipe.yaml"]})
        self.recipe = (version / "recipe.yaml").read_text(encoding="utf-8")
        self.decisions = read_table(version / "decisions.parquet")

    @cached_property
    def stages(self) -> tuple[StageRecord, ...]:
        """What each stage has left."""
        return tuple(_stage(self.version, manifest) for manifest in self.summary.stages)

    def quarantined(self, rows: int) -> list[dict[str, Any]]:
        """Return the first rows that could not be used, with what was wrong."""
        path = self.version / INGEST / "quarantine.parquet"
        bad: list[dict[str, Any]] = read_table(path).slice(0, rows).to_pylist()
        return bad

    def examples(self, wanted: Mapping[int, Iterable[str]]) -> dict[int, dict[str, dict[str, Any]]]:
        """Return rows as stages have read them. Each shard that holds some of them is read once.

        Where this stage or a later one has found personal data in a row, the row is what that stage
        lets readers see.

        Args:
            wanted: Ids of rows, by the number of the stage, from 0.

        Returns:
            By stage and id: the row, as earlier stages have revised it.
        """
        ids = {number: list(dict.fromkeys(each)) for number, each in wanted.items()}
        every = sorted({row_id for each in ids.values() for row_id in each})
        rows, changes = self._read(every), self._changes(every)
        return {
            number: {i: {**rows[i], **_as_read(changes, number, i)} for i in each}
            for number, each in ids.items()
        }

    def revised(self, wanted: Mapping[int, Iterable[str]]) -> dict[int, dict[str, dict[str, Any]]]:
        """Return rows that stages have revised, as they have left them; otherwise as `examples`."""
        ids = {number: list(dict.fromkeys(each)) for number, each in wanted.items()}
        every = sorted({row_id for each in ids.values() for row_id in each})
        changes = self._changes(every)
        return {
            number: {
                i: {**changes[number][i], **(_private(changes, number, i) or {})} for i in each
            }
            for number, each in ids.items()
        }

    def _changes(self, ids: list[str]) -> list[dict[str, dict[str, Any]]]:
        """Return by stage and id what a stage has made of rows, or what it lets readers see."""
        names = [path.name for path in self._shards]
        folders = [self.version / stage.manifest.folder for stage in self.stages]
        return [read_shown(folder, names, ids) if ids else {} for folder in folders]

    @cached_property
    def _shards(self) -> tuple[Path, ...]:
        return tuple(sorted((self.version / INGEST / "examples").glob("*.parquet")))

    def _read(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Read rows by id, as they were ingested."""
        # Decisions begin with the examples, in the order of the shards.
        places = pc.index_in(pa.array(ids, pa.string()), value_set=self.decisions["id"])
        if places.null_count:
            unknown = pa.array(ids).filter(pc.is_null(places))[0]
            raise KeyError(f"no row of '{self.version}' has the id '{unknown}'")
        places = places.to_numpy(zero_copy_only=False).astype(np.int64)
        ends = np.cumsum([count_rows(path) for path in self._shards])
        shards = np.searchsorted(ends, places, side="right")
        starts = np.r_[0, ends]
        rows = {}
        for number in np.unique(shards):
            positions = (places[shards == number] - starts[number]).astype(np.int32)
            table = read_examples(self._shards[number], positions)
            rows.update({row["id"]: row for row in table.to_pylist()})
        return rows


def _stage(version: Path, manifest: StageManifest) -> StageRecord:
    folder = version / manifest.folder
    verdicts = read_table(folder / "verdicts.parquet")
    tables = read_score_tables(folder / "scores", verdicts["id"])
    return StageRecord(
        manifest=manifest,
        verdicts=verdicts,
        revisions=read_index(folder / REVISIONS_FOLDER),
        scores={
            f"{name}.{column}": table[column]
            for name, table in tables.items()
            for column in table.column_names
        },
    )


Changes = Sequence[Mapping[str, Mapping[str, Any]]]


def _as_read(changes: Changes, number: int, row_id: str) -> Mapping[str, Any]:
    """Return what earlier stages have made of a row, or what readers may see of it."""
    earlier = [each[row_id] for each in changes[:number] if row_id in each]
    return _private(changes, number, row_id) or (earlier[-1] if earlier else {})


def _private(changes: Changes, number: int, row_id: str) -> Mapping[str, Any] | None:
    """Return a row as a stage shows it that has found personal data, from a stage on; or None."""
    for each in changes[number:]:
        row = each.get(row_id)
        if row is not None and row.get("change") != "correct":
            return row
    return None
