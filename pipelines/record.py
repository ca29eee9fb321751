"""A finished version as its readers see it: opened once, and never written to.

Reports and tools read a run through this record alone, so that they know nothing of how it was
made.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.corpus import REVISIONS, merge_revisions, read_examples
from siftline.contracts.errors import RunError
from siftline.contracts.examples import Message
from siftline.contracts.parquet import count_rows, read_table
from siftline.contracts.records import check_files
from siftline.pipelines.manifest import StageManifest
from siftline.pipelines.run_directory import INGEST, finished, read_summary
from siftline.pipelines.stage_results import read_score_tables


class StageRecord(NamedTuple):
    """What a stage has left.

    Attributes:
        manifest: Its counts, costs and diagnosis.
        verdicts: One per row that reached it.
        revisions: The responses that it has revised.
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

        Args:
            wanted: Ids of rows, by the number of the stage, from 0.

        Returns:
            By stage and id: the row, with the responses that earlier stages have given it.
        """
        ids = {number: list(dict.fromkeys(each)) for number, each in wanted.items()}
        rows = self._read(sorted({row_id for each in ids.values() for row_id in each}))
        revised = REVISIONS.empty_table()
        read: dict[int, dict[str, dict[str, Any]]] = {}
        for number, stage in enumerate(self.stages):
            if number in ids:
                responses = dict(zip(*revised.select(["id", "response"]).columns, strict=True))
                texts = {key.as_py(): value.as_py() for key, value in responses.items()}
                read[number] = {i: _with_response(rows[i], texts.get(i)) for i in ids[number]}
            revised = merge_revisions(revised, stage.revisions)
        return read

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
            table = read_examples(self._shards[number], positions, REVISIONS.empty_table())
            rows.update({row["id"]: row for row in table.to_pylist()})
        return rows


def _stage(version: Path, manifest: StageManifest) -> StageRecord:
    folder = version / manifest.folder
    revisions = folder / "revisions.parquet"
    verdicts = read_table(folder / "verdicts.parquet")
    tables = read_score_tables(folder / "scores", verdicts["id"])
    return StageRecord(
        manifest=manifest,
        verdicts=verdicts,
        revisions=read_table(revisions) if revisions.exists() else REVISIONS.empty_table(),
        scores={
            f"{name}.{column}": table[column]
            for name, table in tables.items()
            for column in table.column_names
        },
    )


def _with_response(row: dict[str, Any], response: str | None) -> dict[str, Any]:
    """Return a row with another content of its last turn."""
    if response is None:
        return row
    *turns, last = row["messages"]
    return {**row, "messages": [*turns, Message(role=last["role"], content=response)]}
