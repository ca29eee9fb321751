"""The corpus: ingested examples in Parquet shards, and the view of them that a stage sees.

Examples are written once, by ingestion, and never edited. What later stages learn is kept beside
them, in tables keyed by id; a :class:`Corpus` is the view that results: the rows that no stage has
dropped yet, with the responses that a stage has revised, and every score so far.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from siftline.contracts.examples import Message
from siftline.contracts.parquet import read_table

TURN = pa.struct(
    [
        ("role", pa.string()),  # system, user, assistant or tool
        ("content", pa.string()),  # never null
        ("reasoning", pa.string()),  # this and what follows: null where a turn has none
        ("tool_calls", pa.string()),  # JSON list of calls, their arguments as objects
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
        ("weight", pa.float64()),  # 0: not to be trained on
    ]
)
MESSAGES = pa.list_(TURN)

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

REVISIONS = pa.schema(
    [
        ("id", pa.string()),
        ("response", pa.string()),  # the new content of the last turn
        ("origin", pa.string()),  # who wrote it
        ("previous", pa.string()),  # the text that was read, its thought included
        ("content_hash", pa.string()),  # of the conversation with the new response
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
        revisions: The responses that were revised, as :data:`REVISIONS`, one row per id.
    """

    rows: pa.Table
    shards: tuple[Path, ...]
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    revisions: pa.Table = field(default_factory=REVISIONS.empty_table)

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

    def shard(self, number: int) -> pa.Table:
        """Read the rows of one shard that are still in the corpus.

        Returns:
            A table with the columns of :data:`EXAMPLES`, in corpus order.
        """
        here = self.rows["shard"].to_numpy() == number
        return self.take(number, self.rows["position"].to_numpy()[here])

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

    def with_revisions(self, revisions: pa.Table) -> "Corpus":
        """Return the corpus with new responses, as :data:`REVISIONS`; the last one counts.

        Scores of the whole content are null for these rows: they are of another response.
        """
        if not len(revisions):
            return self
        places = pc.index_in(_one(self.rows["id"]), value_set=_one(revisions["id"]))
        rows = self.rows
        for name in ("content_hash", "origin"):
            values = pc.if_else(
                pc.is_valid(places), _one(revisions[name]).take(places), _one(rows[name])
            )
            rows = rows.set_column(rows.column_names.index(name), name, values)
        tables = {
            name: put_in(table, None, pc.is_valid(places))
            if self.keys.get(name, "content_hash") == "content_hash"
            else table
            for name, table in self.tables.items()
        }
        merged = merge_revisions(self.revisions, revisions)
        return replace(self, rows=rows, tables=tables, revisions=merged)

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
    shard: Path, positions: Sequence[int] | npt.NDArray[np.int32], revisions: pa.Table
) -> pa.Table:
    """Read some rows of a shard.

    Args:
        shard: A Parquet file of :data:`EXAMPLES`.
        positions: In it, of the rows, in the order in which they are wanted.
        revisions: New responses, as :data:`REVISIONS`, one row per id.
    """
    rows = read_table(shard)
    wanted = np.asarray(positions, dtype=np.int32)
    if not np.array_equal(wanted, np.arange(len(rows))):
        rows = rows.take(pa.array(wanted))
    return _revised(rows, revisions) if len(revisions) else rows


def merge_revisions(earlier: pa.Table, later: pa.Table) -> pa.Table:
    """Return the revisions of two stages; where both have revised a row, the later one counts."""
    replaced = pc.is_in(earlier["id"], value_set=_one(later["id"]))
    return pa.concat_tables([earlier.filter(pc.invert(replaced)), later])


def _revised(rows: pa.Table, revisions: pa.Table) -> pa.Table:
    """Put new responses in the place of the old ones."""
    places = pc.index_in(_one(rows["id"]), value_set=_one(revisions["id"]))
    if places.null_count == len(rows):
        return rows
    columns = {name: rows[name].to_pylist() for name in ("messages", "content_hash", "origin")}
    for row, place in enumerate(places.to_pylist()):
        if place is not None:
            new = revisions.slice(place, 1).to_pylist()[0]
            last = columns["messages"][row][-1]
            columns["messages"][row][-1] = Message(role=last["role"], content=new["response"])
            columns["content_hash"][row] = new["content_hash"]
            columns["origin"][row] = new["origin"]
    for name, values in columns.items():
        place = rows.column_names.index(name)
        rows = rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))
    return rows


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
