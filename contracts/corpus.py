"""The corpus: ingested examples in Parquet shards, and the view of them that a stage sees.

Examples are written once, by ingestion, and never edited. What later stages learn is kept beside
them, in tables keyed by id; a :class:`Corpus` is the view that results: the rows that no stage has
dropped yet, as the stages before have revised them, and every score so far.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import MESSAGES
from siftline.contracts.parquet import read_table
from siftline.contracts.revisions import INDEX, previous_responses, read_index, revised_rows

EXAMPLES = pa.schema(
    [
        ("id", pa.string()),  # unique; given by the source, or the content hash
        ("content_hash", pa.string()),  # of all that is trained on; the key of cached scores
        ("prompt_id", pa.string()),  # of all that precedes the last assistant turn
        ("messages", MESSAGES),  # ends with a turn of the assistant
        ("tools", pa.string()),  # JSON list of what may be called; null without any
        ("media", pa.string()),  # JSON object of images, sounds and files; null for text alone
        ("source", pa.string()),  # which input of the recipe
        ("task", pa.string()),  # may be null
        ("origin", pa.string()),  # who wrote the response, may be null
        ("metadata", pa.string()),  # JSON object of the columns left over
        ("file", pa.string()),  # name of the input file
        ("row", pa.int64()),  # number of the record in that file, from 1
    ]
)

VERDICTS = pa.schema(
    [
        ("id", pa.string()),
        ("keep", pa.bool_()),
        ("reason", pa.string()),  # a slug, for kept rows too
        ("rank", pa.int32()),  # 1 is best; null where the method does not rank
        ("gain", pa.float64()),  # what the rank was made from; null likewise
        ("match", pa.string()),  # what the verdict is due to, such as a duplicate's twin; null
        ("similarity", pa.float64()),  # to it, from 0 to 1; or null
    ]
)


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f"part-{number:05d}.parquet"


INDEX_COLUMNS = ("id", "content_hash", "prompt_id", "source", "task", "origin")


@dataclass(frozen=True)
class Corpus:
    """The rows that reach a stage.

    Attributes:
        rows: One row per example, in corpus order: id, content_hash, prompt_id, source, task,
            origin, and where it lies (`shard`, `position`). Small enough to hold in memory.
        shards: The Parquet files of the examples.
        tables: Score tables by name, each aligned with `rows`.
        keys: What each table is a function of: `content_hash`, `prompt_id` or `id`.
        revisions: Folders of what earlier stages have revised, in their order
            (:mod:`siftline.contracts.revisions`).
        revised: The rows that were revised, as :data:`siftline.contracts.revisions.INDEX`.
    """

    rows: pa.Table
    shards: tuple[Path, ...]
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    revisions: tuple[Path, ...] = ()
    revised: pa.Table = field(default_factory=INDEX.empty_table)

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """Open the examples under a folder, in the order of their file names.

        Args:
            folder: Holds `*.parquet` with the columns of :data:`EXAMPLES`.
        """
        shards = tuple(sorted(folder.glob("*.parquet")))
        parts = []
        for number, path in enumerate(shards):
            part = read_table(path, columns=list(INDEX_COLUMNS))
            part = part.append_column("shard", pa.array(np.full(len(part), number, np.int32)))
            part = part.append_column("position", pa.array(np.arange(len(part), dtype=np.int32)))
            parts.append(part)
        return cls(rows=_in_one_piece(parts), shards=shards)

    def __len__(self) -> int:
        return len(self.rows)

    def shard(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the rows of one shard that are still in the corpus.

        Args:
            number: Of the shard.
            columns: Those that are wanted, with `id`; None for all.

        Returns:
            A table with the columns of :data:`EXAMPLES`, in corpus order.
        """
        here = self.rows["shard"].to_numpy() == number
        positions = self.rows["position"].to_numpy()[here]
        return read_examples(self.shards[number], positions, self.revisions, columns)

    def take(self, number: int, positions: Sequence[int] | npt.NDArray[np.int32]) -> pa.Table:
        """Read the rows at some positions of one shard, as :meth:`shard` does."""
        return read_examples(self.shards[number], positions, self.revisions)

    def iter_shards(self) -> Iterator[pa.Table]:
        """Yield the remaining rows, shard by shard, so that only one is in memory."""
        for number in range(len(self.shards)):
            yield self.shard(number)

    def scores(self, table: str) -> pa.Table:
        """Return a score table aligned with `rows`.

        Raises:
            KeyError: No stage so far has computed it.
        """
        return self.tables[table]

    def column(self, name: str) -> pa.Array:
        """Return one score column, named `table.column`, aligned with `rows`.

        Raises:
            KeyError: No stage so far has computed it.
        """
        table, _, column = name.partition(".")
        if table not in self.tables or column not in self.tables[table].column_names:
            raise KeyError(name)
        return self.tables[table][column].combine_chunks()

    @cached_property
    def score_columns(self) -> tuple[str, ...]:
        """The names, as `table.column`, of every score so far."""
        return tuple(
            f"{name}.{column}"
            for name, table in self.tables.items()
            for column in table.column_names
        )

    def with_scores(self, name: str, table: pa.Table, key: str = "content_hash") -> "Corpus":
        """Return the corpus with one more score table.

        Args:
            name: Of the table.
            table: Aligned with `rows`.
            key: What it is a function of.
        """
        if len(table) != len(self):
            raise ValueError(f"score table '{name}' has {len(table)} rows, expected {len(self)}")
        tables, keys = {**self.tables, name: table}, {**self.keys, name: key}
        return replace(self, tables=tables, keys=keys)

    def with_revisions(self, folder: Path) -> "Corpus":
        """Return the corpus with the rows that a stage has revised; its revision counts.

        Scores of the whole content are null for these rows, and scores of the prompt where that is
        another one now: they are of what the row was before.

        Args:
            folder: Of the stage's revisions, which may be missing.
        """
        index = read_index(folder)
        if not len(index):
            return self
        places = pc.index_in(_one(self.rows["id"]), value_set=_one(index["id"]))
        there = pc.is_valid(places)
        rows = self.rows
        for name in ("content_hash", "prompt_id", "origin"):
            if name in rows.column_names:
                values = pc.if_else(there, _one(index[name]).take(places), _one(rows[name]))
                rows = rows.set_column(rows.column_names.index(name), name, values)
        stale = {"content_hash": there}
        if "prompt_id" in rows.column_names:
            stale["prompt_id"] = pc.not_equal(_one(rows["prompt_id"]), _one(self.rows["prompt_id"]))
        keys = {name: self.keys.get(name, "content_hash") for name in self.tables}
        tables = {
            name: put_in(table, None, stale[keys[name]]) if keys[name] in stale else table
            for name, table in self.tables.items()
        }
        earlier = self.revised.filter(
            pc.invert(pc.is_in(self.revised["id"], value_set=_one(index["id"])))
        )
        return replace(
            self,
            rows=rows,
            tables=tables,
            revisions=(*self.revisions, folder),
            revised=pa.concat_tables([earlier, index]),
        )

    def previous_responses(self) -> dict[str, str]:
        """Return the responses that were read, by id, where there is another one now.

        One that held what was masked is nowhere.
        """
        return previous_responses(self.revisions)

    def filter(self, keep: npt.NDArray[np.bool_]) -> "Corpus":
        """Return the corpus of the rows where `keep` is true, scores along with them."""
        mask = pa.array(keep)
        tables = {name: table.filter(mask) for name, table in self.tables.items()}
        return replace(self, rows=self.rows.filter(mask), tables=tables)


def _in_one_piece(parts: list[pa.Table]) -> pa.Table:
    """Join the index of all shards, column by column, so that little of it is held twice.

    Args:
        parts: Given up as they are joined.
    """
    names = parts[0].column_names
    columns = {name: [part[name].combine_chunks() for part in parts] for name in names}
    parts.clear()
    if all(map(pa.Array.equals, columns["id"], columns["content_hash"])):
        columns["id"] = []  # most often they are one, and are held once
    joined = {name: pa.concat_arrays(columns.pop(name)) for name in names if columns[name]}
    joined.setdefault("id", joined["content_hash"])
    return pa.Table.from_pydict({name: joined[name] for name in names})


def put_in(table: pa.Table, new: pa.Table | None, rows: pa.Array) -> pa.Table:
    """Return a table with other values in some rows.

    Args:
        table: The values so far.
        new: Of the same columns and length; None for nulls.
        rows: [rows] True for those that get the new values.
    """
    old = pa.array(np.arange(len(table)))
    if new is None:
        return table.take(pc.if_else(rows, pa.scalar(None, pa.int64()), old))
    both = pa.concat_tables([table, new.cast(table.schema)])
    return both.take(pc.if_else(rows, pc.add(old, len(table)), old))


def one_of_each(
    corpus: Corpus, keys: pa.Array, rows: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return [rows] true for the row that stands for all that share its key, whatever their order.

    It is the one of the smallest content hash; where contents are equal, of the smallest source,
    task, origin and id.

    Args:
        corpus: Whose rows.
        keys: [rows] What is shared.
        rows: [rows] True for those of which one is chosen.
    """
    among = np.flatnonzero(rows)
    codes = pc.dictionary_encode(keys.take(pa.array(among))).indices.to_numpy(zero_copy_only=False)
    chosen = np.zeros(len(corpus), dtype=bool)
    chosen[among] = True
    several = among[(np.bincount(codes) > 1)[codes]] if len(among) else among
    if len(several):
        names = ("content_hash", "source", "task", "origin", "id")
        order = pc.sort_indices(
            corpus.rows.select(names).take(pa.array(several)),
            sort_keys=[(name, "ascending") for name in names],
        ).to_numpy()
        chosen[several] = False
        shared = codes[np.isin(among, several)][order]
        chosen[several[order][np.unique(shared, return_index=True)[1]]] = True
    return chosen


def read_examples(
    shard: Path,
    positions: Sequence[int] | npt.NDArray[np.int32],
    revisions: Sequence[Path] = (),
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Read some rows of a shard.

    Args:
        shard: A Parquet file of :data:`EXAMPLES`.
        positions: In it, of the rows, in the order in which they are wanted.
        revisions: Folders of what stages have revised, in their order; the last one counts.
        columns: Those that are wanted, with `id`; None for all.
    """
    rows = read_table(shard, columns)
    wanted = np.asarray(positions, dtype=np.int32)
    if not np.array_equal(wanted, np.arange(len(rows))):
        rows = rows.take(pa.array(wanted))
    for folder in revisions:
        rows = revised_rows(rows, folder / shard.name)
    return rows


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
